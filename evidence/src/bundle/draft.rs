//! From a body to signed bytes.
//!
//! The order is what makes it safe: hash, write, sign, then read the written bytes back through
//! the very code that auditors run. Only bytes that verify leave this module, so a fault in any
//! step seals nothing.

use std::io;

use jiff::Timestamp;
use serde::Serialize;

use super::header::micros;
use super::{
    BUNDLE_MAX_BYTES, BUNDLE_VERSION, BundleId, ChainLink, ChainPosition, Kind, PlannedLocation,
    Producer, Related, Reseals, SignatureRef, TimeSource, VerifiedBundle, VerifyError,
};
use crate::digest::Sha256;
use crate::keys::{KeyError, PrivateKey};
use crate::signature;

/// Everything a bundle says, before it is hashed and signed. `body` serialises to an object whose
/// fields follow the header's.
#[derive(Debug, Clone)]
pub struct Draft<'a, B> {
    /// Its name.
    pub bundle_id: BundleId,
    /// What it attests.
    pub kind: Kind,
    /// Whose evidence this is.
    pub client_id: &'a str,
    /// The host that seals.
    pub host_id: &'a str,
    /// Now, by the host's clock.
    pub generated_at: Timestamp,
    /// Its place in the chain.
    pub chain: ChainLink,
    /// What makes it.
    pub producer: &'a Producer,
    /// What is known of the clock.
    pub time: &'a TimeSource,
    /// Earlier bundles it speaks of.
    pub related_to: Vec<Related>,
    /// The bundle that this one says again.
    pub reseals: Option<Reseals>,
    /// What it says.
    pub body: B,
    /// Where it is to be stored.
    pub plan: Vec<PlannedLocation>,
}

/// A bundle whose exact bytes are fixed for ever.
#[derive(Debug, Clone)]
pub struct SealedBundle {
    /// Its name.
    pub bundle_id: BundleId,
    /// Its place in the chain, by these bytes.
    pub position: ChainPosition,
    /// When it was sealed.
    pub generated_at: Timestamp,
    /// The exact bytes of `EB-….json`.
    pub bytes: Vec<u8>,
    /// The exact bytes of `EB-….json.bundle`.
    pub signature: Vec<u8>,
}

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The document could not be written as JSON.
    #[error("the bundle cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The key could not sign.
    #[error("signing failed")]
    Key(#[from] KeyError),
    /// What was written does not verify; nothing was sealed.
    #[error("the bundle did not pass its own verification, so nothing was sealed")]
    SelfCheck(#[source] VerifyError),
}

/// What the content hash covers: all but the hash itself, `signatures` and `storage_locations`.
#[derive(Serialize)]
struct Attested<'a, B> {
    bundle_id: String,
    bundle_version: &'static str,
    kind: Kind,
    client_id: &'a str,
    host_id: &'a str,
    #[serde(serialize_with = "micros")]
    generated_at: Timestamp,
    chain: &'a ChainLink,
    producer: &'a Producer,
    time: &'a TimeSource,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    related_to: &'a [Related],
    #[serde(skip_serializing_if = "Option::is_none")]
    reseals: Option<&'a Reseals>,
    #[serde(flatten)]
    body: &'a B,
}

/// Indentation can make a small document very long (a long list, deeply nested), so the length is
/// held while writing, not looked at afterwards.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if (self.0.len() + piece.len()) as u64 >= BUNDLE_MAX_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "written out, the bundle is longer than a bundle may be",
            ));
        }
        self.0.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Document<'a, B> {
    #[serde(flatten)]
    attested: Attested<'a, B>,
    evidence_bundle_hash: String,
    signatures: [SignatureRef; 1],
    storage_locations: &'a [PlannedLocation],
}

