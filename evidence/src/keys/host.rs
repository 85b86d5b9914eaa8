//! The public keys that one host has signed with: after a rotation, more than one.

use super::PublicKey;
use crate::bundle::{VerifiedBundle, VerifyError};
use crate::signature::{self, SignatureError};

/// A host's public keys, as the host itself keeps them. Not an auditor's keyring: nothing here says which
/// of them may sign what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeys {
    /// The one in use first.
    keys: Vec<PublicKey>,
}

impl HostKeys {
    /// `others` are those before it, and one that waits to be rotated to.
    #[must_use]
    pub fn new(current: PublicKey, others: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut keys = vec![current];
        for key in others {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Self { keys }
    }

    /// The one in use.
    #[must_use]
    pub fn current(&self) -> &PublicKey {
        &self.keys[0]
    }

    /// All of them, the one in use first.
    #[must_use]
    pub fn all(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Checks a bundle with the one of them that its signature names.
    ///
    /// # Errors
    /// As [`VerifiedBundle::verify`].
    pub fn verify(
        &self,
        bytes: &[u8],
        signature_file: &[u8],
    ) -> Result<VerifiedBundle, VerifyError> {
        for key in &self.keys[1..] {
            match VerifiedBundle::verify(bytes, signature_file, key) {
                Err(VerifyError::Signature(SignatureError::OtherKey { .. })) => {}
                verified => return verified,
            }
        }
        VerifiedBundle::verify(bytes, signature_file, self.current())
    }

    /// Whether the signature is one of theirs over these bytes, whatever the bytes say.
    #[must_use]
    pub fn signed(&self, bytes: &[u8], signature_file: &[u8]) -> bool {
        self.keys
            .iter()
            .any(|key| signature::verify(bytes, signature_file, key).is_ok())
    }
}

impl From<PublicKey> for HostKeys {
    fn from(key: PublicKey) -> Self {
        Self::new(key, [])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{key, other_key};
    use super::*;

    #[test]
    fn each_of_a_hosts_keys_proves_what_it_signed_and_no_other_key_does() {
        let bytes = b"evidence";
        let signed = |key: &super::super::PrivateKey| {
            signature::sign(bytes, crate::digest::Sha256::of(bytes), key).unwrap()
        };
        let (mine, others) = (key().public().clone(), other_key().public().clone());
        let both = HostKeys::new(mine.clone(), [others.clone(), mine.clone()]);
        assert_eq!(both.all(), [mine.clone(), others]);
        assert!(both.signed(bytes, &signed(key())) && both.signed(bytes, &signed(other_key())));
        let one = HostKeys::from(mine);
        assert!(!one.signed(bytes, &signed(other_key())));
        assert!(matches!(
            one.verify(bytes, &signed(other_key())),
            Err(VerifyError::Signature(SignatureError::OtherKey { .. }))
        ));
    }
}
