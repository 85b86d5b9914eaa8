//! The public half: what an auditor pins.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore_crypto::{SigningScheme, VerificationKey};
use sigstore_types::{DerPublicKey, SignatureBytes};

use super::KeyError;
use crate::digest::Sha256;

/// RFC 7468, section 13.
const LABEL: &str = "PUBLIC KEY";

/// An ECDSA P-256 public key.
#[derive(Clone)]
pub struct PublicKey {
    der: DerPublicKey,
    key: Arc<VerificationKey>,
    fingerprint: Sha256,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` PEM file (SubjectPublicKeyInfo, RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    /// When the text is not a P-256 public key in PEM form.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::NotPem {
            expected: LABEL,
            found: None,
        })?;
        if pem.tag() != LABEL {
            return Err(KeyError::NotPem {
                expected: LABEL,
                found: Some(pem.tag().to_owned()),
            });
        }
        Self::from_spki(DerPublicKey::from_bytes(pem.contents()))
    }

    pub(super) fn from_spki(der: DerPublicKey) -> Result<Self, KeyError> {
        let key = VerificationKey::from_spki(&der).map_err(|_| KeyError::Algorithm)?;
        if key.scheme() != SigningScheme::EcdsaP256Sha256 {
            return Err(KeyError::Algorithm);
        }
        let fingerprint = Sha256::of(der.as_bytes());
        Ok(Self {
            der,
            key: Arc::new(key),
            fingerprint,
        })
    }

    /// The key in PEM form, as cosign's `--key` takes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // The bytes that cosign writes: the default ends lines with CR LF.
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new(LABEL, self.der.as_bytes()), config)
    }

    /// SHA-256 of the DER-encoded SubjectPublicKeyInfo: what auditors compare out of band.
    #[must_use]
    pub const fn fingerprint(&self) -> Sha256 {
        self.fingerprint
    }

    /// `sha256:` and the fingerprint in hexadecimal, as bundles name their key.
    #[must_use]
    pub fn key_id(&self) -> String {
        self.fingerprint.prefixed()
    }

    /// The hint in the sigstore bundle: base64 of the fingerprint's bytes.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint.as_bytes())
    }

    /// Whether `signature` (ASN.1 DER) is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key
            .verify(message, &SignatureBytes::from_bytes(signature))
            .is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{key, other_key};
    use super::*;

    /// A P-384 key, made by `openssl ecparam -name secp384r1 -genkey | openssl ec -pubout`.
    const P384: &str = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEb2qbfwBioE4CbHO+QPfTDb0/v6nJNiSJ\n\
        7XGmoxxdkUoWVtj40uRDTonwuAmH9iVdbPCcL52fhg4nGGXezSN86Tu+aLWGrenr\n\
        B+4lveNtplMBdZaup7Cm8bJEU2s3qDt6\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_is_known_by_the_digest_of_its_der_form() {
        let public = key().public();
        let der = pem::parse(public.to_pem()).unwrap();
        let digest = Sha256::of(der.contents());
        assert_eq!(public.fingerprint(), digest);
        assert_eq!(public.key_id(), digest.prefixed());
        assert_eq!(public.hint(), STANDARD.encode(digest.as_bytes()));
        assert_eq!(
            format!("{public:?}"),
            format!("PublicKey({})", digest.prefixed())
        );
    }

    #[test]
    fn only_the_same_key_is_the_same() {
        assert_eq!(key().public(), &key().public().clone());
        assert_ne!(key().public(), other_key().public());
    }

    #[test]
    fn other_kinds_of_files_and_of_keys_are_refused() {
        let text = key().public().to_pem();
        let other = text.replace("PUBLIC KEY", "CERTIFICATE");
        assert!(matches!(
            PublicKey::from_pem(&other),
            Err(KeyError::NotPem { found: Some(found), .. }) if found == "CERTIFICATE"
        ));
        assert!(matches!(
            PublicKey::from_pem(P384),
            Err(KeyError::Algorithm)
        ));
    }
}
