//! One worker for each destination, independent of the others: a slow or parked store never
//! holds up another.
//!
//! The worker pulls due parcels from delivery.db a window at a time, so memory stays the same with
//! a million waiting; runs `in_flight` of them at once; and keeps the destination's breaker.

pub(crate) mod health;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use destination::{Class, Destination, Failure, Preflight};
use host::instance::InstanceLock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::{self, JoinSet};
use tracing::{error, info, warn};

use crate::delivery::{DeliveryError, DestinationState, ErrorNote};
use crate::upload::parcel::{Health, Route};
use crate::upload::verdict::{chain, note, park_hint};
use health::{Breaker, Trouble};

/// After an outage the queue is drained in order of age, but one in so many is the newest: what happens
/// now must not wait until days of backlog are through.
const NEWEST_SHARE: usize = 8;
/// Parcels read ahead for each that may be in flight.
const WINDOW_FACTOR: usize = 8;
/// A clock that is further off is worth a warning; S3 refuses requests at 15 minutes.
const CLOCK_OFFSET_WARN_MS: i64 = 60_000;

/// The code of a breaker that is shut since delivery.db cannot be used.
const DATABASE: &str = "DeliveryDb";

/// The oldest in order, with one of the newest after each few of them.
fn interleaved(oldest: Vec<i64>, newest: Vec<i64>) -> impl Iterator<Item = i64> {
    let mut newest = newest.into_iter();
    oldest.into_iter().enumerate().flat_map(move |(n, parcel)| {
        let young = (n % (NEWEST_SHARE - 1) == 0)
            .then(|| newest.next())
            .flatten();
        young.into_iter().chain([parcel])
    })
}

/// What wakes a worker.
pub(crate) struct Signals {
    /// New orders came in; this worker's own, so that no call is lost.
    pub(crate) imported: Arc<Notify>,
    /// An operator asked to look again.
    pub(crate) wake: watch::Receiver<u64>,
    /// The daemon stops.
    pub(crate) stop: watch::Receiver<bool>,
    /// The destination is retired; this worker's own.
    pub(crate) retired: watch::Receiver<bool>,
}

/// The worker of one destination.
pub(crate) struct Worker<D> {
    route: Arc<Route<D>>,
    signals: Signals,
    instance: Arc<InstanceLock>,
    breaker: Breaker,
    preflight_at: Instant,
    in_flight: JoinSet<Result<Health, DeliveryError>>,
    /// The parcels in flight, by task.
    tasks: HashMap<task::Id, i64>,
    window: VecDeque<i64>,
    /// What delivery.db says of the breaker.
    shown: Option<(DestinationState, Option<String>)>,
}

impl<D: Destination> Worker<D> {
    pub(crate) fn new(route: Arc<Route<D>>, signals: Signals, instance: Arc<InstanceLock>) -> Self {
        let now = Instant::now();
        Self {
            route,
            signals,
            instance,
            breaker: Breaker::new(now),
            preflight_at: now,
            in_flight: JoinSet::new(),
            tasks: HashMap::new(),
            window: VecDeque::new(),
            shown: None,
        }
    }

    /// Works until told to stop or the destination is retired, then waits for what is in flight, within the policy's limit.
    pub(crate) async fn run(mut self) {
        while !*self.signals.stop.borrow_and_update() && !*self.signals.retired.borrow_and_update()
        {
            match self.turn().await {
                Ok(()) if !self.breaker.is_shut_for(DATABASE) => self.instance.clear("database"),
                Ok(()) => {}
                Err(error) => {
                    self.database_failed(&error);
                    self.rest().await;
                }
            }
        }
        let drain = async {
            while let Some(done) = self.in_flight.join_next().await {
                drop(done);
            }
        };
        if tokio::time::timeout(self.route.policy.drain, drain)
            .await
            .is_err()
        {
            warn!(
                destination = self.route.destination_id,
                "stopped with requests in flight; they are looked at again at the next start"
            );
        }
    }

