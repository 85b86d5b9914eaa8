//! Custody: the signed statement of what was sealed, confirmed and refused since the last one.
//!
//! It is made also when nothing happened, so that silence shows. Its list of what was sealed is the
//! index by which a month is found without fetching every bundle; its list of confirmations says what
//! a bucket must hold, so that what is gone from it is missed. Every sequence of a chain is covered by
//! exactly one custody bundle, the custody bundles themselves included.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::bundle::{ChainPosition, Kind, VerifiedBundle, micros, micros_or_null};
use crate::controls::MappedControls;
use crate::digest::Sha256;
use crate::findings::Finding;
use crate::handover::Role;
use crate::incident::{Execution, IncidentSection, WrittenTime};

/// Most entries of [`Custody::sealed`]; when more wait, several custody bundles follow each other.
pub const CUSTODY_MAX_SEALED: usize = 2_000;
/// Most entries of [`Custody::confirmed`].
pub const CUSTODY_MAX_CONFIRMED: usize = 4_000;
/// Most entries of [`Custody::quarantined`] and of [`Custody::duplicates`].
pub const CUSTODY_MAX_OTHERS: usize = 2_000;

/// In [`IncidentEntry::findings`] when the incident cites more than the index holds: its bundle has
/// all of it.
pub const CONTROLS_CUT: &str = "controls_cut";
/// So long may an entry's list of citations become.
const CONTROLS_MAX_BYTES: usize = 16 << 10;

/// The body of a custody bundle, as it stands in the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustodyBody {
    /// What is stated.
    pub custody: Custody,
}

/// What one custody bundle states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custody {
    /// Why now.
    pub because: CustodyCause,
    /// Which places of this chain it covers: from the one after the last that was covered (so the
    /// custody bundle before it is), or 1, to the place before its own or, when more wait than one
    /// holds, as far as it goes. Null only at sequence 1, where there is nothing yet.
    pub covers: Option<Covers>,
    /// The custody bundle before it, in an earlier chain of this host if this chain has none yet.
    pub previous_custody: Option<ChainPosition>,
    /// Every bundle that it covers, in the order of the chain: the index.
    pub sealed: Vec<SealedEntry>,
    /// What the uploader reported as stored and locked, and no earlier custody bundle named; of any
    /// chain of this host.
    pub confirmed: Vec<ConfirmedEntry>,
    /// Drops that could not be sealed, since the last one.
    pub quarantined: Vec<QuarantinedEntry>,
    /// Drops that had been sealed before, since the last one.
    pub duplicates: Vec<DuplicateEntry>,
    /// What the spool holds at this moment.
    pub totals: Totals,
    /// What makes it.
    pub agent: AgentState,
    /// Where the host's clock jumped, since the last one.
    pub clock_events: Vec<ClockEvent>,
    /// Every destination this host has had.
    pub destinations: Vec<DestinationState>,
}

/// Why a custody bundle was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustodyCause {
    /// The time had come, whether or not something had happened.
    Interval,
    /// The time had come while the agent was down.
    Start,
    /// The agent stops, as asked.
    Stop,
    /// So much had been confirmed.
    Load,
    /// Another key signs from here on.
    Rotation,
}

/// Places in this chain, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covers {
    /// The first.
    pub from_sequence: u64,
    /// The last.
    pub to_sequence: u64,
}

/// One bundle that was sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedEntry {
    /// Its name.
    pub bundle_id: String,
    /// Its place in this chain.
    pub sequence: u64,
    /// SHA-256 of its exact file bytes.
    pub sha256: Sha256,
    /// What it attests.
    pub kind: Kind,
    /// When it was sealed, by the host's clock.
    #[serde(serialize_with = "micros")]
    pub generated_at: Timestamp,
    /// What it says, if it is of an incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentEntry>,
}

