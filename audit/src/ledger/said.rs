//! Writing down what custody and rotations say.

use evidence::bundle::VerifiedBundle;
use evidence::custody::{Custody, IncidentEntry};
use evidence::rotation::Rotation;
use rusqlite::params;
use serde_json::{Value, json};

use super::values::{int, us};
use super::{Ledger, LedgerError};

impl Ledger {
    /// A custody that contradicts itself was found out when it was examined.
    pub(super) fn add_custody(
        &self,
        rowid: i64,
        bundle: &VerifiedBundle,
    ) -> Result<(), LedgerError> {
        let Ok(custody) = Custody::read(bundle) else {
            return Ok(());
        };
        let previous = custody.previous_custody.as_ref();
        let rest = json!({
            "quarantined": custody.quarantined,
            "duplicates": custody.duplicates,
            "totals": custody.totals,
            "agent": custody.agent,
            "clock_events": custody.clock_events,
            "destinations": custody.destinations,
        });
        let because = serde_json::to_value(custody.because).unwrap_or_default();
        self.sql()
            .prepare_cached(
                "INSERT INTO custody (bundle_rowid, because, covers_from, covers_to,
                   previous_chain, previous_sequence, previous_sha256, started_at_us, rest)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                rowid,
                because.as_str().unwrap_or_default(),
                custody.covers.map(|c| int(c.from_sequence)),
                custody.covers.map(|c| int(c.to_sequence)),
                previous.map(|p| p.chain_id.as_str()),
                previous.map(|p| int(p.sequence)),
                previous.map(|p| p.sha256.as_bytes().as_slice()),
                us(custody.agent.started_at),
                rest.to_string(),
            ])?;
        // What was resealed speaks of the chain of the bundle that it says again, and does not name it.
        let chain_id = match bundle.header().reseals {
            Some(_) => "",
            None => &bundle.header().chain.chain_id,
        };
        for entry in &custody.sealed {
            self.sql()
                .prepare_cached(
                    "INSERT INTO sealed (bundle_rowid, chain_id, sequence, bundle_id, sha256, kind,
                       generated_at_us, incident)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    rowid,
                    chain_id,
                    int(entry.sequence),
                    entry.bundle_id,
                    entry.sha256.as_bytes().as_slice(),
                    entry.kind.as_str(),
                    us(entry.generated_at),
                    entry.incident.as_ref().and_then(canonical),
                ])?;
        }
        for (ordinal, entry) in (0_i64..).zip(&custody.confirmed) {
            self.sql()
                .prepare_cached(
                    "INSERT INTO confirmed (bundle_rowid, ordinal, bundle_id, chain_id, sequence,
                       object, role, destination_id, uri, version_id, sha256, size_bytes,
                       retain_until_us, confirmed_at_us)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                )?
                .execute(params![
                    rowid,
                    ordinal,
                    entry.bundle_id,
                    entry.chain_id,
                    int(entry.sequence),
                    entry.object,
                    entry.role.as_str(),
                    entry.destination_id,
                    entry.uri,
                    entry.version_id,
                    entry.sha256.as_bytes().as_slice(),
                    int(entry.size_bytes),
                    us(entry.retain_until),
                    us(entry.confirmed_at),
                ])?;
        }
        Ok(())
    }

    /// A rotation that leads nowhere was found out when it was examined.
    pub(super) fn add_rotation(
        &self,
        rowid: i64,
        bundle: &VerifiedBundle,
    ) -> Result<(), LedgerError> {
        let Ok((rotation, _)) = Rotation::read(bundle) else {
            return Ok(());
        };
        self.sql()
            .prepare_cached(
                "INSERT INTO rotation (bundle_rowid, from_key_id, to_key_id, to_public_key, reason,
                   asked_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                rowid,
                rotation.from_key_id,
                rotation.to_key_id,
                rotation.to_public_key,
                rotation.reason,
                rotation.by
            ])?;
        Ok(())
    }

    /// The new keys of every verified rotation, PEM.
    pub(crate) fn rotated_keys(&self) -> Result<Vec<String>, LedgerError> {
        let mut statement = self
            .sql()
            .prepare_cached("SELECT DISTINCT to_public_key FROM rotation ORDER BY to_key_id")?;
        let keys = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(keys)
    }
}

/// What custody must say of an incident, from the bundle itself.
pub(super) fn incident_of(bundle: &VerifiedBundle) -> Option<String> {
    canonical(&IncidentEntry::of_bundle(bundle)?)
}

/// The same text for the same entry.
fn canonical(entry: &IncidentEntry) -> Option<String> {
    // A map of `Value` is sorted, so spelling is by name.
    let value: Value = serde_json::to_value(entry).ok()?;
    serde_json::to_string(&value).ok()
}
