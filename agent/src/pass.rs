//! One pass: everything that waits in the drop folder is sealed, every receipt is applied.
//!
//! A pass holds no state of its own between calls that a crash could lose: what waits is in the
//! folders, what is done is in the spool.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use evidence::bundle::Producer;
use evidence::chain::Head;
use evidence::digest::Sha256;
use evidence::handover::{Action, Request};
use host::config::{OnSealed, Settings};
use host::instance::InstanceLock;
use jiff::Timestamp;
use spool::{Artifact, ChainStart, DestinationUse, Group, Resealed, Spool};

use crate::destination_plan::order;
use crate::folder::DropFolder;
use crate::folder_drop::NotRemoved;
use crate::intake::{Intake, Waker, staged_folder};
use crate::keys::Keys;
use crate::publish::{Published, Publisher};
use crate::quarantine::Quarantine;
use crate::receipts::Receipts;
use crate::requests::{self, Done, Requests};
use crate::reseal::Resealer;
use crate::rollback::is_behind_files;
use crate::seal::{self, Prepared, Sealer};
use crate::{AgentError, Clock, clock, lost_spool};

/// The newest bundle whose files a sync has made durable.
const SYNCED_NOTE: &str = "files_synced_up_to_bundle_rowid";

/// The agent, open and ready.
pub struct Agent {
    settings: Settings,
    keys: Keys,
    spool: Spool,
    folder: DropFolder,
    quarantine: Quarantine,
    receipts: Receipts,
    requests: Requests,
    publisher: Publisher,
    producer: Producer,
    machine: Sha256,
    clock: Clock,
    head_path: Option<(i64, PathBuf)>,
    intake: Intake,
    /// Tokens of folders that were sealed and then held something else.
    changed: HashSet<String>,
    /// Every committed bundle and order has its file, as far as this process knows.
    is_published: bool,
    _instance: InstanceLock,
}

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Incidents sealed.
    pub sealed: usize,
    /// Drops recognised as sealed before.
    pub duplicates: usize,
    /// Drops moved to quarantine.
    pub quarantined: usize,
    /// Drops that could not be looked at just now.
    pub later: usize,
    /// Objects whose confirmation was applied.
    pub confirmed_objects: usize,
    /// Confirmations or receipts that were not believed.
    pub refused_receipts: usize,
    /// Requests of operators that were carried out, refused, or gone on with.
    pub requests: usize,
}

impl Pass {
    /// Whether there was anything to do, so that it is worth looking again at once.
    #[must_use]
    pub const fn did_something(&self) -> bool {
        self.sealed + self.duplicates + self.quarantined + self.confirmed_objects + self.requests
            > 0
    }
}