/// An incident, in the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentEntry {
    /// The executor's id.
    pub incident_id: String,
    /// Such as `backup_failure`.
    pub event_type: String,
    /// How grave.
    pub severity: String,
    /// When it was noticed, as written.
    pub detected_at: WrittenTime,
    /// Where.
    pub hostname: String,
    /// Citations of 45 CFR Part 164 Subpart C.
    pub hipaa_controls: Vec<String>,
    /// What came of it.
    pub resolution_type: String,
    /// Whether the time allowed was kept, as claimed.
    pub sla_met: bool,
    /// Time to repair, as claimed.
    pub mttr_seconds: Number,
    /// The time allowed.
    pub sla_target_seconds: Number,
    /// SOC 2 criteria that the bundle maps, as it has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soc2: Vec<String>,
    /// The codes of the bundle's findings, sorted, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// One object, stored and locked at one destination: the uploader's report, matched by the agent with
/// what it sealed. An audit proves it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmedEntry {
    /// The bundle it belongs to.
    pub bundle_id: String,
    /// That bundle's chain.
    pub chain_id: String,
    /// That bundle's place in it.
    pub sequence: u64,
    /// The object: its path below the destination's prefix.
    pub object: String,
    /// What it is to its bundle.
    pub role: Role,
    /// Where.
    pub destination_id: String,
    /// `s3://bucket/key`.
    pub uri: String,
    /// The store's version id.
    pub version_id: String,
    /// SHA-256 of the stored bytes.
    pub sha256: Sha256,
    /// Stored size in bytes.
    pub size_bytes: u64,
    /// Until when the store keeps it in COMPLIANCE mode.
    #[serde(serialize_with = "micros")]
    pub retain_until: Timestamp,
    /// The store's clock when it answered.
    #[serde(serialize_with = "micros")]
    pub server_date: Timestamp,
    /// The uploader's clock when it read the lock back.
    #[serde(serialize_with = "micros")]
    pub confirmed_at: Timestamp,
    /// Whose word this is.
    pub reported_by: ReportedBy,
}

/// Whose word a confirmation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedBy {
    /// The uploader's, which holds no key: a statement to be proven, not a proof.
    Uploader,
}

/// A drop that could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantinedEntry {
    /// Keyed digest of its bytes; null when they could not be read.
    pub hmac_sha256: Option<Sha256>,
    /// Why, as a code.
    pub reason: String,
    /// When.
    #[serde(serialize_with = "micros")]
    pub at: Timestamp,
}

/// A bundle whose drop came again, with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DuplicateEntry {
    /// The bundle.
    pub bundle_id: String,
    /// SHA-256 of its exact file bytes.
    pub sha256: Sha256,
    /// How often.
    pub count: u64,
}

/// What the spool holds, counted, this custody bundle not included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Sealed bundles.
    pub bundles: u64,
    /// Of them, of incidents.
    pub incidents: u64,
    /// Of them, custody.
    pub custody: u64,
    /// Of them, probes.
    pub probes: u64,
    /// Of them, rotations.
    pub rotations: u64,
    /// Objects confirmed, each destination counted.
    pub confirmed_objects: u64,
    /// Objects that are ordered and not confirmed yet, each destination counted.
    pub unconfirmed_objects: u64,
    /// Drops that could not be sealed.
    pub quarantined: u64,
    /// Drops that had been sealed before.
    pub duplicates: u64,
}

/// The agent, as it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentState {
    /// Its version.
    pub version: String,
    /// When it was started, by the host's clock.
    #[serde(serialize_with = "micros")]
    pub started_at: Timestamp,
    /// SHA-256 of its configuration as it is in force, secrets left out.
    pub config_sha256: Sha256,
    /// The key that signs; more when one is waiting to be rotated to.
    pub key_ids: Vec<String>,
}

/// A jump of the host's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockEvent {
    /// When it was noticed, by the clock after the jump.
    #[serde(serialize_with = "micros")]
    pub at: Timestamp,
    /// By how much, in milliseconds; negative when the clock was set back.
    pub jumped_ms: i64,
}

