//! What did not go well in a run, and when it is tried again.

use std::sync::PoisonError;
use std::time::Duration;

use destination::{Destination, Failure};
use jiff::{SignedDuration, Timestamp};
use tracing::error;

use super::attempt::Run;
use super::body::BodyError;
use super::parcel::Health;
use super::unsent::Unsent;
use super::verdict::{Verdict, chain, judge, note};
use crate::delivery::{BlockedReason, Change, Delivery, DeliveryError, ErrorNote};

/// A file that is not what was ordered is looked at so often, some minutes in all, before it waits for
/// an operator.
const DIFFERING_ATTEMPTS: u32 = 8;

impl<D: Destination> Run<'_, D> {
    pub(super) async fn failed(
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

    pub(super) async fn unsent(
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

    pub(super) async fn defer(
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

    pub(super) async fn block(
        &mut self,
        delivery: &mut Delivery,
        reason: BlockedReason,
        error: ErrorNote,
    ) -> Result<(), DeliveryError> {
        self.apply(delivery, Change::Blocked { reason, error })
            .await
    }

    pub(super) fn backoff(&self, delivery: &Delivery) -> Duration {
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

pub(super) fn local_note(code: &str, message: &str) -> ErrorNote {
    ErrorNote {
        class: "local",
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

pub(super) fn after(now: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    now.saturating_add(delay).unwrap_or(Timestamp::MAX)
}
