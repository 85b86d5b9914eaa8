//! Writing down what was listed and read.

use destination::Lock;
use evidence::bundle::{Kind, VerifiedBundle, artifact_path};
use evidence::custody::{Custody, IncidentEntry};
use evidence::digest::Sha256;
use evidence::incident::IncidentBody;
use evidence::record::{RECORD_FOLDER, Record, Stage};
use evidence::rotation::Rotation;
use jiff::Timestamp;
use rusqlite::named_params;
use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::values::{int, us};
use super::{Ledger, LedgerError};
use crate::code::Code;
use crate::place::Place;
use crate::report::IncidentDetail;
use crate::source::{Facts, Listed, Marker, Page};

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

/// One version, read or not.
#[derive(Debug)]
pub struct ReadVersion {
    /// Its row.
    pub version_rowid: i64,
    /// What it is, with the digest if it was not too long to be read; or why it was not read.
    pub outcome: Result<(Facts, Option<Sha256>), String>,
}

/// How a version of a bundle stands.
#[derive(Debug)]
pub enum Standing {
    /// Signed and whole.
    Verified {
        /// What it says.
        bundle: Box<VerifiedBundle>,
        /// The store had both it and its signature at this time.
        stored: Option<Timestamp>,
    },
    /// Signed, and a record.
    Recorded {
        /// What it says.
        record: Box<Record>,
        /// SHA-256 of its bytes.
        sha256: Sha256,
        /// The store had both it and its signature at this time.
        stored: Option<Timestamp>,
    },
    /// Not what any key's holder sealed, or not signed.
    Bad {
        /// What is wrong.
        code: Code,
        /// In words.
        problem: String,
    },
    /// Its signature names a key that is not known, or not yet.
    UnknownKey {
        /// The key that is named.
        key_id: String,
    },
    /// It, or its signature, could not be read.
    Unread {
        /// Why.
        problem: String,
    },
}

/// One version of a bundle, looked at.
#[derive(Debug)]
pub struct Examined {
    /// The version.
    pub version_rowid: i64,
    /// The version of the signature that it was verified with.
    pub signature_rowid: Option<i64>,
    /// What came of it.
    pub standing: Standing,
    /// Both are locked in COMPLIANCE mode.
    pub is_locked: bool,
}

/// What came of a [`Unit`].
#[derive(Debug, Default)]
pub struct Read {
    /// Each version that was asked for.
    pub versions: Vec<ReadVersion>,
    /// What it was and its path, if it was signed by a file of its own.
    pub signed: Option<(Signed, String)>,
    /// Each version of it, the oldest first.
    pub bundles: Vec<Examined>,
}

/// How far listing has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTo {
    /// So many of the folders that are looked at are listed whole.
    pub folders: usize,
    /// Where the next one goes on.
    pub after: Option<Marker>,
    /// Everything is listed.
    pub is_done: bool,
}

