//! Evidence for tests: sealed by the code that the agent seals with, and laid on a shelf that is no
//! store, so that whatever a store could say can be said.

use std::sync::LazyLock;

use destination::Lock;
use evidence::bundle::{
    Began, BundleId, ChainLink, ChainPosition, ChainStart, Draft, Kind, LocationState,
    OBJECT_LOCK_MODE, PlannedLocation, Producer, Reseals, TimeSource, object_path,
};
use evidence::custody::{
    AgentState, ClockEvent, ConfirmedEntry, Covers, Custody, CustodyBody, CustodyCause, ReportedBy,
    SealedEntry, Totals,
};
use evidence::digest::Sha256;
use evidence::handover::Role;
use evidence::keys::PrivateKey;
use evidence::rotation::{Rotation, RotationBody};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::source::{Facts, Listed};

static KEYS: LazyLock<[PrivateKey; 3]> = LazyLock::new(|| {
    [(); 3].map(|()| {
        PrivateKey::generate(b"for tests")
            .expect("a key can be made")
            .0
    })
});

/// A key.
pub fn key() -> &'static PrivateKey {
    &KEYS[0]
}

/// Another key.
pub fn other_key() -> &'static PrivateKey {
    &KEYS[1]
}

/// A third key.
pub fn third_key() -> &'static PrivateKey {
    &KEYS[2]
}

/// One version of one object, and all that a store says of it.
#[derive(Debug, Clone)]
pub struct Laid {
    /// As it is listed.
    pub listed: Listed,
    /// What the store says when it is read; an error instead, if it is not to be had.
    pub facts: Result<Facts, String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Versions in the order in which they were stored.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// All of them.
    pub laid: Vec<Laid>,
}

impl Shelf {
    /// Lays a version, stored at this time and locked for so many days.
    pub fn lay(&mut self, path: &str, bytes: &[u8], stored: Timestamp, days: i64) {
        let version_id = format!("v{}", self.laid.len());
        for earlier in self.laid.iter_mut().filter(|l| l.listed.path == path) {
            earlier.listed.is_latest = false;
        }
        self.laid.push(Laid {
            listed: Listed {
                path: path.to_owned(),
                version_id,
                is_delete_marker: false,
                is_latest: true,
                size_bytes: bytes.len() as u64,
                last_modified: Some(stored),
            },
            facts: Ok(Facts {
                size_bytes: bytes.len() as u64,
                lock: Some(Lock::Compliance(
                    stored + SignedDuration::from_hours(24 * days),
                )),
                last_modified: Some(stored),
                is_in_parts: false,
            }),
            bytes: bytes.to_vec(),
        });
    }

    /// The versions whose path ends so.
    pub fn of<'a>(&'a mut self, ending: &'a str) -> impl Iterator<Item = &'a mut Laid> {
        self.laid
            .iter_mut()
            .filter(move |laid| laid.listed.path.ends_with(ending))
    }

    /// Removes the bundle of this name, its signature and artifacts, as if they had never been.
    pub fn remove(&mut self, bundle_id: &str) {
        self.laid
            .retain(|laid| !laid.listed.path.contains(bundle_id));
    }
}

/// A host that seals, and stores each bundle a minute after.
#[derive(Debug)]
pub struct Host {
    /// Whose.
    pub client_id: String,
    /// Which.
    pub host_id: String,
    /// Who signs.
    pub key: &'static PrivateKey,
    /// Its clock.
    pub now: Timestamp,
    /// The store's clock is ahead of it by so much.
    pub delay: SignedDuration,
    /// What the next bundle says again.
    pub reseals: Option<Reseals>,
    /// What the next custody says of the clock.
    pub clock_events: Vec<ClockEvent>,
    /// Why the next custody is made.
    pub because: CustodyCause,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Where the chain stands.
    pub head: Option<ChainPosition>,
    chain_id: String,
    predecessor: Option<ChainPosition>,
    began: Option<Began>,
    number: u64,
    waiting: Vec<SealedEntry>,
    confirmed: Vec<ConfirmedEntry>,
    previous_custody: Option<ChainPosition>,
    totals: Totals,
}

impl Host {
    /// A host of client `c`, whose chain has not begun, at the start of 2026-10-01.
    pub fn new(host_id: &str, key: &'static PrivateKey) -> Self {
        Self {
            client_id: "c".to_owned(),
            host_id: host_id.to_owned(),
            key,
            now: "2026-10-01T00:00:00Z".parse().expect("a time"),
            delay: SignedDuration::from_mins(1),
            reseals: None,
            clock_events: Vec::new(),
            because: CustodyCause::Interval,
            boot_id: "b".to_owned(),
            head: None,
            chain_id: evidence::chain::new_chain_id(),
            predecessor: None,
            began: Some(Began {
                because: ChainStart::First,
                missing: Vec::new(),
            }),
            number: 0,
            waiting: Vec::new(),
            confirmed: Vec::new(),
            previous_custody: None,
            totals: Totals::default(),
        }
    }

    /// Begins another chain; what waited for custody is forgotten.
    pub fn restart(&mut self, predecessor: Option<ChainPosition>, began: Option<Began>) {
        self.chain_id = evidence::chain::new_chain_id();
        self.head = None;
        self.predecessor = predecessor;
        self.began = began;
        self.waiting.clear();
    }