impl Agent {
    /// Opens everything the agent needs, finds the chain to continue, and publishes again what a
    /// crash may have torn.
    ///
    /// # Errors
    /// When a folder, key or the spool cannot be used, or another agent runs; nothing is sealed
    /// then and drops stay where they are.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, AgentError> {
        let paths = &settings.paths;
        for path in [
            &paths.drop,
            &paths.spool,
            &paths.evidence,
            &paths.outbox,
            &paths.receipts,
            &paths.quarantine,
        ] {
            std::fs::create_dir_all(path).map_err(|source| AgentError::Folder {
                path: path.clone(),
                source,
            })?;
        }
        let instance = InstanceLock::acquire(&paths.spool.join("agent.lock"))?;
        let keys = Keys::open(&settings.signing)?;
        let now = clock();
        let machine = machine_digest(&paths.machine_id);
        let mut spool = Spool::open(&paths.spool.join("spool.db"), machine, now)?;
        let mut settings = settings;
        use_destinations(&mut settings, &mut spool, now)?;
        let paths = &settings.paths;
        let folder = DropFolder::open(paths.drop.clone(), settings.drop.clone())?;
        let intake = folder
            .dir()
            .try_clone()
            .and_then(|drop| {
                let min_free_bytes = settings.agent.min_free_bytes;
                Intake::start(drop, &paths.evidence, settings.drop.clone(), min_free_bytes)
            })
            .map_err(|source| AgentError::Folder {
                path: paths.drop.clone(),
                source,
            })?;
        let mut agent = Self {
            folder,
            intake,
            changed: HashSet::new(),
            is_published: false,
            quarantine: Quarantine::open(paths.quarantine.clone())?,
            receipts: Receipts::open(paths.receipts.clone())?,
            requests: Requests::open(paths.requests.clone())?,
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
            _instance: instance,
        };
        agent.continue_chain(now)?;
        agent.publish_again()?;
        agent.tidy()?;
        Ok(agent)
    }

    /// One pass over the drop folder and the receipts.
    ///
    /// # Errors
    /// When the spool, a folder or the key fails; whatever was not committed is still a drop.
    pub fn pass(&mut self) -> Result<Pass, AgentError> {
        let mut pass = Pass::default();
        if !self.is_published {
            self.publish_again()?;
        }
        let receipts = self
            .receipts
            .apply(&mut self.spool, &mut self.publisher, (self.clock)())?;
        pass.confirmed_objects = receipts.confirmed_objects;
        pass.refused_receipts = receipts.refused;
        pass.requests = self.carry_out_requests()?;
        let mut names = self.folder.waiting((self.clock)())?.into_iter().peekable();
        while names.peek().is_some() {
            self.enough_room()?;
            self.seal_group(&mut names, &mut pass)?;
        }
        Ok(pass)
    }

    /// Has `waker` called, from another thread, whenever artifacts have been staged and the next
    /// pass has something to seal.
    pub fn wake_by(&self, waker: Waker) {
        self.intake.set_waker(waker);
    }

    /// Makes the published files durable and remembers how far; called when idle and at a stop.
    ///
    /// # Errors
    /// When the file system reports an error.
    pub fn sync(&mut self) -> Result<(), AgentError> {
        if !self.is_published {
            // What has no file yet must be published by the next start too.
            return Ok(());
        }
        let newest = self.spool.last_bundle_rowid()?.to_string();
        if self.spool.note(SYNCED_NOTE)?.as_ref() != Some(&newest) {
            self.publisher.sync()?;
            self.spool.set_note(SYNCED_NOTE, &newest)?;
            // Their real names are durable now.
            self.publisher
                .remove_staged(|token| self.intake.holds(token))?;
        }
        Ok(())
    }

    /// The settings in use.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    fn seal_group(
        &mut self,
        names: &mut std::iter::Peekable<std::vec::IntoIter<std::ffi::OsString>>,
        pass: &mut Pass,
    ) -> Result<(), AgentError> {
        let sealer = Sealer {
            settings: &self.settings,
            keys: &self.keys,
            producer: &self.producer,
            time: clock::time_source(),
            folder: &self.folder,
            spool: &self.spool,
        };
        let mut prepared = Prepared::default();
        while !prepared.is_full(self.settings.agent.group_limit)
            && let Some(name) = names.next()
        {
            match self.folder.take(&name) {
                Ok(Some(taken)) => {
                    let now = (self.clock)();
                    sealer.add(&mut prepared, &mut self.intake, &self.changed, taken, now)?;
                }
                Ok(None) => {}
                Err(error) => {
                    prepared.later += 1;
                    tracing::error!(
                        state = "deferred",
                        drop = crate::token::printable(&name, 128),
                        "a drop cannot be taken and waits: {error}"
                    );
                }
            }
        }
        pass.later += prepared.later;
        if prepared.is_empty() {
            return Ok(());
        }
        sealer.finish(&mut prepared, (self.clock)());
        self.check_head()?;
        self.spool.commit(&prepared.group)?;
        self.is_published = false;
        self.after_commit(&prepared, pass)
    }

    fn carry_out_requests(&mut self) -> Result<usize, AgentError> {
        let mut carried_out = 0;
        for name in self.requests.waiting()? {
            let Some(request) = self.requests.read(&name)? else {
                continue;
            };
            match self.carry_out(request) {
                Ok(Done::Answered(answer)) => self.requests.answer(&name, &answer)?,
                Ok(_) => {}
                Err(error) => {
                    // It waits, and keeps no incident from being sealed.
                    tracing::error!(
                        state = "request_deferred",
                        request = crate::token::printable(&name, 128),
                        "{:#}",
                        anyhow::Error::from(error)
                    );
                    continue;
                }
            }
            carried_out += 1;
        }
        Ok(carried_out)
    }

    fn carry_out(&mut self, request: Request) -> Result<Done, AgentError> {
        let now = (self.clock)();
        let done = self.requests.carry_out(
            request,
            &mut self.settings,
            &mut self.spool,
            &self.publisher,
            now,
        )?;
        match done {
            Done::Reseal(request) => self.reseal(&request, now),
            other => Ok(other),
        }
    }

    fn reseal(&mut self, request: &Request, now: Timestamp) -> Result<Done, AgentError> {
        let Action::Reseal {
            bundle_id,
            destinations,
            reason,
        } = &request.action
        else {
            return Ok(requests::refused(request, "it is no reseal"));
        };
        let refused = |why: &str| Ok(requests::refused(request, why));
        let Some((old, chain_id)) = self.spool.bundle_named(bundle_id)? else {
            return refused(&format!("the spool has no bundle {bundle_id}"));
        };
        if let Some(by) = self.spool.locations(&old)?.resealed_by {
            return refused(&format!(
                "{bundle_id} was resealed already, as {by}; reseal that"
            ));
        }
        let live = self.spool.live_destinations()?;
        let mut taken = Vec::new();
        for id in destinations {
            match live.iter().find(|(live, _)| live == id) {
                Some((id, uri)) => taken.push((id.as_str(), uri.as_str())),
                None => return refused(&format!("{id} is not a destination in use")),
            }
        }
        self.enough_room()?;
        self.check_head()?;
        if chain_id == self.spool.head().chain_id() {
            // Whoever took this key may go on taking the next ones.
            self.spool
                .restart_chain(ChainStart::Forked, self.machine, now)?;
            tracing::warn!(
                chain = self.spool.head().chain_id(),
                state = "chain_started",
                why = ?ChainStart::Forked,
                "a new chain begins, since keys of the old one were taken"
            );
        }
        let resealer = Resealer {
            settings: &self.settings,
            keys: &self.keys,
            producer: &self.producer,
            time: clock::time_source(),
            spool: &self.spool,
        };
        let new = match resealer.seal(&old, now) {
            Ok(new) => new,
            Err(error) => return refused(&format!("{:#}", anyhow::Error::from(error))),
        };
        let id = new.sealed.bundle_id.to_string();
        let details = serde_json::Map::from_iter([
            ("bundle_id".to_owned(), id.clone().into()),
            ("reseals".to_owned(), bundle_id.clone().into()),
        ]);
        let message = format!("{bundle_id} is resealed as {id}; both are kept");
        let applied = requests::applied(request, &message, details);
        let answer = applied.answer.clone();
        let notices: Vec<_> = taken
            .iter()
            .map(|place| resealer.notice(&old, &chain_id, *place, reason, now))
            .collect();
        let order = order(&self.settings, std::slice::from_ref(&new), now);
        let group = Group {
            bundles: vec![new],
            order,
            resealed: Some(Resealed {
                old_bundle_rowid: old.bundle_rowid,
                notices,
                reason: reason.clone(),
                by: request.requested_by.to_string(),
                applied,
            }),
            ..Group::default()
        };
        let ended = self.spool.commit(&group)?;
        self.is_published = false;
        for notice in group.resealed.iter().flat_map(|r| &r.notices) {
            self.publisher
                .notice(&notice.notice_id, &notice.to_bytes())?;
        }
        for order in &ended.completed {
            self.publisher.remove_order(order)?;
        }
        for new in &group.bundles {
            let staged = staged_folder(&self.settings.paths.evidence, "resealed");
            let spool = &self.spool;
            self.publisher
                .artifacts(&staged, &new.artifacts, |a| elsewhere(spool, a))?;
            let sealed = &new.sealed;
            let (path, id) = (new.path.clone(), sealed.bundle_id);
            self.publish(&path, id, &sealed.bytes, &sealed.signature)?;
        }
        if let Some(order) = &group.order {
            self.publisher.order(&order.order_id, &order.to_bytes())?;
        }
        self.is_published = true;
        tracing::warn!(
            bundle = id,
            state = "sealed",
            reseals = bundle_id,
            reason,
            "{message}"
        );
        Ok(Done::Answered(answer))
    }

    fn after_commit(&mut self, prepared: &Prepared, pass: &mut Pass) -> Result<(), AgentError> {
        for new in &prepared.group.bundles {
            let sealed = &new.sealed;
            if let Some(source) = &new.source {
                let folder = staged_folder(&self.settings.paths.evidence, &source.taken_token);
                let spool = &self.spool;
                self.publisher
                    .artifacts(&folder, &new.artifacts, |a| elsewhere(spool, a))?;
            }
            self.publish(
                &new.path,
                sealed.bundle_id,
                &sealed.bytes,
                &sealed.signature,
            )?;
            tracing::info!(
                incident = new.source.as_ref().map(|s| s.incident_id.as_str()),
                bundle = %sealed.bundle_id,
                sequence = sealed.position.sequence,
                state = "sealed",
                "sealed"
            );
        }
        if let Some(order) = &prepared.group.order {
            self.publisher.order(&order.order_id, &order.to_bytes())?;
        }
        self.is_published = true;
        for refused in &prepared.refused {
            tracing::error!(
                drop = refused.name(),
                state = "quarantined",
                reason = refused.refusal.code,
                path = refused.refusal.path,
                "a drop cannot be sealed: {}",
                refused.refusal.message
            );
            // One that cannot be moved must not keep the others out: it stays under its taken
            // name, and later passes try again.
            match self.quarantine.admit(&self.folder, refused) {
                Ok(()) => {
                    pass.quarantined += 1;
                    self.changed.remove(&refused.taken.token);
                    self.intake.forget(&refused.taken.token);
                }
                Err(error) => {
                    pass.later += 1;
                    tracing::error!(
                        state = "quarantine_failed",
                        drop = refused.name(),
                        "{:#}",
                        anyhow::Error::from(error)
                    );
                }
            }
        }
        let mut kept = 0;
        for done in &prepared.done {
            let taken = &done.taken;
            self.intake.forget(&taken.token);
            match self.dispose(done) {
                Ok(Disposed::Gone) => {}
                Ok(Disposed::Changed) => {
                    kept += 1;
                    self.changed.insert(taken.token.clone());
                }
                Err(error) => {
                    kept += 1;
                    tracing::error!(
                        state = "sealed_drop_stays",
                        drop = crate::token::printable(&taken.name, 128),
                        "a sealed drop cannot be removed; it is not sealed again: {:#}",
                        anyhow::Error::from(error)
                    );
                }
            }
        }
        // What stays is met again by every pass, and must not look like progress to the loop.
        pass.later += kept;
        pass.duplicates += prepared.group.duplicates.len().saturating_sub(kept);
        pass.sealed += prepared.group.bundles.len();
        Ok(())
    }

    fn dispose(&self, done: &seal::Done) -> Result<Disposed, AgentError> {
        let taken = &done.taken;
        let drop_folder = || AgentError::file(&self.settings.paths.drop);
        let archive = match self.settings.drop.on_sealed {
            OnSealed::Archive => self.settings.drop.archive_dir.as_ref(),
            OnSealed::Remove => None,
        };
        if let Some(archive) = archive {
            let dir = host::files::open_dir(archive).map_err(AgentError::file(archive))?;
            let name = format!(
                "{}-{}",
                taken.token,
                crate::token::printable(&taken.name, 200)
            );
            host::files::rename_noreplace(self.folder.dir(), &taken.held_as, &dir, &name)
                .map_err(AgentError::file(archive))?;
            return Ok(Disposed::Gone);
        }
        let Some(read) = &done.read else {
            self.folder.remove(taken).map_err(drop_folder())?;
            return Ok(Disposed::Gone);
        };
        match self.folder.remove_folder(taken, read) {
            Ok(()) => Ok(Disposed::Gone),
            Err(NotRemoved::Changed) => Ok(Disposed::Changed),
            Err(NotRemoved::Failed(error)) => Err(drop_folder()(error)),
        }
    }

    fn publish(
        &mut self,
        path: &str,
        id: evidence::bundle::BundleId,
        bytes: &[u8],
        signature: &[u8],
    ) -> Result<(), AgentError> {
        let published =
            self.publisher
                .bundle(path, id, bytes, signature, self.keys.signing.public())?;
        if published == Published::OtherSigned {
            return Err(AgentError::HeadDiffers {
                path: self.settings.paths.evidence.join(path),
            });
        }
        Ok(())
    }

    /// The head in the spool is the last signed file: if it is missing or torn it is published
    /// again, if it is another signed bundle nothing more is sealed.
    fn check_head(&mut self) -> Result<(), AgentError> {
        let Head::At(head) = self.spool.head().clone() else {
            return Ok(());
        };
        let newest = self.spool.last_bundle_rowid()?;
        if let Some((rowid, path)) = &self.head_path
            && *rowid == newest
            && std::fs::read(path).is_ok_and(|bytes| Sha256::of(&bytes) == head.sha256)
        {
            return Ok(());
        }
        let Some(bundle) = self.spool.bundle(newest)? else {
            return Ok(());
        };
        self.publish(
            &bundle.path,
            bundle.bundle_id,
            &bundle.bytes,
            &bundle.signature,
        )?;
        self.head_path = Some((newest, self.settings.paths.evidence.join(&bundle.path)));
        Ok(())
    }

    fn continue_chain(&mut self, now: Timestamp) -> Result<(), AgentError> {
        if self.spool.chain_started() == Some(ChainStart::First)
            && let Some(end) = lost_spool::end_of_earlier_chain(
                &host_folder(&self.settings),
                self.spool.head().chain_id(),
                self.keys.signing.public(),
            )?
        {
            self.spool.follow(end)?;
        }
        if self.spool.chain_started().is_none() {
            let folder = chain_folder(&self.settings, self.spool.head().chain_id());
            if is_behind_files(&self.spool, &folder, self.keys.signing.public())? {
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
    fn publish_again(&mut self) -> Result<(), AgentError> {
        let synced = self
            .spool
            .note(SYNCED_NOTE)?
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        let evidence = &self.settings.paths.evidence;
        let spool = &self.spool;
        let publisher = &mut self.publisher;
        let key = self.keys.signing.public();
        let mut again = 0_usize;
        self.spool.each_bundle_after(synced, |b| -> Result<(), AgentError> {
            let artifacts = spool.artifacts(b.bundle_rowid)?;
            if !artifacts.is_empty() {
                let token = b.taken_token.as_deref().unwrap_or("resealed");
                let staged = staged_folder(evidence, token);
                again += publisher.artifacts(&staged, &artifacts, |a| elsewhere(spool, a))?;
            }
            match publisher.bundle(&b.path, b.bundle_id, &b.bytes, &b.signature, key)? {
                Published::Written => again += 1,
                Published::Same => {}
                Published::OtherSigned => tracing::error!(
                    bundle = %b.bundle_id,
                    state = "other_signed_file",
                    "another signed bundle has this name in the evidence folder; it was left alone"
                ),
            }
            Ok(())
        })?;
        for (notice_id, body) in self.spool.notices()? {
            if publisher.notice(&notice_id, &body)? == Published::Written {
                again += 1;
            }
        }
        self.spool
            .each_open_order(|order| -> Result<(), AgentError> {
                if publisher.order(&order.order_id, &order.body)? == Published::Written {
                    again += 1;
                }
                Ok(())
            })?;
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
    fn tidy(&mut self) -> Result<(), AgentError> {
        if self.publisher.has_staged() {
            self.publisher.sync()?;
            self.publisher.remove_staged(|_| false)?;
        }
        for (name, error) in self.folder.remove_sealed()? {
            tracing::error!(
                state = "sealed_drop_stays",
                drop = crate::token::printable(&name, 128),
                "a sealed drop cannot be removed; it is not sealed again: {error}; producers leave \
                 folders group-writable"
            );
        }
        Ok(())
    }

    fn enough_room(&self) -> Result<(), AgentError> {
        let path = &self.settings.paths.state_dir;
        let stat = nix::sys::statvfs::statvfs(&self.settings.paths.spool).map_err(|errno| {
            AgentError::Folder {
                path: path.clone(),
                source: errno.into(),
            }
        })?;
        let free_bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
        let wanted_bytes = self.settings.agent.min_free_bytes;
        if free_bytes < wanted_bytes {
            return Err(AgentError::NoRoom {
                path: path.clone(),
                free_bytes,
                wanted_bytes,
            });
        }
        Ok(())
    }
}

/// Where else the bytes of an artifact are.
fn elsewhere(spool: &Spool, artifact: &Artifact) -> Result<Vec<String>, AgentError> {
    let mut paths = spool.artifact_paths(artifact.sha256)?;
    paths.retain(|path| *path != artifact.path);
    Ok(paths)
}

/// What became of a sealed drop.
enum Disposed {
    Gone,
    /// It holds something else than what was sealed, and stays: the next pass quarantines it.
    Changed,
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

/// The machine's identity, hashed: machine-id(5) asks that it not be shown to the outside.
fn machine_digest(machine_id: &Path) -> Sha256 {
    let id = std::fs::read(machine_id).unwrap_or_default();
    Sha256::of(&[b"msp-evidence chain binding\0".as_slice(), id.trim_ascii()].concat())
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_else(|_| "unknown".to_owned())
}
