//! The open database, as the uploader writes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::error::DeliveryError;
use super::schema;

/// The database's file name below `paths.delivery`.
pub const DATABASE_NAME: &str = "delivery.db";

/// delivery.db, open for writing. One connection, used by one thread.
pub struct Ledger {
    pub(super) db: Connection,
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Ledger {
    /// Opens or creates `delivery.db` in `folder` and brings it to this build's schema.
    ///
    /// # Errors
    /// When the file cannot be used or was written by a newer version.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, DeliveryError> {
        let path = folder.join(DATABASE_NAME);
        let mut db = Connection::open(&path)?;
        configure(&db)?;
        schema::migrate(&mut db, now.as_millisecond())?;
        let inode = inode(&path);
        Ok(Self { db, path, inode })
    }

    /// As [`Ledger::open`]; a file that is not a usable database is moved aside (kept, under a
    /// name with the date) and a new one is made. Returns where it was moved.
    ///
    /// # Errors
    /// As [`Ledger::open`], for any other reason, or when it cannot be moved.
    pub fn open_or_rebuild(
        folder: &Path,
        now: Timestamp,
    ) -> Result<(Self, Option<PathBuf>), DeliveryError> {
        match Self::open(folder, now) {
            Err(error) if error.is_corrupt() => {
                let Ok(aside) = set_aside(folder, now) else {
                    return Err(error);
                };
                Ok((Self::open(folder, now)?, Some(aside)))
            }
            other => other.map(|ledger| (ledger, None)),
        }
    }

    /// Whether the file under the database's name is still the one that is open. When somebody
    /// removed or replaced it, what is written goes to a file that nobody will read again.
    #[must_use]
    pub fn is_still_in_place(&self) -> bool {
        inode(&self.path) == self.inode
    }

    /// Runs `work` in a transaction of its own.
    ///
    /// # Errors
    /// When it cannot be begun or committed, or `work` fails; nothing was changed then.
    pub fn transact<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, DeliveryError>,
    ) -> Result<T, DeliveryError> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let result = work(self).and_then(|value| {
            self.db.execute_batch("COMMIT")?;
            Ok(value)
        });
        if result.is_err() && !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK")?;
        }
        result
    }
}

/// Moves the database away, to be made anew from the outbox; returns where it is now. Only while no
/// uploader runs.
///
/// # Errors
/// When it cannot be renamed; then it is where it was.
pub fn set_aside(folder: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let aside = folder.join(format!("{DATABASE_NAME}.damaged-{}", now.as_millisecond()));
    std::fs::rename(folder.join(DATABASE_NAME), &aside)?;
    for suffix in ["-wal", "-shm"] {
        let name = format!("{DATABASE_NAME}{suffix}");
        let to = folder.join(format!("{name}.damaged-{}", now.as_millisecond()));
        // Usually not there; a stale one is ignored by SQLite beside an empty file.
        let _ = std::fs::rename(folder.join(name), to);
    }
    Ok(aside)
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path)
        .ok()
        .map(|meta| (meta.dev(), meta.ino()))
}

pub(super) fn configure(db: &Connection) -> Result<(), DeliveryError> {
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}
