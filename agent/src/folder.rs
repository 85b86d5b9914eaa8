//! The drop folder: looked at, taken from, read without being tricked.
//!
//! Order of work for one drop: rename it in place to a `.taken-` name, then open, check and read
//! that name, and in the end remove only that name, if it still is what was read. So what was read
//! is what is removed, and a producer that reuses the name makes a new drop. Everything is relative
//! to the open folder.
//!
//! Others can write to the folder, and so also under a `.taken-` name. Only those count that this
//! process gave, or found when it opened the folder, each token once; any other is taken like a new
//! drop. So no drop can pass for another whose token it bears.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use host::config::DropSettings;
use host::files::{self, Contents, FileError, FileMeta};
use jiff::Timestamp;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstatat};

use crate::AgentError;
use crate::folder_drop::{self, DOCUMENT, FolderDrop, FolderRead, NotRemoved};
use crate::screening::Screening;
use crate::token;

/// A producer that links and then unlinks shows two links for a moment; one that writes under a
/// name that is no drop's is given time to rename.
const SETTLE_SECS: i64 = 10;
/// At most so many names are held in memory; the rest are seen by the next pass.
const NAMES_AT_ONCE: usize = 16_384;
/// Of a name so much is shown: with a token before it and a suffix after it, it is a file's name.
const SHOWN_BYTES: usize = 160;

/// The open drop folder.
pub(crate) struct DropFolder {
    path: PathBuf,
    dir: OwnedFd,
    limits: DropSettings,
    pub(crate) screening: Arc<Screening>,
    /// The taken names that are ours.
    held: RefCell<HashSet<OsString>>,
}

/// The code of a refusal for a folder where a file should be.
const A_FOLDER: &str = "a_folder";

/// A drop that this process has renamed to itself.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// Names this taking.
    pub(crate) token: String,
    /// The name it is held under.
    pub(crate) held_as: OsString,
    /// The producer's name for it.
    pub(crate) name: OsString,
    /// The same, screened and printable: for logs, and names of our own.
    pub(crate) shown: String,
}

/// Why a drop is not sealed but quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Stable code, for reason files and custody.
    pub(crate) code: String,
    /// JSON pointer, where there is one.
    pub(crate) path: String,
    /// In words, quoting nothing of the document.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            path: String::new(),
            message: message.into(),
        }
    }
}

/// A drop as it was read: it is removed only while it is still that.
#[derive(Debug)]
pub(crate) enum WasRead {
    /// A document alone.
    File(FileMeta),
    /// A folder.
    Folder(FolderRead),
}

/// What reading a drop gave.
pub(crate) enum Reading {
    /// Its bytes, and what it was when they were read.
    Bytes(Vec<u8>, FileMeta),
    /// A folder, and the document in it.
    Folder(FolderDrop),
    /// Not acceptable.
    Refused(Refusal),
    /// Gone, or not to be had for now: looked at again in the next pass.
    Later(FileError),
}

impl DropFolder {
    pub(crate) fn open(
        path: PathBuf,
        limits: DropSettings,
        screening: Arc<Screening>,
    ) -> Result<Self, AgentError> {
        let dir = files::open_dir(&path).map_err(AgentError::file(&path))?;
        let names = files::names(&dir, usize::MAX - 1).map_err(AgentError::file(&path))?;
        let mut tokens = HashSet::new();
        let held = names
            .into_iter()
            .filter(|name| token::parse(name).is_some_and(|(token, _)| tokens.insert(token)))
            .collect();
        Ok(Self {
            path,
            dir,
            limits,
            screening,
            held: RefCell::new(held),
        })
    }

