//! One pass: everything that waits in the drop folder is sealed, every receipt is applied.
//!
//! A pass holds no state of its own between calls that a crash could lose: what waits is in the
//! folders, what is done is in the spool.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use evidence::bundle::Producer;
use evidence::chain::Head;
use evidence::controls::ControlMap;
use evidence::digest::Sha256;
use host::config::{OnSealed, Settings};
use host::instance::InstanceLock;
use spool::Spool;

use crate::custody::CustodyWatch;
use crate::error::chain;
use crate::folder::{DropFolder, WasRead};
use crate::folder_drop::NotRemoved;
use crate::intake::{Intake, Waker, staged_folder};
use crate::keys::Keys;
use crate::prune::PruneWatch;
use crate::publish::{Published, Publisher};
use crate::quarantine::Quarantine;
use crate::receipts::Receipts;
use crate::republish::elsewhere;
use crate::requests::Requests;
use crate::screening::Screening;
use crate::seal::{self, Prepared, Sealer};
use crate::summary::Summary;
use crate::{AgentError, Clock};

/// The newest bundle whose files a sync has made durable.
pub(crate) const SYNCED_NOTE: &str = "files_synced_up_to_bundle_rowid";

/// The agent, open and ready.
pub struct Agent {
    pub(crate) settings: Settings,
    pub(crate) keys: Arc<Keys>,
    pub(crate) spool: Spool,
    pub(crate) folder: DropFolder,
    pub(crate) quarantine: Quarantine,
    pub(crate) receipts: Receipts,
    pub(crate) requests: Requests,
    pub(crate) publisher: Publisher,
    pub(crate) controls: ControlMap,
    pub(crate) producer: Producer,
    pub(crate) machine: Sha256,
    pub(crate) clock: Clock,
    pub(crate) head_path: Option<(i64, PathBuf)>,
    pub(crate) intake: Intake,
    pub(crate) screening: Arc<Screening>,
    /// Tokens of folders that were sealed and then held something else.
    pub(crate) changed: HashSet<String>,
    /// Every committed bundle and order has its file, as far as this process knows.
    pub(crate) is_published: bool,
    pub(crate) instance: Arc<InstanceLock>,
    pub(crate) custody: CustodyWatch,
    pub(crate) prune: PruneWatch,
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
    /// Drops that wait for a later pass.
    pub later: usize,
    /// Drops that could not be taken, read, quarantined or removed, and receipts and requests that
    /// could not be read.
    pub troubled: usize,
    /// Objects whose confirmation was applied.
    pub confirmed_objects: usize,
    /// Confirmations or receipts that were not believed.
    pub refused_receipts: usize,
    /// Receipts taken from the folder, good or bad.
    pub receipts: usize,
    /// Requests of operators that were carried out, refused, or gone on with.
    pub requests: usize,
    /// Custody bundles sealed.
    pub custody: usize,
}

impl Pass {
    /// Whether there was anything to do, so that it is worth looking again at once.
    #[must_use]
    pub const fn did_something(&self) -> bool {
        self.sealed
            + self.duplicates
            + self.quarantined
            + self.receipts
            + self.requests
            + self.custody
            > 0
    }
}

