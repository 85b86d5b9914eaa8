//! Bundles in which the agent speaks for itself: custody, rotation, probes. They are sealed and committed like
//! incidents, and published the same way; only no drop stands behind them.

use evidence::bundle::{BundleId, Draft, Kind, SealError, object_path};
use evidence::chain::utc_day;
use jiff::Timestamp;
use serde::Serialize;
use spool::{Group, NewBundle};

use crate::AgentError;
use crate::destination_plan::{order, plan};
use crate::pass::Agent;

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnError {
    #[error("sealing failed")]
    Seal(#[from] SealError),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl From<spool::SpoolError> for OwnError {
    fn from(error: spool::SpoolError) -> Self {
        Self::Agent(error.into())
    }
}

impl From<OwnError> for AgentError {
    fn from(error: OwnError) -> Self {
        match error {
            OwnError::Seal(error) => Self::Seal(error),
            OwnError::Agent(error) => error,
        }
    }
}

impl Agent {
    /// Seals `body`, attached to the present head.
    pub(crate) fn seal_own<B: Serialize>(
        &self,
        kind: Kind,
        body: B,
        now: Timestamp,
    ) -> Result<NewBundle, OwnError> {
        let settings = &self.settings;
        let day = utc_day(now);
        let bundle_id = BundleId::new(day, 1 + self.spool.last_number(day)?);
        let chain = self.spool.head().next();
        let path = object_path(
            &settings.client_id,
            &settings.host_id,
            &chain.chain_id,
            day,
            &bundle_id.file_name(),
        );
        let draft = Draft {
            bundle_id,
            kind,
            client_id: &settings.client_id,
            host_id: &settings.host_id,
            generated_at: now,
            chain,
            producer: &self.producer,
            time: &self.time_source()?,
            related_to: Vec::new(),
            reseals: None,
            body,
            plan: plan(&settings.destinations, &path),
        };
        Ok(NewBundle {
            sealed: draft.seal(&self.keys.signing)?,
            kind,
            path,
            artifacts: Vec::new(),
            source: None,
        })
    }

    /// Commits one bundle of the agent's own, with what goes into the same transaction, and publishes
    /// it. What a fault leaves unpublished is published by the next pass, from the spool.
    pub(crate) fn commit_own(
        &mut self,
        new: NewBundle,
        with: Group,
        now: Timestamp,
    ) -> Result<(), AgentError> {
        let group = Group {
            order: order(&self.settings, std::slice::from_ref(&new), now),
            bundles: vec![new],
            ..with
        };
        self.spool.commit(&group)?;
        self.is_published = false;
        for new in &group.bundles {
            let sealed = &new.sealed;
            self.publish(
                &new.path,
                sealed.bundle_id,
                &sealed.bytes,
                &sealed.signature,
            )?;
        }
        if let Some(order) = &group.order {
            self.publisher.order(&order.order_id, &order.to_bytes())?;
        }
        self.is_published = true;
        Ok(())
    }
}
