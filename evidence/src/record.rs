//! Records: who changed what a store keeps, and why, in the operator's own signature.
//!
//! Putting evidence under a legal hold, taking it off and keeping it longer are done at the store, by
//! people, without the agent: no bundle can attest them. So each is written down twice, signed by the
//! person's key, and stored locked beside the evidence: what is intended before anything is changed, and
//! what came of it, as read back, afterwards. An audit verifies both like bundles.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bundle::{micros, micros_or_null};
use crate::digest::Sha256;
use crate::ijson;
use crate::keys::{KeyError, PrivateKey, PublicKey};
use crate::signature::{self, SignatureError};

/// Most objects that one record names; more are spread over several.
pub const RECORD_MAX_OBJECTS: usize = 2_000;
/// No record is longer, in bytes.
pub const RECORD_MAX_BYTES: u64 = 8 << 20;
/// The folder of records, below a destination's prefix.
pub const RECORD_FOLDER: &str = "records";

/// What one operator did to the locks of some evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always 1.
    pub record_version: u32,
    /// A ULID; also in the file's name.
    pub record_id: String,
    /// What was done.
    pub action: Action,
    /// Before or after it was done.
    pub stage: Stage,
    /// Of what was done: the record in which it was intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intended: Option<Intended>,
    /// When, by the operator's clock.
    #[serde(serialize_with = "micros")]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// `s3://bucket/prefix`.
    pub store: String,
    /// How the evidence was selected: options and their values.
    pub selection: BTreeMap<String, String>,
    /// Of an extension: until when.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "micros_or_null"
    )]
    pub retain_until: Option<Timestamp>,
    /// At most [`RECORD_MAX_OBJECTS`].
    pub objects: Vec<RecordedObject>,
    /// Fingerprint of the key that signs this.
    pub key_id: String,
}

/// What an operator can do to locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A legal hold is put on.
    Hold,
    /// A legal hold is taken off.
    ReleaseHold,
    /// The retention is made longer.
    Extend,
}

impl Action {
    /// The name used in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::ReleaseHold => "release_hold",
            Self::Extend => "extend",
        }
    }
}

/// Before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing has been changed yet.
    Intended,
    /// It has been tried; each object says what came of it.
    Done,
}

/// The record of the intention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intended {
    /// Its id.
    pub record_id: String,
    /// SHA-256 of its exact bytes.
    pub sha256: Sha256,
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedObject {
    /// Its path below the destination's prefix.
    pub object: String,
    /// The version.
    pub version_id: String,
    /// Its lock before.
    pub before: LockState,
    /// Its lock as read back afterwards; null in an intention, or when it could not be read.
    pub after: Option<LockState>,
    /// Why it was not done, if it was not: the store's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What keeps a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockState {
    /// `COMPLIANCE`, `GOVERNANCE`, `none`, or `unknown`.
    pub mode: String,
    /// Until when.
    #[serde(serialize_with = "micros_or_null")]
    pub retain_until: Option<Timestamp>,
    /// Whether a legal hold is on; null when it may not be asked.
    pub legal_hold: Option<bool>,
}

