//! A host that seals what a kit's steps say, honestly or not: without daemons, so that it can do what
//! no agent of ours would.

use std::collections::BTreeMap;
use std::sync::Arc;

use evidence::bundle::{
    Began, BundleId, ChainPosition, ChainStart, Draft, Kind, LocationState, OBJECT_LOCK_MODE,
    PlannedLocation, Producer, SealedBundle, TimeSource, artifact_path, object_path,
};
use evidence::chain::{Head, new_chain_id, utc_day};
use evidence::controls::ControlMap;
use evidence::custody::{
    AgentState, ConfirmedEntry, Covers, Custody, CustodyBody, CustodyCause, DestinationState,
    IncidentEntry, SealedEntry, Totals,
};
use evidence::digest::{DigestKey, Sha256};
use evidence::findings::consistency;
use evidence::incident::{Incident, Limits, SealedIncident, Source, StoredFile};
use evidence::keys::PrivateKey;
use evidence::rotation::{Rotation, RotationBody};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::header::{Lie, Predecessor};

/// How long the kits' hosts plan to keep what they seal.
pub const RETENTION_DAYS: u32 = 2192;
/// The destination that their plans name.
pub const DESTINATION: &str = "main";

/// A bundle, sealed and not stored yet.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its bytes.
    pub sealed: SealedBundle,
    /// What it attests.
    pub kind: Kind,
    /// `CLIENT/HOST/CHAIN/YYYY/MM/DD/EB-….json`.
    pub path: String,
    /// Its artifacts: path and bytes.
    pub artifacts: Vec<(String, Vec<u8>)>,
}

/// A host as it stands; a clone of it is a copy of its disk.
#[derive(Clone)]
pub struct Host {
    client_id: String,
    host_id: String,
    /// The key that signs.
    pub key: Arc<PrivateKey>,
    /// Its clock.
    pub now: Timestamp,
    /// What passes on it from one bundle to the next.
    pub pace: SignedDuration,
    started_at: Timestamp,
    bucket_uri: String,
    head: Head,
    ends: Vec<ChainPosition>,
    /// The last number of each day.
    pub numbers: BTreeMap<jiff::civil::Date, u64>,
    waiting: Vec<SealedEntry>,
    confirmed: Vec<ConfirmedEntry>,
    previous_custody: Option<ChainPosition>,
    totals: Totals,
}

