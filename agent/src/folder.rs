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
use host::files::{self, FileError};
use jiff::Timestamp;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstatat};

use crate::AgentError;
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

/// A drop that this process has renamed to itself.
#[derive(Debug)]
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
    /// Its bytes.
    Bytes(Vec<u8>, u32),
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
        let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
        let usual = regular && bytes.ends_with(b".json") && stat.st_nlink == 1;
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
        let refused = |code, message: String| Reading::Refused(Refusal::new(code, message));
        let contents =
            match files::read_capped(&self.dir, &taken.held_as, self.limits.max_document_bytes) {
                Ok(contents) => contents,
                Err(FileError::NotRegular {
                    kind: "folder" | "directory",
                    ..
                }) => {
                    return refused(
                        "folder_drop",
                        "folder drops are not taken by this version".to_owned(),
                    );
                }
                Err(FileError::NotRegular { kind, .. }) => {
                    return refused("not_a_regular_file", format!("the drop is a {kind}"));
                }
                Err(FileError::TooLarge { limit_bytes, .. }) => {
                    return refused(
                        "too_large",
                        format!("the drop is larger than drop.max_document_bytes = {limit_bytes}"),
                    );
                }
                Err(FileError::Denied { .. }) => {
                    return refused(
                        "unreadable",
                        "the agent may not read the drop: producers leave files group-readable"
                            .to_owned(),
                    );
                }
                Err(error) => return Reading::Later(error),
            };
        if !taken.name.as_bytes().ends_with(b".json") {
            return refused(
                "not_a_drop_name",
                "a drop's name ends with .json".to_owned(),
            );
        }
        if contents.meta.link_count != 1 {
            return refused(
                "hard_linked",
                "the drop has another name, under which it could change".to_owned(),
            );
        }
        let owner = contents.meta.owner_uid;
        let allowed = &self.limits.allowed_owners;
        if !allowed.is_empty() && !allowed.contains(&owner) {
            return refused(
                "foreign_owner",
                format!("the drop belongs to uid {owner}, which drop.allowed_owners does not list"),
            );
        }
        Reading::Bytes(contents.bytes, owner)
    }

    /// Removes a taken drop.
    pub(crate) fn remove(&self, taken: &Taken) -> Result<(), FileError> {
        match files::remove(&self.dir, &taken.held_as) {
            Err(FileError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}
