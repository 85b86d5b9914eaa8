//! The keys that an auditor trusts, and what for: the only trust there is.
//!
//! They come from the auditor's side, by another way than the evidence. A key found beside the
//! evidence is never looked at. Validity and revocation are the auditor's word too, and are held
//! against the store's clock: whoever has a stolen key can sign any `generated_at`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use evidence::digest::Sha256;
use evidence::keys::{KeyError, PublicKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The file in a keyring folder that says what each key is for.
pub const KEYRING_FILE: &str = "keyring.toml";
/// No key or keyring file is larger.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// One key that is trusted, and what for.
#[derive(Debug, Clone)]
pub struct PinnedKey {
    /// The key.
    pub key: PublicKey,
    /// Where it was read from.
    pub file: PathBuf,
    /// Only for this client.
    pub client_id: Option<String>,
    /// Only for this host.
    pub host_id: Option<String>,
    /// Only for what the store received at this time or later.
    pub not_before: Option<Timestamp>,
    /// Only for what the store received at this time or before.
    pub not_after: Option<Timestamp>,
    /// Not for what the store received at this time or later.
    pub revoked_at: Option<Timestamp>,
    /// Why.
    pub revoked_reason: Option<String>,
}

impl PinnedKey {
    /// A key that is trusted for everything.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self {
            key,
            file: PathBuf::new(),
            client_id: None,
            host_id: None,
            not_before: None,
            not_after: None,
            revoked_at: None,
            revoked_reason: None,
        }
    }
}

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no usable public key.
    #[error("{} holds no public key", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The keyring's own file is not of its form.
    #[error("{} is not a keyring", file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: toml::de::Error,
    },
    /// The fingerprint that was given is another key's, or none.
    #[error("the key in {} has the fingerprint {found}, and {wanted} was asked for", file.display())]
    Fingerprint {
        /// The file.
        file: PathBuf,
        /// The key's.
        found: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// An entry cannot be meant.
    #[error("{}: {what}", file.display())]
    Entry {
        /// The keyring's file.
        file: PathBuf,
        /// What cannot be.
        what: String,
    },
}

/// The keys that an auditor trusts.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    keys: BTreeMap<String, PinnedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: PathBuf,
    fingerprint: Option<String>,
    client_id: Option<String>,
    host_id: Option<String>,
    not_before: Option<String>,
    not_after: Option<String>,
    revoked_at: Option<String>,
    revoked_reason: Option<String>,
}

