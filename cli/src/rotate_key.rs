//! `keys rotate`: the next key made, the agent asked, the files put in place.
//!
//! Order: the next key is durable beside the old one before anything is asked. The agent's commit makes
//! the rotation true. Then the old key gets its second name before the next one takes its first, and the
//! public half follows the private one; at each point in between, the agent finds the key that its spool
//! calls in use. So whatever cuts this off, the same command finishes it: it looks first at what the
//! newest sealed bundle says.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use evidence::handover::Action;
use evidence::keys::{PrivateKey, PublicKey};
use host::config::{Settings, Signing};
use host::exit::ExitCode;
use host::owner::as_owner_of;
use host::signing_keys::{next, public_of, read_public, retired};
use zeroize::Zeroizing;

use crate::arguments::RotateOptions;
use crate::asking::ask;
use crate::keys::{password, write_new};
use crate::output;
use crate::status::spool_reader;

pub(crate) fn run(options: &RotateOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let signing = &settings.signing;
    if let Some(key) = waiting(signing)
        && in_use(&settings)?.as_deref() == Some(key.key_id().as_str())
    {
        // An earlier rotation was committed and then cut off.
        place(signing, &key)?;
        eprintln!("the rotation that was cut off is finished; run it again to rotate once more");
        told(signing, &key);
        return Ok(ExitCode::Ok);
    }
    if in_use(&settings)?.is_none() {
        bail!(
            "nothing has been sealed yet, so there is nothing to rotate: put the new key in place"
        );
    }
    let key = prepare(options, signing)?;
    let action = Action::Rotate {
        to_key_id: key.key_id(),
        reason: options.reason.clone(),
        by: options.by.clone(),
    };
    let code = ask(&settings, action, options.json)?;
    if code == ExitCode::Ok {
        place(signing, &key)?;
        if !options.json {
            told(signing, &key);
        }
    } else {
        eprintln!(
            "msp-evidence: {} stays for the next attempt",
            next(&signing.key).display()
        );
    }
    Ok(code)
}

/// The public half of the next key, as far as its files are there.
fn waiting(signing: &Signing) -> Option<PublicKey> {
    read_public(&public_of(&next(&signing.key))).ok()
}

/// What the newest sealed bundle calls the key in use.
fn in_use(settings: &Settings) -> Result<Option<String>> {
    let folder = &settings.paths.spool;
    if !folder.exists() {
        bail!("{}: the agent has not run yet", folder.display());
    }
    as_owner_of(folder, || -> Result<_> {
        Ok(match spool_reader(settings)? {
            Some(reader) => reader.key_in_use()?,
            None => None,
        })
    })?
    .with_context(|| format!("reading {}", folder.display()))
}

/// The next key beside the one in use: one that waits already, the operator's own, or a new one.
fn prepare(options: &RotateOptions, signing: &Signing) -> Result<PublicKey> {
    let private = next(&signing.key);
    let public = public_of(&private);
    let password_file = options.password_file.as_deref();
    let password_file = password_file.or(signing.password_file.as_deref());
    let open = |path: &Path, confirm: bool| -> Result<(PrivateKey, Zeroizing<String>)> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
        let text = Zeroizing::new(text?);
        let password = password(password_file, confirm)?;
        let key = PrivateKey::from_encrypted_pem(&text, password.as_bytes())
            .with_context(|| format!("opening {}", path.display()))?;
        Ok((key, text))
    };
    let key = if private.exists() {
        let (key, _) = open(&private, false)?;
        if let Some(given) = &options.next
            && open(given, false)?.0.public() != key.public()
        {
            bail!(
                "{} waits already, from an earlier attempt, and is another key than {}: remove it first",
                private.display(),
                given.display()
            );
        }
        key
    } else {
        let (key, text) = match &options.next {
            Some(given) => open(given, false)?,
            None => PrivateKey::generate(password(password_file, true)?.as_bytes())?,
        };
        write_as(&signing.key, &private, text.as_bytes(), 0o400)?;
        key
    };
    if waiting(signing).as_ref() != Some(key.public()) {
        // Cut off between the two, or another's.
        remove(&public)?;
        write_as(
            &signing.key,
            &public,
            key.public().to_pem().as_bytes(),
            0o644,
        )?;
    }
    Ok(key.public().clone())
}

/// Every step is left out that was done before.
fn place(signing: &Signing, key: &PublicKey) -> Result<()> {
    let private = next(&signing.key);
    let public = public_of(&private);
    let old = read_public(&signing.public_key)?;
    let kept = retired(&signing.key, &old);
    let kept_public = public_of(&kept);
    if old != *key && !kept_public.exists() {
        write_as(&signing.key, &kept_public, old.to_pem().as_bytes(), 0o644)?;
    }
    if private.exists() {
        if !kept.exists() {
            fs::hard_link(&signing.key, &kept)
                .with_context(|| format!("keeping {}", kept.display()))?;
        }
        sync_folder(&signing.key)?;
        rename(&private, &signing.key)?;
    }
    if old != *key {
        // It may lie in another folder than the private one.
        let fresh = with_new(&signing.public_key);
        remove(&fresh)?;
        write_as(&signing.public_key, &fresh, key.to_pem().as_bytes(), 0o644)?;
        rename(&fresh, &signing.public_key)?;
    }
    remove(&public)
}

fn told(signing: &Signing, key: &PublicKey) {
    println!("key id       {}", key.key_id());
    println!(
        "public key   {} (give this to auditors, or let them follow the rotation)",
        signing.public_key.display()
    );
    println!(
        "old keys     {}.retired-* (keep them: what they signed is verified with them)",
        signing.key.display()
    );
}

/// Makes a file that belongs to whoever `like` belongs to.
fn write_as(like: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let context = || format!("writing {}", path.display());
    write_new(path, bytes, mode)?;
    let owner = fs::metadata(like).with_context(|| format!("looking at {}", like.display()))?;
    let own = fs::metadata(path).with_context(context)?;
    if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
        chown(path, Some(owner.uid()), Some(owner.gid())).with_context(context)?;
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("renaming {} to {}", from.display(), to.display()))?;
    sync_folder(to)
}

fn sync_folder(of: &Path) -> Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|dir| dir.sync_all())
        .with_context(|| format!("syncing {}", folder.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn with_new(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
