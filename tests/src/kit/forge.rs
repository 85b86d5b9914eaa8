//! What can be done to a signed bundle before it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Sha256;
use evidence::keys::PrivateKey;
use evidence::signature;
use serde_json::Value;

use super::header::Forgery;
use super::host::Made;

/// The files of one bundle as they are stored.
#[derive(Debug, Clone)]
pub struct Files {
    /// Path of `EB-….json` below the prefix.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The bytes of `….json.bundle`.
    pub signature: Vec<u8>,
    /// Artifacts: path and bytes.
    pub artifacts: Vec<(String, Vec<u8>)>,
}

impl Files {
    /// As they were sealed.
    #[must_use]
    pub fn of(made: &Made) -> Self {
        Self {
            path: made.path.clone(),
            bytes: made.sealed.bytes.clone(),
            signature: made.sealed.signature.clone(),
            artifacts: made.artifacts.clone(),
        }
    }

    /// Path of the signature.
    #[must_use]
    pub fn signature_path(&self) -> String {
        format!("{}.bundle", self.path)
    }

    /// Forges.
    ///
    /// # Panics
    /// When there is nothing to forge: a kit that forges nothing would pass for the wrong reason.
    pub fn forge(
        &mut self,
        how: &Forgery,
        earlier: &BTreeMap<String, Files>,
        key: &mut dyn FnMut(&str) -> Arc<PrivateKey>,
    ) {
        match how {
            Forgery::Edit([from, to]) => self.edit(from, to),
            Forgery::Reseal([from, to, by]) => {
                self.edit(from, to);
                self.hash_again();
                self.sign(&key(by));
            }
            Forgery::Resign([from, to, by]) => {
                self.edit(from, to);
                self.sign(&key(by));
            }
            Forgery::Truncate(length) => {
                assert!(*length < self.bytes.len());
                self.bytes.truncate(*length);
            }
            Forgery::Append(text) => self.bytes.extend_from_slice(text.as_bytes()),
            Forgery::SignedBy(by) => self.sign(&key(by)),
            Forgery::TruncateSignature(length) => {
                assert!(*length < self.signature.len());
                self.signature.truncate(*length);
            }
            Forgery::Signature(text) => self.signature = text.clone().into_bytes(),
            Forgery::Legacy(by) => {
                let by = key(by);
                let legacy = serde_json::json!({
                    "base64Signature": STANDARD.encode(by.sign(&self.bytes).unwrap()),
                    "cert": STANDARD.encode(by.public().to_pem()),
                });
                self.signature = legacy.to_string().into_bytes();
            }
            Forgery::BytesOf(name) => self.bytes = earlier[name].bytes.clone(),
            Forgery::SignatureOf(name) => self.signature = earlier[name].signature.clone(),
            Forgery::Artifact(text) => {
                self.artifacts[0].1 = text.clone().into_bytes();
            }
            Forgery::FileName(name) => {
                let (folder, _) = self.path.rsplit_once('/').unwrap();
                self.path = format!("{folder}/{name}");
            }
        }
    }

    fn edit(&mut self, from: &str, to: &str) {
        let text = std::str::from_utf8(&self.bytes).unwrap();
        assert!(text.contains(from), "nothing to edit: {from}\n{text}");
        self.bytes = text.replacen(from, to, 1).into_bytes();
    }

    fn hash_again(&mut self) {
        let mut document: Value = serde_json::from_slice(&self.bytes).unwrap();
        let stated = document["evidence_bundle_hash"]
            .as_str()
            .unwrap()
            .to_owned();
        let fields = document.as_object_mut().unwrap();
        for left_out in ["evidence_bundle_hash", "signatures", "storage_locations"] {
            fields.remove(left_out);
        }
        let canonical = serde_json_canonicalizer::to_vec(&document).unwrap();
        self.edit(&stated, &Sha256::of(&canonical).prefixed());
    }

    fn sign(&mut self, key: &PrivateKey) {
        self.signature = signature::sign(&self.bytes, Sha256::of(&self.bytes), key).unwrap();
    }
}
