//! Starting: everything opened, the chain found that is to be continued, and whatever a stop tore
//! published again, before the first pass.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use evidence::bundle::Producer;
use host::config::{Settings, Signing};
use host::instance::{AGENT_LOCK, InstanceLock};
use jiff::Timestamp;
use spool::{ChainStart, DestinationUse, Spool};

use crate::custody::CustodyWatch;
use crate::error::chain;
use crate::folder::DropFolder;
use crate::intake::Intake;
use crate::keys::Keys;
use crate::pass::{Agent, SYNCED_NOTE};
use crate::prune::PruneWatch;
use crate::publish::Publisher;
use crate::quarantine::Quarantine;
use crate::receipts::Receipts;
use crate::republish::republish;
use crate::requests::Requests;
use crate::rollback::is_behind_files;
use crate::screening::Screening;
use crate::{AgentError, Clock, lost_spool, standing};

impl Agent {
    /// Opens everything the agent needs, finds the chain to continue, and publishes again what a
    /// crash may have torn.
    ///
    /// # Errors
    /// When a folder, key or the spool cannot be used, or another agent runs; nothing is sealed
    /// then and drops stay where they are.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, AgentError> {
        Self::open_with(settings, clock, |signing, in_use| {
            Keys::open(signing, in_use).map(Arc::new)
        })
    }

    /// The same with keys that are open already.
    ///
    /// # Errors
    /// As [`Agent::open`].
    pub fn with_keys(
        settings: Settings,
        keys: Arc<Keys>,
        clock: Clock,
    ) -> Result<Self, AgentError> {
        Self::open_with(settings, clock, |_, _| Ok(keys))
    }

    /// The same under a lock that is held already: for an agent that takes over from another.
    pub(crate) fn open_under(
        settings: Settings,
        keys: Arc<Keys>,
        clock: Clock,
        instance: &Arc<InstanceLock>,
    ) -> Result<Self, AgentError> {
        Self::open_alone(settings, clock, Arc::clone(instance), |_, _| Ok(keys))
    }

    fn open_with(
        settings: Settings,
        clock: Clock,
        keys: impl FnOnce(&Signing, Option<&str>) -> Result<Arc<Keys>, AgentError>,
    ) -> Result<Self, AgentError> {
        let paths = &settings.paths;
        for path in [
            &paths.drop,
            &paths.spool,
            &paths.evidence,
            &paths.outbox,
            &paths.receipts,
            &paths.quarantine,
        ] {
            host::files::create_dir_durably(path).map_err(|source| AgentError::Folder {
                path: path.clone(),
                source,
            })?;
        }
        let instance = Arc::new(InstanceLock::acquire(&paths.spool.join(AGENT_LOCK))?);
        let told = settings.clone();
        Self::open_alone(settings, clock, Arc::clone(&instance), keys).inspect_err(|error| {
            instance.raise("start_failed", &chain(error));
            standing::tell_once(&told, &instance);
        })
    }

    fn open_alone(
        settings: Settings,
        clock: Clock,
        instance: Arc<InstanceLock>,
        keys: impl FnOnce(&Signing, Option<&str>) -> Result<Arc<Keys>, AgentError>,
    ) -> Result<Self, AgentError> {
        let paths = &settings.paths;
        let now = clock.now();
        let machine =
            host::machine::digest(&paths.machine_id).map_err(|source| AgentError::MachineId {
                path: paths.machine_id.clone(),
                source,
            })?;
        let mut spool = Spool::open(&paths.spool.join("spool.db"), machine, now)?;
        let in_use = spool.key_in_use()?;
        let keys = keys(&settings.signing, in_use.as_deref())?;
        let mut settings = settings;
        use_destinations(&mut settings, &mut spool, now)?;
        let paths = &settings.paths;
        let screening = Screening::open(&settings.screening, &keys.digest)?;
        let folder = DropFolder::open(
            paths.drop.clone(),
            settings.drop.clone(),
            Arc::clone(&screening),
        )?;
        let intake = folder
            .dir()
            .try_clone()
            .and_then(|drop| {
                let min_free_bytes = settings.agent.min_free_bytes;
                Intake::start(
                    drop,
                    &paths.evidence,
                    settings.drop.clone(),
                    min_free_bytes,
                    Arc::clone(&screening),
                )
            })
            .map_err(|source| AgentError::Folder {
                path: paths.drop.clone(),
                source,
            })?;
        let custody = CustodyWatch::start(&settings, &spool, &clock)?;
        let mut agent = Self {
            custody,
            prune: PruneWatch::default(),
            folder,
            intake,
            screening,
            changed: HashSet::new(),
            is_published: false,
            quarantine: Quarantine::open(paths.quarantine.clone())?,
            receipts: Receipts::open(paths.receipts.clone())?,
            requests: Requests::open(paths.requests.clone())?,
            controls: settings.controls.map(),
            publisher: Publisher::open(paths.evidence.clone(), paths.outbox.clone())?,
            producer: Producer {
                name: "msp-evidence-agent".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                boot_id: boot_id(),
            },
            machine,
            clock,
            head_path: None,
            keys,
            spool,
            settings,
            instance,
        };
        agent.continue_chain(in_use.as_deref(), now)?;
        agent.publish_again()?;
        agent.tidy()?;
        Ok(agent)
    }

    pub(crate) fn continue_chain(
        &mut self,
        in_use: Option<&str>,
        now: Timestamp,
    ) -> Result<(), AgentError> {
        let own = self.keys.signing.public().key_id();
        if let Some(in_use) = in_use.filter(|in_use| *in_use != own) {
            self.spool
                .restart_chain(ChainStart::KeyChanged, self.machine, now)?;
            let why = format!(
                "the signing key is {own}, and {in_use} signed before it: without a rotation a new \
                 chain begins; if nobody here exchanged the key, find out who did; next time use \
                 `msp-evidence keys rotate`"
            );
            tracing::error!(state = "key_changed", "{why}");
            self.instance.raise("key_changed", &why);
        }
        if self.spool.chain_started() == Some(ChainStart::First)
            && let Some(end) = lost_spool::end_of_earlier_chain(
                &host_folder(&self.settings),
                self.spool.head().chain_id(),
                &self.keys.known,
            )?
        {
            self.spool.follow(end)?;
        }
        if self.spool.chain_started().is_none() {
            let folder = chain_folder(&self.settings, self.spool.head().chain_id());
            if is_behind_files(&self.spool, &folder, &self.keys.known)? {
                self.spool
                    .restart_chain(ChainStart::RolledBack, self.machine, now)?;
            }
        }
        if let Some(why) = self.spool.chain_started() {
            tracing::warn!(
                chain = self.spool.head().chain_id(),
                state = "chain_started",
                why = ?why,
                "a new chain begins"
            );
        }
        Ok(())
    }

    /// After a crash or a fault: every file since the last sync, and every open order.
    pub(crate) fn publish_again(&mut self) -> Result<(), AgentError> {
        let synced = self
            .spool
            .note(SYNCED_NOTE)?
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        let evidence = &self.settings.paths.evidence;
        let keys = &self.keys.known;
        let again = republish(&self.spool, &mut self.publisher, evidence, keys, synced)?;
        if again > 0 {
            tracing::info!(
                state = "published_again",
                files = again,
                "published again after a stop"
            );
        }
        self.is_published = true;
        Ok(())
    }

    /// Removes what a stop left behind: staged files whose real names are durable, or whose drop
    /// is staged again, and sealed folders on their way out.
    pub(crate) fn tidy(&mut self) -> Result<(), AgentError> {
        if self.publisher.has_staged() {
            self.publisher.sync()?;
            self.publisher.remove_staged(|_| false)?;
        }
        for (name, error) in self.folder.remove_sealed()? {
            tracing::error!(
                state = "sealed_drop_stays",
                drop = self.folder.shown(&name),
                "a sealed drop cannot be removed; it is not sealed again: {}; producers leave \
                 folders group-writable",
                self.screening.text(&error.to_string())
            );
        }
        Ok(())
    }
}

/// Registers the configured destinations, and leaves out those that were retired.
fn use_destinations(
    settings: &mut Settings,
    spool: &mut Spool,
    now: Timestamp,
) -> Result<(), AgentError> {
    let mut live = Vec::new();
    for destination in std::mem::take(&mut settings.destinations) {
        let id = &destination.destination_id;
        match spool.use_destination(id, &destination.uri(), now)? {
            DestinationUse::Live => live.push(destination),
            DestinationUse::Retired(reason) => tracing::error!(
                destination = id,
                state = "retired",
                reason,
                "a retired destination is configured and is left out: remove it from the \
                 configuration, or give the new place an id of its own"
            ),
        }
    }
    if live.is_empty() {
        return Err(AgentError::NoDestination {
            path: settings.source.clone(),
        });
    }
    settings.destinations = live;
    Ok(())
}

fn host_folder(settings: &Settings) -> PathBuf {
    settings
        .paths
        .evidence
        .join(&settings.client_id)
        .join(&settings.host_id)
}

fn chain_folder(settings: &Settings, chain_id: &str) -> PathBuf {
    host_folder(settings).join(chain_id)
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}