    /// Probes if it is time, starts what may be started, then waits for the next thing to happen.
    async fn turn(&mut self) -> Result<(), DeliveryError> {
        let now = Instant::now();
        if self.breaker.probe_at().is_some_and(|at| at <= now)
            || (self.breaker.trouble().is_none() && self.preflight_at <= now)
        {
            self.look().await?;
        }
        let next_due = self.fill().await?;
        self.show().await?;
        let wait_until = [self.breaker.probe_at().unwrap_or(self.preflight_at)]
            .into_iter()
            .chain(next_due)
            .min()
            .unwrap_or(now);
        tokio::select! {
            biased;
            _ = self.signals.stop.changed() => {}
            Ok(()) = self.signals.retired.changed() => {}
            Some(done) = self.in_flight.join_next_with_id() => self.finished(done),
            _ = self.signals.wake.changed() => self.hurry().await?,
            () = self.signals.imported.notified() => {}
            () = tokio::time::sleep_until(wait_until.into()) => {}
        }
        Ok(())
    }

    /// Starts parcels while slots are free. Returns when the next one becomes due, if slots are
    /// left over.
    async fn fill(&mut self) -> Result<Option<Instant>, DeliveryError> {
        let slots = self.breaker.slots(self.route.policy.in_flight);
        // One and the same time for "due" and for "due later", or what becomes due in between
        // would be neither.
        let now = Timestamp::now();
        while self.in_flight.len() < slots {
            if self.window.is_empty() {
                self.refill(now).await?;
            }
            let Some(parcel) = self.window.pop_front() else {
                break;
            };
            let route = Arc::clone(&self.route);
            let task = self.in_flight.spawn(async move { route.run(parcel).await });
            self.tasks.insert(task.id(), parcel);
        }
        if self.in_flight.len() >= slots {
            return Ok(None);
        }
        if self.in_flight.is_empty() {
            self.breaker.nothing_to_try();
        }
        let rowid = self.route.destination_rowid;
        let next = self
            .route
            .writer
            .call(move |ledger| ledger.next_due(rowid, now))
            .await?;
        let wait = next.map(|at| until(at, Timestamp::now()));
        if wait.is_some_and(|wait| wait > self.route.policy.backoff_max * 2) {
            // Nothing is put off for so long: this host's clock was set back.
            self.pull_forward().await?;
            return Ok(Some(Instant::now()));
        }
        Ok(wait.map(|wait| Instant::now() + wait))
    }

    async fn refill(&mut self, now: Timestamp) -> Result<(), DeliveryError> {
        let rowid = self.route.destination_rowid;
        let limit = self.tasks.len() + self.route.policy.in_flight * WINDOW_FACTOR;
        let (oldest, newest) = self
            .route
            .writer
            .call(move |ledger| {
                let oldest = ledger.due(rowid, now, limit)?;
                // With nothing left behind the window there is no queue to pass.
                let newest = if oldest.len() == limit {
                    ledger.newest_due(rowid, now, limit / NEWEST_SHARE)?
                } else {
                    Vec::new()
                };
                Ok((oldest, newest))
            })
            .await?;
        let mut taken: HashSet<i64> = self.tasks.values().copied().collect();
        self.window
            .extend(interleaved(oldest, newest).filter(|parcel| taken.insert(*parcel)));
        Ok(())
    }

    fn finished(
        &mut self,
        done: Result<(task::Id, Result<Health, DeliveryError>), task::JoinError>,
    ) {
        let now = Instant::now();
        let policy = Arc::clone(&self.route.policy);
        let delay = self.outage_delay();
        let health = match done {
            Ok((id, result)) => {
                self.tasks.remove(&id);
                match result {
                    Ok(health) => health,
                    Err(error) => return self.database_failed(&error),
                }
            }
            Err(error) => {
                self.tasks.remove(&error.id());
                error!(destination = self.route.destination_id, error = %error, "a parcel's task failed");
                Health::Failing(local("TaskFailed", &error))
            }
        };
        match health {
            Health::Good => self.breaker.parcel_succeeded(),
            Health::NotAsked => {}
            Health::Failing(error) => {
                self.breaker
                    .parcel_failed(error, policy.breaker_threshold, now, delay);
            }
            Health::ClockWrong(error) => {
                // A look at the bucket derives the offset again; nothing is sent before.
                self.breaker.parcel_failed(error, 1, now, delay);
            }
            Health::Park(error) => self.breaker.park(error, now, policy.park_probe),
        }
        if self.breaker.trouble().is_some() {
            self.window.clear();
        }
    }

