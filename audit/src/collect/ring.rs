//! The keys that signatures are tried with: those of the auditor, and those that rotations name.
//!
//! That a signature verifies with one of them is arithmetic, not trust. Whether that key could sign
//! for that host then is judged later, from the whole ledger.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use evidence::keys::PublicKey;

use crate::keyring::Keyring;

/// Keys by their id.
pub(crate) struct Ring(RwLock<BTreeMap<String, PublicKey>>);

impl Ring {
    /// The auditor's keys, and those of these PEM texts.
    pub(crate) fn new(keyring: &Keyring, rotated: &[String]) -> Self {
        let keys = keyring
            .keys()
            .map(|pinned| pinned.key.clone())
            .chain(
                rotated
                    .iter()
                    .filter_map(|pem| PublicKey::from_pem(pem).ok()),
            )
            .map(|key| (key.key_id(), key))
            .collect();
        Self(RwLock::new(keys))
    }

    pub(crate) fn get(&self, key_id: &str) -> Option<PublicKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(key_id).cloned()
    }

    /// A verified rotation names this key.
    pub(crate) fn add(&self, key: PublicKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.key_id(), key);
    }

    pub(crate) fn key_ids(&self) -> Vec<String> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.keys().cloned().collect()
    }
}
