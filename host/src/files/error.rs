//! What can go wrong with a file, sorted by what the caller does about it.

use std::ffi::OsStr;
use std::io;

use nix::errno::Errno;

/// One failed file operation. Its Display names the file and omits the source.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such name (any more).
    #[error("{name} does not exist")]
    NotFound {
        /// The name as it was given.
        name: String,
    },
    /// The name is taken and must not be replaced.
    #[error("{name} exists already and is never overwritten")]
    Exists {
        /// The name as it was given.
        name: String,
    },
    /// A symlink, folder, FIFO, socket or device where a regular file belongs.
    #[error("{name} is a {kind}, not a regular file")]
    NotRegular {
        /// The name as it was given.
        name: String,
        /// What it is, in words.
        kind: &'static str,
    },
    /// More bytes than the caller takes.
    #[error("{name} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The name as it was given.
        name: String,
        /// The caller's limit, in bytes.
        limit_bytes: u64,
    },
    /// It was written to, or got another name, while it was read.
    #[error("{name} changed while it was read")]
    Changing {
        /// The name as it was given.
        name: String,
    },
    /// Permission refused.
    #[error("{name}: {operation} is not permitted for this user")]
    Denied {
        /// The name as it was given.
        name: String,
        /// What was tried.
        operation: &'static str,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// A name with a slash, or `.`, `..`, or empty: it could leave the folder.
    #[error("{name:?} is not a plain file name")]
    BadName {
        /// The name as it was given.
        name: String,
    },
    /// Anything else, such as a full disk.
    #[error("{name}: {operation} failed")]
    Io {
        /// The name as it was given.
        name: String,
        /// What was tried.
        operation: &'static str,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    pub(super) fn from_errno(name: &OsStr, operation: &'static str, errno: Errno) -> Self {
        let name = name.to_string_lossy().into_owned();
        match errno {
            Errno::ENOENT => Self::NotFound { name },
            Errno::EEXIST => Self::Exists { name },
            // O_NOFOLLOW on a symlink (open(2)).
            Errno::ELOOP => Self::NotRegular {
                name,
                kind: "symlink",
            },
            // O_DIRECTORY on something else, also on a symlink with O_NOFOLLOW (open(2)).
            Errno::ENOTDIR => Self::NotRegular {
                name,
                kind: "file or symlink instead of a folder",
            },
            // O_NONBLOCK on a socket, or a device without a driver (open(2)).
            Errno::ENXIO => Self::NotRegular {
                name,
                kind: "socket or device",
            },
            Errno::EACCES | Errno::EPERM => Self::Denied {
                name,
                operation,
                source: errno.into(),
            },
            _ => Self::Io {
                name,
                operation,
                source: errno.into(),
            },
        }
    }

    pub(super) fn from_io(name: &OsStr, operation: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) => Self::from_errno(name, operation, Errno::from_raw(code)),
            None => Self::Io {
                name: name.to_string_lossy().into_owned(),
                operation,
                source: error,
            },
        }
    }

    /// Whether the file system had no room (`ENOSPC`, `EDQUOT`), which an operator must fix and
    /// which then heals by itself.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// A name that cannot leave its folder.
pub(super) fn plain(name: &OsStr) -> Result<&OsStr, FileError> {
    let bytes = name.as_encoded_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(FileError::BadName {
            name: name.to_string_lossy().into_owned(),
        });
    }
    Ok(name)
}
