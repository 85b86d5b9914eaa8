//! The drop folder: looked at, taken from, read without being tricked.
//!
//! Order of work for one drop: rename it in place to a `.taken-` name, then open, check and read
//! that name, and in the end remove only that name. So what was read is what is removed, and a
//! producer that reuses the name makes a new drop. Everything is relative to the open folder.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use host::config::DropSettings;
use host::files::{self, Contents, FileError};
use jiff::Timestamp;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstatat};

use crate::AgentError;
use crate::folder_drop::{self, DOCUMENT, FolderDrop, FolderRead, NotRemoved};
use crate::token;

/// A producer that links and then unlinks shows two links for a moment; one that writes under a
/// name that is no drop's is given time to rename.
const SETTLE_SECS: i64 = 10;
/// At most so many names are held in memory; the rest are seen by the next pass.
const NAMES_AT_ONCE: usize = 16_384;

/// The open drop folder.
pub(crate) struct DropFolder {
    path: PathBuf,
    dir: OwnedFd,
    limits: DropSettings,
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

/// What reading a drop gave.
pub(crate) enum Reading {
    /// Its bytes, and their owner.
    Bytes(Vec<u8>, u32),
    /// A folder, and the document in it.
    Folder(FolderDrop),
    /// Not acceptable.
    Refused(Refusal),
    /// Gone, or not to be had for now: looked at again in the next pass.
    Later(FileError),
}

impl DropFolder {
    pub(crate) fn open(path: PathBuf, limits: DropSettings) -> Result<Self, AgentError> {
        let dir = files::open_dir(&path).map_err(AgentError::file(&path))?;
        Ok(Self { path, dir, limits })
    }

    pub(crate) const fn dir(&self) -> &OwnedFd {
        &self.dir
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
        if let Some((token, drop_name)) = token::parse(name) {
            return Ok(Some(Taken {
                token,
                held_as: name.to_owned(),
                name: drop_name,
            }));
        }
        let token = token::fresh();
        let held_as = token::taken_name(&token, name);
        match files::rename_noreplace(&self.dir, name, &self.dir, &held_as) {
            Ok(()) => Ok(Some(Taken {
                token,
                held_as,
                name: name.to_owned(),
            })),
            Err(FileError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a taken drop, whatever tricks are under its name.
    pub(crate) fn read(&self, taken: &Taken) -> Reading {
        match read_document(&self.dir, &taken.held_as, &self.limits) {
            Ok(contents) if taken.name.as_bytes().ends_with(b".json") => {
                Reading::Bytes(contents.bytes, contents.meta.owner_uid)
            }
            Ok(_) => Reading::Refused(Refusal::new(
                "not_a_drop_name",
                "a drop's name ends with .json, or it is a folder",
            )),
            Err(Reading::Refused(refusal)) if refusal.code == A_FOLDER => {
                folder_drop::read(&self.dir, &taken.held_as, &self.limits)
            }
            Err(reading) => reading,
        }
    }

    /// Removes a taken drop.
    pub(crate) fn remove(&self, taken: &Taken) -> Result<(), FileError> {
        match files::remove(&self.dir, &taken.held_as) {
            Err(FileError::NotFound { .. }) => Ok(()),
            other => other,
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
