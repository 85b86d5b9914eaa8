//! Signing keys: ECDSA P-256, in cosign's own file format, so that `cosign generate-key-pair`
//! and `msp-evidence keys generate` are interchangeable.
//!
//! P-256 with SHA-256 only: Ed25519 and P-384 fail at cosign's defaults.

mod file;
mod host;
mod private;
mod public;
#[cfg(test)]
pub(crate) mod testing;

pub use file::EncryptedKey;
pub use host::HostKeys;
pub use private::PrivateKey;
pub use public::PublicKey;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM file, or another kind of PEM file.
    #[error("not an {expected} in PEM form{}", found.as_ref().map(|f| format!(" (found {f:?})")).unwrap_or_default())]
    NotPem {
        /// The label that was looked for.
        expected: &'static str,
        /// The label that was there.
        found: Option<String>,
    },
    /// The JSON inside the PEM is not cosign's encrypted-key format.
    #[error("the encrypted key file is damaged or of an unknown form: {0}")]
    Format(String),
    /// scrypt parameters that cosign never writes.
    #[error(
        "scrypt parameters N={n} r={r} p={p} are not accepted (N = 32768, 65536 or 131072, r = 8, p = 1)"
    )]
    Kdf {
        /// Cost.
        n: u64,
        /// Block size.
        r: u32,
        /// Parallelism.
        p: u32,
    },
    /// Wrong password, or the ciphertext was changed.
    #[error("the password is wrong, or the key file was changed")]
    Password,
    /// Another algorithm than ECDSA P-256.
    #[error(
        "only ECDSA P-256 keys are accepted, because cosign's defaults verify no other kind offline"
    )]
    Algorithm,
    /// The crypto library refused.
    #[error("the cryptographic library refused the key: {0}")]
    Crypto(String),
}
