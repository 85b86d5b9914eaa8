//! One version of a bundle or record, held against every version of its signature. No I/O.

use destination::Lock;
use evidence::bundle::{Kind, VerifiedBundle, VerifyError};
use evidence::custody::Custody;
use evidence::digest::Sha256;
use evidence::record::{Record, RecordError};
use evidence::rotation::Rotation;
use evidence::signature::{SignatureError, named_key};
use jiff::Timestamp;

use super::ring::Ring;
use crate::code::Code;
use crate::ledger::{Examined, Signed, Standing};
use crate::source::Facts;

/// A version of a signature, as read.
pub(super) struct Signature {
    pub(super) version_rowid: i64,
    pub(super) facts: Facts,
    pub(super) bytes: Vec<u8>,
}

/// What came of reading a bundle's signatures.
#[derive(Default)]
pub(super) struct Signatures {
    /// The oldest first.
    pub(super) read: Vec<Signature>,
    /// Why one of them was not read.
    pub(super) unread: Option<String>,
}

/// The best that can be said: of the oldest signature that verifies and is locked; else of the oldest
/// that verifies; else what is wrong with the one that comes nearest.
pub(super) fn examine(
    kind: Signed,
    version_rowid: i64,
    facts: &Facts,
    bytes: &[u8],
    signatures: &Signatures,
    ring: &Ring,
) -> Examined {
    let is_locked = |facts: &Facts| matches!(facts.lock, Some(Lock::Compliance(_)));
    let mut best: Option<(u8, Examined)> = None;
    for signature in &signatures.read {
        let both_locked = is_locked(facts) && is_locked(&signature.facts);
        let standing = try_one(kind, bytes, facts, signature, ring);
        let rank = rank(&standing) + u8::from(both_locked && rank(&standing) == VERIFIED);
        // Of equals the oldest.
        if best.as_ref().is_none_or(|(before, _)| rank > *before) {
            best = Some((
                rank,
                Examined {
                    version_rowid,
                    signature_rowid: Some(signature.version_rowid),
                    standing,
                    is_locked: both_locked,
                },
            ));
        }
    }
    let nothing = |standing| Examined {
        version_rowid,
        signature_rowid: None,
        standing,
        is_locked: false,
    };
    match (best, &signatures.unread) {
        (Some((rank, examined)), _) if rank >= VERIFIED => examined,
        // The right one may be among those that were not read.
        (_, Some(problem)) => nothing(Standing::Unread {
            problem: format!("its signature cannot be read: {problem}"),
        }),
        (Some((_, examined)), None) => examined,
        (None, None) => nothing(Standing::Bad {
            code: Code::Unsigned,
            problem: "no signature lies beside it".to_owned(),
        }),
    }
}

const VERIFIED: u8 = 10;

/// How near it comes to being proven.
const fn rank(standing: &Standing) -> u8 {
    match standing {
        Standing::Verified { .. } | Standing::Recorded { .. } => VERIFIED,
        Standing::UnknownKey { .. } => 3,
        Standing::Unread { .. } => 0,
        Standing::Bad { code, .. } => match code {
            Code::Forged => 4,
            Code::BytesChanged => 5,
            Code::LegacyFormat => 2,
            Code::NotASignature => 1,
            // The signature is right.
            _ => 6,
        },
    }
}

fn try_one(
    kind: Signed,
    bytes: &[u8],
    facts: &Facts,
    signature: &Signature,
    ring: &Ring,
) -> Standing {
    let key_id = match named_key(&signature.bytes) {
        Ok(key_id) => key_id,
        Err(error) => return bad_signature(&error),
    };
    let Some(key) = ring.get(&key_id) else {
        return Standing::UnknownKey { key_id };
    };
    let stored = stored(facts, &signature.facts);
    match kind {
        Signed::Bundle => match VerifiedBundle::verify(bytes, &signature.bytes, &key) {
            Ok(bundle) => whole(bundle, stored, ring),
            Err(error) => refused(&error),
        },
        Signed::Record => match Record::verify(bytes, &signature.bytes, &key) {
            Ok(record) => Standing::Recorded {
                record: Box::new(record),
                sha256: Sha256::of(bytes),
                stored,
            },
            Err(error) => no_record(&error),
        },
    }
}

fn no_record(error: &RecordError) -> Standing {
    let code = match error {
        RecordError::Signature(error) => return bad_signature(error),
        RecordError::Json(_) => Code::NotJson,
        RecordError::Form(_) => Code::NotTheSchema,
        RecordError::Inconsistent(_) | RecordError::Key(_) => Code::HeaderInconsistent,
    };
    Standing::Bad {
        code,
        problem: evidence::causes(error),
    }
}

/// When the store had both: whoever has one of them earlier has not the evidence earlier.
fn stored(bundle: &Facts, signature: &Facts) -> Option<Timestamp> {
    Some(bundle.last_modified?.max(signature.last_modified?))
}

/// What is signed may still contradict itself.
fn whole(bundle: VerifiedBundle, stored: Option<Timestamp>, ring: &Ring) -> Standing {
    let inconsistent = |error: &dyn std::error::Error| Standing::Bad {
        code: Code::BodyInconsistent,
        problem: evidence::causes(error),
    };
    match bundle.header().kind {
        Kind::Custody => {
            if let Err(error) = Custody::read(&bundle) {
                return inconsistent(&error);
            }
        }
        Kind::Rotation => match Rotation::read(&bundle) {
            Ok((_, key)) => ring.add(key),
            // Said again by the key that came after, it is a record, and leads nowhere.
            Err(_) if bundle.header().reseals.is_some() => {}
            Err(error) => return inconsistent(&error),
        },
        Kind::Incident | Kind::Probe => {}
    }
    Standing::Verified {
        bundle: Box::new(bundle),
        stored,
    }
}

fn refused(error: &VerifyError) -> Standing {
    let code = match error {
        VerifyError::Signature(error) => return bad_signature(error),
        VerifyError::Json(_) => Code::NotJson,
        VerifyError::Schema(_) => Code::NotTheSchema,
        VerifyError::Hash { .. } => Code::ContentHash,
        VerifyError::Inconsistent(_) => Code::HeaderInconsistent,
    };
    Standing::Bad {
        code,
        problem: evidence::causes(error),
    }
}

fn bad_signature(error: &SignatureError) -> Standing {
    let code = match error {
        SignatureError::Legacy => Code::LegacyFormat,
        SignatureError::Format(_) => Code::NotASignature,
        SignatureError::Digest => Code::BytesChanged,
        // The hint was followed, so another key can only be a forged one.
        SignatureError::OtherKey { .. } | SignatureError::Signature(_) => Code::Forged,
    };
    Standing::Bad {
        code,
        problem: evidence::causes(error),
    }
}
