//! `evidence/` and `outbox/`: written from the spool, and written again whenever they differ.
//!
//! The spool's commit is what makes evidence durable, so these files need no fsync of their own:
//! what a power cut tears or loses is published again at the next start, and the uploader
//! re-hashes before it sends. A signed file is never replaced by another one: only bytes that do
//! not verify (a torn write) give way.

use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use evidence::bundle::{BUNDLE_MAX_BYTES, BundleId, Locations};
use evidence::handover::{NOTICE_SUFFIX, ORDER_SUFFIX};
use evidence::keys::HostKeys;
use evidence::signature::SIGNATURE_MAX_BYTES;
use host::files::{self, Durability, FileError, Replace};
use spool::{Artifact, SpooledBundle};

use crate::AgentError;
use crate::intake::{STAGED, remove_staged};

/// Owner writes, the hand-over group reads.
const FILE_MODE: u32 = 0o640;
pub(crate) const FOLDER_MODE: u32 = 0o750;

pub(crate) struct Publisher {
    evidence: PathBuf,
    outbox: PathBuf,
    outbox_dir: OwnedFd,
    /// The folder that was published to last: usually the day's.
    open_folder: Option<(String, OwnedFd)>,
}

/// What happened to a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// It was not there, and now is.
    Written,
    /// It was there as it should be.
    Same,
    /// Another signed bundle is there; it was left alone.
    OtherSigned,
}

impl Publisher {
    pub(crate) fn open(evidence: PathBuf, outbox: PathBuf) -> Result<Self, AgentError> {
        let outbox_dir = files::open_dir(&outbox).map_err(AgentError::file(&outbox))?;
        for (path, dir) in [(&evidence, None), (&outbox, Some(&outbox_dir))] {
            let opened = files::open_dir(path).map_err(AgentError::file(path))?;
            files::remove_leftovers(dir.unwrap_or(&opened)).map_err(AgentError::file(path))?;
        }
        Ok(Self {
            evidence,
            outbox,
            outbox_dir,
            open_folder: None,
        })
    }

    /// Publishes a bundle and its signature; the signature first, since the bundle is the mark
    /// that both are there.
    pub(crate) fn bundle(
        &mut self,
        path: &str,
        id: BundleId,
        bytes: &[u8],
        signature: &[u8],
        keys: &HostKeys,
    ) -> Result<Published, AgentError> {
        let evidence = self.evidence.clone();
        let dir = self.folder_of(path)?;
        let failed = || AgentError::file(&evidence);
        let fresh = |name: &str, bytes: &[u8]| {
            files::publish(
                dir,
                name,
                bytes,
                FILE_MODE,
                Durability::None,
                Replace::Never,
            )
        };
        let clash = match fresh(&id.signature_name(), signature) {
            Ok(()) => false,
            Err(FileError::Exists { .. }) => true,
            Err(error) => return Err(failed()(error)),
        };
        match fresh(&id.file_name(), bytes) {
            Ok(()) if !clash => return Ok(Published::Written),
            Ok(()) | Err(FileError::Exists { .. }) => {}
            Err(error) => return Err(failed()(error)),
        }
        if is_same(dir, &id, bytes, signature) {
            return Ok(Published::Same);
        }
        if is_signed(dir, &id, keys) {
            return Ok(Published::OtherSigned);
        }
        for (name, bytes) in [(id.signature_name(), signature), (id.file_name(), bytes)] {
            files::publish(dir, &name, bytes, FILE_MODE, Durability::None, Replace::Yes)
                .map_err(failed())?;
        }
        Ok(Published::Written)
    }