    /// Seals and stores a probe, the smallest bundle there is; its name.
    ///
    /// # Panics
    /// When it cannot be sealed, as everything here.
    pub fn probe(&mut self, shelf: &mut Shelf) -> String {
        self.seal(shelf, Kind::Probe, &json!({"probe": {}}))
    }

    /// Seals and stores custody of all since the last; its name.
    pub fn custody(&mut self, shelf: &mut Shelf) -> String {
        let sealed = std::mem::take(&mut self.waiting);
        let ends = sealed.first().zip(sealed.last());
        let covers = ends.map(|(first, last)| Covers {
            from_sequence: first.sequence,
            to_sequence: last.sequence,
        });
        let body = CustodyBody {
            custody: Custody {
                because: self.because,
                covers,
                previous_custody: self.previous_custody.clone(),
                sealed,
                confirmed: std::mem::take(&mut self.confirmed),
                quarantined: Vec::new(),
                duplicates: Vec::new(),
                totals: self.totals,
                agent: AgentState {
                    version: "0".to_owned(),
                    started_at: "2026-10-01T00:00:00Z".parse().expect("a time"),
                    config_sha256: Sha256::of(b""),
                    key_ids: vec![self.key.public().key_id()],
                },
                clock_events: std::mem::take(&mut self.clock_events),
                destinations: Vec::new(),
            },
        };
        let id = self.seal(shelf, Kind::Custody, &body);
        self.previous_custody.clone_from(&self.head);
        id
    }

    /// Seals and stores a rotation to this key, which signs from then on; its name.
    pub fn rotate(&mut self, shelf: &mut Shelf, to: &'static PrivateKey) -> String {
        let body = RotationBody {
            rotation: Rotation {
                from_key_id: self.key.public().key_id(),
                to_key_id: to.public().key_id(),
                to_public_key: to.public().to_pem(),
                reason: "a test".to_owned(),
                by: "a test".to_owned(),
            },
        };
        let id = self.seal(shelf, Kind::Rotation, &body);
        self.key = to;
        id
    }

    /// The next custody confirms nothing of what was stored so far.
    pub fn forget_confirmed(&mut self) {
        self.confirmed.clear();
    }

    /// Time passes.
    pub fn pass_mins(&mut self, mins: i64) {
        self.now += SignedDuration::from_mins(mins);
    }

    /// Seals and stores a bundle with this body; its name.
    pub fn seal(&mut self, shelf: &mut Shelf, kind: Kind, body: &impl Serialize) -> String {
        self.number += 1;
        let bundle_id = BundleId::new(evidence::chain::utc_day(self.now), self.number);
        let path = object_path(
            &self.client_id,
            &self.host_id,
            &self.chain_id,
            bundle_id.day(),
            &bundle_id.file_name(),
        );
        let sequence = self.head.as_ref().map_or(1, |head| head.sequence + 1);
        let sealed = Draft {
            bundle_id,
            kind,
            client_id: &self.client_id,
            host_id: &self.host_id,
            generated_at: self.now,
            chain: ChainLink {
                chain_id: self.chain_id.clone(),
                sequence,
                previous_sha256: self.head.as_ref().map(|head| head.sha256),
                predecessor: self.predecessor.take().filter(|_| sequence == 1),
                began: self.began.take().filter(|_| sequence == 1),
            },
            producer: &Producer {
                name: "test".to_owned(),
                version: "1".to_owned(),
                boot_id: self.boot_id.clone(),
            },
            time: &TimeSource::unknown(),
            related_to: Vec::new(),
            reseals: self.reseals.take(),
            body,
            plan: vec![PlannedLocation {
                destination_id: "main".to_owned(),
                uri: format!("s3://bucket/{path}"),
                object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
                retention_days: 2192,
                state: LocationState::Planned,
            }],
        }
        .seal(self.key)
        .expect("it can be sealed");
        let stored = self.now + self.delay;
        let objects = [
            (Role::Signature, format!("{path}.bundle"), &sealed.signature),
            (Role::Bundle, path, &sealed.bytes),
        ];
        for (role, path, bytes) in objects {
            let version_id = format!("v{}", shelf.laid.len());
            shelf.lay(&path, bytes, stored, 2193);
            self.confirmed.push(ConfirmedEntry {
                bundle_id: bundle_id.to_string(),
                chain_id: self.chain_id.clone(),
                sequence,
                uri: format!("s3://bucket/{path}"),
                object: path,
                role,
                destination_id: "main".to_owned(),
                version_id,
                sha256: Sha256::of(bytes),
                size_bytes: bytes.len() as u64,
                retain_until: stored + SignedDuration::from_hours(24 * 2193),
                server_date: stored,
                confirmed_at: stored,
                reported_by: ReportedBy::Uploader,
            });
        }
        self.waiting.push(SealedEntry {
            bundle_id: bundle_id.to_string(),
            sequence,
            sha256: sealed.position.sha256,
            kind,
            generated_at: self.now,
            incident: None,
        });
        self.totals.bundles += 1;
        self.head = Some(sealed.position);
        self.pass_mins(1);
        bundle_id.to_string()
    }
}