impl Ledger {
    /// How far listing has come.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn listed_to(&self) -> Result<ListedTo, LedgerError> {
        match self.meta("listed_to")? {
            None => Ok(ListedTo::default()),
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| LedgerError::Damaged("listed_to"))
            }
        }
    }

    /// Writes down a page of a listing, and how far that is, together.
    pub(crate) fn add_page(&self, page: &Page, listed_to: &ListedTo) -> Result<(), LedgerError> {
        self.together(|| {
            for entry in &page.entries {
                self.add_listed(entry)?;
            }
            let text =
                serde_json::to_string(listed_to).map_err(|_| LedgerError::Damaged("listed_to"))?;
            self.set_meta("listed_to", &text)
        })
    }

    fn add_listed(&self, listed: &Listed) -> Result<(), LedgerError> {
        let (role, belongs_to) = role_of(&listed.path);
        let state = if listed.is_delete_marker || belongs_to.is_none() {
            "not_to_read"
        } else {
            "unread"
        };
        self.sql()
            .prepare_cached(
                "INSERT OR IGNORE INTO version (path, version_id, role, bundle_path,
                   is_delete_marker, is_latest, listed_bytes, last_modified_us, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                listed.path,
                listed.version_id,
                role,
                belongs_to,
                listed.is_delete_marker,
                listed.is_latest,
                int(listed.size_bytes),
                listed.last_modified.map(us),
                state,
            ])?;
        Ok(())
    }

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

    /// Writes down what was read. The caller makes a transaction of many.
    pub(crate) fn add_read(&self, read: &Read) -> Result<(), LedgerError> {
        for version in &read.versions {
            self.add_version(version)?;
        }
        let Some((kind, path)) = &read.signed else {
            return Ok(());
        };
        let forget = match kind {
            Signed::Bundle => "DELETE FROM bundle WHERE path = ?1",
            Signed::Record => "DELETE FROM record WHERE path = ?1",
        };
        self.sql().prepare_cached(forget)?.execute([path])?;
        // The oldest that is locked and verifies; else the oldest that verifies. What was laid over it
        // later changes nothing.
        let is_verified = |examined: &&Examined| {
            matches!(
                examined.standing,
                Standing::Verified { .. } | Standing::Recorded { .. }
            )
        };
        let evidence = read
            .bundles
            .iter()
            .filter(is_verified)
            .find(|examined| examined.is_locked)
            .or_else(|| read.bundles.iter().find(is_verified))
            .map(|examined| examined.version_rowid);
        for examined in &read.bundles {
            let is_evidence = evidence == Some(examined.version_rowid);
            match kind {
                Signed::Bundle => self.add_examined(path, examined, is_evidence)?,
                Signed::Record => self.add_record(path, examined, is_evidence)?,
            }
        }
        Ok(())
    }

    fn add_version(&self, version: &ReadVersion) -> Result<(), LedgerError> {
        match &version.outcome {
            Ok((facts, sha256)) => {
                let (lock, until) = match facts.lock {
                    Some(Lock::Compliance(until)) => (Some("compliance"), Some(until)),
                    Some(Lock::Governance(until)) => (Some("governance"), Some(until)),
                    Some(Lock::Unlocked) => (Some("unlocked"), None),
                    Some(Lock::Unknown) => (Some("unknown"), None),
                    None => (None, None),
                };
                self.sql()
                    .prepare_cached(
                        "UPDATE version SET state = 'read', size_bytes = ?2, sha256 = ?3,
                           lock = ?4, retain_until_us = ?5, stored_us = ?6, is_in_parts = ?7,
                           problem = NULL
                         WHERE version_rowid = ?1",
                    )?
                    .execute(params![
                        version.version_rowid,
                        int(facts.size_bytes),
                        sha256.as_ref().map(|s| s.as_bytes().as_slice()),
                        lock,
                        until.map(us),
                        facts.last_modified.map(us),
                        facts.is_in_parts,
                    ])?;
            }
            Err(problem) => {
                self.sql()
                    .prepare_cached(
                        "UPDATE version SET state = 'unreadable', problem = ?2
                         WHERE version_rowid = ?1",
                    )?
                    .execute(params![version.version_rowid, problem])?;
            }
        }
        Ok(())
    }

    fn add_examined(
        &self,
        path: &str,
        examined: &Examined,
        is_evidence: bool,
    ) -> Result<(), LedgerError> {
        if let Standing::Verified { bundle, stored } = &examined.standing {
            return self.add_verified(path, examined, is_evidence, bundle, *stored);
        }
        let (state, code, problem) = in_words(&examined.standing);
        self.sql()
            .prepare_cached(
                "INSERT INTO bundle (path, version_rowid, signature_rowid, state, code, problem)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                path,
                examined.version_rowid,
                examined.signature_rowid,
                state,
                code.map(Code::as_str),
                problem
            ])?;
        Ok(())
    }

    fn add_record(
        &self,
        path: &str,
        examined: &Examined,
        is_evidence: bool,
    ) -> Result<(), LedgerError> {
        let Standing::Recorded {
            record,
            sha256,
            stored,
        } = &examined.standing
        else {
            let (state, code, problem) = in_words(&examined.standing);
            self.sql()
                .prepare_cached(
                    "INSERT INTO record (path, version_rowid, state, code, problem, is_evidence)
                     VALUES (?1, ?2, ?3, ?4, ?5, 0)",
                )?
                .execute(params![
                    path,
                    examined.version_rowid,
                    state,
                    code.map(Code::as_str),
                    problem
                ])?;
            return Ok(());
        };
        let stage = match record.stage {
            Stage::Intended => "intended",
            Stage::Done => "done",
        };
        let intended = record.intended.as_ref();
        let refused = record.objects.iter().filter(|o| o.refused.is_some());
        self.sql()
            .prepare_cached(
                "INSERT INTO record (path, version_rowid, state, is_evidence, key_id, own_path,
                   record_id, sha256, stored_us, action, stage, intended_id, intended_sha256,
                   at_us, made_by, reason, store, objects, refused)
                 VALUES (?1, ?2, 'verified', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                   ?15, ?16, ?17, ?18)",
            )?
            .execute(params![
                path,
                examined.version_rowid,
                is_evidence,
                record.key_id,
                record.path(),
                record.record_id,
                sha256.as_bytes().as_slice(),
                stored.map(us),
                record.action.as_str(),
                stage,
                intended.map(|i| i.record_id.as_str()),
                intended.map(|i| i.sha256.as_bytes().as_slice()),
                us(record.at),
                record.by,
                record.reason,
                record.store,
                int(record.objects.len() as u64),
                int(refused.count() as u64),
            ])?;
        Ok(())
    }

    fn add_verified(
        &self,
        path: &str,
        examined: &Examined,
        is_evidence: bool,
        bundle: &VerifiedBundle,
        stored: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        let header = bundle.header();
        let chain = &header.chain;
        let predecessor = chain.predecessor.as_ref();
        let began = chain.began.as_ref();
        let missing = began.filter(|began| !began.missing.is_empty());
        self.sql()
            .prepare_cached(
                "INSERT INTO bundle (path, version_rowid, signature_rowid, state, is_evidence,
                   key_id, own_path, bundle_id, kind, client_id, host_id, chain_id, sequence,
                   sha256, previous_sha256, generated_at_us, stored_us, boot_id,
                   predecessor_chain, predecessor_sequence, predecessor_sha256, began_because,
                   began_missing, reseals_bundle_id, reseals_sha256, plan,
                   content_hash, incident, detail)
                 VALUES (:path, :version, :signature, 'verified', :is_evidence, :key_id,
                   :own_path, :bundle_id, :kind, :client_id, :host_id, :chain_id, :sequence,
                   :sha256, :previous, :generated_at, :stored, :boot_id, :pre_chain,
                   :pre_sequence, :pre_sha256, :because, :missing, :reseals_id, :reseals_sha256,
                   :plan, :content_hash, :incident, :detail)",
            )?
            .execute(named_params! {
                ":path": path,
                ":version": examined.version_rowid,
                ":signature": examined.signature_rowid,
                ":is_evidence": is_evidence,
                ":key_id": header.signatures.first().map(|s| s.key_id.as_str()),
                ":own_path": bundle.path(),
                ":bundle_id": header.bundle_id,
                ":kind": header.kind.as_str(),
                ":client_id": header.client_id,
                ":host_id": header.host_id,
                ":chain_id": chain.chain_id,
                ":sequence": int(chain.sequence),
                ":sha256": bundle.sha256().as_bytes().as_slice(),
                ":previous": chain.previous_sha256.as_ref().map(|s| s.as_bytes().as_slice()),
                ":generated_at": us(header.generated_at),
                ":stored": stored.map(us),
                ":boot_id": header.producer.boot_id,
                ":pre_chain": predecessor.map(|p| p.chain_id.as_str()),
                ":pre_sequence": predecessor.map(|p| int(p.sequence)),
                ":pre_sha256": predecessor.map(|p| p.sha256.as_bytes().as_slice()),
                ":because": began.map(|b| b.because.as_str()),
                ":missing": missing.and_then(|b| serde_json::to_string(&b.missing).ok()),
                ":reseals_id": header.reseals.as_ref().map(|r| r.bundle_id.as_str()),
                ":reseals_sha256": header.reseals.as_ref().map(|r| r.sha256.as_bytes().as_slice()),
                ":plan": serde_json::to_string(&header.storage_locations).ok(),
                ":content_hash": header.evidence_bundle_hash,
                ":incident": incident_of(bundle),
                ":detail": IncidentDetail::of(bundle)
                    .and_then(|detail| serde_json::to_string(&detail).ok()),
            })?;
        let rowid = self.sql().last_insert_rowid();
        for file in bundle.artifacts() {
            let object = artifact_path(path, file.sha256, &file.name);
            self.sql()
                .prepare_cached(
                    "INSERT OR IGNORE INTO artifact (bundle_rowid, path, name, sha256, size_bytes)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    rowid,
                    object,
                    file.name,
                    file.sha256.as_bytes().as_slice(),
                    int(file.size_bytes)
                ])?;
        }
        match header.kind {
            Kind::Custody => self.add_custody(rowid, bundle),
            Kind::Rotation => self.add_rotation(rowid, bundle),
            Kind::Incident | Kind::Probe => Ok(()),
        }
    }

    /// A custody that contradicts itself was found out when it was examined.
    fn add_custody(&self, rowid: i64, bundle: &VerifiedBundle) -> Result<(), LedgerError> {
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
    fn add_rotation(&self, rowid: i64, bundle: &VerifiedBundle) -> Result<(), LedgerError> {
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

/// What an object is, and the path of the bundle or record that it belongs to.
fn role_of(path: &str) -> (&'static str, Option<String>) {
    if let Some(place) = Place::of(path) {
        return (place.role.as_str(), Some(place.bundle_path));
    }
    let name = path
        .strip_prefix(RECORD_FOLDER)
        .and_then(|rest| rest.strip_prefix("/REC-"));
    match name {
        Some(name) if !name.contains('/') && name.ends_with(".json") => {
            ("record", Some(path.to_owned()))
        }
        Some(name) if !name.contains('/') && name.ends_with(".json.bundle") => (
            "record_signature",
            path.strip_suffix(".bundle").map(str::to_owned),
        ),
        _ => ("other", None),
    }
}

/// How what is not verified stands, in SQL.
fn in_words(standing: &Standing) -> (&'static str, Option<Code>, &str) {
    match standing {
        Standing::Bad { code, problem } => ("bad", Some(*code), problem),
        Standing::UnknownKey { key_id } => ("unknown_key", Some(Code::UnknownKey), key_id),
        Standing::Unread { problem } => ("unread", Some(Code::NotRead), problem),
        Standing::Verified { .. } | Standing::Recorded { .. } => ("verified", None, ""),
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

/// What custody must say of an incident, from the bundle itself.
fn incident_of(bundle: &VerifiedBundle) -> Option<String> {
    if bundle.header().kind != Kind::Incident {
        return None;
    }
    let body = IncidentBody::deserialize(bundle.document()).ok()?;
    let findings = bundle.document()["findings"].as_array();
    let codes = findings
        .into_iter()
        .flatten()
        .filter_map(|finding| finding["code"].as_str());
    canonical(&IncidentEntry::new(&body, codes))
}

/// The same text for the same entry.
fn canonical(entry: &IncidentEntry) -> Option<String> {
    // A map of `Value` is sorted, so spelling is by name.
    let value: Value = serde_json::to_value(entry).ok()?;
    serde_json::to_string(&value).ok()
}
