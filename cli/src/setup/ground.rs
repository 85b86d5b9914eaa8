//! What a host needs besides secrets: the folders that the package's tmpfiles.d makes, and the keys.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use evidence::keys::{PrivateKey, PublicKey};
use host::config::Settings;
use host::signing_keys::read_public;
use nix::unistd::{Group, User, geteuid};
use zeroize::Zeroizing;

use super::secrets::{make_private_folder, own};
use super::step::Step;
use crate::keys::{make_pair, write_keyed, write_new};

const AGENT: &str = "msp-agent";
const KEYS: &str = "keys";

/// Makes the folders that are missing, with the owners and modes of systemd/tmpfiles.d.
pub(crate) fn folders(settings: &Settings) -> Result<Step> {
    let paths = &settings.paths;
    let (uploader, handover) = ("msp-uploader", "msp-handover");
    let mut made = Vec::new();
    for (path, user, group, mode) in [
        (&paths.state_dir, "root", "root", 0o755),
        (&paths.drop, AGENT, "msp-drop", 0o3770),
        (&paths.spool, AGENT, AGENT, 0o700),
        (&paths.quarantine, AGENT, AGENT, 0o700),
        (&paths.requests, AGENT, AGENT, 0o700),
        (&paths.evidence, AGENT, handover, 0o2750),
        (&paths.outbox, AGENT, handover, 0o2750),
        (&paths.receipts, AGENT, handover, 0o3770),
        (&paths.delivery, uploader, uploader, 0o700),
    ] {
        if !path.exists() {
            make(path, user, group, mode).with_context(|| format!("making {}", path.display()))?;
            made.push(path.display().to_string());
        }
    }
    Ok(if made.is_empty() {
        Step::present("folders", paths.state_dir.display().to_string())
    } else {
        Step::done("folders", format!("made {}", made.join(", ")))
    })
}

fn make(path: &Path, user: &str, group: &str, mode: u32) -> Result<()> {
    // For nobody else until it has its owner.
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(path)?;
    if geteuid().is_root() {
        let uid = User::from_name(user)?.map(|user| user.uid.as_raw());
        let gid = Group::from_name(group)?.map(|group| group.gid.as_raw());
        chown(path, uid, gid)?;
    }
    // A change of owner takes the setgid bit away, so the mode comes last.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Makes what is missing of the keys, and sees that the rest opens with the password.
pub(crate) fn keys(settings: &Settings, password: &str) -> Result<(PublicKey, Step)> {
    let signing = &settings.signing;
    if let Some(folder) = signing.key.parent().filter(|folder| !folder.exists()) {
        make_private_folder(folder, AGENT)?;
    }
    let is_new = signing.key.symlink_metadata().is_err();
    let public = if is_new {
        if settings.paths.spool.join("spool.db").exists() {
            bail!(
                "{} is not there, and this host has sealed before: bring it back from your backup, or \
                 begin a new chain with msp-evidence keys generate",
                signing.key.display()
            );
        }
        make_pair(&signing.key, &signing.public_key, password)?
    } else {
        opened(&signing.key, &signing.public_key, password)?
    };
    let keyed = [&signing.digest_key, &settings.screening.key];
    for file in keyed {
        if file.symlink_metadata().is_err() {
            write_keyed(file)?;
        }
    }
    for file in [&signing.key, &signing.public_key].into_iter().chain(keyed) {
        own(file, AGENT)?;
    }
    let what = format!(
        "{}, fingerprint {}",
        signing.public_key.display(),
        public.key_id()
    );
    let step = if is_new {
        Step::done(KEYS, what)
    } else {
        Step::present(KEYS, what)
    };
    Ok((public, step))
}

fn opened(private: &Path, public: &Path, password: &str) -> Result<PublicKey> {
    let text =
        fs::read_to_string(private).with_context(|| format!("reading {}", private.display()));
    let text = Zeroizing::new(text?);
    let key = PrivateKey::from_encrypted_pem(&text, password.as_bytes())
        .with_context(|| format!("{} does not open with its password", private.display()))?;
    if public.symlink_metadata().is_err() {
        // An earlier attempt was cut off between the two.
        write_new(public, key.public().to_pem().as_bytes(), 0o644)?;
    }
    if read_public(public)? != *key.public() {
        bail!(
            "{} is not the public half of {}",
            public.display(),
            private.display()
        );
    }
    Ok(key.public().clone())
}
