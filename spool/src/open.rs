//! Opening the spool, and deciding which chain it continues.
//!
//! A chain is bound to the machine: a copied spool on another machine, or one whose files say
//! that it had already gone further (a snapshot was restored), starts a new chain that names the
//! old one. So two histories never claim the same place.

use std::path::Path;

use evidence::bundle::{Began, BundleId, ChainPosition, ChainStart, Kind, Missing, SignatureRef};
use evidence::chain::{Head, new_chain_id};
use evidence::digest::Sha256;
use evidence::rotation::Rotation;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::reader::Reader;
use crate::row::{sha256, unsigned};
use crate::{SpoolError, schema};

/// What a configured destination is to the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationUse {
    /// It takes part.
    Live,
    /// It was retired, for this reason, and never comes back.
    Retired(String),
}

/// The open spool. Not shared: the agent has one, in one thread.
pub struct Spool {
    pub(crate) reader: Reader,
    pub(crate) chain_rowid: i64,
    pub(crate) head: Head,
    started: Option<ChainStart>,
}

/// Whatever can be asked without changing anything.
impl std::ops::Deref for Spool {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Spool {
    /// Opens or creates the spool at `path` and finds the chain to continue.
    ///
    /// `machine` identifies the machine (a digest of its machine-id); `now` dates a new chain.
    ///
    /// # Errors
    /// When the file cannot be opened, is newer than this build, or is damaged.
    pub fn open(path: &Path, machine: Sha256, now: Timestamp) -> Result<Self, SpoolError> {
        let mut db = Connection::open(path)?;
        configure(&db)?;
        schema::migrate(&mut db)?;
        let mut spool = Self::without_chain(Reader { db });
        match spool.newest_chain()? {
            None => spool.start_chain(ChainStart::First, machine, None, &[], now)?,
            Some((chain_rowid, head, bound_to)) => {
                spool.chain_rowid = chain_rowid;
                spool.head = head;
                if bound_to != machine {
                    spool.restart_chain(ChainStart::MachineChanged, machine, now)?;
                }
            }
        }
        Ok(spool)
    }

    /// A database whose chain is still to be begun.
    pub(crate) fn without_chain(reader: Reader) -> Self {
        Self {
            reader,
            chain_rowid: 0,
            head: Head::Empty {
                chain_id: String::new(),
                predecessor: None,
                began: None,
            },
            started: None,
        }
    }

    /// Where the next bundle attaches.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Whether opening started a chain, and why.
    #[must_use]
    pub const fn chain_started(&self) -> Option<ChainStart> {
        self.started
    }

    /// Leaves the present chain and starts one that names it.
    ///
    /// # Errors
    /// When the new chain cannot be committed.
    pub fn restart_chain(
        &mut self,
        why: ChainStart,
        machine: Sha256,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        let (predecessor, missing) = match self.head.clone() {
            Head::At(position) => (Some(position), Vec::new()),
            // Nothing has said yet what is missing before it.
            Head::Empty {
                predecessor, began, ..
            } => (predecessor, began.map_or_else(Vec::new, |b| b.missing)),
        };
        self.start_chain(why, machine, predecessor, &missing, now)
    }

    /// Leaves the present chain and starts one that names this end of it, which somebody else knew.
    ///
    /// # Errors
    /// When the new chain cannot be committed.
    pub fn restart_chain_after(
        &mut self,
        why: ChainStart,
        machine: Sha256,
        predecessor: ChainPosition,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        self.start_chain(why, machine, Some(predecessor), &[], now)
    }

    /// Says of the chain that has just begun, and has no bundle yet, that it follows one whose spool
    /// was lost.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn follow(&mut self, predecessor: ChainPosition) -> Result<(), SpoolError> {
        let Head::Empty { chain_id, .. } = &self.head else {
            return Err(SpoolError::Chain("the chain has begun already".to_owned()));
        };
        self.reader.db.execute(
            "UPDATE chain SET started_because = 'spool_lost', predecessor_chain_id = ?2,
               predecessor_sequence = ?3, predecessor_sha256 = ?4 WHERE chain_rowid = ?1",
            params![
                self.chain_rowid,
                predecessor.chain_id,
                crate::row::signed(predecessor.sequence),
                predecessor.sha256.as_bytes()
            ],
        )?;
        self.head = Head::Empty {
            chain_id: chain_id.clone(),
            predecessor: Some(predecessor),
            began: Some(Began {
                because: ChainStart::SpoolLost,
                missing: Vec::new(),
            }),
        };
        self.started = Some(ChainStart::SpoolLost);
        Ok(())
    }