impl Host {
    /// A host that was set up at `now`, with a bucket at `bucket_uri` (`s3://bucket/prefix`).
    #[must_use]
    pub fn new(
        client_id: &str,
        host_id: &str,
        key: Arc<PrivateKey>,
        bucket_uri: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            client_id: client_id.to_owned(),
            host_id: host_id.to_owned(),
            key,
            now,
            pace: SignedDuration::from_mins(1),
            started_at: now,
            bucket_uri: bucket_uri.to_owned(),
            head: Head::Empty {
                chain_id: new_chain_id(),
                predecessor: None,
                began: Some(Began {
                    because: ChainStart::First,
                    missing: Vec::new(),
                }),
            },
            ends: Vec::new(),
            numbers: BTreeMap::new(),
            waiting: Vec::new(),
            confirmed: Vec::new(),
            previous_custody: None,
            totals: Totals::default(),
        }
    }

    /// Its folder below the prefix.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/{}", self.client_id, self.host_id)
    }

    /// Seals an incident.
    ///
    /// # Panics
    /// When it cannot be sealed.
    pub fn incident(&mut self, id: &str, artifacts: &BTreeMap<String, String>) -> Made {
        let now = self.now;
        let bytes = document_at(id, now);
        let mut incident = Incident::parse(&bytes, &Limits::default()).unwrap();
        incident.body.artifacts.files = artifacts
            .iter()
            .map(|(name, text)| StoredFile {
                name: name.clone(),
                size_bytes: text.len() as u64,
                sha256: Sha256::of(text.as_bytes()),
            })
            .collect();
        let mut findings = incident.findings.clone();
        findings.extend(consistency(&incident.body, now, ControlMap::built_in()));
        let controls =
            ControlMap::built_in().map(incident.body.hipaa_controls(), incident.body.about());
        let entry = IncidentEntry::of(
            &incident.body.incident,
            &incident.body.execution,
            Some(&controls),
            findings.iter().map(|finding| &*finding.code),
        );
        let body = SealedIncident {
            body: &incident.body,
            controls: &controls,
            source: Source {
                hmac_sha256: DigestKey::from_bytes([7; 32]).hmac(&bytes),
                size_bytes: bytes.len() as u64,
                received_at: now,
            },
            findings: &findings,
            redactions: &[],
        };
        let mut made = self.seal(Kind::Incident, &body, Some(entry));
        made.artifacts = artifacts
            .iter()
            .map(|(name, text)| {
                let path = artifact_path(&made.path, Sha256::of(text.as_bytes()), name);
                (path, text.clone().into_bytes())
            })
            .collect();
        made
    }

    /// Seals custody of what was sealed and confirmed since the last one.
    ///
    /// # Panics
    /// When it cannot be sealed.
    pub fn custody(&mut self, lie: Option<Lie>) -> Made {
        let mut sealed = std::mem::take(&mut self.waiting);
        let confirmed = std::mem::take(&mut self.confirmed);
        self.totals.confirmed_objects += confirmed.len() as u64;
        let mut totals = self.totals;
        let mut previous_custody = self.previous_custody.clone();
        let mut from = sealed.first().map(|entry| entry.sequence);
        let last = sealed.last_mut();
        match lie {
            None => {}
            Some(Lie::LeavesOut) => {
                sealed.remove(0);
                from = sealed.first().map(|entry| entry.sequence);
            }
            Some(Lie::OtherDigest) => {
                last.unwrap().sha256 = Sha256::of(b"other bytes");
            }
            Some(Lie::OtherIndex) => {
                last.unwrap().incident.as_mut().unwrap().event_type = "nothing_much".to_owned();
            }
            Some(Lie::TotalsBack) => totals.incidents = 0,
            Some(Lie::NoPrevious) => previous_custody = None,
            Some(Lie::ListsLess) => {
                sealed.pop();
            }
        }
        let covers = from.map(|from_sequence| Covers {
            from_sequence,
            to_sequence: self.head.sequence(),
        });
        let body = CustodyBody {
            custody: Custody {
                because: CustodyCause::Interval,
                covers,
                previous_custody,
                sealed,
                confirmed,
                quarantined: Vec::new(),
                duplicates: Vec::new(),
                totals,
                agent: AgentState {
                    version: "0.0.0-test".to_owned(),
                    started_at: self.started_at,
                    config_sha256: Sha256::of(b"configuration"),
                    key_ids: vec![self.key.public().key_id()],
                },
                clock_events: Vec::new(),
                destinations: vec![DestinationState {
                    destination_id: DESTINATION.to_owned(),
                    uri: self.bucket_uri.clone(),
                    retired_at: None,
                    retired_because: None,
                }],
            },
        };
        let made = self.seal(Kind::Custody, &body, None);
        self.previous_custody = Some(made.sealed.position.clone());
        made
    }

    /// Seals a rotation to another key, signed by `signer`, and goes on with the new one.
    ///
    /// # Panics
    /// When it cannot be sealed.
    pub fn rotate(&mut self, to: Arc<PrivateKey>) -> Made {
        let body = RotationBody {
            rotation: Rotation {
                from_key_id: self.key.public().key_id(),
                to_key_id: to.public().key_id(),
                to_public_key: to.public().to_pem(),
                reason: "a test".to_owned(),
                by: "a kit".to_owned(),
            },
        };
        let made = self.seal(Kind::Rotation, &body, None);
        self.key = to;
        made
    }

    /// Begins another chain.
    ///
    /// # Panics
    /// When `because` is no reason for that.
    pub fn restart(&mut self, because: &str, predecessor: Predecessor) {
        let end = match (&self.head, predecessor) {
            (_, Predecessor::None) | (Head::Empty { .. }, _) => None,
            (Head::At(end), Predecessor::True) => Some(end.clone()),
            (Head::At(end), Predecessor::False) => Some(ChainPosition {
                sha256: Sha256::of(b"other bytes"),
                ..end.clone()
            }),
            (Head::At(_), Predecessor::Earlier) => self.ends.get(self.ends.len() - 2).cloned(),
        };
        self.head = Head::Empty {
            chain_id: new_chain_id(),
            predecessor: end,
            began: Some(Began {
                because: ChainStart::from_name(because).unwrap(),
                missing: Vec::new(),
            }),
        };
        self.waiting.clear();
    }

    /// The next custody says that this object is stored and locked.
    pub fn confirm(&mut self, entry: ConfirmedEntry) {
        self.confirmed.push(entry);
    }

    fn seal(&mut self, kind: Kind, body: &impl Serialize, incident: Option<IncidentEntry>) -> Made {
        let day = utc_day(self.now);
        let number = self.numbers.entry(day).or_insert(0);
        *number += 1;
        let bundle_id = BundleId::new(day, *number);
        let chain = self.head.next();
        let path = object_path(
            &self.client_id,
            &self.host_id,
            &chain.chain_id,
            day,
            &bundle_id.file_name(),
        );
        let sealed = Draft {
            bundle_id,
            kind,
            client_id: &self.client_id,
            host_id: &self.host_id,
            generated_at: self.now,
            chain,
            producer: &Producer {
                name: "msp-evidence-agent".to_owned(),
                version: "0.0.0-test".to_owned(),
                boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            },
            time: &TimeSource::unknown(),
            related_to: Vec::new(),
            reseals: None,
            body,
            plan: vec![PlannedLocation {
                destination_id: DESTINATION.to_owned(),
                uri: format!("{}/{path}", self.bucket_uri.trim_end_matches('/')),
                object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
                retention_days: RETENTION_DAYS,
                state: LocationState::Planned,
            }],
        }
        .seal(&self.key)
        .unwrap();
        self.head = Head::At(sealed.position.clone());
        self.ends.push(sealed.position.clone());
        self.totals.bundles += 1;
        match kind {
            Kind::Incident => self.totals.incidents += 1,
            Kind::Custody => self.totals.custody += 1,
            Kind::Probe => self.totals.probes += 1,
            Kind::Rotation => self.totals.rotations += 1,
        }
        self.waiting.push(SealedEntry {
            bundle_id: bundle_id.to_string(),
            sequence: sealed.position.sequence,
            sha256: sealed.position.sha256,
            kind,
            generated_at: self.now,
            incident,
        });
        self.now += self.pace;
        Made {
            sealed,
            kind,
            path,
            artifacts: Vec::new(),
        }
    }
}

/// A good incident that ended a minute before it is sealed.
fn document_at(id: &str, now: Timestamp) -> Vec<u8> {
    let mut document: serde_json::Value =
        serde_json::from_slice(&crate::incident::document(id)).unwrap();
    let ago = |mins: i64| {
        let at = now - SignedDuration::from_mins(mins);
        serde_json::Value::from(format!("{at:.0}"))
    };
    document["incident"]["detected_at"] = ago(3);
    document["incident"]["hipaa_controls"] = serde_json::json!(["164.308(a)(7)(ii)(A)"]);
    document["execution"]["timestamp_start"] = ago(2);
    document["execution"]["timestamp_end"] = ago(1);
    document["actions"][0]["timestamp"] = ago(1);
    serde_json::to_vec(&document).unwrap()
}