impl Agent {
    /// One pass over the drop folder and the receipts.
    ///
    /// # Errors
    /// When the spool, a folder or the key fails; whatever was not committed is still a drop.
    pub fn pass(&mut self) -> Result<Pass, AgentError> {
        let mut pass = Pass::default();
        for (path, in_place) in [
            (&self.settings.paths.drop, self.folder.is_in_place()),
            (&self.settings.paths.receipts, self.receipts.is_in_place()),
        ] {
            if !in_place {
                return Err(AgentError::Replaced { path: path.clone() });
            }
        }
        if !self.is_published {
            self.publish_again()?;
        }
        self.watch_clock()?;
        self.heed_sightings()?;
        let receipts =
            self.receipts
                .apply(&mut self.spool, &mut self.publisher, self.clock.now())?;
        pass.confirmed_objects = receipts.confirmed_objects;
        pass.refused_receipts = receipts.refused;
        pass.receipts = receipts.files;
        self.custody.confirmed(receipts.incidents);
        match self.receipts.stuck() {
            0 => self.instance.clear("receipts_stuck"),
            n => self.instance.raise(
                "receipts_stuck",
                &format!(
                    "{n} entries of receipts/ cannot be removed and are passed over: remove them, \
                     and look at what the uploader does"
                ),
            ),
        }
        pass.troubled = receipts.later;
        pass.requests = self.carry_out_requests(&mut pass.troubled)?;
        let mut names = self
            .folder
            .waiting(self.clock.now())?
            .into_iter()
            .peekable();
        while names.peek().is_some() {
            host::heart::beat();
            self.enough_room()?;
            self.seal_group(&mut names, &mut pass)?;
        }
        self.attest(&mut pass)?;
        if !pass.did_something() {
            self.prune()?;
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

    /// Where this process tells what it cannot do just now.
    #[must_use]
    pub fn instance(&self) -> &InstanceLock {
        &self.instance
    }

    /// What it has come to.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn summary(&self) -> Result<Summary, AgentError> {
        Ok(Summary::of(&self.spool, &self.settings.paths)?)
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
            time: self.time_source()?,
            controls: &self.controls,
            folder: &self.folder,
            spool: &self.spool,
            screening: &self.screening,
        };
        let mut prepared = Prepared::default();
        while !prepared.is_full(self.settings.agent.group_limit)
            && let Some(name) = names.next()
        {
            match self.folder.take(&name) {
                Ok(Some(taken)) => {
                    let now = self.clock.now();
                    sealer.add(&mut prepared, &mut self.intake, &self.changed, taken, now)?;
                }
                Ok(None) => {}
                Err(error) => {
                    prepared.later += 1;
                    prepared.troubled += 1;
                    tracing::error!(
                        state = "deferred",
                        drop = self.folder.shown(&name),
                        "a drop cannot be taken and waits: {}",
                        self.screening.text(&error.to_string())
                    );
                }
            }
        }
        pass.later += prepared.later;
        pass.troubled += prepared.troubled;
        if prepared.is_empty() {
            return Ok(());
        }
        sealer.finish(&mut prepared, self.clock.now());
        self.check_head()?;
        // By its token a drop that outlives the commit is known for what it is. Without this a power
        // cut could bring it back under its first name, where it would count as a duplicate, or go
        // into quarantine again.
        host::files::sync_dir(self.folder.dir())
            .map_err(AgentError::file(&self.settings.paths.drop))?;
        self.spool.commit(&prepared.group)?;
        self.is_published = false;
        self.after_commit(&prepared, pass)
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
                    pass.troubled += 1;
                    tracing::error!(
                        state = "quarantine_failed",
                        drop = refused.name(),
                        "{}",
                        self.screening.text(&chain(&error))
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
                // What a document holds now is read by the next pass like any drop: the same bytes
                // were sealed and go, others are sealed too.
                Ok(Disposed::Changed) => {
                    kept += 1;
                    if matches!(done.read, WasRead::Folder(_)) {
                        self.changed.insert(taken.token.clone());
                    }
                }
                Err(error) => {
                    kept += 1;
                    tracing::error!(
                        state = "sealed_drop_stays",
                        drop = taken.shown,
                        "a sealed drop cannot be removed; it is not sealed again: {}",
                        self.screening.text(&chain(&error))
                    );
                }
            }
        }
        // What stays is met again by every pass, and must not look like progress to the loop.
        pass.later += kept;
        pass.troubled += kept;
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
            let name = format!("{}-{}", taken.token, taken.shown);
            host::files::rename_noreplace(self.folder.dir(), &taken.held_as, &dir, &name)
                .map_err(AgentError::file(archive))?;
            return Ok(Disposed::Gone);
        }
        let removed = match &done.read {
            WasRead::File(read) => self.folder.remove_file(taken, *read),
            WasRead::Folder(read) => self.folder.remove_folder(taken, read),
        };
        match removed {
            Ok(()) => Ok(Disposed::Gone),
            Err(NotRemoved::Changed) => Ok(Disposed::Changed),
            Err(NotRemoved::Failed(error)) => Err(drop_folder()(error)),
        }
    }

    pub(crate) fn publish(
        &mut self,
        path: &str,
        id: evidence::bundle::BundleId,
        bytes: &[u8],
        signature: &[u8],
    ) -> Result<(), AgentError> {
        let published = self
            .publisher
            .bundle(path, id, bytes, signature, &self.keys.known)?;
        if published == Published::OtherSigned {
            return Err(AgentError::HeadDiffers {
                path: self.settings.paths.evidence.join(path),
            });
        }
        Ok(())
    }

    /// The head in the spool is the last signed file: if it is missing or torn it is published
    /// again, if it is another signed bundle nothing more is sealed.
    pub(crate) fn check_head(&mut self) -> Result<(), AgentError> {
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

    pub(crate) fn enough_room(&self) -> Result<(), AgentError> {
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

/// What became of a sealed drop.
enum Disposed {
    Gone,
    /// It holds something else than what was sealed, and stays: the next pass looks at it.
    Changed,
}
