//! The keys, opened at start; another signing key takes over at a rotation.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use evidence::digest::DigestKey;
use evidence::keys::{HostKeys, PrivateKey, PublicKey};
use host::config::Signing;
use host::secret::PasswordSources;
use host::signing_keys;

use crate::AgentError;

/// What the agent seals with. Opening costs a tenth of a second, on purpose (scrypt), so whoever
/// opens agents again and again opens the keys once.
pub struct Keys {
    pub(crate) signing: PrivateKey,
    pub(crate) digest: Arc<DigestKey>,
    /// What this host has signed with: this key and those before it.
    pub(crate) known: HostKeys,
}

impl Keys {
    /// Opens the signing key and the digest key. `in_use` is the key id that the spool's newest bundle
    /// leaves in use: where a rotation was cut off before its files were in place, that is the next key.
    /// If it is neither, the configured one is opened, and whoever seals has to begin a new chain.
    ///
    /// # Errors
    /// When one cannot be read, the password is wrong, or the public key is another's.
    pub fn open(settings: &Signing, in_use: Option<&str>) -> Result<Self, AgentError> {
        let mut signing = open_signing(settings, &settings.key)?;
        let next = signing_keys::next(&settings.key);
        let is_in_use =
            |key: &PrivateKey| in_use.is_none_or(|in_use| key.public().key_id() == in_use);
        let mut is_placed = true;
        if !is_in_use(&signing) && next.exists() {
            // One that cannot be opened may be the one: better no agent than one with another key.
            let waiting = open_signing(settings, &next)?;
            if is_in_use(&waiting) {
                signing = waiting;
                is_placed = false;
            }
        }
        if is_placed {
            is_placed = check_public(settings, &signing, in_use)?;
        }
        if !is_placed {
            tracing::warn!(
                state = "rotated",
                key = signing.public().key_id(),
                "the key was rotated, and its files are not in place yet: run `msp-evidence keys \
                 rotate` again"
            );
        }
        let digest = open_digest(settings).map_err(|source| AgentError::DigestKey {
            path: settings.digest_key.clone(),
            source,
        })?;
        Ok(Self {
            known: known(settings, &signing),
            digest: Arc::new(digest),
            signing,
        })
    }

    /// The same with the next signing key, from now on.
    pub(crate) fn rotated(&self, settings: &Signing, next: PrivateKey) -> Self {
        let mut others = known(settings, &next).all().to_vec();
        others.extend(self.known.all().iter().cloned());
        Self {
            known: HostKeys::new(next.public().clone(), others),
            digest: Arc::clone(&self.digest),
            signing: next,
        }
    }
}

/// Opens the key that the present one is to be rotated to.
pub(crate) fn open_next(settings: &Signing) -> Result<PrivateKey, AgentError> {
    open_signing(settings, &signing_keys::next(&settings.key))
}

fn known(settings: &Signing, signing: &PrivateKey) -> HostKeys {
    let mut others = signing_keys::other_public_keys(&settings.key);
    others.extend(signing_keys::read_public(&settings.public_key));
    HostKeys::new(signing.public().clone(), others)
}

/// Whether the public key's file is the private one's. Between the two renames of a rotation it is not
/// yet, and the next one's is.
fn check_public(
    settings: &Signing,
    signing: &PrivateKey,
    in_use: Option<&str>,
) -> Result<bool, AgentError> {
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
    if PublicKey::from_pem(&public).ok().as_ref() == Some(signing.public()) {
        return Ok(true);
    }
    let waiting = signing_keys::public_of(&signing_keys::next(&settings.key));
    let is_rotated = in_use == Some(signing.public().key_id().as_str())
        && signing_keys::read_public(&waiting).is_ok_and(|public| public == *signing.public());
    if is_rotated {
        return Ok(false);
    }
    Err(AgentError::KeysDiffer {
        public: settings.public_key.clone(),
        private: settings.key.clone(),
    })
}

fn open_signing(settings: &Signing, key: &Path) -> Result<PrivateKey, AgentError> {
    let open = || -> Result<PrivateKey, Box<dyn std::error::Error + Send + Sync>> {
        let text = zeroize::Zeroizing::new(fs::read_to_string(key)?);
        let sources = PasswordSources::of_process(settings.password_file.as_deref());
        let (password, _) = sources.read()?;
        Ok(PrivateKey::from_encrypted_pem(&text, password.as_bytes())?)
    };
    open().map_err(|source| AgentError::SigningKey {
        path: key.to_owned(),
        source,
    })
}

fn open_digest(settings: &Signing) -> Result<DigestKey, Box<dyn std::error::Error + Send + Sync>> {
    let text = zeroize::Zeroizing::new(fs::read_to_string(&settings.digest_key)?);
    Ok(DigestKey::from_hex(text.trim())?)
}
