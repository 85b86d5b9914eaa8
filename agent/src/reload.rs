//! Other settings without a stop.
//!
//! Everything that can refuse is asked first, beside the running agent: the configuration, and the keys
//! that it names. Only then the old agent ends, between two passes, when nothing is half done, and a new
//! one opens the same folders under the same lock. Should that fail after all, the old settings and keys
//! are used again. What was being staged starts over; every drop is where it was.

use std::sync::Arc;

use host::config::{ConfigError, Settings};
use host::instance::InstanceLock;

use crate::error::chain;
use crate::keys::Keys;
use crate::{Agent, AgentError, system_clock};

/// What a new agent is opened with, and what to fall back to.
pub(crate) struct Reload {
    new: (Settings, Arc<Keys>),
    old: (Settings, Arc<Keys>),
    instance: Arc<InstanceLock>,
}

impl Reload {
    /// Reads settings and keys; `None` when they cannot serve, which is then told.
    pub(crate) fn prepare(
        agent: &Agent,
        read: impl Fn() -> Result<Settings, ConfigError>,
    ) -> Option<Self> {
        let prepare = || -> Result<_, String> {
            let settings = read().map_err(words)?;
            if let Some(what) = host::reload::needs_restart(agent.settings(), &settings) {
                return Err(format!(
                    "{what} cannot change while the service runs: restart it"
                ));
            }
            crate::screen_of(&settings.screening)
                .map_err(|error| words(AgentError::Screening(error)))?;
            let in_use = agent.spool.key_in_use().map_err(words)?;
            let keys = Keys::open(&settings.signing, in_use.as_deref()).map_err(words)?;
            Ok((settings, Arc::new(keys)))
        };
        match prepare() {
            Ok(new) => Some(Self {
                new,
                old: (agent.settings().clone(), Arc::clone(&agent.keys)),
                instance: Arc::clone(&agent.instance),
            }),
            Err(why) => {
                refused(&agent.instance, &why);
                None
            }
        }
    }

    /// Opens the new agent, or the old one again. The running one has ended.
    pub(crate) fn open(self) -> Result<Agent, AgentError> {
        let (settings, keys) = self.new;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        match Agent::open_under(settings, keys, system_clock(), &self.instance) {
            Ok(agent) => {
                tracing::info!(state = "reloaded", "the configuration was read again");
                self.instance.reloaded(Ok(()));
                Ok(agent)
            }
            Err(error) => {
                let (settings, keys) = self.old;
                refused(&self.instance, &chain(&error));
                Agent::open_under(settings, keys, system_clock(), &self.instance)
                    .inspect_err(|error| self.instance.raise("start_failed", &chain(error)))
            }
        }
    }
}

fn refused(instance: &InstanceLock, why: &str) {
    tracing::error!(
        state = "reload_refused",
        "the configuration was not read again, the one before is in use: {why}"
    );
    instance.reloaded(Err(why));
}

fn words(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}
