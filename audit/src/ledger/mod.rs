//! The ledger: an SQLite working file with everything that was listed, read and found.
//!
//! It keeps memory flat over any number of objects, lets an interrupted audit go on, and is what list,
//! pull and report read from. Nothing in it is evidence: it is made from the source and the keyring each
//! time, and one that was made from another source or keyring is refused.

mod answer;
mod fill;
mod judged;
mod listing;
mod said;
mod schema;
mod values;
mod waiting;

pub(crate) use values::{int, us};

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

pub use fill::{Examined, Read, ReadVersion, Standing};
pub use judged::{JudgedBy, TrustedKey};
pub use listing::ListedTo;
pub use waiting::{Signed, Unit, VersionToRead};

/// What a ledger was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// [`crate::Source::uri`].
    pub source: String,
    /// [`crate::Keyring::sha256`], in hexadecimal.
    pub keyring: String,
    /// What below the source was looked at, such as clients and hosts.
    pub scope: String,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite.
    #[error("the working file failed")]
    Sql(#[from] rusqlite::Error),
    /// A temporary file could not be made.
    #[error("cannot make a working file")]
    Temporary(#[source] std::io::Error),
    /// It is of something else.
    #[error(
        "{} is the working file of another audit: its {what} is {found}, this one's is {wanted}; name another file or remove it",
        file.display()
    )]
    Other {
        /// The file.
        file: PathBuf,
        /// What differs.
        what: &'static str,
        /// The file's.
        found: String,
        /// This audit's.
        wanted: String,
    },
    /// It is no ledger, or one of another version of this program.
    #[error("{} is no working file of this version", .0.display())]
    Foreign(PathBuf),
    /// What was written into it does not read back.
    #[error("the working file is damaged: {0}")]
    Damaged(&'static str),
}

/// The working file.
pub struct Ledger {
    sql: Connection,
    /// Removed when the ledger goes.
    _temporary: Option<tempfile::TempPath>,
}

impl Ledger {
    /// Opens `file`, or makes it; a temporary one when none is named.
    ///
    /// # Errors
    /// When it cannot be opened, another audit has it open, or it was made from something else.
    pub fn open(file: Option<&Path>, origin: &Origin) -> Result<Self, LedgerError> {
        let (path, temporary) = match file {
            Some(file) => (file.to_owned(), None),
            None => {
                let made = tempfile::Builder::new()
                    .prefix("msp-evidence-audit-")
                    .suffix(".db")
                    .tempfile()
                    .map_err(LedgerError::Temporary)?
                    .into_temp_path();
                (made.to_path_buf(), Some(made))
            }
        };
        let sql = Connection::open(&path)?;
        // One audit at a time.
        sql.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        sql.pragma_update(None, "foreign_keys", "ON")?;
        let is_temporary = temporary.is_some();
        let ledger = Self {
            sql,
            _temporary: temporary,
        };
        ledger.prepare(&path, origin)?;
        // Judging is one transaction over everything: a journal in memory would grow with the bucket.
        ledger.sql.pragma_update(None, "journal_mode", "WAL")?;
        // Losing a temporary file loses nothing.
        let synchronous = if is_temporary { "OFF" } else { "NORMAL" };
        ledger.sql.pragma_update(None, "synchronous", synchronous)?;
        Ok(ledger)
    }

    /// Opens the working file of an earlier audit, whatever it was made from, to read it.
    ///
    /// # Errors
    /// When it is not there or cannot be opened, an audit has it open, or it is no ledger.
    pub fn reopen(file: &Path) -> Result<Self, LedgerError> {
        let sql = Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        sql.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let version: i64 = sql.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables: i64 = sql.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'version', 'finding')",
            [],
            |row| row.get(0),
        )?;
        if version != schema::VERSION || tables != 3 {
            return Err(LedgerError::Foreign(file.to_owned()));
        }
        Ok(Self {
            sql,
            _temporary: None,
        })
    }

    fn prepare(&self, path: &Path, origin: &Origin) -> Result<(), LedgerError> {
        let version: i64 = self
            .sql
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables: i64 = self
            .sql
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if version == 0 && tables == 0 {
            let all = self.sql.unchecked_transaction()?;
            self.sql.execute_batch(schema::SCHEMA)?;
            self.set_meta("source", &origin.source)?;
            self.set_meta("keyring", &origin.keyring)?;
            self.set_meta("scope", &origin.scope)?;
            self.sql
                .pragma_update(None, "user_version", schema::VERSION)?;
            all.commit()?;
            return Ok(());
        }
        if version != schema::VERSION {
            return Err(LedgerError::Foreign(path.to_owned()));
        }
        for (what, wanted) in [
            ("source", &origin.source),
            ("keyring", &origin.keyring),
            ("scope", &origin.scope),
        ] {
            let found = self.meta(what)?.unwrap_or_default();
            if found != *wanted {
                return Err(LedgerError::Other {
                    file: path.to_owned(),
                    what,
                    found,
                    wanted: wanted.clone(),
                });
            }
        }
        Ok(())
    }

    /// What it was made from.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn origin(&self) -> Result<Origin, LedgerError> {
        let get = |name| Ok::<_, LedgerError>(self.meta(name)?.unwrap_or_default());
        Ok(Origin {
            source: get("source")?,
            keyring: get("keyring")?,
            scope: get("scope")?,
        })
    }

    /// The connection, for queries of this crate.
    pub(crate) const fn sql(&self) -> &Connection {
        &self.sql
    }

    /// A value that is kept beside the tables.
    pub(crate) fn meta(&self, name: &str) -> Result<Option<String>, LedgerError> {
        Ok(self
            .sql
            .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?)
    }

    /// Keeps a value beside the tables.
    pub(crate) fn set_meta(&self, name: &str, value: &str) -> Result<(), LedgerError> {
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
            .execute([name, value])?;
        Ok(())
    }

    /// Everything `work` writes, or nothing of it.
    pub(crate) fn together<T>(
        &self,
        work: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let all = self.sql.unchecked_transaction()?;
        let done = work()?;
        all.commit()?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(source: &str, keyring: &str) -> Origin {
        Origin {
            source: source.to_owned(),
            keyring: keyring.to_owned(),
            scope: String::new(),
        }
    }

    #[test]
    fn a_working_file_goes_on_only_for_the_same_source_and_keyring() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.db");
        let mine = origin("s3://b/", "k");
        drop(Ledger::open(Some(&file), &mine).unwrap());
        assert_eq!(
            Ledger::open(Some(&file), &mine).unwrap().origin().unwrap(),
            mine
        );
        for other in [origin("s3://c/", "k"), origin("s3://b/", "l")] {
            assert!(matches!(
                Ledger::open(Some(&file), &other),
                Err(LedgerError::Other { .. })
            ));
        }
    }

    #[test]
    fn a_file_that_is_no_ledger_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("notes.txt");
        std::fs::write(&text, "these are my notes, and no database at all").unwrap();
        assert!(Ledger::open(Some(&text), &origin("a", "b")).is_err());
        assert!(std::fs::read_to_string(&text).unwrap().starts_with("these"));
        let other = dir.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE mine (x)")
            .unwrap();
        assert!(matches!(
            Ledger::open(Some(&other), &origin("a", "b")),
            Err(LedgerError::Foreign(_))
        ));
    }

    #[test]
    fn two_audits_do_not_write_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.db");
        let _mine = Ledger::open(Some(&file), &origin("a", "b")).unwrap();
        assert!(Ledger::open(Some(&file), &origin("a", "b")).is_err());
    }
}