    /// Gives staged files their real names, and says how many had none; `elsewhere` tells where else
    /// the same bytes are, should they be staged no more. A file that is neither
    /// staged nor there is lost: that is alarmed, and keeps nothing else from being published.
    pub(crate) fn artifacts(
        &self,
        staged: &Path,
        artifacts: &[Artifact],
        elsewhere: impl Fn(&Artifact) -> Result<Vec<String>, AgentError>,
    ) -> Result<usize, AgentError> {
        let mut linked = 0;
        let mut source = None;
        for artifact in artifacts {
            let (folder, name) = artifact
                .path
                .rsplit_once('/')
                .unwrap_or(("", &artifact.path));
            let full = self.evidence.join(folder);
            create_folders(&self.evidence, &full)?;
            let dir = files::open_dir(&full).map_err(AgentError::file(&full))?;
            if let Ok(Some(there)) = files::metadata(&dir, name)
                && there.size_bytes == artifact.size_bytes
            {
                continue;
            }
            if source.is_none() {
                source = files::open_dir(staged).ok();
            }
            let mut result = match &source {
                Some(from) => files::link(from, artifact.sha256.to_string(), &dir, name),
                None => Err(FileError::NotFound {
                    name: staged.display().to_string(),
                }),
            };
            // Another bundle, resealed or not, may have the same bytes.
            for other in elsewhere(artifact)? {
                if result.is_ok() {
                    break;
                }
                let (folder, other) = other.rsplit_once('/').unwrap_or(("", &other));
                if let Ok(from) = files::open_dir(&self.evidence.join(folder))
                    && let Ok(Some(meta)) = files::metadata(&from, other)
                    && meta.size_bytes == artifact.size_bytes
                {
                    result = files::link(from, other, &dir, name);
                }
            }
            match result {
                Ok(()) => linked += 1,
                Err(error @ (FileError::NotFound { .. } | FileError::Exists { .. })) => {
                    tracing::error!(
                        state = "artifact_lost",
                        path = artifact.path,
                        sha256 = %artifact.sha256,
                        "a sealed artifact is not where it should be; restore it from a copy: \
                         {error}"
                    );
                }
                Err(error) => return Err(AgentError::file(full)(error)),
            }
        }
        Ok(linked)
    }