    /// The destinations in use: id and place, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn live_destinations(&self) -> Result<Vec<(String, String)>, SpoolError> {
        let mut statement = self.reader.db.prepare_cached(
            "SELECT destination_id, uri FROM destination WHERE retired_at IS NULL
             ORDER BY destination_id",
        )?;
        let rows = statement
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    pub(crate) fn start_chain(
        &mut self,
        why: ChainStart,
        machine: Sha256,
        predecessor: Option<ChainPosition>,
        missing: &[Missing],
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        let chain_id = new_chain_id();
        self.reader.db.execute(
            "INSERT INTO chain (chain_id, machine_sha256, started_at, started_because,
               predecessor_chain_id, predecessor_sequence, predecessor_sha256, missing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                chain_id,
                machine.as_bytes(),
                now.to_string(),
                why.as_str(),
                predecessor.as_ref().map(|p| p.chain_id.as_str()),
                predecessor.as_ref().map(|p| crate::row::signed(p.sequence)),
                predecessor.as_ref().map(|p| p.sha256.as_bytes()),
                (!missing.is_empty()).then(|| serde_json::to_string(missing).unwrap_or_default()),
            ],
        )?;
        self.chain_rowid = self.reader.db.last_insert_rowid();
        self.head = Head::Empty {
            chain_id,
            predecessor,
            began: Some(Began {
                because: why,
                missing: missing.to_vec(),
            }),
        };
        self.started = Some(why);
        Ok(())
    }

    fn newest_chain(&self) -> Result<Option<(i64, Head, Sha256)>, SpoolError> {
        self.reader
            .db
            .query_row(
                "SELECT c.chain_rowid, c.chain_id, c.machine_sha256, c.predecessor_chain_id,
                   c.predecessor_sequence, c.predecessor_sha256, c.started_because, c.missing,
                   b.sequence, b.sha256
                 FROM chain c LEFT JOIN bundle b ON b.chain_rowid = c.chain_rowid
                 ORDER BY c.chain_rowid DESC, b.sequence DESC LIMIT 1",
                [],
                |row| Ok(read_chain(row)),
            )
            .optional()?
            .transpose()
    }

    /// The last number given out on the UTC day `day`; 0 when none was.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_number(&self, day: Date) -> Result<u64, SpoolError> {
        let number: Option<i64> = self
            .reader
            .db
            .prepare_cached("SELECT last_number FROM day_number WHERE day = ?1")?
            .query_row([day.to_string()], |row| row.get(0))
            .optional()?;
        Ok(number.map_or(0, |n| u64::try_from(n).unwrap_or(0)))
    }

    /// Never gives out this number of its day again, nor one below it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn pass_number(&mut self, id: BundleId) -> Result<(), SpoolError> {
        self.reader.db.execute(
            "INSERT INTO day_number (day, last_number) VALUES (?1, ?2)
             ON CONFLICT (day) DO UPDATE SET last_number = max(last_number, excluded.last_number)",
            params![id.day().to_string(), crate::row::signed(id.number())],
        )?;
        Ok(())
    }

    /// Registers a destination, or refuses an id whose place changed; says if it was retired.
    ///
    /// # Errors
    /// [`SpoolError::DestinationChanged`] when the id was used for another place.
    pub fn use_destination(
        &mut self,
        id: &str,
        uri: &str,
        now: Timestamp,
    ) -> Result<DestinationUse, SpoolError> {
        let known: Option<(String, Option<String>)> = self
            .reader
            .db
            .query_row(
                "SELECT uri, retired_reason FROM destination WHERE destination_id = ?1",
                [id],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()?;
        match known {
            Some((_, Some(reason))) => Ok(DestinationUse::Retired(reason)),
            Some((known, None)) if known == uri => Ok(DestinationUse::Live),
            Some((known, None)) => Err(SpoolError::DestinationChanged {
                id: id.to_owned(),
                known,
                configured: uri.to_owned(),
            }),
            None => {
                self.reader.db.execute(
                    "INSERT INTO destination (destination_id, uri, first_used_at) VALUES (?1, ?2, ?3)",
                    params![id, uri, now.to_string()],
                )?;
                Ok(DestinationUse::Live)
            }
        }
    }

    /// Reads a small value that the agent keeps for itself.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn note(&self, name: &str) -> Result<Option<String>, SpoolError> {
        Ok(self
            .reader
            .db
            .query_row("SELECT value FROM note WHERE name = ?1", [name], |r| {
                r.get(0)
            })
            .optional()?)
    }

    /// Writes a small value that the agent keeps for itself.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_note(&mut self, name: &str, value: &str) -> Result<(), SpoolError> {
        self.reader.db.execute(
            "INSERT INTO note (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, value],
        )?;
        Ok(())
    }
}

