//! One run of one parcel: the driver between the decisions and the store.
//!
//! Each answer is turned into a change, the change is committed and logged, and only then believed.
//! Long, because the whole list of what may come of an attempt is best read in one place.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;
use std::time::Duration;

use destination::{Destination, Failure, PutRequest};
use evidence::handover::Role;
use jiff::{SignedDuration, Timestamp};
use tracing::{error, info, warn};

use super::body::{self, BodyError};
use super::parcel::{Health, Route};
use super::place::{Place, Placed, Wanted};
use super::plan::part_bytes;
use super::prove::{Claim, Prove, Proven};
use super::unsent::Unsent;
use super::verdict::{Verdict, chain, judge, note};
use super::{Answer, Ask, Next, retain};
use crate::delivery::{BlockedReason, Change, Delivery, DeliveryError, ErrorNote, State};

/// One run of one parcel.
pub(super) struct Run<'a, D> {
    pub(super) route: &'a Route<D>,
    pub(super) bundle_id: String,
    pub(super) health: Health,
    /// The ETag of what was sent in this run, if it is made of MD5s, by delivery.
    pub(super) etags: HashMap<i64, String>,
    /// Deliveries whose version was read back in this run and is ours.
    pub(super) read_back: HashSet<i64>,
    /// Parts of the object at hand were stored in this run.
    pub(super) progressed: bool,
}

/// A file that is not what was ordered is looked at so often, some minutes in all, before it waits for
/// an operator.
const DIFFERING_ATTEMPTS: u32 = 8;
/// Largest object (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
const OBJECT_MAX_BYTES: u64 = 5 << 40;

