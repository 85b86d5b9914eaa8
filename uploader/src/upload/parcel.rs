//! One bundle to one destination: asks the store what the decisions want to know, and commits
//! what was learnt before acting on it.
//!
//! Artifacts and signature first; the bundle's own file, the commit marker, only when they are
//! all uploaded. Then each version is proven.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use destination::Destination;
use evidence::handover::Role;
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::attempt::Run;
use super::plan::Plans;
use super::unsent::Unsent;
use crate::delivery::{Delivery, DeliveryError, ErrorNote, State, Writer};
use crate::metrics::Meter;
use crate::policy::Policy;

/// Bodies are accounted for in pieces of this size.
const MEMORY_PIECE_BYTES: u64 = 1024;
/// Smaller bodies are not accounted for: those in flight are few, and a bundle must not wait until
/// somebody's large artifact is through.
const SMALL_BODY_BYTES: u64 = 256 << 10;
/// No more pieces than this: a gigabyte.
const MEMORY_PIECES_MAX: u32 = 1 << 20;

/// What every parcel to one destination needs.
pub(crate) struct Route<D> {
    pub(crate) destination: D,
    pub(crate) destination_id: String,
    pub(crate) destination_rowid: i64,
    /// Before every path.
    pub(crate) prefix: String,
    pub(crate) retention_margin_secs: u64,
    pub(crate) evidence: PathBuf,
    /// Where sightings go.
    pub(crate) receipts: PathBuf,
    pub(crate) policy: Arc<Policy>,
    pub(crate) writer: Writer,
    /// Told of every confirmation.
    pub(crate) confirmed: Arc<Notify>,
    /// Limits the bodies in memory, in pieces of [`MEMORY_PIECE_BYTES`].
    pub(crate) memory: Arc<Semaphore>,
    /// What is known of large files.
    pub(crate) plans: Arc<Plans>,
    /// The daemon stops: a large upload ends after the part in flight.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) rng: Mutex<fastrand::Rng>,
    /// What was done here since the start.
    pub(crate) meter: Arc<Meter>,
}

/// What a parcel's run says about the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// The store answered as it should.
    Good,
    /// Nothing was learnt about the store.
    NotAsked,
    /// It failed in a way that time may heal.
    Failing(ErrorNote),
    /// Our clock and the store's do not agree.
    ClockWrong(ErrorNote),
    /// An operator is needed.
    Park(ErrorNote),
}

/// The permits for `policy.body_memory_bytes`.
pub(crate) fn memory(policy: &Policy) -> Semaphore {
    Semaphore::new(all_pieces(policy) as usize)
}

fn all_pieces(policy: &Policy) -> u32 {
    u32::try_from(policy.body_memory_bytes.div_ceil(MEMORY_PIECE_BYTES))
        .unwrap_or(u32::MAX)
        .clamp(1, MEMORY_PIECES_MAX)
}

/// How many permits a body takes: none if it is small, and never more than there are, so that one
/// always gets through.
fn pieces(size_bytes: u64, policy: &Policy) -> u32 {
    if size_bytes <= SMALL_BODY_BYTES {
        return 0;
    }
    u32::try_from(size_bytes.div_ceil(MEMORY_PIECE_BYTES))
        .unwrap_or(u32::MAX)
        .min(all_pieces(policy))
}

impl<D> Route<D> {
    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Completes when the daemon stops.
    pub(super) async fn stopping(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            // Whoever would say so is gone, and takes this task along.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for room in memory for a body: for a small one there always is.
    pub(super) async fn room_for(
        &self,
        size_bytes: u64,
    ) -> Result<Option<SemaphorePermit<'_>>, Unsent> {
        let pieces = pieces(size_bytes, &self.policy);
        if pieces == 0 {
            return Ok(None);
        }
        tokio::select! {
            biased;
            // Never closed, so this cannot fail.
            permit = self.memory.acquire_many(pieces) => Ok(permit.ok()),
            () = self.stopping() => Err(Unsent::Stopped),
        }
    }
}

impl<D: Destination> Route<D> {
    /// Does what can be done for the parcel now.
    ///
    /// # Errors
    /// When delivery.db cannot be read or written; nothing was concluded then.
    pub(crate) async fn run(&self, parcel_rowid: i64) -> Result<Health, DeliveryError> {
        let parcel = self
            .writer
            .call(move |ledger| ledger.parcel(parcel_rowid))
            .await?;
        let mut deliveries = parcel.deliveries;
        let now = Timestamp::now();
        let mut run = Run {
            route: self,
            bundle_id: parcel.bundle_id,
            health: Health::NotAsked,
            etags: HashMap::new(),
            read_back: HashSet::new(),
            progressed: false,
            work: host::heart::begin("a delivery to a store"),
        };
        if !run.begin(&mut deliveries, now).await? {
            return Ok(run.health);
        }
        for index in 0..deliveries.len() {
            if is_to_place(&deliveries, index, now) {
                run.place(&mut deliveries[index]).await?;
                if run.is_over() {
                    return Ok(run.health);
                }
            }
        }
        for delivery in &mut deliveries {
            if is_to_prove(delivery, now) {
                run.prove(delivery).await?;
                if run.is_over() {
                    break;
                }
            }
        }
        Ok(run.health)
    }
}