    pub(crate) const fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Whether the folder is still the one at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        files::is_at(&self.dir, &self.path)
    }

    /// Names that wait: taken ones first (a crash or a fault left them), then new ones in order.
    pub(crate) fn waiting(&self, now: Timestamp) -> Result<Vec<OsString>, AgentError> {
        let failed = |errno: nix::errno::Errno| AgentError::Folder {
            path: self.path.clone(),
            source: errno.into(),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(&self.dir, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let name = OsString::from_vec(entry.map_err(failed)?.file_name().to_bytes().to_vec());
            if self.is_ready(&name, now) {
                names.push(name);
                if names.len() == NAMES_AT_ONCE {
                    break;
                }
            }
        }
        if names.len() < NAMES_AT_ONCE {
            // Whatever is not there any more was removed or moved.
            let there: HashSet<&OsString> = names.iter().collect();
            self.held.borrow_mut().retain(|name| there.contains(name));
        }
        names.sort_by_cached_key(|name| (token::parse(name).is_none(), name.clone()));
        Ok(names)
    }

    /// Whether a name is to be taken now: not one that its producer is still writing under.
    fn is_ready(&self, name: &OsStr, now: Timestamp) -> bool {
        let bytes = name.as_bytes();
        if bytes.starts_with(b".") {
            return token::parse(name).is_some();
        }
        if bytes.ends_with(b".tmp") || bytes.ends_with(b".part") {
            return false;
        }
        let Ok(stat) = fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) else {
            return false;
        };
        let settled =
            now.as_second() - stat.st_ctime >= SETTLE_SECS || stat.st_ctime > now.as_second();
        let usual = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => bytes.ends_with(b".json") && stat.st_nlink == 1,
            // One that its producer makes in place, against the contract, may be filled yet.
            SFlag::S_IFDIR => files::open_dir_at(&self.dir, name)
                .is_ok_and(|dir| files::metadata(&dir, DOCUMENT).is_ok()),
            _ => false,
        };
        usual || settled
    }

    /// Renames a drop to this process; `None` when it is gone already (its producer withdrew it).
    pub(crate) fn take(&self, name: &OsStr) -> Result<Option<Taken>, FileError> {
        let mut drop_name = name.to_owned();
        if let Some((token, parsed)) = token::parse(name) {
            if self.held.borrow().contains(name) {
                return Ok(Some(Taken {
                    token,
                    held_as: name.to_owned(),
                    shown: self.shown(&parsed),
                    name: parsed,
                }));
            }
            drop_name = parsed;
        }
        let token = token::fresh();
        let held_as = token::taken_name(&token, &drop_name);
        match files::rename_noreplace(&self.dir, name, &self.dir, &held_as) {
            Ok(()) => {
                self.held.borrow_mut().insert(held_as.clone());
                Ok(Some(Taken {
                    token,
                    held_as,
                    shown: self.shown(&drop_name),
                    name: drop_name,
                }))
            }
            Err(FileError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A drop's name, screened and printable.
    pub(crate) fn shown(&self, name: &OsStr) -> String {
        self.screening.name(name, SHOWN_BYTES)
    }

    /// Reads a taken drop, whatever tricks are under its name.
    pub(crate) fn read(&self, taken: &Taken) -> Reading {
        match read_document(&self.dir, &taken.held_as, &self.limits) {
            Ok(contents) if taken.name.as_bytes().ends_with(b".json") => {
                Reading::Bytes(contents.bytes, contents.meta)
            }
            Ok(_) => Reading::Refused(Refusal::new(
                "not_a_drop_name",
                "a drop's name ends with .json, or it is a folder",
            )),
            Err(Reading::Refused(refusal)) if refusal.code == A_FOLDER => {
                folder_drop::read(&self.dir, &taken.held_as, &self.limits, &self.screening)
            }
            Err(reading) => reading,
        }
    }

    /// Removes a taken document that is still what was read.
    pub(crate) fn remove_file(&self, taken: &Taken, read: FileMeta) -> Result<(), NotRemoved> {
        let removed = match files::metadata(&self.dir, &taken.held_as) {
            Ok(found) if found == Some(read) => files::remove(&self.dir, &taken.held_as),
            Ok(_) => return Err(NotRemoved::Changed),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) | Err(FileError::NotFound { .. }) => Ok(()),
            Err(error) => Err(NotRemoved::Failed(error)),
        }
    }

    /// Removes a taken folder that still holds exactly what was read.
    ///
    /// It gets another name first, in one step: half a folder under a taken name would be taken for
    /// another drop after a crash.
    pub(crate) fn remove_folder(&self, taken: &Taken, read: &FolderRead) -> Result<(), NotRemoved> {
        match folder_drop::is_unchanged(&self.dir, &taken.held_as, read) {
            Ok(true) => {}
            Ok(false) => return Err(NotRemoved::Changed),
            Err(FileError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(NotRemoved::Failed(error)),
        }
        let sealed = token::sealed_name(&taken.token);
        files::rename_noreplace(&self.dir, &taken.held_as, &self.dir, &sealed)
            // Durable before anything of it goes, for the same reason.
            .and_then(|()| files::sync_dir(&self.dir))
            .and_then(|()| folder_drop::remove(&self.dir, &sealed))
            .map_err(NotRemoved::Failed)
    }

    /// Removes what a stop left of sealed folders, and tells of what cannot be removed.
    pub(crate) fn remove_sealed(&self) -> Result<Vec<(OsString, FileError)>, AgentError> {
        let names =
            files::names(&self.dir, usize::MAX - 1).map_err(AgentError::file(&self.path))?;
        let mut kept = Vec::new();
        for name in names.into_iter().filter(|name| token::is_sealed(name)) {
            if let Err(error) = folder_drop::remove(&self.dir, &name) {
                kept.push((name, error));
            }
        }
        Ok(kept)
    }
}

/// Reads a document with every check that does not depend on its name.
pub(crate) fn read_document(
    dir: &OwnedFd,
    name: &OsStr,
    limits: &DropSettings,
) -> Result<Contents, Reading> {
    let refused = |code, message: String| Err(Reading::Refused(Refusal::new(code, message)));
    let limit_bytes = limits.max_document_bytes;
    let contents = match files::read_capped(dir, name, limit_bytes) {
        Ok(contents) => contents,
        Err(FileError::NotRegular {
            kind: kind @ "folder",
            ..
        }) => return refused(A_FOLDER, format!("the document is a {kind}")),
        Err(FileError::NotRegular { kind, .. }) => {
            return refused("not_a_regular_file", format!("the drop is a {kind}"));
        }
        Err(FileError::TooLarge { .. }) => {
            return refused(
                "too_large",
                format!("the drop is larger than drop.max_document_bytes = {limit_bytes}"),
            );
        }
        Err(FileError::Denied { .. }) => {
            return refused(
                "unreadable",
                "the agent may not read the drop: producers leave files group-readable".to_owned(),
            );
        }
        Err(error) => return Err(Reading::Later(error)),
    };
    if contents.meta.link_count != 1 {
        return refused(
            "hard_linked",
            "the drop has another name, under which it could change".to_owned(),
        );
    }
    let owner = contents.meta.owner_uid;
    let allowed = &limits.allowed_owners;
    if !allowed.is_empty() && !allowed.contains(&owner) {
        return refused(
            "foreign_owner",
            format!("the drop belongs to uid {owner}, which drop.allowed_owners does not list"),
        );
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use host::config::OnSealed;

    use super::*;
    use crate::screening::tests::built_in;

    #[test]
    fn a_document_that_changed_after_it_was_read_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let limits = DropSettings {
            on_sealed: OnSealed::Remove,
            archive_dir: None,
            allowed_owners: Vec::new(),
            rescan_secs: 30,
            max_document_bytes: 1024,
            max_depth: 8,
            max_artifacts: 1,
            max_artifact_bytes: 1024,
        };
        let drops = DropFolder::open(folder.path().to_owned(), limits, built_in()).unwrap();
        fs::write(folder.path().join("a.json"), b"{}").unwrap();
        let taken = drops.take(OsStr::new("a.json")).unwrap().unwrap();
        let Reading::Bytes(_, read) = drops.read(&taken) else {
            panic!("a plain document is read");
        };
        let held = folder.path().join(&taken.held_as);
        fs::write(&held, b"{\"more\": 1}").unwrap();
        assert!(matches!(
            drops.remove_file(&taken, read),
            Err(NotRemoved::Changed)
        ));
        let Reading::Bytes(bytes, read) = drops.read(&taken) else {
            panic!("it is read again");
        };
        assert_eq!(bytes, b"{\"more\": 1}");
        drops.remove_file(&taken, read).unwrap();
        assert!(!held.exists());
    }
}