impl<D: Destination> Run<'_, D> {
    /// Commits what will be asked of the store, before anything is. `false` when the store's
    /// clock is not known yet, so that no date can be asked for.
    pub(super) async fn begin(
        &mut self,
        deliveries: &mut [Delivery],
        now: Timestamp,
    ) -> Result<bool, DeliveryError> {
        let mut asked = Vec::new();
        let due = |d: &&mut Delivery| d.state == State::Pending && d.next_attempt_at <= now;
        for delivery in deliveries.iter_mut().filter(due) {
            let Some(server_now) = self.route.destination.server_now() else {
                self.health = Health::ClockWrong(local_note(
                    "NoServerDate",
                    "the store has not told its date yet",
                ));
                return Ok(false);
            };
            let until = retain::to_ask(
                delivery.retain_until,
                server_now,
                delivery.retention_days,
                self.route.retention_margin_secs,
            );
            asked.push((delivery.delivery_rowid, until));
            delivery.retain_until = Some(until);
        }
        if !asked.is_empty() {
            self.route
                .writer
                .call(move |ledger| ledger.begin(&asked))
                .await?;
        }
        Ok(true)
    }

    /// From pending to uploaded, if the store lets it.
    pub(super) async fn place(&mut self, delivery: &mut Delivery) -> Result<(), DeliveryError> {
        self.progressed = false;
        if delivery.size_bytes > OBJECT_MAX_BYTES {
            let why = local_note("TooLarge", "the object is larger than 5 TiB");
            return self.block(delivery, BlockedReason::TooLarge, why).await;
        }
        let Some(retain_until) = delivery.retain_until else {
            return Err(DeliveryError::Damaged("retain_until_secs".to_owned()));
        };
        let mut place = Place::new(
            Wanted {
                sha256: delivery.sha256,
                size_bytes: delivery.size_bytes,
                retention_days: delivery.retention_days,
                retain_until,
            },
            // Before so many bytes are sent, one question is cheap.
            delivery.look_first || self.is_large(delivery),
        );
        if delivery.bytes_differed {
            place = place.reading_back();
        }
        let mut next = place.start();
        let placed = loop {
            let ask = match next {
                Next::End(placed) => break placed,
                Next::Ask(ask) => ask,
            };
            let answer = match ask {
                Ask::Put => self.put(delivery, retain_until).await,
                ask => self.ask(delivery, ask).await,
            };
            next = match answer {
                Ok(answer) => place.answered(answer),
                Err(unsent) => return self.unsent(delivery, unsent).await,
            };
        };
        match placed {
            Placed::Put {
                version_id,
                etag,
                sha256,
            } => {
                self.good();
                self.apply(
                    delivery,
                    Change::PutSucceeded {
                        version_id,
                        etag,
                        sha256,
                    },
                )
                .await
            }
            Placed::Adopted {
                stored,
                retain_until,
                overlaid,
                read_back,
            } => {
                self.good();
                if read_back {
                    self.read_back.insert(delivery.delivery_rowid);
                }
                if overlaid {
                    warn!(
                        bundle = self.bundle_id,
                        destination = self.route.destination_id,
                        path = delivery.path,
                        version = stored.version_id,
                        "another version or a delete marker lies over ours; ours is untouched \
                         beneath and is the one that counts; find out who writes to this prefix"
                    );
                }
                let change = Change::Adopted {
                    version_id: stored.version_id,
                    etag: stored.etag,
                    sha256: stored.sha256,
                    retain_until,
                    overlaid,
                };
                self.apply(delivery, change).await
            }
            Placed::Conflict {
                version_id,
                versions,
            } => {
                self.good();
                let message = format!(
                    "{versions} version(s) at the key, none of them ours; newest {version_id}"
                );
                self.block(
                    delivery,
                    BlockedReason::Conflict,
                    local_note("Conflict", &message),
                )
                .await
            }
            Placed::NotVersioned => {
                let note = local_note(
                    "not_versioned",
                    "the store took the object and named no version: the bucket is not versioned, \
                     so nothing in it is locked",
                );
                self.defer(delivery, note.clone(), Duration::ZERO).await?;
                self.health = Health::Park(note);
                Ok(())
            }
            Placed::Vanished => {
                self.good();
                let note = local_note(
                    "KeyTaken",
                    "the store says that the key is taken and lists no version there",
                );
                let delay = self.backoff(delivery);
                self.defer(delivery, note, delay).await
            }
            Placed::Failed(failure) => self.failed(delivery, &failure).await,
        }
    }

    /// From uploaded to confirmed, if it is true.
    pub(super) async fn prove(&mut self, delivery: &mut Delivery) -> Result<(), DeliveryError> {
        let (Some(version_id), Some(retain_until)) =
            (delivery.version_id.clone(), delivery.retain_until)
        else {
            return Err(DeliveryError::Damaged("version_id".to_owned()));
        };
        let mut prove = Prove::new(Claim {
            version_id: version_id.clone(),
            sha256: delivery.sha256,
            size_bytes: delivery.size_bytes,
            etag: self.etags.get(&delivery.delivery_rowid).cloned(),
            parts: self.parts(delivery),
            read_back: self.read_back.contains(&delivery.delivery_rowid),
            retain_until,
        });
        let mut next = prove.start();
        let proven = loop {
            let answer = match next {
                Next::End(proven) => break proven,
                Next::Ask(ask) => self.ask(delivery, ask).await,
            };
            next = match answer {
                Ok(answer) => prove.answered(answer),
                Err(unsent) => return self.unsent(delivery, unsent).await,
            };
        };
        match proven {
            Proven::Confirmed {
                stored,
                proof,
                locked_until,
            } => {
                self.good();
                let change = Change::LockProven {
                    proof,
                    etag: stored.etag,
                    locked_until,
                    server_date: stored.server_date,
                };
                self.apply(delivery, change).await?;
                self.route.confirmed.notify_one();
                Ok(())
            }
            Proven::Missing => {
                self.good();
                let message = format!("the store says that version {version_id} does not exist");
                let next_attempt_at = after(Timestamp::now(), self.backoff(delivery));
                let error = local_note("NoSuchVersion", &message);
                self.apply(
                    delivery,
                    Change::ObjectMissing {
                        next_attempt_at,
                        error,
                    },
                )
                .await
            }
            Proven::OtherBytes { what } => {
                self.good();
                let message = format!("version {version_id} is not what was sent: {what} differs");
                self.block(
                    delivery,
                    BlockedReason::StoredBytesDiffer,
                    local_note("StoredBytesDiffer", &message),
                )
                .await
            }
            Proven::LockMissing { found, refusal } => {
                self.good();
                let mut message = format!(
                    "version {version_id} should be COMPLIANCE until {retain_until}, and is {found:?}"
                );
                if let Some(refusal) = refusal {
                    message.push_str("; asked to lock it: ");
                    message.push_str(&chain(&refusal));
                }
                self.block(
                    delivery,
                    BlockedReason::LockMissing,
                    local_note("LockMissing", &message),
                )
                .await
            }
            Proven::Failed(failure) => self.failed(delivery, &failure).await,
        }
    }

    fn is_large(&self, delivery: &Delivery) -> bool {
        delivery.size_bytes > self.route.policy.single_put_max_bytes
    }

    /// How many parts our bytes make, if hashing them could prove what the store has.
    fn parts(&self, delivery: &Delivery) -> Option<u64> {
        let policy = &self.route.policy;
        (self.is_large(delivery) && policy.content_md5).then(|| {
            let part = part_bytes(delivery.size_bytes, policy.part_min_bytes);
            delivery.size_bytes.div_ceil(part)
        })
    }

    async fn put(
        &mut self,
        delivery: &mut Delivery,
        retain_until: Timestamp,
    ) -> Result<Answer, Unsent> {
        if self.is_large(delivery) {
            return self.put_in_parts(delivery, retain_until).await;
        }
        let route = self.route;
        let permit = route.room_for(delivery.size_bytes).await?;
        let (folder, path) = (route.evidence.clone(), delivery.path.clone());
        let (size_bytes, sha256, with_md5) = (
            delivery.size_bytes,
            delivery.sha256,
            route.policy.content_md5,
        );
        let read = move || body::read(&folder, &path, size_bytes, sha256, with_md5);
        let body = body::blocking(read).await?;
        if let Some(md5) = body.md5 {
            self.etags.insert(delivery.delivery_rowid, hex::encode(md5));
        }
        let request = PutRequest {
            key: self.key(delivery),
            body: body.bytes,
            sha256: delivery.sha256,
            md5: body.md5,
            content_type: content_type(delivery.role),
            retain_until,
        };
        let answer = route.destination.put(&request).await;
        drop(request);
        drop(permit);
        Ok(answer.map_or_else(Answer::Failed, Answer::Put))
    }

    async fn ask(&self, delivery: &Delivery, ask: Ask) -> Result<Answer, Unsent> {
        let store = &self.route.destination;
        let key = self.key(delivery);
        let answer = match ask {
            Ask::Put => Err(super::place::out_of_step("put", &Answer::Locked)),
            Ask::Versions => store.versions(&key).await.map(Answer::Versions),
            Ask::Inspect(version) => store.inspect(&key, &version).await.map(Answer::Inspected),
            // A large object takes long, and may as well be read at the next start.
            Ask::ReadBack(version) => tokio::select! {
                read = store.read_back(&key, &version) => read.map(Answer::ReadBack),
                () = self.route.stopping(), if self.is_large(delivery) => return Err(Unsent::Stopped),
            },
            Ask::HashLocal => match self.plan(delivery).await {
                Ok(plan) => Ok(Answer::Hashed(plan.etag())),
                Err(Unsent::Body(error)) => {
                    warn!(
                        bundle = self.bundle_id,
                        destination = self.route.destination_id,
                        path = delivery.path,
                        error = chain(&error),
                        "the local file cannot prove what the store has, which is read back"
                    );
                    Ok(Answer::Hashed(None))
                }
                Err(unsent) => return Err(unsent),
            },
            Ask::Lock(version, until) => store
                .lock(&key, &version, until)
                .await
                .map(|()| Answer::Locked),
        };
        Ok(answer.unwrap_or_else(Answer::Failed))
    }

    pub(super) fn key(&self, delivery: &Delivery) -> String {
        format!("{}{}", self.route.prefix, delivery.path)
    }

    fn good(&mut self) {
        if self.health == Health::NotAsked {
            self.health = Health::Good;
        }
    }

    /// Whether asking the store for more makes no sense now.
    pub(super) const fn is_over(&self) -> bool {
        !matches!(self.health, Health::Good | Health::NotAsked)
    }

    async fn failed(
        &mut self,
        delivery: &mut Delivery,
        failure: &Failure,
    ) -> Result<(), DeliveryError> {
        let error = note(failure);
        let previous_code = delivery.last_error_code.as_deref();
        match judge(failure, previous_code, delivery.refused_completions) {
            Verdict::Defer => {
                let delay = self.backoff(delivery);
                self.defer(delivery, error.clone(), delay).await?;
                if self.progressed {
                    // It took parts in this run: one that failed is not a store that fails.
                    self.good();
                } else {
                    self.health = Health::Failing(error);
                }
            }
            Verdict::DeferShortly => {
                self.good();
                let delay = self.route.policy.conflict_retry(&mut self.rng());
                self.defer(delivery, error, delay).await?;
            }
            // The destination's own probe decides when it goes on; the object is well.
            Verdict::Park => {
                self.defer(delivery, error.clone(), Duration::ZERO).await?;
                self.health = Health::Park(error);
            }
            Verdict::Clock => {
                self.defer(delivery, error.clone(), Duration::ZERO).await?;
                self.health = Health::ClockWrong(error);
            }
            Verdict::Block(reason) => {
                self.good();
                self.block(delivery, reason, error).await?;
            }
        }
        Ok(())
    }

    async fn unsent(
        &mut self,
        delivery: &mut Delivery,
        unsent: Unsent,
    ) -> Result<(), DeliveryError> {
        let error = match unsent {
            Unsent::Body(error) => error,
            Unsent::Changed => {
                let error = local_note("LocalBytesChanged", &chain(&unsent));
                let delay = self.backoff(delivery);
                return self.defer(delivery, error, delay).await;
            }
            Unsent::Stopped => return Ok(()),
            Unsent::Delivery(error) => return Err(error),
        };
        let code = match error {
            // After a power cut both daemons start at once, and the agent writes torn files again.
            BodyError::Differs if delivery.attempts < DIFFERING_ATTEMPTS => "local_bytes_differ",
            BodyError::Differs => {
                let note = local_note("LocalBytesDiffer", &chain(&error));
                return self
                    .block(delivery, BlockedReason::LocalBytesDiffer, note)
                    .await;
            }
            BodyError::Missing => "file_missing",
            BodyError::Unreadable(_) => "file_unreadable",
        };
        error!(
            bundle = self.bundle_id,
            destination = self.route.destination_id,
            path = delivery.path,
            error = chain(&error),
            "local evidence cannot be sent ({code}); tried again by itself; \
             the agent publishes missing and torn files again when it starts"
        );
        let delay = self.backoff(delivery);
        self.defer(delivery, local_note(code, &chain(&error)), delay)
            .await
    }

    async fn defer(
        &mut self,
        delivery: &mut Delivery,
        error: ErrorNote,
        delay: Duration,
    ) -> Result<(), DeliveryError> {
        let next_attempt_at = after(Timestamp::now(), delay);
        self.apply(
            delivery,
            Change::Deferred {
                error,
                next_attempt_at,
            },
        )
        .await
    }

    async fn block(
        &mut self,
        delivery: &mut Delivery,
        reason: BlockedReason,
        error: ErrorNote,
    ) -> Result<(), DeliveryError> {
        self.apply(delivery, Change::Blocked { reason, error })
            .await
    }

    /// Commits the change, then says so, then believes it.
    async fn apply(
        &mut self,
        delivery: &mut Delivery,
        change: Change,
    ) -> Result<(), DeliveryError> {
        let rowid = delivery.delivery_rowid;
        let written = change.clone();
        let applied = self
            .route
            .writer
            .call(move |ledger| ledger.apply(rowid, &written, Timestamp::now()))
            .await;
        delivery.state = match applied {
            // Its deliveries were ended while this one was under way: nothing is wrong, and
            // nothing more is said about it.
            Err(DeliveryError::Illegal {
                state: State::Retired,
                ..
            }) => {
                delivery.state = State::Retired;
                info!(
                    bundle = self.bundle_id,
                    destination = self.route.destination_id,
                    state = delivery.state.as_str(),
                    path = delivery.path,
                    event = change.event().as_str(),
                    "ended while an attempt was under way; what came of it is not recorded"
                );
                return Ok(());
            }
            other => other?,
        };
        if change.error().is_some() {
            delivery.attempts = delivery.attempts.saturating_add(1);
        }
        self.log(delivery, &change);
        match change {
            Change::PutSucceeded { version_id, .. } => {
                delivery.version_id = Some(version_id);
                delivery.next_attempt_at = Timestamp::UNIX_EPOCH;
            }
            Change::Adopted {
                version_id,
                retain_until,
                ..
            } => {
                delivery.version_id = Some(version_id);
                delivery.retain_until = Some(retain_until);
                delivery.next_attempt_at = Timestamp::UNIX_EPOCH;
            }
            Change::Deferred {
                next_attempt_at, ..
            } => delivery.next_attempt_at = next_attempt_at,
            _ => {}
        }
        if delivery.state != State::Pending && delivery.upload.take().is_some() {
            // The row knows no upload any more; one that made no object is to be aborted.
            self.route.abort_abandoned().await?;
        }
        Ok(())
    }

    fn log(&self, delivery: &Delivery, change: &Change) {
        let (bundle, destination) = (&self.bundle_id, &self.route.destination_id);
        let (path, state, attempt) = (&delivery.path, delivery.state.as_str(), delivery.attempts);
        let event = change.event().as_str();
        match change {
            Change::Deferred { error, .. } | Change::ObjectMissing { error, .. } => warn!(
                bundle,
                destination,
                state,
                attempt,
                path,
                code = error.code,
                error = error.message,
                "{event}"
            ),
            Change::Blocked { reason, error } => error!(
                bundle,
                destination,
                state,
                attempt,
                path,
                reason = reason.as_str(),
                code = error.code,
                error = error.message,
                hint = reason.hint(),
                "{event}"
            ),
            Change::PutSucceeded { version_id, .. } | Change::Adopted { version_id, .. } => {
                info!(
                    bundle,
                    destination,
                    state,
                    attempt,
                    path,
                    version = version_id,
                    "{event}"
                );
            }
            Change::LockProven { locked_until, .. } => {
                info!(bundle, destination, state, attempt, path, locked_until = %locked_until, "{event}");
            }
            Change::Released | Change::Retired => {
                info!(bundle, destination, state, attempt, path, "{event}");
            }
        }
    }

    fn backoff(&self, delivery: &Delivery) -> Duration {
        // Parts that arrive end a row of failures, but not one of completions that are refused.
        let failures = delivery.attempts.max(delivery.refused_completions);
        self.route
            .policy
            .backoff(failures.saturating_add(1), &mut self.rng())
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        // A generator that a panic left behind is as random as before.
        self.route
            .rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) const fn content_type(role: Role) -> &'static str {
    match role {
        Role::Artifact => "application/octet-stream",
        Role::Signature => "application/vnd.dev.sigstore.bundle.v0.3+json",
        Role::Bundle => "application/json",
    }
}

fn local_note(code: &str, message: &str) -> ErrorNote {
    ErrorNote {
        class: "local",
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

fn after(now: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    now.saturating_add(delay).unwrap_or(Timestamp::MAX)
}
