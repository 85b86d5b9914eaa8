//! A bundle and its signature file, as auditors verify them.

use std::collections::BTreeMap;

use evidence::bundle::{BundleId, VerifiedBundle, VerifyError, artifact_path};
use evidence::digest::Sha256;
use evidence::{ijson, schema, signature};
use serde_json::{Map, Value, json};

use super::signer::{BUNDLE, KEY, OTHER_KEY, SIGNATURE};
use super::written::stays_below;

/// The one bundle that the key signed verifies; nothing else does, however it is altered. Bytes
/// that the key's holder would sign are refused, or are exactly what the bundle then shows.
///
/// After a NUL comes a signature file. Without one, the bytes are signed here as they are, and
/// then with the content hash and the key's name put right, to come past these checks.
pub fn holds(bytes: &[u8]) {
    let nul = bytes.iter().position(|b| *b == 0);
    let (bundle, file) = match nul {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, SIGNATURE),
    };
    match VerifiedBundle::verify(bundle, file, KEY.public()) {
        Ok(_) => assert_eq!(bundle, BUNDLE, "nobody signed this"),
        Err(error) => assert!(matches!(error, VerifyError::Signature(_)), "{error:?}"),
    }
    assert!(VerifiedBundle::verify(bundle, file, &OTHER_KEY).is_err());
    if nul.is_some() {
        return;
    }
    as_signed(bundle);
    if let Some(completed) = completed(bundle) {
        as_signed(&completed);
    }
}

fn as_signed(bytes: &[u8]) {
    let file = signature::sign(bytes, Sha256::of(bytes), &KEY).expect("the key signs");
    let Ok(verified) = VerifiedBundle::verify(bytes, &file, KEY.public()) else {
        return;
    };
    assert_eq!(verified.sha256(), Sha256::of(bytes));
    let read = ijson::read(bytes, ijson::MAX_DEPTH).expect("a verified bundle is I-JSON");
    assert_eq!(&read.value, verified.document());
    schema::validate(verified.document()).expect("a verified bundle follows the schema");
    let Value::Object(document) = verified.document() else {
        panic!("a verified bundle is an object");
    };
    let header = verified.header();
    assert_eq!(
        content_hash(document).as_ref(),
        Some(&header.evidence_bundle_hash)
    );
    let id: BundleId = header
        .bundle_id
        .parse()
        .expect("a verified bundle has a name");
    for stored in verified.artifacts() {
        let path = artifact_path(&id.file_name(), stored.sha256, &stored.name);
        assert!(stays_below(&path), "{path}");
    }
    assert_eq!(
        header.chain.sequence == 1,
        header.chain.previous_sha256.is_none()
    );

    let mut altered = bytes.to_vec();
    let at = usize::from(Sha256::of(bytes).as_bytes()[0]) * bytes.len() / 256;
    altered[at] ^= 1;
    assert!(VerifiedBundle::verify(&altered, &file, KEY.public()).is_err());
    assert!(VerifiedBundle::verify(bytes, SIGNATURE, KEY.public()).is_err() || bytes == BUNDLE);
    assert!(VerifiedBundle::verify(bytes, &file, &OTHER_KEY).is_err());
}

/// The document with its hash and the key's name as they must be.
fn completed(bytes: &[u8]) -> Option<Vec<u8>> {
    let Value::Object(mut document) = ijson::read(bytes, ijson::MAX_DEPTH).ok()?.value else {
        return None;
    };
    let name = document.get("bundle_id")?.as_str()?.to_owned();
    document.insert(
        "signatures".to_owned(),
        json!([{"key_id": KEY.public().key_id(), "file": format!("{name}.json.bundle")}]),
    );
    let hash = content_hash(&document)?;
    document.insert("evidence_bundle_hash".to_owned(), hash.into());
    serde_json::to_vec_pretty(&document).ok()
}

/// As docs/format.md has it: RFC 8785 of all but three fields.
fn content_hash(document: &Map<String, Value>) -> Option<String> {
    let left_out = ["evidence_bundle_hash", "signatures", "storage_locations"];
    let attested: BTreeMap<&String, &Value> = document
        .iter()
        .filter(|(name, _)| !left_out.contains(&name.as_str()))
        .collect();
    let canonical = serde_json_canonicalizer::to_vec(&attested).ok()?;
    Some(Sha256::of(&canonical).prefixed())
}