/// A destination of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationState {
    /// Its id.
    pub destination_id: String,
    /// `s3://bucket/prefix`.
    pub uri: String,
    /// When an operator ended deliveries to it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "micros_or_null"
    )]
    pub retired_at: Option<Timestamp>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_because: Option<String>,
}

/// Why a signed custody bundle states nothing.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// Another kind of bundle.
    #[error("not a custody bundle")]
    OtherKind,
    /// The schema was followed, and still it cannot be read.
    #[error("the custody cannot be read")]
    Form(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("the custody contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl Custody {
    /// The statement in a verified bundle, once it agrees with itself: it lists exactly the places that
    /// it covers, in order, and all of them before its own. One that was resealed speaks of the place
    /// and chain of the bundle that it says again.
    ///
    /// # Errors
    /// See [`CustodyError`].
    pub fn read(bundle: &VerifiedBundle) -> Result<Self, CustodyError> {
        let header = bundle.header();
        if header.kind != Kind::Custody {
            return Err(CustodyError::OtherKind);
        }
        let CustodyBody { custody } = CustodyBody::deserialize(bundle.document())?;
        let sequence = header.chain.sequence;
        let says_again = header.reseals.is_some();
        match custody.covers {
            None if (sequence == 1 || says_again) && custody.sealed.is_empty() => Ok(custody),
            None => Err(CustodyError::Inconsistent(
                "it covers nothing, and is not the first of its chain",
            )),
            Some(Covers { to_sequence, .. }) if to_sequence >= sequence && !says_again => Err(
                CustodyError::Inconsistent("it covers what comes after itself"),
            ),
            Some(covers) => {
                let listed = custody.sealed.iter().map(|entry| entry.sequence);
                if covers.from_sequence <= covers.to_sequence
                    && listed.eq(covers.from_sequence..=covers.to_sequence)
                {
                    Ok(custody)
                } else {
                    Err(CustodyError::Inconsistent(
                        "what it lists is not what it covers",
                    ))
                }
            }
        }
    }
}

impl IncidentEntry {
    /// The entry of a verified bundle of an incident; `None` for another kind, or one that cannot be
    /// read.
    #[must_use]
    pub fn of_bundle(bundle: &VerifiedBundle) -> Option<Self> {
        if bundle.header().kind != Kind::Incident {
            return None;
        }
        let said = IndexedIncident::deserialize(bundle.document()).ok()?;
        Some(said.entry())
    }

    /// The entry of an incident with these sections, whose bundle has findings of these codes. No
    /// list of citations makes it too long to be sealed: past 16 KiB it ends, and
    /// [`CONTROLS_CUT`] is among the codes.
    #[must_use]
    pub fn of<'a>(
        incident: &IncidentSection,
        execution: &Execution,
        controls: Option<&MappedControls>,
        findings: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut findings: Vec<String> = findings.into_iter().map(str::to_owned).collect();
        let mut bytes = 0;
        let hipaa_controls: Vec<String> = incident
            .hipaa_controls
            .iter()
            .take_while(|citation| {
                // As written: each on a line of its own, indented.
                bytes += 16 + 6 * citation.len();
                bytes <= CONTROLS_MAX_BYTES
            })
            .cloned()
            .collect();
        if hipaa_controls.len() < incident.hipaa_controls.len() {
            findings.push(CONTROLS_CUT.to_owned());
        }
        findings.sort_unstable();
        findings.dedup();
        Self {
            incident_id: incident.incident_id.clone(),
            event_type: incident.event_type.clone(),
            severity: incident.severity.clone(),
            detected_at: incident.detected_at.clone(),
            hostname: incident.hostname.clone(),
            hipaa_controls,
            resolution_type: execution.resolution_type.clone(),
            sla_met: execution.sla_met,
            mttr_seconds: execution.mttr_seconds.clone(),
            sla_target_seconds: execution.sla_target_seconds.clone(),
            soc2: controls.map_or_else(Vec::new, |controls| controls.soc2.clone()),
            findings,
        }
    }
}

