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
use crate::policy::Policy;

/// Bodies are accounted for in pieces of this size.
const MEMORY_PIECE_BYTES: u64 = 1024;
/// Smaller bodies are not accounted for: those in flight are few, and a bundle must not wait until
/// somebody's large artifact is through.
const SMALL_BODY_BYTES: u64 = 256 << 10;

/// What every parcel to one destination needs.
pub(crate) struct Route<D> {
    pub(crate) destination: D,
    pub(crate) destination_id: String,
    pub(crate) destination_rowid: i64,
    /// Before every path.
    pub(crate) prefix: String,
    pub(crate) retention_margin_secs: u64,
    pub(crate) evidence: PathBuf,
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
    Semaphore::new(pieces(policy.body_memory_bytes, policy) as usize)
}

/// How many permits a body takes; never more than there are, so that one always gets through.
fn pieces(size_bytes: u64, policy: &Policy) -> u32 {
    let all = policy
        .body_memory_bytes
        .div_ceil(MEMORY_PIECE_BYTES)
        .clamp(1, 1 << 20);
    let wanted = size_bytes.div_ceil(MEMORY_PIECE_BYTES).clamp(1, all);
    u32::try_from(wanted).unwrap_or(1 << 20)
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
        if size_bytes <= SMALL_BODY_BYTES {
            return Ok(None);
        }
        tokio::select! {
            biased;
            // Never closed, so this cannot fail.
            permit = self.memory.acquire_many(pieces(size_bytes, &self.policy)) => Ok(permit.ok()),
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
            if delivery.state == State::Uploaded && delivery.next_attempt_at <= now {
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
