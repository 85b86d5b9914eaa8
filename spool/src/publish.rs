//! What has to be in `evidence/` and `outbox/`: every file there can be written again from here.

use evidence::bundle::{
    BundleId, Ended, LocationState, Locations, OBJECT_LOCK_MODE, ObjectLocation, PlannedLocation,
    StorageLocation,
};
use evidence::digest::Sha256;
use evidence::handover::Role;
use rusqlite::{OptionalExtension as _, Row};

use crate::confirm::proof_from;
use crate::reader::Reader;
use crate::row::{sha256, time, unsigned};
use crate::{Artifact, SpoolError};

/// A bundle's exact bytes, as committed.
#[derive(Debug, Clone)]
pub struct SpooledBundle {
    /// Its row, in the order of sealing.
    pub bundle_rowid: i64,
    /// Its name.
    pub bundle_id: BundleId,
    /// Its sequence.
    pub sequence: u64,
    /// Its path below the evidence folder.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// `EB-….json`.
    pub bytes: Vec<u8>,
    /// `EB-….json.bundle`.
    pub signature: Vec<u8>,
    /// Objects that the order asks for.
    pub object_count: u64,
    /// Names the drop it was made from, if it was made from one.
    pub taken_token: Option<String>,
}

/// An order that still waits for receipts.
#[derive(Debug, Clone)]
pub struct OpenOrder {
    /// Its id, and its file's name before the suffix.
    pub order_id: String,
    /// Its file's exact bytes.
    pub body: Vec<u8>,
}

/// An object that the uploader has reported as stored and locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedObject {
    /// Its bundle's row.
    pub bundle_rowid: i64,
    /// Its bundle.
    pub bundle_id: String,
    /// Its path; with the destination's prefix its key.
    pub path: String,
    /// The version that was proven.
    pub version_id: String,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Locked until then, as read back.
    pub retain_until: jiff::Timestamp,
}

impl Reader {
    /// The orders that still wait for receipts, oldest first, each given to `visit` in turn so
    /// that memory stays flat however long an outage was.
    ///
    /// # Errors
    /// What `visit` returns, or when the database cannot be read.
    pub fn each_open_order<E: From<SpoolError>>(
        &self,
        mut visit: impl FnMut(OpenOrder) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self
            .db
            .prepare("SELECT order_id, body FROM work_order WHERE completed_at IS NULL ORDER BY order_rowid")
            .map_err(SpoolError::from)?;
        let mut rows = statement.query([]).map_err(SpoolError::from)?;
        while let Some(row) = rows.next().map_err(SpoolError::from)? {
            let order = (|| {
                Ok(OpenOrder {
                    order_id: row.get(0)?,
                    body: row.get(1)?,
                })
            })()
            .map_err(|e: rusqlite::Error| SpoolError::from(e))?;
            visit(order)?;
        }
        Ok(())
    }

    /// The bundles with a row above `after`, in order, each given to `visit` in turn.
    ///
    /// # Errors
    /// What `visit` returns, or when the database cannot be read.
    pub fn each_bundle_after<E: From<SpoolError>>(
        &self,
        after: i64,
        mut visit: impl FnMut(SpooledBundle) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self
            .db
            .prepare("SELECT * FROM bundle WHERE bundle_rowid > ?1 ORDER BY bundle_rowid")
            .map_err(SpoolError::from)?;
        let mut rows = statement.query([after]).map_err(SpoolError::from)?;
        while let Some(row) = rows.next().map_err(SpoolError::from)? {
            visit(read_bundle(row)?)?;
        }
        Ok(())
    }

