//! The private half: opened once at start, never printed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use sigstore_crypto::KeyPair;
use zeroize::Zeroizing;

use super::{KeyError, PublicKey, file};

/// An ECDSA P-256 signing key.
pub struct PrivateKey {
    pair: KeyPair,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key and its encrypted file in one step, so that the unencrypted PKCS#8 never
    /// leaves this function.
    ///
    /// # Errors
    /// When the random generator or the crypto library fails.
    pub fn generate(password: &[u8]) -> Result<(Self, Zeroizing<String>), KeyError> {
        let pkcs8 = new_pkcs8()?;
        let key = Self::from_pkcs8(&pkcs8)?;
        let text = file::encrypt(&pkcs8, password)?;
        Ok((key, text))
    }

    /// Opens cosign's encrypted private key file.
    ///
    /// # Errors
    /// When the file is not such a file, the password is wrong, or the key is not ECDSA P-256.
    pub fn from_encrypted_pem(text: &str, password: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(&file::decrypt(text, password)?)
    }

    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pkcs8_der(pkcs8).map_err(|_| KeyError::Algorithm)?;
        let der = pair
            .public_key_der()
            .map_err(|e| KeyError::Crypto(e.to_string()))?;
        Ok(Self {
            public: PublicKey::from_spki(der)?,
            pair,
        })
    }

    /// The matching public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`: ECDSA over its SHA-256, ASN.1 DER (FIPS 186-5).
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self
            .pair
            .sign(message)
            .map_err(|e| KeyError::Crypto(e.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }
}

/// A new key, unencrypted.
pub(super) fn new_pkcs8() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|e| KeyError::Crypto(e.to_string()))?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public.key_id())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{key, other_key};
    use super::*;

    #[test]
    fn a_generated_key_opens_again_with_its_password_only() {
        let (key, text) = PrivateKey::generate(b"correct horse").unwrap();
        let again = PrivateKey::from_encrypted_pem(&text, b"correct horse").unwrap();
        assert_eq!(key.public(), again.public());
        let wrong = PrivateKey::from_encrypted_pem(&text, b"Correct horse");
        assert!(matches!(wrong, Err(KeyError::Password)));
    }

    #[test]
    fn a_signature_verifies_with_its_key_and_with_no_other() {
        let (key, other) = (key(), other_key());
        let signature = key.sign(b"message").unwrap();
        assert!(key.public().verifies(b"message", &signature));
        assert!(!key.public().verifies(b"messagE", &signature));
        assert!(!other.public().verifies(b"message", &signature));
    }

    #[test]
    fn a_public_key_survives_its_pem_form() {
        let key = key();
        let pem = key.public().to_pem();
        assert_eq!(&PublicKey::from_pem(&pem).unwrap(), key.public());
        assert!(PublicKey::from_pem("nonsense").is_err());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let key = key();
        assert_eq!(
            format!("{key:?}"),
            format!("PrivateKey({})", key.public().key_id())
        );
    }
}
