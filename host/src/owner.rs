//! Reading a daemon's files as that daemon's user, for the CLI when root runs it.
//!
//! SQLite in WAL mode makes `-wal` and `-shm` files as whoever opens the database. Made by root
//! they would lock the daemon out of its own database, so root becomes the owner first.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, getegid, geteuid, setegid, seteuid};

/// Why root could not become the owner.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The file or folder is not there or cannot be looked at.
    #[error("could not look at {path}")]
    Look {
        /// What was looked at.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the change of user.
    #[error("could not become user {uid} to read {path}; run the command as that user")]
    Become {
        /// What was to be read.
        path: String,
        /// Its owner.
        uid: u32,
        /// Why.
        #[source]
        source: nix::Error,
    },
}

/// Runs `work` with the effective user and group of whoever owns `path`, when the caller is root
/// and the owner is not; otherwise just runs it.
///
/// The change is for the whole process while `work` runs, so call it from the main thread of a
/// command, never from a daemon.
///
/// # Errors
/// When `path` cannot be looked at, or the change of user is refused. `work` has not run then.
pub fn as_owner_of<T>(path: &Path, work: impl FnOnce() -> T) -> Result<T, OwnerError> {
    let named = || path.display().to_string();
    let meta = fs::metadata(path).map_err(|source| OwnerError::Look {
        path: named(),
        source,
    })?;
    if !geteuid().is_root() || meta.uid() == 0 {
        return Ok(work());
    }
    let refused = |source| OwnerError::Become {
        path: named(),
        uid: meta.uid(),
        source,
    };
    let _restore = Restore {
        uid: geteuid(),
        gid: getegid(),
    };
    // The group first: afterwards the process may no longer change it.
    setegid(Gid::from_raw(meta.gid())).map_err(refused)?;
    seteuid(Uid::from_raw(meta.uid())).map_err(refused)?;
    Ok(work())
}

/// Puts the caller's identity back, also when the work panics.
struct Restore {
    uid: Uid,
    gid: Gid,
}

impl Drop for Restore {
    fn drop(&mut self) {
        // The saved user id is still root's, so this cannot be refused; going on as the wrong
        // user would be worse than stopping.
        if seteuid(self.uid).and_then(|()| setegid(self.gid)).is_err() {
            std::process::abort();
        }
    }
}