impl<B: Serialize> Draft<'_, B> {
    /// Hashes, writes, signs and verifies the bundle.
    ///
    /// # Errors
    /// When any step fails; nothing has been sealed then.
    pub fn seal(&self, key: &PrivateKey) -> Result<SealedBundle, SealError> {
        let attested = Attested {
            bundle_id: self.bundle_id.to_string(),
            bundle_version: BUNDLE_VERSION,
            kind: self.kind,
            client_id: self.client_id,
            host_id: self.host_id,
            generated_at: self.generated_at,
            chain: &self.chain,
            producer: self.producer,
            time: self.time,
            related_to: &self.related_to,
            reseals: self.reseals.as_ref(),
            body: &self.body,
        };
        let canonical = serde_json_canonicalizer::to_vec(&attested)?;
        let document = Document {
            attested,
            evidence_bundle_hash: Sha256::of(&canonical).prefixed(),
            signatures: [SignatureRef {
                key_id: key.public().key_id(),
                file: self.bundle_id.signature_name(),
            }],
            storage_locations: &self.plan,
        };
        let mut written = Capped(Vec::new());
        serde_json::to_writer_pretty(&mut written, &document)?;
        let mut bytes = written.0;
        bytes.push(b'\n');
        let sha256 = Sha256::of(&bytes);
        let signature = signature::sign(&bytes, sha256, key)?;
        let verified = VerifiedBundle::verify(&bytes, &signature, key.public())
            .map_err(SealError::SelfCheck)?;
        if verified.header().chain != self.chain {
            return Err(SealError::SelfCheck(VerifyError::Inconsistent("chain")));
        }
        Ok(SealedBundle {
            bundle_id: self.bundle_id,
            position: ChainPosition {
                chain_id: self.chain.chain_id.clone(),
                sequence: self.chain.sequence,
                sha256,
            },
            generated_at: self.generated_at,
            bytes,
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chain::Head;
    use crate::keys::testing::key;

    fn seal(kind: Kind, body: &Value) -> Result<SealedBundle, SealError> {
        let producer = Producer {
            name: "test".to_owned(),
            version: "1".to_owned(),
            boot_id: "b".to_owned(),
        };
        let head = Head::Empty {
            chain_id: crate::chain::new_chain_id(),
            predecessor: None,
            began: None,
        };
        Draft {
            bundle_id: "EB-20261121-0001".parse().unwrap(),
            kind,
            client_id: "c",
            host_id: "h",
            generated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            chain: head.next(),
            producer: &producer,
            time: &TimeSource::unknown(),
            related_to: Vec::new(),
            reseals: None,
            body,
            plan: Vec::new(),
        }
        .seal(key())
    }

    #[test]
    fn a_body_that_does_not_follow_the_schema_is_not_sealed() {
        let good = json!({"probe": {"note": "a set-up test"}});
        let refused = |result| matches!(result, Err(SealError::SelfCheck(VerifyError::Schema(_))));
        assert!(seal(Kind::Probe, &good).is_ok());
        assert!(refused(seal(Kind::Incident, &good)));
        assert!(refused(seal(Kind::Probe, &json!({"surprise": 1}))));
    }

    #[test]
    fn a_body_that_does_not_read_back_is_not_sealed() {
        // Written out, the same name stands twice: valid to a careless writer, refused here.
        let doubled = json!({"probe": {}, "kind": "incident"});
        assert!(matches!(
            seal(Kind::Probe, &doubled),
            Err(SealError::SelfCheck(_) | SealError::Json(_))
        ));
    }

    #[test]
    fn a_bundle_is_written_up_to_the_limit_and_not_a_byte_further() {
        use std::io::Write as _;
        // One byte is kept for the newline, which comes last.
        let most = usize::try_from(BUNDLE_MAX_BYTES).unwrap() - 1;
        let mut written = Capped(vec![0; most - 2]);
        assert_eq!(written.write(b"xy").unwrap(), 2);
        assert!(written.write(b"z").is_err());
        assert_eq!(written.0.len(), most);
        assert!(written.0.ends_with(b"xy"));
    }

    #[test]
    fn what_was_sealed_says_where_it_stands_in_the_chain() {
        let body = json!({"probe": {}});
        let sealed = seal(Kind::Probe, &body).unwrap();
        assert_eq!(sealed.position.sequence, 1);
        assert_eq!(sealed.position.sha256, Sha256::of(&sealed.bytes));
        let text = std::str::from_utf8(&sealed.bytes).unwrap();
        assert!(
            text.contains("\"generated_at\": \"2026-11-21T10:00:00.000000Z\""),
            "{text}"
        );
        assert!(text.ends_with("}\n"), "{text}");
    }
}
