//! One running instance per state folder, by an exclusive lock on a file.
//!
//! The lock is the kernel's (flock(2)): it ends with the process, however that ends, so a crash
//! never leaves a stale lock behind. The process id inside the file is only for the message, and
//! so is what the process tells there of itself ([`crate::alarm`]): a disk without room for them
//! refuses nobody the start.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::OFlag;

use crate::alarm::{Alarm, Alarms, cut, page};
use crate::reload::{self, Answer};

/// The agent's lock, in `paths.spool`.
pub const AGENT_LOCK: &str = "agent.lock";
/// The uploader's lock, in `paths.delivery`.
pub const UPLOADER_LOCK: &str = "uploader.lock";

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Somebody else has it.
    #[error(
        "another instance is running (process {pid}): it holds {path}; stop it first, or give \
         this one its own state folder",
        path = path.display()
    )]
    Running {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote, or `unknown`.
        pid: String,
    },
    /// The file could not be opened or locked.
    #[error("could not lock {path}", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Held as long as this value lives.
#[derive(Debug)]
pub struct InstanceLock {
    file: File,
    alarms: Alarms,
}

impl InstanceLock {
    /// Takes the lock at once or refuses at once. The file is made when missing and stays behind.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be used.
    pub fn acquire(path: &Path) -> Result<Self, InstanceError> {
        let failed = |source| InstanceError::Io {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let known = file.take(32).read_to_string(&mut pid).is_ok();
                let pid = pid.lines().next().unwrap_or_default().to_owned();
                let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
                let pid = if known && digits {
                    pid
                } else {
                    "unknown".to_owned()
                };
                return Err(InstanceError::Running {
                    path: path.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Of use to readers only.
        let _ = file.write_all_at(&page(&[], None), 0);
        Ok(Self {
            file,
            alarms: Alarms::default(),
        })
    }

    /// Tells whoever looks ([`crate::alarm::alarms`]) that this process cannot do something, and
    /// since when. Raised again, only its words are corrected.
    pub fn raise(&self, code: &str, message: &str) {
        self.alarms
            .raise(&self.file, code, message, Timestamp::now());
    }

    /// Tells that it can again.
    pub fn clear(&self, code: &str) {
        self.alarms.clear(&self.file, code);
    }

    /// What it cannot do just now.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.alarms.all()
    }

    /// Answers whoever asked to read the configuration again; a refusal, with its reason, is an alarm
    /// until a later one is taken.
    pub fn reloaded(&self, outcome: Result<(), &str>) {
        match outcome {
            Ok(()) => self.clear(reload::REFUSED),
            Err(why) => self.raise(
                reload::REFUSED,
                &format!("the configuration was not read again, the one before is in use: {why}"),
            ),
        }
        let answer = Answer {
            at: Timestamp::now(),
            refused: outcome.err().map(|why| cut(why).to_owned()),
        };
        self.alarms.answer(&self.file, answer);
    }
}

/// Whether somebody holds the lock on this file. Nothing is made or written; for the moment of the
/// look the lock is shared, so do not ask in a loop.
#[must_use]
pub fn is_running(path: &Path) -> bool {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    opened.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_refused_and_names_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        let first = InstanceLock::acquire(&path).unwrap();
        let refusal = InstanceLock::acquire(&path).unwrap_err().to_string();
        assert!(
            refusal.contains(&std::process::id().to_string()),
            "{refusal}"
        );
        assert!(refusal.contains("agent.lock"), "{refusal}");
        drop(first);
        InstanceLock::acquire(&path).unwrap();
    }

    #[test]
    fn whether_an_instance_runs_is_seen_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        assert!(!is_running(&path));
        assert!(!path.exists());
        let lock = InstanceLock::acquire(&path).unwrap();
        assert!(is_running(&path));
        drop(lock);
        assert!(!is_running(&path));
    }

    #[test]
    fn a_lock_left_by_a_dead_process_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        std::fs::write(&path, "999999999\n").unwrap();
        let _lock = InstanceLock::acquire(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some(&*std::process::id().to_string()));
    }

    #[test]
    fn a_symlink_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        let path = folder.path().join("agent.lock");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        InstanceLock::acquire(&path).unwrap_err();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }
}
