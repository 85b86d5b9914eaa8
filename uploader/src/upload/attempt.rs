//! One run of one parcel: the driver between the decisions and the store.
//!
//! Each answer is turned into a change, the change is committed and logged, and only then believed.
//! The whole list of what may come of an attempt is best read in one place.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use destination::Destination;
use host::heart::Work;
use jiff::Timestamp;
use tracing::warn;

use super::parcel::{Health, Route};
use super::place::{Place, Placed, Wanted};
use super::prove::{Claim, Prove, Proven};
use super::setback::{after, local_note};
use super::verdict::chain;
use super::{Ask, Next, retain};
use crate::delivery::{BlockedReason, Change, Delivery, DeliveryError, State};

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
    /// This run, for the watchdog.
    pub(super) work: Work,
}

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

    pub(super) fn good(&mut self) {
        if self.health == Health::NotAsked {
            self.health = Health::Good;
        }
    }

    /// Whether asking the store for more makes no sense now.
    pub(super) const fn is_over(&self) -> bool {
        !matches!(self.health, Health::Good | Health::NotAsked)
    }
}