    /// One bundle by its row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn bundle(&self, bundle_rowid: i64) -> Result<Option<SpooledBundle>, SpoolError> {
        self.db
            .prepare_cached("SELECT * FROM bundle WHERE bundle_rowid = ?1")?
            .query_row([bundle_rowid], |row| Ok(read_bundle(row)))
            .optional()?
            .transpose()
    }

    /// The files that go with a bundle, in the order of their paths.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn artifacts(&self, bundle_rowid: i64) -> Result<Vec<Artifact>, SpoolError> {
        let mut statement = self.db.prepare_cached(
            "SELECT path, size_bytes, sha256 FROM artifact WHERE bundle_rowid = ?1 ORDER BY path",
        )?;
        let mut rows = statement.query([bundle_rowid])?;
        let mut artifacts = Vec::new();
        while let Some(row) = rows.next()? {
            artifacts.push(Artifact {
                path: row.get("path")?,
                size_bytes: unsigned(row, "size_bytes")?,
                sha256: sha256(row, "sha256")?,
            });
        }
        Ok(artifacts)
    }

    /// One bundle by its name, with its row's chain.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn bundle_named(&self, id: &str) -> Result<Option<(SpooledBundle, String)>, SpoolError> {
        self.db
            .prepare_cached(
                "SELECT b.*, c.chain_id FROM bundle b JOIN chain c USING (chain_rowid)
                 WHERE b.bundle_id = ?1",
            )?
            .query_row([id], |row| {
                let chain_id: String = row.get("chain_id")?;
                Ok(read_bundle(row).map(|bundle| (bundle, chain_id)))
            })
            .optional()?
            .transpose()
    }

    /// Where artifacts with these bytes lie, of whichever bundle.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn artifact_paths(&self, sha256: Sha256) -> Result<Vec<String>, SpoolError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT path FROM artifact WHERE sha256 = ?1")?;
        let rows = statement
            .query_map([sha256.as_bytes()], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// The newest bundle's row; 0 when there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn last_bundle_rowid(&self) -> Result<i64, SpoolError> {
        Ok(self.db.query_row(
            "SELECT coalesce(max(bundle_rowid), 0) FROM bundle",
            [],
            |r| r.get(0),
        )?)
    }

    /// Whether a bundle of that name was sealed by this spool, in whichever chain.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows_bundle(&self, bundle_id: &str) -> Result<bool, SpoolError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM bundle WHERE bundle_id = ?1")?
            .exists([bundle_id])?)
    }

    /// Whether a bundle was sealed with this path below the evidence folder.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows_path(&self, path: &str) -> Result<bool, SpoolError> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let id = name.strip_suffix(".json").unwrap_or(name);
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM bundle WHERE bundle_id = ?1 AND path = ?2")?
            .exists([id, path])?)
    }

    /// Whether this spool has, or had, the chain.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn knows_chain(&self, chain_id: &str) -> Result<bool, SpoolError> {
        Ok(self
            .db
            .prepare_cached("SELECT 1 FROM chain WHERE chain_id = ?1")?
            .exists([chain_id])?)
    }

    /// Whether the order was made here, and nothing of it is waited for any more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_complete(&self, order_id: &str) -> Result<bool, SpoolError> {
        crate::confirm::is_complete(&self.db, order_id)
    }

    /// The destinations where an object of a bundle is confirmed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stored_at(&self, bundle_rowid: i64, path: &str) -> Result<Vec<String>, SpoolError> {
        let mut statement = self.db.prepare_cached(
            "SELECT destination_id FROM confirmation WHERE bundle_rowid = ?1 AND path = ?2
             ORDER BY destination_id",
        )?;
        let rows = statement
            .query_map((bundle_rowid, path), |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// What is confirmed at a destination, after a place in the order of sealing; empty at the end.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn confirmed_at(
        &self,
        destination_id: &str,
        after: &(i64, String),
        limit: usize,
    ) -> Result<Vec<ConfirmedObject>, SpoolError> {
        let mut statement = self.db.prepare_cached(
            "SELECT c.*, b.bundle_id FROM confirmation c JOIN bundle b USING (bundle_rowid)
             WHERE c.destination_id = ?1 AND (c.bundle_rowid, c.path) > (?2, ?3)
             ORDER BY c.bundle_rowid, c.path LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((destination_id, after.0, &after.1, limit))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(ConfirmedObject {
                bundle_rowid: row.get("bundle_rowid")?,
                bundle_id: row.get("bundle_id")?,
                path: row.get("path")?,
                version_id: row.get("version_id")?,
                sha256: sha256(row, "sha256")?,
                size_bytes: unsigned(row, "size_bytes")?,
                retain_until: time(row, "retain_until")?,
            });
        }
        Ok(found)
    }

    /// What was sealed under this path: digest and size in bytes.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn sealed_object(
        &self,
        path: &str,
        role: Role,
    ) -> Result<Option<(Sha256, u64)>, SpoolError> {
        if role == Role::Artifact {
            // The path names the digest, by which artifacts are found.
            let digest = path
                .rsplit('/')
                .nth(1)
                .and_then(|d| d.parse::<Sha256>().ok());
            let Some(digest) = digest else {
                return Ok(None);
            };
            return self
                .db
                .prepare_cached(
                    "SELECT sha256, size_bytes FROM artifact WHERE sha256 = ?2 AND path = ?1",
                )?
                .query_row((path, digest.as_bytes()), |row| {
                    Ok(sha256(row, "sha256")
                        .and_then(|digest| Ok((digest, unsigned(row, "size_bytes")?))))
                })
                .optional()?
                .transpose();
        }
        let bundle_path = path.strip_suffix(".bundle").unwrap_or(path);
        let name = bundle_path
            .rsplit_once('/')
            .map_or(bundle_path, |(_, name)| name);
        let found = self
            .db
            .prepare_cached("SELECT * FROM bundle WHERE bundle_id = ?1 AND path = ?2")?
            .query_row(
                [name.strip_suffix(".json").unwrap_or(name), bundle_path],
                |row| Ok(read_bundle(row)),
            )
            .optional()?
            .transpose()?;
        Ok(found.map(|bundle| match role {
            Role::Signature => (Sha256::of(&bundle.signature), bundle.signature.len() as u64),
            _ => (bundle.sha256, bundle.bytes.len() as u64),
        }))
    }

    /// The bundle's locations, completed by what has been confirmed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn locations(&self, bundle: &SpooledBundle) -> Result<Locations, SpoolError> {
        complete_locations(&self.db, bundle)
    }
}

