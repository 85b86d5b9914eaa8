//! Where a host's keys lie: the one in use, the next one while a rotation is under way, and those before.
//!
//! Beside the private key `NAME` lie `NAME.next` and `NAME.next.pub` until the next key is in place, and
//! then `NAME.retired-{16 hexadecimal digits}` and its `.pub`, named by the fingerprint, for ever: what
//! they signed is verified with them for as long as it is kept.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use evidence::keys::{HostKeys, KeyError, PublicKey};

use crate::config::Signing;

const NEXT: &str = ".next";
const RETIRED: &str = ".retired-";
const PUBLIC: &str = ".pub";

/// Why a public key cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// The file.
    #[error("{path} cannot be read", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is in it.
    #[error("in {path}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
}

/// Where the private key waits that `key` is to be rotated to.
#[must_use]
pub fn next(key: &Path) -> PathBuf {
    with_suffix(key, NEXT)
}

/// Where `key`, whose public half this is, is kept once another has its place.
#[must_use]
pub fn retired(key: &Path, public: &PublicKey) -> PathBuf {
    let id = public.key_id();
    let hexadecimal = id.strip_prefix("sha256:").unwrap_or(&id);
    with_suffix(key, &format!("{RETIRED}{}", &hexadecimal[..16]))
}

/// The public half of a next or a retired key.
#[must_use]
pub fn public_of(key: &Path) -> PathBuf {
    with_suffix(key, PUBLIC)
}

/// Every public key of this host that lies in its place.
///
/// # Errors
/// When the one in use cannot be read; any other that cannot is left out, and what it signed is then not
/// proven by anybody.
pub fn public_keys(signing: &Signing) -> Result<HostKeys, PublicKeyError> {
    Ok(HostKeys::new(
        read_public(&signing.public_key)?,
        other_public_keys(&signing.key),
    ))
}

/// The public halves of the next key and of the retired ones.
#[must_use]
pub fn other_public_keys(key: &Path) -> Vec<PublicKey> {
    let (Some(folder), Some(name)) = (key.parent(), key.file_name()) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| is_other_public(&entry.file_name(), name))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| read_public(path).ok())
        .collect()
}

/// Reads a public key file.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read_public(path: &Path) -> Result<PublicKey, PublicKeyError> {
    let text = fs::read_to_string(path).map_err(|source| PublicKeyError::Io {
        path: path.to_owned(),
        source,
    })?;
    PublicKey::from_pem(&text).map_err(|source| PublicKeyError::Key {
        path: path.to_owned(),
        source,
    })
}

fn is_other_public(file: &OsStr, key: &OsStr) -> bool {
    let (file, key) = (file.as_encoded_bytes(), key.as_encoded_bytes());
    file.strip_prefix(key).is_some_and(|rest| {
        rest.ends_with(PUBLIC.as_bytes())
            && (rest.starts_with(NEXT.as_bytes()) || rest.starts_with(RETIRED.as_bytes()))
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use evidence::keys::PrivateKey;

    use super::*;

    #[test]
    fn the_key_in_use_comes_first_and_what_is_no_key_of_this_name_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let made: Vec<PublicKey> = (0..4)
            .map(|_| PrivateKey::generate(b"").unwrap().0.public().clone())
            .collect();
        let key = dir.path().join("evidence.key");
        let signing = Signing {
            public_key: dir.path().join("evidence.pub"),
            password_file: None,
            digest_key: dir.path().join("digest.key"),
            key: key.clone(),
        };
        for (path, public) in [
            (signing.public_key.clone(), &made[0]),
            (public_of(&next(&key)), &made[1]),
            (public_of(&retired(&key, &made[2])), &made[2]),
            (dir.path().join("other.key.next.pub"), &made[3]),
            (dir.path().join("evidence.key.bak.pub"), &made[3]),
        ] {
            fs::write(path, public.to_pem()).unwrap();
        }
        fs::write(dir.path().join("evidence.key.retired-x.pub"), "no key").unwrap();
        assert_eq!(public_keys(&signing).unwrap().all(), &made[..3]);
        fs::remove_file(&signing.public_key).unwrap();
        assert!(public_keys(&signing).is_err());
    }
}