/// The commit marker waits for the others of its bundle; a deferred object for its time.
fn is_to_place(deliveries: &[Delivery], index: usize, now: Timestamp) -> bool {
    let delivery = &deliveries[index];
    let waits = delivery.role == Role::Bundle
        && deliveries
            .iter()
            .any(|d| d.role != Role::Bundle && matches!(d.state, State::Pending | State::Blocked));
    delivery.state == State::Pending && delivery.next_attempt_at <= now && !waits
}

/// Each version is proven at its own time.
fn is_to_prove(delivery: &Delivery, now: Timestamp) -> bool {
    delivery.state == State::Uploaded && delivery.next_attempt_at <= now
}

#[cfg(test)]
mod tests {
    use evidence::digest::Sha256;

    use super::*;
    use crate::policy::tests::quick;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn delivery(role: Role, state: State) -> Delivery {
        Delivery {
            delivery_rowid: 1,
            role,
            path: "c/h/EB".to_owned(),
            size_bytes: 5,
            sha256: Sha256::of(b"bytes"),
            state,
            attempts: 0,
            next_attempt_at: NOW,
            retention_days: 1,
            look_first: false,
            retain_until: None,
            version_id: None,
            upload: None,
            last_error_code: None,
            bytes_differed: false,
            refused_completions: 0,
        }
    }

    fn later(delivery: Delivery) -> Delivery {
        Delivery {
            next_attempt_at: NOW + jiff::SignedDuration::from_secs(1),
            ..delivery
        }
    }

    #[test]
    fn the_commit_marker_waits_until_all_else_of_its_bundle_is_stored() {
        use State::{Blocked, Confirmed, Pending, Retired, Uploaded};
        for (artifact, signature, goes) in [
            (Uploaded, Uploaded, true),
            (Confirmed, Uploaded, true),
            (Confirmed, Confirmed, true),
            (Retired, Confirmed, true),
            (Pending, Uploaded, false),
            (Uploaded, Pending, false),
            (Blocked, Confirmed, false),
            (Confirmed, Blocked, false),
        ] {
            let deliveries = [
                delivery(Role::Artifact, artifact),
                delivery(Role::Signature, signature),
                delivery(Role::Bundle, Pending),
            ];
            assert_eq!(
                is_to_place(&deliveries, 2, NOW),
                goes,
                "{artifact:?} {signature:?}"
            );
        }
    }

    #[test]
    fn the_others_wait_for_nobody() {
        let deliveries = [
            delivery(Role::Artifact, State::Pending),
            delivery(Role::Artifact, State::Blocked),
            delivery(Role::Signature, State::Pending),
            delivery(Role::Bundle, State::Pending),
        ];
        let goes = [0, 1, 2, 3].map(|index| is_to_place(&deliveries, index, NOW));
        assert_eq!(goes, [true, false, true, false]);
        assert!(is_to_place(&deliveries[3..], 0, NOW), "a bundle of its own");
    }

    #[test]
    fn what_is_pending_is_placed_and_what_is_uploaded_is_proven_each_when_it_is_due() {
        for state in State::ALL {
            for role in [Role::Artifact, Role::Bundle] {
                let due = delivery(role, state);
                let early = later(due.clone());
                let placed = is_to_place(std::slice::from_ref(&due), 0, NOW);
                assert_eq!(placed, state == State::Pending, "{state:?}");
                assert_eq!(
                    is_to_prove(&due, NOW),
                    state == State::Uploaded,
                    "{state:?}"
                );
                assert!(!is_to_place(std::slice::from_ref(&early), 0, NOW));
                assert!(!is_to_prove(&early, NOW));
            }
        }
    }

    #[test]
    fn a_body_takes_as_much_memory_as_it_has_and_never_more_than_there_is() {
        let policy = Policy {
            body_memory_bytes: 1 << 20,
            ..quick()
        };
        assert_eq!(memory(&policy).available_permits(), 1024);
        for (size_bytes, taken) in [
            (0, 0),
            (256 * 1024, 0),
            (256 * 1024 + 1, 257),
            (257 * 1024, 257),
            (1 << 20, 1024),
            (u64::MAX, 1024),
        ] {
            assert_eq!(pieces(size_bytes, &policy), taken, "{size_bytes}");
        }
    }

    #[test]
    fn one_body_gets_through_however_little_memory_is_allowed_and_none_takes_gigabytes() {
        for (body_memory_bytes, permits) in [(0, 1), (u64::MAX, 1024 * 1024)] {
            let policy = Policy {
                body_memory_bytes,
                ..quick()
            };
            assert_eq!(memory(&policy).available_permits(), permits);
            assert_eq!(pieces(u64::MAX, &policy) as usize, permits);
        }
    }
}
