//! From untrusted bytes to a payload that may be believed.
//!
//! The signature comes first: nothing of the payload is looked at, let alone shown, before the
//! exact bytes are proven to be the key holder's. The payload is private until then.

use serde::Deserialize as _;
use serde_json::Value;

use super::{BUNDLE_VERSION, BundleId, ChainLink, Header, object_path};
use crate::digest::Sha256;
use crate::ijson;
use crate::incident::StoredFile;
use crate::keys::PublicKey;
use crate::schema::{self, SchemaError};
use crate::signature::{self, SignatureError};

const NOT_HASHED: [&str; 3] = ["evidence_bundle_hash", "signatures", "storage_locations"];

/// Why a bundle is not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The signature does not prove the bytes.
    #[error("signature")]
    Signature(#[from] SignatureError),
    /// Not I-JSON (RFC 7493).
    #[error("the bytes are signed, but are not I-JSON")]
    Json(#[source] ijson::Error),
    /// Does not follow the schema.
    #[error("the bundle does not follow the schema")]
    Schema(#[from] SchemaError),
    /// `evidence_bundle_hash` is not the hash of the content.
    #[error("evidence_bundle_hash is {stated}, but the content hashes to {computed}")]
    Hash {
        /// What the bundle says.
        stated: String,
        /// What its content gives.
        computed: String,
    },
    /// A header field contradicts another, or the key that was used.
    #[error("the header is inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// A bundle whose signature, form and content hash have been checked with a given key.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    id: BundleId,
    header: Header,
    document: Value,
    sha256: Sha256,
}

impl VerifiedBundle {
    /// Checks `bytes` against `signature_file` with a key that the caller trusts.
    ///
    /// # Errors
    /// See [`VerifyError`]; every one of them means that the bundle is not proven.
    pub fn verify(
        bytes: &[u8],
        signature_file: &[u8],
        key: &PublicKey,
    ) -> Result<Self, VerifyError> {
        signature::verify(bytes, signature_file, key)?;
        let document = ijson::read(bytes, ijson::MAX_DEPTH)
            .map_err(VerifyError::Json)?
            .value;
        schema::validate(&document)?;
        let header = Header::deserialize(&document)
            .map_err(|_| VerifyError::Inconsistent("the header does not fit its types"))?;
        if header.bundle_version != BUNDLE_VERSION {
            return Err(VerifyError::Inconsistent("bundle_version"));
        }
        let id: BundleId = header
            .bundle_id
            .parse()
            .map_err(|_| VerifyError::Inconsistent("bundle_id"))?;
        match header.signatures.as_slice() {
            [one] if one.key_id == key.key_id() && one.file == id.signature_name() => {}
            _ => {
                return Err(VerifyError::Inconsistent(
                    "signatures names another key or file",
                ));
            }
        }
        if !is_possible(&header.chain) {
            return Err(VerifyError::Inconsistent(
                "chain.previous_sha256 against chain.sequence",
            ));
        }
        let computed = content_hash(&document)?;
        if computed != header.evidence_bundle_hash {
            return Err(VerifyError::Hash {
                stated: header.evidence_bundle_hash,
                computed,
            });
        }
        Ok(Self {
            id,
            header,
            document,
            sha256: Sha256::of(bytes),
        })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Where it belongs below a destination's prefix and below the evidence folder, from its own
    /// header.
    #[must_use]
    pub fn path(&self) -> String {
        object_path(
            &self.header.client_id,
            &self.header.host_id,
            &self.header.chain.chain_id,
            self.id.day(),
            &self.id.file_name(),
        )
    }

    /// The whole document.
    #[must_use]
    pub const fn document(&self) -> &Value {
        &self.document
    }

    /// The files that are stored with the bundle; none for what is no incident.
    #[must_use]
    pub fn artifacts(&self) -> Vec<StoredFile> {
        self.document
            .pointer("/artifacts/files")
            .and_then(|files| Vec::deserialize(files).ok())
            .unwrap_or_default()
    }

    /// SHA-256 of the exact file bytes: what the chain and stores know it by.
    #[must_use]
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }
}

/// Only the first bundle of a chain has none before it, and only it can follow another chain. The
/// schema says so too; either alone would do.
const fn is_possible(link: &ChainLink) -> bool {
    let first = link.sequence == 1;
    first == link.previous_sha256.is_none()
        && (first || (link.predecessor.is_none() && link.began.is_none()))
}

/// `sha256:` over RFC 8785 of the document without the three fields that the hash leaves out.
fn content_hash(document: &Value) -> Result<String, VerifyError> {
    let Value::Object(fields) = document else {
        return Err(VerifyError::Inconsistent("not an object"));
    };
    let attested: std::collections::BTreeMap<&str, &Value> = fields
        .iter()
        .filter(|(name, _)| !NOT_HASHED.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    let canonical = serde_json_canonicalizer::to_vec(&attested)
        .map_err(|_| VerifyError::Inconsistent("the content has no canonical form"))?;
    Ok(Sha256::of(&canonical).prefixed())
}

#[cfg(test)]
mod tests {
    use super::super::{
        Began, ChainPosition, ChainStart, Draft, Kind, Missing, Producer, SealedBundle, TimeSource,
    };
    use super::*;
    use crate::chain::{Head, new_chain_id};
    use crate::keys::PrivateKey;
    use crate::keys::testing::{key, other_key};

    fn sealed() -> (&'static PrivateKey, SealedBundle) {
        let key = key();
        let producer = Producer {
            name: "test".to_owned(),
            version: "1".to_owned(),
            boot_id: "b".to_owned(),
        };
        let head = Head::Empty {
            chain_id: new_chain_id(),
            predecessor: None,
            began: None,
        };
        let bundle = Draft {
            bundle_id: "EB-20261121-0001".parse().unwrap(),
            kind: Kind::Probe,
            client_id: "c",
            host_id: "h",
            generated_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            chain: head.next(),
            producer: &producer,
            time: &TimeSource::unknown(),
            related_to: Vec::new(),
            reseals: None,
            body: serde_json::json!({"probe": {"n": 1}}),
            plan: Vec::new(),
        }
        .seal(key)
        .unwrap();
        (key, bundle)
    }

    /// What the key's holder would get by signing a document that says something untrue.
    fn signed_again(
        key: &PrivateKey,
        bundle: &SealedBundle,
        from: &str,
        to: &str,
    ) -> Result<VerifiedBundle, VerifyError> {
        let text = std::str::from_utf8(&bundle.bytes).unwrap();
        assert!(text.contains(from), "{text}");
        let bytes = text.replacen(from, to, 1).into_bytes();
        let file = signature::sign(&bytes, Sha256::of(&bytes), key).unwrap();
        VerifiedBundle::verify(&bytes, &file, key.public())
    }

    #[test]
    fn a_signed_bundle_whose_content_hash_is_wrong_is_refused() {
        let (key, bundle) = sealed();
        assert!(
            signed_again(key, &bundle, "{\n", "{ \n").is_ok(),
            "white space is no content"
        );
        let wrong = signed_again(key, &bundle, "\"n\": 1", "\"n\": 2");
        assert!(matches!(wrong, Err(VerifyError::Hash { .. })), "{wrong:?}");
    }

    #[test]
    fn a_signed_bundle_that_names_another_key_is_refused() {
        let (key, bundle) = sealed();
        let named = key.public().key_id();
        let wrong = signed_again(key, &bundle, &named, &other_key().public().key_id());
        assert!(
            matches!(wrong, Err(VerifyError::Inconsistent(_))),
            "{wrong:?}"
        );
    }

    #[test]
    fn the_signature_is_looked_at_before_anything_of_the_payload() {
        let (key, bundle) = sealed();
        let wrong = VerifiedBundle::verify(b"not even JSON", &bundle.signature, key.public());
        assert!(matches!(wrong, Err(VerifyError::Signature(_))), "{wrong:?}");
    }

    #[test]
    fn a_verified_bundle_gives_what_was_signed() {
        let (key, bundle) = sealed();
        let verified =
            VerifiedBundle::verify(&bundle.bytes, &bundle.signature, key.public()).unwrap();
        assert_eq!(verified.header().bundle_id, "EB-20261121-0001");
        assert_eq!(verified.document()["probe"], serde_json::json!({"n": 1}));
        assert_eq!(verified.sha256(), Sha256::of(&bundle.bytes));
        assert_eq!(verified.artifacts(), []);
    }

    #[test]
    fn where_a_bundle_belongs_follows_from_its_own_header() {
        let (key, bundle) = sealed();
        let verified =
            VerifiedBundle::verify(&bundle.bytes, &bundle.signature, key.public()).unwrap();
        let chain = &bundle.position.chain_id;
        assert_eq!(
            verified.path(),
            format!("c/h/{chain}/2026/11/21/EB-20261121-0001.json")
        );
    }

    #[test]
    fn the_files_that_are_stored_with_a_bundle_are_told_as_it_lists_them() {
        let (key, bundle) = sealed();
        let mut verified =
            VerifiedBundle::verify(&bundle.bytes, &bundle.signature, key.public()).unwrap();
        let file = StoredFile {
            name: "a b.log".to_owned(),
            size_bytes: 3,
            sha256: Sha256::of(b"log"),
        };
        verified.document["artifacts"] = serde_json::json!({ "files": [file] });
        assert_eq!(verified.artifacts(), [file]);
    }

    /// A document whose content hash is right, signed, whatever else it says.
    fn signed_with(
        key: &PrivateKey,
        bundle: &SealedBundle,
        change: impl Fn(&mut Value),
    ) -> Result<VerifiedBundle, VerifyError> {
        let mut document: Value = serde_json::from_slice(&bundle.bytes).unwrap();
        change(&mut document);
        document["evidence_bundle_hash"] = content_hash(&document).unwrap().into();
        let bytes = serde_json::to_vec(&document).unwrap();
        let file = signature::sign(&bytes, Sha256::of(&bytes), key).unwrap();
        VerifiedBundle::verify(&bytes, &file, key.public())
    }

    #[test]
    fn a_signed_bundle_that_names_another_signature_file_is_refused() {
        let (key, bundle) = sealed();
        assert!(signed_with(key, &bundle, |_| {}).is_ok());
        let refused = signed_with(key, &bundle, |d| {
            d["signatures"][0]["file"] = "EB-20261121-0002.json.bundle".into();
        });
        assert!(
            matches!(refused, Err(VerifyError::Inconsistent(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn only_the_first_of_a_chain_has_none_before_it_and_only_it_follows_another_chain() {
        let (key, bundle) = sealed();
        let previous = Some(Sha256::of(b"previous"));
        let predecessor = Some(ChainPosition {
            chain_id: "01K8XAMP1E0000000000000001".to_owned(),
            sequence: 9,
            sha256: Sha256::of(b"ninth"),
        });
        let began = Some(Began {
            because: ChainStart::Rebuilt,
            missing: vec![Missing {
                chain_id: "01K8XAMP1E0000000000000000".to_owned(),
                from_sequence: 3,
                to_sequence: 4,
            }],
        });
        for (sequence, previous_sha256, predecessor, possible) in [
            (1, None, None, true),
            (1, None, predecessor.clone(), true),
            (1, previous, None, false),
            (1, previous, predecessor.clone(), false),
            (2, previous, None, true),
            (2, previous, predecessor.clone(), false),
            (2, None, None, false),
            (2, None, predecessor, false),
        ] {
            let link = ChainLink {
                chain_id: "01K8XAMP1E0000000000000000".to_owned(),
                sequence,
                previous_sha256,
                predecessor,
                // It may come only where a predecessor may.
                began: began.clone().filter(|_| sequence == 1),
            };
            assert_eq!(is_possible(&link), possible, "{link:?}");
            let link_json = serde_json::to_value(&link).unwrap();
            let verified = signed_with(key, &bundle, |d| d["chain"] = link_json.clone());
            assert_eq!(verified.is_ok(), possible, "{link:?}: {verified:?}");
        }
    }

    #[test]
    fn the_content_hash_leaves_out_itself_the_signatures_and_the_locations_only() {
        let (_, bundle) = sealed();
        let document: Value = serde_json::from_slice(&bundle.bytes).unwrap();
        let hash = content_hash(&document).unwrap();
        assert_eq!(document["evidence_bundle_hash"], hash.as_str());
        for name in document.as_object().unwrap().keys() {
            let mut changed = document.clone();
            changed[name] = "changed".into();
            let same = content_hash(&changed).unwrap() == hash;
            assert_eq!(same, NOT_HASHED.contains(&name.as_str()), "{name}");
        }
        assert!(content_hash(&Value::Null).is_err());
    }
}