/// Why bytes are no record that may be believed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The signature does not prove the bytes.
    #[error("signature")]
    Signature(#[from] SignatureError),
    /// Not I-JSON (RFC 7493).
    #[error("the bytes are signed, but are not I-JSON")]
    Json(#[source] ijson::Error),
    /// Not of the form.
    #[error("not a record of version 1")]
    Form(#[from] serde_json::Error),
    /// A field contradicts another, or the key that was used.
    #[error("the record is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// The key cannot sign.
    #[error("signing failed")]
    Key(#[from] KeyError),
}

/// A record as it is stored: the exact bytes, and their signature.
#[derive(Debug, Clone)]
pub struct SignedRecord {
    /// `REC-….json`.
    pub bytes: Vec<u8>,
    /// `REC-….json.bundle`, a sigstore bundle v0.3.
    pub signature: Vec<u8>,
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
}

impl Record {
    /// Where it is stored, below the prefix; its signature has `.bundle` after that.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{RECORD_FOLDER}/{}", self.file_name())
    }

    /// Its file's name.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("REC-{}.json", self.record_id)
    }

    /// Writes and signs it, and verifies what was written as everybody else will.
    ///
    /// # Errors
    /// When it contradicts itself or the key cannot sign.
    pub fn sign(&self, key: &PrivateKey) -> Result<SignedRecord, RecordError> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        let sha256 = Sha256::of(&bytes);
        let signature = signature::sign(&bytes, sha256, key)?;
        Self::verify(&bytes, &signature, key.public())?;
        Ok(SignedRecord {
            bytes,
            signature,
            sha256,
        })
    }

    /// The record in these bytes, if `key` signed them.
    ///
    /// # Errors
    /// See [`RecordError`]; every one of them means that nothing is recorded.
    pub fn verify(bytes: &[u8], file: &[u8], key: &PublicKey) -> Result<Self, RecordError> {
        signature::verify(bytes, file, key)?;
        let document = ijson::read(bytes, ijson::MAX_DEPTH)
            .map_err(RecordError::Json)?
            .value;
        let record = Self::deserialize(&document)?;
        if record.record_version != 1 {
            return Err(RecordError::Inconsistent("record_version"));
        }
        if record.key_id != key.key_id() {
            return Err(RecordError::Inconsistent("it names another key"));
        }
        if !is_ulid(&record.record_id) {
            return Err(RecordError::Inconsistent("record_id"));
        }
        if record.objects.len() > RECORD_MAX_OBJECTS {
            return Err(RecordError::Inconsistent("too many objects"));
        }
        if (record.stage == Stage::Done) != record.intended.is_some() {
            return Err(RecordError::Inconsistent("stage against intended"));
        }
        if (record.action == Action::Extend) != record.retain_until.is_some() {
            return Err(RecordError::Inconsistent("action against retain_until"));
        }
        Ok(record)
    }
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && ulid::Ulid::from_string(text).is_ok_and(|id| id.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::testing::{key, other_key};

    fn intended() -> Record {
        Record {
            record_version: 1,
            record_id: "01K8XAMP1E0000000000000000".to_owned(),
            action: Action::Hold,
            stage: Stage::Intended,
            intended: None,
            at: "2026-11-21T10:00:00Z".parse().unwrap(),
            by: "an engineer".to_owned(),
            reason: "a dispute".to_owned(),
            store: "s3://evidence/".to_owned(),
            selection: BTreeMap::from([("host".to_owned(), "srv-1".to_owned())]),
            retain_until: None,
            objects: vec![RecordedObject {
                object: "c/h/x/EB-20261121-0001.json".to_owned(),
                version_id: "v1".to_owned(),
                before: LockState {
                    mode: "COMPLIANCE".to_owned(),
                    retain_until: Some("2032-11-21T10:00:00Z".parse().unwrap()),
                    legal_hold: Some(false),
                },
                after: None,
                refused: None,
            }],
            key_id: key().public().key_id(),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_signed() {
        let record = intended();
        let signed = record.sign(key()).unwrap();
        let read = Record::verify(&signed.bytes, &signed.signature, key().public()).unwrap();
        assert_eq!(read, record);
        assert_eq!(record.path(), "records/REC-01K8XAMP1E0000000000000000.json");
    }

    #[test]
    fn a_record_of_another_key_or_with_other_bytes_is_none() {
        let signed = intended().sign(key()).unwrap();
        let others = Record::verify(&signed.bytes, &signed.signature, other_key().public());
        assert!(matches!(others, Err(RecordError::Signature(_))));
        let mut edited = signed.bytes.clone();
        edited.push(b' ');
        assert!(Record::verify(&edited, &signed.signature, key().public()).is_err());
    }

    #[test]
    fn a_record_that_contradicts_itself_is_not_signed() {
        let good = intended();
        let when = Some("2033-01-01T00:00:00Z".parse().unwrap());
        let by_itself = Some(Intended {
            record_id: good.record_id.clone(),
            sha256: Sha256::of(b"x"),
        });
        for bad in [
            Record {
                record_version: 2,
                ..good.clone()
            },
            Record {
                record_id: "../x".to_owned(),
                ..good.clone()
            },
            Record {
                key_id: other_key().public().key_id(),
                ..good.clone()
            },
            Record {
                stage: Stage::Done,
                ..good.clone()
            },
            Record {
                intended: by_itself,
                ..good.clone()
            },
            Record {
                action: Action::Extend,
                ..good.clone()
            },
            Record {
                retain_until: when,
                ..good.clone()
            },
            Record {
                objects: vec![good.objects[0].clone(); RECORD_MAX_OBJECTS + 1],
                ..good
            },
        ] {
            let refused = bad.sign(key());
            assert!(matches!(refused, Err(RecordError::Inconsistent(_))));
        }
    }
}
