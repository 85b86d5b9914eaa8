//! Writing down what was read.

use destination::Lock;
use evidence::bundle::{Kind, VerifiedBundle, artifact_path};
use evidence::digest::Sha256;
use evidence::record::{Record, Stage};
use jiff::Timestamp;
use rusqlite::named_params;
use rusqlite::params;

use super::said::incident_of;
use super::values::{int, us};
use super::waiting::Signed;
use super::{Ledger, LedgerError};
use crate::code::Code;
use crate::report::IncidentDetail;
use crate::source::Facts;

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

impl Ledger {
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