impl Reader {
    /// Fingerprint of the key that signs next: the one that the newest bundle rotates to, or else the
    /// one that it is signed with. `None` before the first bundle. It is what was signed that counts, so
    /// no row can name another key.
    ///
    /// # Errors
    /// When the database cannot be read, or the newest bundle's bytes are damaged.
    pub fn key_in_use(&self) -> Result<Option<String>, SpoolError> {
        #[derive(serde::Deserialize)]
        struct Signed {
            kind: Kind,
            signatures: Vec<SignatureRef>,
            reseals: Option<serde::de::IgnoredAny>,
            rotation: Option<Rotation>,
        }
        let newest = self.last_bundle_rowid()?;
        let Some(bundle) = self.bundle(newest)? else {
            return Ok(None);
        };
        let damaged = || SpoolError::Damaged(format!("the bytes of {}", bundle.bundle_id));
        let signed: Signed = serde_json::from_slice(&bundle.bytes).map_err(|_| damaged())?;
        match signed.rotation {
            Some(rotation) if signed.kind == Kind::Rotation && signed.reseals.is_none() => {
                Ok(Some(rotation.to_key_id))
            }
            _ => {
                let signature = signed.signatures.into_iter().next().ok_or_else(damaged)?;
                Ok(Some(signature.key_id))
            }
        }
    }
}

pub(crate) fn configure(db: &Connection) -> Result<(), SpoolError> {
    db.busy_timeout(std::time::Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

fn read_chain(row: &rusqlite::Row<'_>) -> Result<(i64, Head, Sha256), SpoolError> {
    let chain_id: String = row.get("chain_id")?;
    let last: Option<i64> = row.get("sequence")?;
    let head = if last.is_some() {
        Head::At(ChainPosition {
            chain_id,
            sequence: unsigned(row, "sequence")?,
            sha256: sha256(row, "sha256")?,
        })
    } else {
        let predecessor = match row.get::<_, Option<String>>("predecessor_chain_id")? {
            None => None,
            Some(chain_id) => Some(ChainPosition {
                chain_id,
                sequence: unsigned(row, "predecessor_sequence")?,
                sha256: sha256(row, "predecessor_sha256")?,
            }),
        };
        Head::Empty {
            chain_id,
            predecessor,
            began: Some(began(row)?),
        }
    };
    Ok((
        row.get("chain_rowid")?,
        head,
        sha256(row, "machine_sha256")?,
    ))
}

fn began(row: &rusqlite::Row<'_>) -> Result<Began, SpoolError> {
    let damaged = |what: &str| SpoolError::Damaged(format!("why a chain began: {what}"));
    let because: String = row.get("started_because")?;
    let missing: Option<String> = row.get("missing")?;
    Ok(Began {
        because: ChainStart::from_name(&because).ok_or_else(|| damaged(&because))?,
        missing: missing.map_or_else(
            || Ok(Vec::new()),
            |text| serde_json::from_str(&text).map_err(|_| damaged("what is missing")),
        )?,
    })
}