/// What makes two keyrings the same.
#[derive(Serialize)]
struct Identity<'a> {
    key_id: &'a str,
    client_id: &'a Option<String>,
    host_id: &'a Option<String>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl Keyring {
    /// One key for everything; its fingerprint (`sha256:…`) must be this one, if one is given.
    ///
    /// # Errors
    /// When the file holds no public key, or another.
    pub fn one(file: &Path, fingerprint: Option<&str>) -> Result<Self, KeyringError> {
        let key = read_key(file, fingerprint)?;
        Ok(Self::of([PinnedKey {
            file: file.to_owned(),
            ..PinnedKey::new(key)
        }]))
    }

    /// A folder with [`KEYRING_FILE`] and the keys that it names.
    ///
    /// # Errors
    /// When anything in it is not as it should be: a keyring that is half understood is none.
    pub fn folder(folder: &Path) -> Result<Self, KeyringError> {
        let file = folder.join(KEYRING_FILE);
        let text = read_text(&file)?;
        let read: File = toml::from_str(&text).map_err(|source| KeyringError::Form {
            file: file.clone(),
            source,
        })?;
        let wrong = |what: String| KeyringError::Entry {
            file: file.clone(),
            what,
        };
        if read.key.is_empty() {
            return Err(wrong("it names no key".to_owned()));
        }
        let mut ring = Self::default();
        for entry in read.key {
            let name = entry.file.display().to_string();
            let is_below = entry
                .file
                .components()
                .all(|part| matches!(part, std::path::Component::Normal(_)));
            if !is_below {
                return Err(wrong(format!("{name} is not below the keyring's folder")));
            }
            if entry.revoked_reason.is_some() && entry.revoked_at.is_none() {
                return Err(wrong(format!(
                    "{name} has a reason to be revoked, and no revoked_at"
                )));
            }
            if entry.host_id.is_some() && entry.client_id.is_none() {
                return Err(wrong(format!(
                    "{name} is bound to a host, and not to its client"
                )));
            }
            let time =
                |field: &str, text: &Option<String>| {
                    text.as_ref().map(|text| text.parse()).transpose().map_err(
                        |error: jiff::Error| wrong(format!("{name}: {field} is no time: {error}")),
                    )
                };
            let (not_before, not_after, revoked_at) = (
                time("not_before", &entry.not_before)?,
                time("not_after", &entry.not_after)?,
                time("revoked_at", &entry.revoked_at)?,
            );
            let path = folder.join(&entry.file);
            let key = read_key(&path, entry.fingerprint.as_deref())?;
            let pinned = PinnedKey {
                key,
                file: path,
                client_id: entry.client_id,
                host_id: entry.host_id,
                not_before,
                not_after,
                revoked_at,
                revoked_reason: entry.revoked_reason,
            };
            if let Some(earlier) = ring.keys.insert(pinned.key.key_id(), pinned) {
                return Err(wrong(format!(
                    "{name} is the same key as {}: one key is for one host",
                    earlier.file.display()
                )));
            }
        }
        Ok(ring)
    }

    /// These keys; the last of two that are the same.
    pub fn of(keys: impl IntoIterator<Item = PinnedKey>) -> Self {
        Self {
            keys: keys
                .into_iter()
                .map(|pinned| (pinned.key.key_id(), pinned))
                .collect(),
        }
    }

    /// The same, with every key that is bound to no client and host bound to this one.
    #[must_use]
    pub fn bound_to(mut self, client_id: &str, host_id: &str) -> Self {
        for pinned in self.keys.values_mut() {
            if pinned.client_id.is_none() && pinned.host_id.is_none() {
                pinned.client_id = Some(client_id.to_owned());
                pinned.host_id = Some(host_id.to_owned());
            }
        }
        self
    }

    /// The key of this id (`sha256:…`), if it is trusted.
    #[must_use]
    pub fn get(&self, key_id: &str) -> Option<&PinnedKey> {
        self.keys.get(key_id)
    }

    /// Every key, in the order of ids.
    pub fn keys(&self) -> impl Iterator<Item = &PinnedKey> {
        self.keys.values()
    }

    /// A digest of which keys are trusted, and what for: the same for the same trust.
    #[must_use]
    pub fn sha256(&self) -> Sha256 {
        let identities: Vec<Identity<'_>> = self
            .keys
            .iter()
            .map(|(key_id, pinned)| Identity {
                key_id,
                client_id: &pinned.client_id,
                host_id: &pinned.host_id,
                not_before: pinned.not_before,
                not_after: pinned.not_after,
                revoked_at: pinned.revoked_at,
            })
            .collect();
        // Strings and times only: these always serialise.
        Sha256::of(&serde_json::to_vec(&identities).unwrap_or_default())
    }
}

