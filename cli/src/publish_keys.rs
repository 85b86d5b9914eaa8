//! `keys publish`: this host's public keys into a folder that auditors can use as it is.
//!
//! Never into the bucket: who can write evidence there could lay a key of their own beside it
//! (docs/decisions/0035-public-keys-are-not-published-into-the-bucket.md). A key is written before the entry
//! that names it, and the entries of other hosts are left as they are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use audit::{KEYRING_FILE, Keyring};
use evidence::keys::PublicKey;
use host::config::Settings;
use host::exit::ExitCode;
use host::files::{self, Durability, Replace};
use host::signing_keys::{next, public_keys, public_of, read_public};
use serde::Serialize;

use crate::arguments::PublishOptions;
use crate::output;

/// A key in the folder, in the documented form of `keys publish --json`.
#[derive(Serialize)]
struct Published {
    file: PathBuf,
    key_id: String,
    client_id: String,
    host_id: String,
    /// `in_use` or `retired`.
    state: &'static str,
    /// It was not there before.
    is_new: bool,
}

pub(crate) fn run(options: &PublishOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let published = publish(&settings, &options.to)?;
    if options.json {
        output::json(&published)?;
        return Ok(ExitCode::Ok);
    }
    for key in &published {
        println!(
            "{:<8} {}  {}  {}",
            key.state,
            key.key_id,
            key.file.display(),
            if key.is_new {
                "written"
            } else {
                "there already"
            }
        );
    }
    println!(
        "\n{} is a keyring for audit, list and pull (--keyring). Whoever takes it must compare the \
         fingerprints with what you tell them by another way: a key that was found somewhere is no trust.",
        options.to.display()
    );
    Ok(ExitCode::Ok)
}

/// The key in use, then those before it. One that waits to be rotated to signs nothing yet.
fn keys(settings: &Settings) -> Result<Vec<PublicKey>> {
    let signing = &settings.signing;
    let waiting = read_public(&public_of(&next(&signing.key))).ok();
    let known = public_keys(signing)?;
    let current = known.all().first().cloned();
    let is_published =
        |key: &&PublicKey| Some(*key) == current.as_ref() || Some(*key) != waiting.as_ref();
    Ok(known.all().iter().filter(is_published).cloned().collect())
}

fn publish(settings: &Settings, folder: &Path) -> Result<Vec<Published>> {
    let context = || format!("writing {}", folder.display());
    fs::create_dir_all(folder).with_context(context)?;
    let dir = files::open_dir(folder)?;
    let file = folder.join(KEYRING_FILE);
    let mut text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    // What is no keyring is not added to.
    let known = if text.is_empty() {
        Keyring::default()
    } else {
        Keyring::folder(folder)?
    };
    let (client_id, host_id) = (&settings.client_id, &settings.host_id);
    let mut published = Vec::new();
    for (n, key) in keys(settings)?.iter().enumerate() {
        let key_id = key.key_id();
        let digits = key_id.strip_prefix("sha256:").unwrap_or(&key_id);
        let mut name = format!("{client_id}-{host_id}-{}.pub", &digits[..16]);
        let is_new = match known.get(&key_id) {
            None => true,
            Some(pinned) => {
                let binding = (pinned.client_id.as_deref(), pinned.host_id.as_deref());
                if binding != (Some(client_id), Some(host_id)) {
                    bail!(
                        "{} has the key {key_id} for another client or host than {client_id} and \
                         {host_id}: one of the two hosts has the other's key",
                        file.display()
                    );
                }
                if let Some(found) = pinned.file.file_name() {
                    name = found.to_string_lossy().into_owned();
                }
                false
            }
        };
        if is_new {
            let pem = key.to_pem();
            files::publish(
                &dir,
                &name,
                pem.as_bytes(),
                0o644,
                Durability::Fsync,
                Replace::Yes,
            )
            .with_context(context)?;
            let entry = format!(
                "[[key]]\nfile = {}\nfingerprint = {}\nclient_id = {}\nhost_id = {}\n\n",
                quoted(&name),
                quoted(&key_id),
                quoted(client_id),
                quoted(host_id)
            );
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&entry);
        }
        published.push(Published {
            file: folder.join(&name),
            key_id,
            client_id: client_id.clone(),
            host_id: host_id.clone(),
            state: if n == 0 { "in_use" } else { "retired" },
            is_new,
        });
    }
    if published.iter().any(|key| key.is_new) {
        files::publish(
            &dir,
            KEYRING_FILE,
            text.as_bytes(),
            0o644,
            Durability::Fsync,
            Replace::Yes,
        )
        .with_context(context)?;
    }
    Ok(published)
}

/// As a TOML string; JSON's escapes are TOML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use evidence::keys::PrivateKey;
    use host::signing_keys::retired;

    use super::*;

    fn public() -> PublicKey {
        PrivateKey::generate(b"").unwrap().0.public().clone()
    }

    fn settings(dir: &Path, host_id: &str) -> Settings {
        let text = format!(
            "client_id = \"c\"\nhost_id = \"{host_id}\"\n[signing]\nkey = \"{}/e.key\"\n[[destination]]\n\
             id = \"d\"\nbucket = \"bucket\"\nregion = \"r\"\n",
            dir.display()
        );
        Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap()
    }

    fn new(published: &[Published]) -> Vec<bool> {
        published.iter().map(|key| key.is_new).collect()
    }

    #[test]
    fn hosts_share_a_keyring_and_each_key_is_in_it_once_for_its_own_host() {
        let (dir, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [current, old, waiting] = [public(), public(), public()];
        let first = settings(dir.path(), "h-1");
        let key = &first.signing.key;
        fs::write(&first.signing.public_key, current.to_pem()).unwrap();
        fs::write(public_of(&retired(key, &old)), old.to_pem()).unwrap();
        fs::write(public_of(&next(key)), waiting.to_pem()).unwrap();
        let to = to.path().join("keys");
        assert_eq!(new(&publish(&first, &to).unwrap()), [true, true]);
        assert_eq!(new(&publish(&first, &to).unwrap()), [false, false]);

        let other_dir = tempfile::tempdir().unwrap();
        let second = settings(other_dir.path(), "h-2");
        let other = public();
        fs::write(&second.signing.public_key, other.to_pem()).unwrap();
        assert_eq!(new(&publish(&second, &to).unwrap()), [true]);

        let keyring = Keyring::folder(&to).unwrap();
        assert_eq!(keyring.keys().count(), 3);
        for (key, host_id) in [(&current, "h-1"), (&old, "h-1"), (&other, "h-2")] {
            let pinned = keyring.get(&key.key_id()).unwrap();
            assert_eq!(pinned.host_id.as_deref(), Some(host_id));
            assert_eq!(pinned.client_id.as_deref(), Some("c"));
        }
        assert!(keyring.get(&waiting.key_id()).is_none());

        // A clone with another name and the same key.
        fs::write(&second.signing.public_key, current.to_pem()).unwrap();
        let refused = publish(&second, &to).err().unwrap().to_string();
        assert!(refused.contains("another client or host"), "{refused}");
        fs::write(to.join(KEYRING_FILE), "not = \"a keyring\"\n").unwrap();
        assert!(publish(&first, &to).is_err(), "and it was not added to");
    }
}
