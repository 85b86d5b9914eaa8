//! What waits to be read, and is asked for in the order of paths.

use rusqlite::params;

use super::values::int;
use super::{Ledger, LedgerError};

/// A version that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionToRead {
    /// Its row.
    pub version_rowid: i64,
    /// The object.
    pub path: String,
    /// The version.
    pub version_id: String,
    /// Its size, as listed.
    pub listed_bytes: u64,
}

/// What is signed by a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// A bundle, by a host.
    Bundle,
    /// A record of what was done to locks, by an operator.
    Record,
}

impl Signed {
    /// The roles of it and of its signature, in SQL.
    const fn roles(self) -> (&'static str, &'static str) {
        match self {
            Self::Bundle => ("bundle", "signature"),
            Self::Record => ("record", "record_signature"),
        }
    }
}

/// What is read and looked at in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// A bundle or a record and its signature, each with every version, the oldest first.
    Signed {
        /// What it is.
        kind: Signed,
        /// Its path.
        path: String,
        /// Versions of it.
        bundles: Vec<VersionToRead>,
        /// Versions of its signature.
        signatures: Vec<VersionToRead>,
    },
    /// Anything else: only its bytes' digest counts.
    Object(VersionToRead),
}

impl Ledger {
    /// What an earlier run could not read is read again.
    pub(crate) fn read_again(&self) -> Result<(), LedgerError> {
        self.sql().execute(
            "UPDATE version SET state = 'unread', problem = NULL WHERE state = 'unreadable'",
            [],
        )?;
        Ok(())
    }

    /// Bundles that name one of these keys are read again; how many versions that is.
    pub(crate) fn read_again_with(&self, key_id: &str) -> Result<usize, LedgerError> {
        Ok(self.sql().execute(
            "UPDATE version SET state = 'unread' WHERE role = 'bundle' AND bundle_path IN
               (SELECT path FROM bundle WHERE state = 'unknown_key' AND problem = ?1)
             AND is_delete_marker = 0",
            [key_id],
        )?)
    }

    /// So many versions wait to be read.
    pub(crate) fn to_read(&self) -> Result<u64, LedgerError> {
        let n: i64 = self.sql().query_row(
            "SELECT count(*) FROM version WHERE state = 'unread'",
            [],
            |row| row.get(0),
        )?;
        Ok(n.unsigned_abs())
    }

    /// The next bundles or records to read, in the order of paths.
    pub(crate) fn signed_to_read(
        &self,
        kind: Signed,
        after: &str,
        most: usize,
    ) -> Result<Vec<Unit>, LedgerError> {
        let mut statement = self.sql().prepare_cached(
            "SELECT DISTINCT bundle_path FROM version
             WHERE state = 'unread' AND role = ?3 AND bundle_path > ?1
             ORDER BY bundle_path LIMIT ?2",
        )?;
        let paths: Vec<String> = statement
            .query_map(params![after, int(most as u64), kind.roles().0], |row| {
                row.get(0)
            })?
            .collect::<Result<_, _>>()?;
        paths
            .into_iter()
            .map(|path| {
                Ok(Unit::Signed {
                    kind,
                    bundles: self.versions_to_read(&path, kind.roles().0)?,
                    signatures: self.versions_to_read(&path, kind.roles().1)?,
                    path,
                })
            })
            .collect()
    }

    fn versions_to_read(
        &self,
        bundle_path: &str,
        role: &str,
    ) -> Result<Vec<VersionToRead>, LedgerError> {
        // Of one key a store lists the newest first; dates have whole seconds only.
        let mut statement = self.sql().prepare_cached(
            "SELECT version_rowid, path, version_id, listed_bytes FROM version
             WHERE bundle_path = ?1 AND role = ?2 AND is_delete_marker = 0
             ORDER BY last_modified_us, version_rowid DESC",
        )?;
        let versions = statement
            .query_map(params![bundle_path, role], to_read)?
            .collect::<Result<_, _>>()?;
        Ok(versions)
    }

    /// The next artifacts, and signatures without a bundle, to read.
    pub(crate) fn objects_to_read(
        &self,
        after: i64,
        most: usize,
    ) -> Result<Vec<VersionToRead>, LedgerError> {
        let mut statement = self.sql().prepare_cached(
            "SELECT version_rowid, path, version_id, listed_bytes FROM version
             WHERE state = 'unread' AND role IN ('artifact', 'signature', 'record_signature')
               AND version_rowid > ?1
             ORDER BY version_rowid LIMIT ?2",
        )?;
        let versions = statement
            .query_map(params![after, int(most as u64)], to_read)?
            .collect::<Result<_, _>>()?;
        Ok(versions)
    }
}

fn to_read(row: &rusqlite::Row<'_>) -> rusqlite::Result<VersionToRead> {
    Ok(VersionToRead {
        version_rowid: row.get(0)?,
        path: row.get(1)?,
        version_id: row.get(2)?,
        listed_bytes: row.get::<_, i64>(3)?.unsigned_abs(),
    })
}