/// The parts of an incident bundle that the index is made from.
#[derive(Debug, Deserialize)]
pub struct IndexedIncident {
    incident: IncidentSection,
    execution: Execution,
    controls: Option<MappedControls>,
    #[serde(default)]
    findings: Vec<Finding>,
}

impl IndexedIncident {
    /// What custody says of it.
    #[must_use]
    pub fn entry(&self) -> IncidentEntry {
        let codes = self.findings.iter().map(|finding| &*finding.code);
        IncidentEntry::of(
            &self.incident,
            &self.execution,
            self.controls.as_ref(),
            codes,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::bundle::{ChainLink, Draft, Producer, SealError, TimeSource};
    use crate::keys::testing::key;

    fn at(sequence: u64) -> ChainLink {
        ChainLink {
            chain_id: "01K8XAMP1E0000000000000000".to_owned(),
            sequence,
            previous_sha256: (sequence > 1).then(|| Sha256::of(b"previous")),
            predecessor: None,
            began: None,
        }
    }

    fn seal(kind: Kind, sequence: u64, body: &Value) -> Result<VerifiedBundle, SealError> {
        let sealed = Draft {
            bundle_id: "EB-20261121-0009".parse().unwrap(),
            kind,
            client_id: "c",
            host_id: "h",
            generated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            chain: at(sequence),
            producer: &Producer {
                name: "test".to_owned(),
                version: "1".to_owned(),
                boot_id: "b".to_owned(),
            },
            time: &TimeSource::unknown(),
            related_to: Vec::new(),
            reseals: None,
            body,
            plan: Vec::new(),
        }
        .seal(key())?;
        Ok(VerifiedBundle::verify(&sealed.bytes, &sealed.signature, key().public()).unwrap())
    }

    fn entry(sequence: u64) -> SealedEntry {
        SealedEntry {
            bundle_id: format!("EB-20261121-{sequence:04}"),
            sequence,
            sha256: Sha256::of(&sequence.to_be_bytes()),
            kind: Kind::Incident,
            generated_at: "2026-11-21T09:00:00Z".parse().unwrap(),
            incident: Some(IncidentEntry {
                incident_id: format!("INC-{sequence}"),
                event_type: "backup_failure".to_owned(),
                severity: "high".to_owned(),
                detected_at: "2026-11-21T08:59:00+01:00".parse().unwrap(),
                hostname: "srv-1".to_owned(),
                hipaa_controls: vec!["164.308(a)(7)(ii)(A)".to_owned()],
                resolution_type: "auto".to_owned(),
                sla_met: true,
                mttr_seconds: Number::from(30),
                sla_target_seconds: Number::from(60),
                soc2: vec!["A1.2".to_owned()],
                findings: vec!["sla".to_owned()],
            }),
        }
    }

    fn custody(covers: Option<(u64, u64)>, sealed: Vec<SealedEntry>) -> CustodyBody {
        let time = "2026-11-21T09:30:00Z".parse().unwrap();
        CustodyBody {
            custody: Custody {
                because: CustodyCause::Interval,
                covers: covers.map(|(from_sequence, to_sequence)| Covers {
                    from_sequence,
                    to_sequence,
                }),
                previous_custody: None,
                sealed,
                confirmed: vec![ConfirmedEntry {
                    bundle_id: "EB-20261121-0001".to_owned(),
                    chain_id: "01K8XAMP1E0000000000000000".to_owned(),
                    sequence: 1,
                    object: "c/h/x/EB-20261121-0001.json".to_owned(),
                    role: Role::Bundle,
                    destination_id: "main".to_owned(),
                    uri: "s3://bucket/c/h/x/EB-20261121-0001.json".to_owned(),
                    version_id: "v".to_owned(),
                    sha256: Sha256::of(b"x"),
                    size_bytes: 1,
                    retain_until: "2032-11-21T09:30:00Z".parse().unwrap(),
                    server_date: time,
                    confirmed_at: time,
                    reported_by: ReportedBy::Uploader,
                }],
                quarantined: vec![QuarantinedEntry {
                    hmac_sha256: None,
                    reason: "not_json".to_owned(),
                    at: time,
                }],
                duplicates: vec![DuplicateEntry {
                    bundle_id: "EB-20261121-0001".to_owned(),
                    sha256: Sha256::of(b"x"),
                    count: 2,
                }],
                totals: Totals::default(),
                agent: AgentState {
                    version: "0.1.0".to_owned(),
                    started_at: time,
                    config_sha256: Sha256::of(b"config"),
                    key_ids: vec![key().public().key_id()],
                },
                clock_events: vec![ClockEvent {
                    at: time,
                    jumped_ms: -7_200_000,
                }],
                destinations: vec![
                    DestinationState {
                        destination_id: "main".to_owned(),
                        uri: "s3://bucket/".to_owned(),
                        retired_at: None,
                        retired_because: None,
                    },
                    DestinationState {
                        destination_id: "old".to_owned(),
                        uri: "s3://old/".to_owned(),
                        retired_at: Some(time),
                        retired_because: Some("moved".to_owned()),
                    },
                ],
            },
        }
    }

    #[test]
    fn what_a_custody_bundle_states_is_read_back_as_it_was_sealed() {
        let body = custody(Some((3, 4)), vec![entry(3), entry(4)]);
        let bundle = seal(Kind::Custody, 5, &serde_json::to_value(&body).unwrap()).unwrap();
        assert_eq!(Custody::read(&bundle).unwrap(), body.custody);
    }

    #[test]
    fn a_custody_bundle_lists_exactly_what_it_covers_and_only_what_was_before_it() {
        for (sequence, covers, listed, is_good) in [
            (1, None, vec![], true),
            (1, None, vec![1], false),
            (2, None, vec![], false),
            (2, Some((1, 1)), vec![1], true),
            (4, Some((1, 3)), vec![1, 2, 3], true),
            (4, Some((2, 3)), vec![2, 3], true),
            (4, Some((1, 2)), vec![1, 2], true),
            (4, Some((1, 3)), vec![1, 3], false),
            (4, Some((1, 3)), vec![2, 1, 3], false),
            (4, Some((1, 2)), vec![1, 2, 3], false),
            (4, Some((1, 4)), vec![1, 2, 3, 4], false),
            (4, Some((3, 2)), vec![], false),
        ] {
            let body = custody(covers, listed.iter().map(|n| entry(*n)).collect());
            let bundle = seal(
                Kind::Custody,
                sequence,
                &serde_json::to_value(&body).unwrap(),
            )
            .unwrap();
            let read = Custody::read(&bundle);
            assert_eq!(read.is_ok(), is_good, "{covers:?} {listed:?}: {read:?}");
        }
    }

    #[test]
    fn a_custody_bundle_that_says_more_or_less_than_the_format_is_not_sealed() {
        let good = serde_json::to_value(custody(Some((1, 1)), vec![entry(1)])).unwrap();
        assert!(seal(Kind::Custody, 2, &good).is_ok());
        for (path, value) in [
            ("/custody", json!({})),
            ("/custody/because", json!("mood")),
            ("/custody/sealed/0/surprise", json!(1)),
            ("/custody/sealed/0/incident", Value::Null),
            ("/custody/sealed/0/kind", json!("probe")),
            ("/custody/confirmed/0/reported_by", json!("store")),
            ("/custody/totals/bundles", json!(-1)),
            ("/custody/agent/key_ids", json!([])),
        ] {
            let mut bad = good.clone();
            match bad.pointer_mut(path) {
                Some(place) => *place = value,
                None => bad["custody"]["sealed"][0]["surprise"] = value,
            }
            assert!(seal(Kind::Custody, 2, &bad).is_err(), "{path}");
        }
        assert!(seal(Kind::Probe, 2, &good).is_err());
    }

    #[test]
    fn another_kind_of_bundle_states_no_custody() {
        let probe = seal(Kind::Probe, 1, &json!({"probe": {}})).unwrap();
        assert!(matches!(
            Custody::read(&probe),
            Err(CustodyError::OtherKind)
        ));
    }
}