    /// The disk is full, say. Nothing was concluded; tried again after a backoff, which is never
    /// longer than a scan of the outbox is away: nobody else's server is spared by waiting.
    fn database_failed(&mut self, error: &DeliveryError) {
        let why = chain(error);
        error!(
            destination = self.route.destination_id,
            error = why,
            hint = error.hint(),
            "delivery.db cannot be used"
        );
        self.instance
            .raise("database", &format!("delivery.db cannot be used: {why}"));
        let mut rng = self.rng();
        let delay = self
            .route
            .policy
            .local_backoff(self.breaker.next_times(), &mut rng);
        drop(rng);
        let trouble = Trouble::Outage(local(DATABASE, error));
        // Also when it was shut before: a probe that went well at the store ends here too.
        self.breaker.probe_failed(trouble, Instant::now(), delay);
        self.window.clear();
    }

    /// Until the next probe: a turn that fails at its start would otherwise follow upon another
    /// without ever letting anything else of this process run.
    async fn rest(&mut self) {
        let until = self.breaker.probe_at().unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            _ = self.signals.stop.changed() => {}
            Ok(()) = self.signals.retired.changed() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Looks at the bucket, with a client built anew when an operator may have changed something.
    async fn look(&mut self) -> Result<(), DeliveryError> {
        let looked = self.probe().await;
        let now = Instant::now();
        self.preflight_at = now + self.route.policy.preflight_every;
        match looked {
            Ok(preflight) => {
                self.report(&preflight);
                let rowid = self.route.destination_rowid;
                let found = preflight.clone();
                self.route
                    .writer
                    .call(move |ledger| {
                        ledger.set_preflight(rowid, &found, Timestamp::now())?;
                        ledger.set_last_ok(rowid, Timestamp::now())
                    })
                    .await?;
                match preflight.objection() {
                    None => {
                        self.route.abort_abandoned().await?;
                        self.sight().await;
                        self.recovered().await
                    }
                    Some(words) => {
                        let error = ErrorNote {
                            class: "park",
                            code: "bucket_unfit".to_owned(),
                            message: words,
                        };
                        self.route.meter.failed_probe(error.class);
                        self.breaker.probe_failed(
                            Trouble::Parked(error),
                            now,
                            self.route.policy.park_probe,
                        );
                        Ok(())
                    }
                }
            }
            Err(failure) => {
                let error = note(&failure);
                self.route.meter.failed_probe(error.class);
                let (trouble, delay) = match failure.class {
                    Class::Park | Class::BlockItem => {
                        (Trouble::Parked(error), self.route.policy.park_probe)
                    }
                    _ => (Trouble::Outage(error), self.outage_delay()),
                };
                self.breaker.probe_failed(trouble, now, delay);
                Ok(())
            }
        }
    }

    /// Nothing waits for it, and nothing fails with it: it is looked again with the next preflight.
    async fn sight(&self) {
        match self.route.sight().await {
            Ok(None) => {}
            Ok(Some(path)) => warn!(
                destination = self.route.destination_id,
                path,
                hint = "the agent judges: after a crash it publishes the file again; after a restored \
                        snapshot it begins a new chain",
                "the bucket has a bundle of this host's chain that the host does not have"
            ),
            Err(error) => warn!(
                destination = self.route.destination_id,
                error = chain(&error),
                "whether the bucket has bundles that this host has forgotten could not be looked at"
            ),
        }
    }

    async fn probe(&self) -> Result<Preflight, Failure> {
        let destination = &self.route.destination;
        if matches!(self.breaker.trouble(), Some(Trouble::Parked(_))) {
            destination.rebuild().await?;
        }
        destination.preflight().await
    }

    /// After a good look: what was put off because of the trouble is due now.
    async fn recovered(&mut self) -> Result<(), DeliveryError> {
        if matches!(
            self.breaker.trouble(),
            Some(Trouble::Outage(_) | Trouble::Parked(_))
        ) {
            self.pull_forward().await?;
        }
        self.breaker.probe_succeeded();
        Ok(())
    }

    async fn hurry(&mut self) -> Result<(), DeliveryError> {
        self.breaker.hurry(Instant::now());
        self.pull_forward().await
    }

    async fn pull_forward(&self) -> Result<(), DeliveryError> {
        let (rowid, now) = (self.route.destination_rowid, Timestamp::now());
        self.route
            .writer
            .call(move |ledger| ledger.pull_forward(rowid, now, now))
            .await?;
        Ok(())
    }

    fn report(&self, preflight: &Preflight) {
        let destination = &self.route.destination_id;
        if preflight.clock_offset_ms.abs() > CLOCK_OFFSET_WARN_MS {
            warn!(
                destination,
                clock_offset_ms = preflight.clock_offset_ms,
                "this host's clock differs from the store's; retention is counted from the \
                 store's date; correct the clock, since bundles are dated by it"
            );
        }
        for unknown in &preflight.unknown {
            warn!(
                destination,
                unknown, "the bucket could not be wholly checked"
            );
        }
    }

    /// Writes the breaker's state where the operator sees it, when it changed.
    async fn show(&mut self) -> Result<(), DeliveryError> {
        let (state, error) = match self.breaker.trouble() {
            None => (DestinationState::Ok, None),
            Some(Trouble::NotLooked) => return Ok(()),
            Some(Trouble::Outage(error)) => (DestinationState::Open, Some(error.clone())),
            Some(Trouble::Parked(error)) => (DestinationState::Parked, Some(error.clone())),
        };
        let reason = error.as_ref().map(|e| e.code.clone());
        let probe_at = self.breaker.probe_at().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timestamp::now().saturating_add(SignedDuration::try_from(left).unwrap_or_default())
        });
        let probe_at = probe_at.and_then(Result::ok);
        let now_shown = (state, reason.clone());
        if self.shown.as_ref() == Some(&now_shown) && probe_at.is_none() {
            return Ok(());
        }
        let rowid = self.route.destination_rowid;
        let written = error.clone();
        self.route
            .writer
            .call(move |ledger| {
                let now = Timestamp::now();
                if let Some(error) = &written {
                    ledger.set_destination_error(rowid, error, now)?;
                }
                ledger.set_health(rowid, state, reason.as_deref(), probe_at, now)
            })
            .await?;
        if self.shown.as_ref() != Some(&now_shown) {
            self.announce(state, error.as_ref());
            self.shown = Some(now_shown);
        }
        Ok(())
    }

    fn announce(&self, state: DestinationState, error: Option<&ErrorNote>) {
        let destination = &self.route.destination_id;
        let state_name = state.as_str();
        match (state, error) {
            (DestinationState::Parked, Some(e)) => error!(
                destination,
                state = state_name,
                code = e.code,
                error = e.message,
                hint = park_hint(&e.code),
                "the destination is parked; everything is kept"
            ),
            (DestinationState::Open, Some(e)) => warn!(
                destination,
                state = state_name,
                code = e.code,
                error = e.message,
                "the destination fails; one probe at a time until it answers"
            ),
            _ => info!(destination, state = state_name, "the destination is ready"),
        }
    }

    fn outage_delay(&self) -> Duration {
        let mut rng = self.rng();
        self.route
            .policy
            .backoff(self.breaker.next_times(), &mut rng)
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.route
            .rng
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn local(code: &str, error: &dyn std::error::Error) -> ErrorNote {
    ErrorNote {
        class: "local",
        code: code.to_owned(),
        message: chain(error),
    }
}

/// From `now` to `at`; nothing if that is past.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