pub(crate) fn read_bundle(row: &Row<'_>) -> Result<SpooledBundle, SpoolError> {
    let id: String = row.get("bundle_id")?;
    Ok(SpooledBundle {
        bundle_rowid: row.get("bundle_rowid")?,
        bundle_id: id
            .parse()
            .map_err(|_| SpoolError::Damaged("a bundle id".to_owned()))?,
        sequence: unsigned(row, "sequence")?,
        path: row.get("path")?,
        sha256: sha256(row, "sha256")?,
        bytes: row.get("bytes")?,
        signature: row.get("signature")?,
        object_count: unsigned(row, "object_count")?,
        taken_token: row.get("taken_token")?,
    })
}

pub(crate) fn complete_locations(
    db: &rusqlite::Connection,
    bundle: &SpooledBundle,
) -> Result<Locations, SpoolError> {
    #[derive(serde::Deserialize)]
    struct Plan {
        storage_locations: Vec<PlannedLocation>,
    }
    let plan: Plan = serde_json::from_slice(&bundle.bytes)
        .map_err(|_| SpoolError::Damaged(format!("the bytes of {}", bundle.bundle_id)))?;
    let mut statement = db.prepare_cached(
        "SELECT * FROM confirmation WHERE bundle_rowid = ?1 AND destination_id = ?2 ORDER BY path",
    )?;
    let mut storage_locations = Vec::new();
    let backfilled = backfilled(db, bundle)?;
    let planned = plan.storage_locations.into_iter().map(|p| (p, false));
    for (planned, backfilled) in planned.chain(backfilled.into_iter().map(|p| (p, true))) {
        let mut rows = statement.query((bundle.bundle_rowid, &planned.destination_id))?;
        let mut objects = Vec::new();
        while let Some(row) = rows.next()? {
            objects.push(read_object(row)?);
        }
        let ended = ended(db, bundle.bundle_rowid, &planned.destination_id)?;
        let mut location = location(planned, objects, bundle.object_count);
        location.backfilled = backfilled;
        if ended.is_some() && location.state == LocationState::Planned {
            location.state = LocationState::Retired;
        }
        location.retired = ended;
        storage_locations.push(location);
    }
    Ok(Locations {
        locations_version: 1,
        bundle_id: bundle.bundle_id.to_string(),
        sha256: bundle.sha256,
        resealed_by: resealed_by(db, bundle.bundle_rowid)?,
        storage_locations,
    })
}

