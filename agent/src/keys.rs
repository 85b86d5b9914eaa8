//! The keys, opened once at start.

use std::fs;

use evidence::digest::DigestKey;
use evidence::keys::{PrivateKey, PublicKey};
use host::config::Signing;
use host::secret::PasswordSources;

use crate::AgentError;

/// What the agent seals with. Opening costs a tenth of a second, on purpose (scrypt), so whoever
/// opens agents again and again opens the keys once.
pub struct Keys {
    pub(crate) signing: PrivateKey,
    pub(crate) digest: DigestKey,
}

impl Keys {
    /// Opens the signing key and the digest key, and makes sure that the public key belongs to it.
    ///
    /// # Errors
    /// When one cannot be read, the password is wrong, or the public key is another's.
    pub fn open(settings: &Signing) -> Result<Self, AgentError> {
        let signing = open_signing(settings).map_err(|source| AgentError::SigningKey {
            path: settings.key.clone(),
            source,
        })?;
        let public = match fs::read_to_string(&settings.public_key) {
            Ok(public) => public,
            // It says nothing about whose key that is.
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(AgentError::PublicKey {
                    path: settings.public_key.clone(),
                    source,
                });
            }
            Err(_) => String::new(),
        };
        if PublicKey::from_pem(&public).ok().as_ref() != Some(signing.public()) {
            return Err(AgentError::KeysDiffer {
                public: settings.public_key.clone(),
                private: settings.key.clone(),
            });
        }
        let digest = open_digest(settings).map_err(|source| AgentError::DigestKey {
            path: settings.digest_key.clone(),
            source,
        })?;
        Ok(Self { signing, digest })
    }
}

fn open_signing(
    settings: &Signing,
) -> Result<PrivateKey, Box<dyn std::error::Error + Send + Sync>> {
    let text = zeroize::Zeroizing::new(fs::read_to_string(&settings.key)?);
    let (password, _) = PasswordSources::of_process(settings.password_file.as_deref()).read()?;
    Ok(PrivateKey::from_encrypted_pem(&text, password.as_bytes())?)
}

fn open_digest(settings: &Signing) -> Result<DigestKey, Box<dyn std::error::Error + Send + Sync>> {
    let text = zeroize::Zeroizing::new(fs::read_to_string(&settings.digest_key)?);
    Ok(DigestKey::from_hex(text.trim())?)
}