    /// Whether anything is staged.
    pub(crate) fn has_staged(&self) -> bool {
        std::fs::read_dir(self.evidence.join(STAGED))
            .is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Removes staged files, but for the drops that `holds` says are still in work.
    pub(crate) fn remove_staged(&self, holds: impl Fn(&str) -> bool) -> Result<(), AgentError> {
        let folder = self.evidence.join(STAGED);
        let failed = |source| AgentError::Folder {
            path: folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().to_str().is_some_and(&holds) {
                remove_staged(&entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Writes `EB-….locations.json`, in place of the one before.
    pub(crate) fn locations(
        &mut self,
        path: &str,
        id: BundleId,
        locations: &Locations,
    ) -> Result<(), AgentError> {
        let evidence = self.evidence.clone();
        let mut text = serde_json::to_vec_pretty(locations).unwrap_or_default();
        text.push(b'\n');
        let dir = self.folder_of(path)?;
        files::publish(
            dir,
            id.locations_name(),
            &text,
            FILE_MODE,
            Durability::None,
            Replace::Yes,
        )
        .map_err(AgentError::file(evidence))
    }

    /// Removes the files of a bundle, and the folders that are empty then. A file that is not this
    /// bundle's is left alone.
    pub(crate) fn withdraw(
        &mut self,
        bundle: &SpooledBundle,
        artifacts: &[Artifact],
    ) -> Result<(), AgentError> {
        // It may be removed.
        self.open_folder = None;
        for artifact in artifacts {
            self.withdraw_files(&artifact.path, |_, name| vec![name.to_owned()])?;
        }
        let id = bundle.bundle_id;
        self.withdraw_files(&bundle.path, |dir, _| {
            if !is_same(dir, &id, &bundle.bytes, &bundle.signature) {
                let is_there = matches!(files::metadata(dir, id.file_name()), Ok(Some(_)));
                if is_there {
                    tracing::error!(
                        bundle = %id,
                        state = "other_file",
                        "a local copy that is to be removed is not what was sealed; it was left alone"
                    );
                    return Vec::new();
                }
            }
            // The bundle goes first: it is the mark that both are there.
            vec![id.file_name(), id.signature_name(), id.locations_name()]
        })
    }

    fn withdraw_files(
        &self,
        path: &str,
        names: impl FnOnce(&OwnedFd, &str) -> Vec<String>,
    ) -> Result<(), AgentError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let full = self.evidence.join(folder);
        let dir = match files::open_dir(&full) {
            Ok(dir) => dir,
            Err(FileError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(AgentError::file(full)(error)),
        };
        for name in names(&dir, name) {
            match files::remove(&dir, name) {
                Ok(()) | Err(FileError::NotFound { .. }) => {}
                Err(error) => return Err(AgentError::file(full)(error)),
            }
        }
        files::sync_dir(&dir).map_err(AgentError::file(&full))?;
        for folder in full.ancestors().take_while(|path| *path != self.evidence) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Publishes a work order. An order of that id never has other bytes, so an existing file that
    /// differs is a torn one.
    pub(crate) fn order(&self, order_id: &str, body: &[u8]) -> Result<Published, AgentError> {
        self.outbox_file(format!("{order_id}{ORDER_SUFFIX}"), body)
    }

    fn outbox_file(&self, name: String, body: &[u8]) -> Result<Published, AgentError> {
        let put = |replace| {
            files::publish(
                &self.outbox_dir,
                &name,
                body,
                FILE_MODE,
                Durability::None,
                replace,
            )
        };
        match put(Replace::Never) {
            Ok(()) => Ok(Published::Written),
            Err(FileError::Exists { .. }) => {
                let there = files::read_capped(&self.outbox_dir, &name, body.len() as u64);
                if there.is_ok_and(|c| c.bytes == body) {
                    return Ok(Published::Same);
                }
                put(Replace::Yes).map_err(AgentError::file(&self.outbox))?;
                Ok(Published::Written)
            }
            Err(error) => Err(AgentError::file(&self.outbox)(error)),
        }
    }

    /// Publishes a notice to the uploader; it stays for ever.
    pub(crate) fn notice(&self, notice_id: &str, body: &[u8]) -> Result<Published, AgentError> {
        self.outbox_file(format!("{notice_id}{NOTICE_SUFFIX}"), body)
    }

    /// Removes the order of which every object is confirmed.
    pub(crate) fn remove_order(&self, order_id: &str) -> Result<(), AgentError> {
        match files::remove(&self.outbox_dir, format!("{order_id}{ORDER_SUFFIX}")) {
            Ok(()) | Err(FileError::NotFound { .. }) => Ok(()),
            Err(error) => Err(AgentError::file(&self.outbox)(error)),
        }
    }

    /// Makes everything published so far survive a power cut: one call for each file system.
    pub(crate) fn sync(&self) -> Result<(), AgentError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |errno: nix::errno::Errno| AgentError::Folder {
                path,
                source: errno.into(),
            }
        };
        nix::unistd::syncfs(&self.outbox_dir).map_err(failed(&self.outbox))?;
        // It may be a file system of its own; if it is not, there is nothing left to write.
        let evidence = files::open_dir(&self.evidence).map_err(AgentError::file(&self.evidence))?;
        nix::unistd::syncfs(&evidence).map_err(failed(&self.evidence))
    }

    fn folder_of(&mut self, path: &str) -> Result<&OwnedFd, AgentError> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if self
            .open_folder
            .as_ref()
            .is_none_or(|(open, _)| open != folder)
        {
            let full = self.evidence.join(folder);
            create_folders(&self.evidence, &full)?;
            let dir = files::open_dir(&full).map_err(AgentError::file(&full))?;
            files::remove_leftovers(&dir).map_err(AgentError::file(&full))?;
            self.open_folder = Some((folder.to_owned(), dir));
        }
        match &self.open_folder {
            Some((_, dir)) => Ok(dir),
            None => unreachable!("set just above"),
        }
    }
}

/// Whatever the umask is, the hand-over group can look in.
fn create_folders(root: &Path, full: &Path) -> Result<(), AgentError> {
    let missing: Vec<&Path> = full
        .ancestors()
        .take_while(|p| *p != root)
        .filter(|p| !p.exists())
        .collect();
    for path in missing.into_iter().rev() {
        DirBuilder::new()
            .mode(FOLDER_MODE)
            .create(path)
            .and_then(|()| open_to_group(path))
            .map_err(|source| AgentError::Folder {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(())
}

/// Gives a folder of ours [`FOLDER_MODE`], if the umask took some of it. Which group that is for, and
/// setgid, the kernel takes from the parent (inode(7)), and they stay: the service may not set setgid
/// itself (`RestrictSUIDSGID=`), nor needs to.
pub(crate) fn open_to_group(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o7777;
    let wanted = mode & 0o7000 | FOLDER_MODE;
    if mode == wanted {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(wanted))
}

fn is_same(dir: &OwnedFd, id: &BundleId, bytes: &[u8], signature: &[u8]) -> bool {
    let same = |name: String, expected: &[u8]| {
        files::read_capped(dir, name, expected.len() as u64).is_ok_and(|c| c.bytes == expected)
    };
    same(id.file_name(), bytes) && same(id.signature_name(), signature)
}

/// Whether the two files are somebody's honest work: signed with this host's key.
pub(crate) fn is_signed(dir: &OwnedFd, id: &BundleId, keys: &HostKeys) -> bool {
    let bytes = files::read_capped(dir, id.file_name(), BUNDLE_MAX_BYTES);
    let signed = files::read_capped(dir, id.signature_name(), SIGNATURE_MAX_BYTES);
    match (bytes, signed) {
        (Ok(bytes), Ok(signed)) => keys.signed(&bytes.bytes, &signed.bytes),
        _ => false,
    }
}
