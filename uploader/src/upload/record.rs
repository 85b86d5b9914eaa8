//! A change in a run: committed, said, and only then believed.

use destination::Destination;
use jiff::Timestamp;
use tracing::{error, info, warn};

use super::attempt::Run;
use crate::delivery::{Change, Delivery, DeliveryError, State};

impl<D: Destination> Run<'_, D> {
    /// Commits the change, then says so, then believes it.
    pub(super) async fn apply(
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
        self.route.meter.count(&change, delivery.size_bytes);
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
}