fn read_text(file: &Path) -> Result<String, KeyringError> {
    let failed = |source| KeyringError::Read {
        file: file.to_owned(),
        source,
    };
    let mut text = String::new();
    let mut open = fs::File::open(file).map_err(failed)?.take(FILE_MAX_BYTES);
    open.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn read_key(file: &Path, fingerprint: Option<&str>) -> Result<PublicKey, KeyringError> {
    let text = read_text(file)?;
    let key = PublicKey::from_pem(&text).map_err(|source| KeyringError::Key {
        file: file.to_owned(),
        source,
    })?;
    match fingerprint {
        Some(wanted) if wanted != key.key_id() => Err(KeyringError::Fingerprint {
            file: file.to_owned(),
            found: key.key_id(),
            wanted: wanted.to_owned(),
        }),
        _ => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{key, other_key};

    fn folder(toml: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.pub"), key().public().to_pem()).unwrap();
        fs::write(dir.path().join("b.pub"), other_key().public().to_pem()).unwrap();
        fs::write(dir.path().join(KEYRING_FILE), toml).unwrap();
        dir
    }

    fn refusal(toml: &str) -> String {
        let error = Keyring::folder(folder(toml).path()).unwrap_err();
        evidence::causes(&error)
    }

    #[test]
    fn a_keyring_says_what_each_key_is_for() {
        let ring = Keyring::folder(
            folder(&format!(
                r#"
                [[key]]
                file = "a.pub"
                fingerprint = "{}"
                client_id = "clinic"
                host_id = "host-a"
                not_before = "2026-01-01T00:00:00Z"
                not_after = "2027-01-01T00:00:00Z"
                revoked_at = "2026-06-01T00:00:00Z"
                revoked_reason = "stolen"
                [[key]]
                file = "b.pub"
                "#,
                key().public().key_id()
            ))
            .path(),
        )
        .unwrap();
        assert_eq!(ring.keys().count(), 2);
        let a = ring.get(&key().public().key_id()).unwrap();
        assert_eq!(
            (a.client_id.as_deref(), a.host_id.as_deref()),
            (Some("clinic"), Some("host-a"))
        );
        assert_eq!(a.revoked_at, Some("2026-06-01T00:00:00Z".parse().unwrap()));
        let b = ring.get(&other_key().public().key_id()).unwrap();
        assert_eq!((&b.client_id, b.not_after), (&None, None));
        assert!(ring.get("sha256:00").is_none());
    }

    #[test]
    fn a_keyring_that_is_half_understood_is_none() {
        for (toml, why) in [
            ("", "missing field `key`"),
            ("key = []", "names no key"),
            ("[[key]]\nfile = \"a.pub\"\nrevoked = true", "unknown field"),
            ("[[key]]\nfile = \"c.pub\"", "c.pub"),
            ("[[key]]\nfile = \"../a.pub\"", "not below"),
            ("[[key]]\nfile = \"/etc/a.pub\"", "not below"),
            (
                "[[key]]\nfile = \"a.pub\"\nfingerprint = \"sha256:00\"",
                "fingerprint",
            ),
            ("[[key]]\nfile = \"a.pub\"\nnot_after = \"soon\"", "no time"),
            (
                "[[key]]\nfile = \"a.pub\"\nrevoked_reason = \"lost\"",
                "no revoked_at",
            ),
            (
                "[[key]]\nfile = \"a.pub\"\nhost_id = \"h\"",
                "not to its client",
            ),
            (
                "[[key]]\nfile = \"a.pub\"\n[[key]]\nfile = \"a.pub\"",
                "same key",
            ),
            ("[[key]]\nfile = \"keyring.toml\"", "no public key"),
        ] {
            let said = refusal(toml);
            assert!(said.contains(why), "{toml}: {said}");
        }
    }

    #[test]
    fn one_key_must_have_the_fingerprint_that_was_asked_for() {
        let dir = folder("");
        let file = dir.path().join("a.pub");
        let id = key().public().key_id();
        assert!(Keyring::one(&file, Some(&id)).is_ok());
        assert!(Keyring::one(&file, None).is_ok());
        let other = other_key().public().key_id();
        assert!(matches!(
            Keyring::one(&file, Some(&other)),
            Err(KeyringError::Fingerprint { .. })
        ));
    }

    #[test]
    fn two_keyrings_are_the_same_when_they_trust_the_same() {
        let plain = || PinnedKey::new(key().public().clone());
        let one = Keyring::of([plain()]);
        assert_eq!(one.sha256(), Keyring::of([plain()]).sha256());
        let bound = one.clone().bound_to("c", "h");
        assert_ne!(one.sha256(), bound.sha256());
        assert_eq!(bound.sha256(), bound.clone().bound_to("c", "i").sha256());
        let revoked = Keyring::of([PinnedKey {
            revoked_at: Some(Timestamp::UNIX_EPOCH),
            ..plain()
        }]);
        assert_ne!(one.sha256(), revoked.sha256());
    }
}