/// Places that the signed plan does not name.
fn backfilled(
    db: &rusqlite::Connection,
    bundle: &SpooledBundle,
) -> Result<Vec<PlannedLocation>, SpoolError> {
    let mut statement = db.prepare_cached(
        "SELECT f.destination_id, d.uri, f.retention_days
         FROM backfill f JOIN destination d USING (destination_id)
         WHERE f.bundle_rowid = ?1 ORDER BY f.destination_id",
    )?;
    let rows = statement
        .query_map([bundle.bundle_rowid], |row| {
            let uri: String = row.get("uri")?;
            Ok(PlannedLocation {
                destination_id: row.get("destination_id")?,
                uri: format!("{uri}{}", bundle.path),
                object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
                retention_days: row.get("retention_days")?,
                state: LocationState::Planned,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// When and why nothing is waited for there any more.
fn ended(
    db: &rusqlite::Connection,
    bundle_rowid: i64,
    destination_id: &str,
) -> Result<Option<Ended>, SpoolError> {
    let mut statement = db.prepare_cached(
        "SELECT ended_at, reason FROM ended WHERE bundle_rowid = ?1 AND destination_id = ?2
         UNION ALL
         SELECT retired_at, retired_reason FROM destination
         WHERE destination_id = ?2 AND retired_at IS NOT NULL LIMIT 1",
    )?;
    let mut rows = statement.query((bundle_rowid, destination_id))?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Ended {
        at: time(row, "ended_at")?,
        reason: row.get("reason")?,
    }))
}

fn resealed_by(db: &rusqlite::Connection, bundle_rowid: i64) -> Result<Option<String>, SpoolError> {
    Ok(db
        .prepare_cached(
            "SELECT b.bundle_id FROM reseal r JOIN bundle b ON b.bundle_rowid = r.new_bundle_rowid
             WHERE r.old_bundle_rowid = ?1",
        )?
        .query_row([bundle_rowid], |r| r.get(0))
        .optional()?)
}

fn location(
    planned: PlannedLocation,
    objects: Vec<ObjectLocation>,
    expected: u64,
) -> StorageLocation {
    let confirmed = objects.len() as u64 == expected;
    let main = objects
        .iter()
        .find(|o| o.role == Role::Bundle)
        .filter(|_| confirmed);
    StorageLocation {
        destination_id: planned.destination_id,
        uri: planned.uri,
        object_lock_mode: planned.object_lock_mode,
        retention_days: planned.retention_days,
        state: if confirmed {
            LocationState::Confirmed
        } else {
            LocationState::Planned
        },
        retain_until: objects
            .iter()
            .map(|o| o.retain_until)
            .min()
            .filter(|_| confirmed),
        version_id: main.map(|o| o.version_id.clone()),
        confirmed_at: objects
            .iter()
            .map(|o| o.confirmed_at)
            .max()
            .filter(|_| confirmed),
        reported_by: (!objects.is_empty()).then(|| "uploader".to_owned()),
        backfilled: false,
        retired: None,
        objects,
    }
}

fn read_object(row: &Row<'_>) -> Result<ObjectLocation, SpoolError> {
    let role: String = row.get("role")?;
    let proof: String = row.get("proof")?;
    Ok(ObjectLocation {
        role: Role::from_name(&role).ok_or_else(|| SpoolError::Damaged("a role".to_owned()))?,
        uri: row.get("uri")?,
        version_id: row.get("version_id")?,
        etag: row.get("etag")?,
        sha256: sha256(row, "sha256")?,
        size_bytes: unsigned(row, "size_bytes")?,
        proof: proof_from(&proof).ok_or_else(|| SpoolError::Damaged("a proof".to_owned()))?,
        retain_until: time(row, "retain_until")?,
        server_date: time(row, "server_date")?,
        confirmed_at: time(row, "confirmed_at")?,
    })
}
