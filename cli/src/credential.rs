//! The credentials of our services, as systemd finds them (`LoadCredential=`), for commands that root runs:
//! they must see what the services will be given.
//!
//! What is encrypted is decrypted by systemd-creds(1), and never written but to a file in memory that only
//! root reads and that goes with whoever asked for it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use destination::S3Options;
use host::secret::{CREDENTIALS_SOURCE, ENCRYPTED_SUFFIX};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use crate::keys::write_new;

/// A credential that lies where our units load it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// As it is. Where both are there, this one counts.
    Plain(PathBuf),
    /// Encrypted for this machine; the name is sealed in.
    Encrypted(PathBuf),
}

/// Looks for the credential where our units load it from.
///
/// # Errors
/// When that folder may not be looked into: then nothing is known.
pub(crate) fn stored(name: &str) -> Result<Option<Stored>> {
    stored_in(Path::new(CREDENTIALS_SOURCE), name)
}

pub(crate) fn stored_in(folder: &Path, name: &str) -> Result<Option<Stored>> {
    let plain = folder.join(name);
    let encrypted = folder.join(format!("{name}{ENCRYPTED_SUFFIX}"));
    for (path, stored) in [
        (plain.clone(), Stored::Plain(plain)),
        (encrypted.clone(), Stored::Encrypted(encrypted)),
    ] {
        match path.symlink_metadata() {
            Ok(_) => return Ok(Some(stored)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("at {}", path.display())),
        }
    }
    Ok(None)
}

impl Stored {
    pub(crate) fn path(&self) -> &Path {
        let (Self::Plain(path) | Self::Encrypted(path)) = self;
        path
    }

    /// The secret itself.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Plain(path) => {
                let mode = fs::metadata(path).map(|meta| meta.mode() & 0o777);
                if mode.with_context(|| path.display().to_string())? & 0o077 != 0 {
                    bail!("others can read {0}; run `chmod 0400 {0}`", path.display());
                }
                let bytes =
                    fs::read(path).with_context(|| format!("reading {}", path.display()))?;
                Ok(Zeroizing::new(bytes))
            }
            Self::Encrypted(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let mut command = Command::new("systemd-creds");
                command.arg("decrypt").arg(format!("--name={name}"));
                command.arg(path).arg("-");
                through(command, b"").with_context(|| {
                    format!("{} cannot be decrypted on this machine", path.display())
                })
            }
        }
    }

    /// The secret as a password: one trailing newline is not part of it.
    pub(crate) fn password(&self) -> Result<Zeroizing<String>> {
        let bytes = self.read()?;
        let text = std::str::from_utf8(&bytes)
            .with_context(|| format!("{} is not UTF-8", self.path().display()))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        if text.is_empty() {
            bail!("{} is empty; remove it", self.path().display());
        }
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// As a file, for what wants one.
    pub(crate) fn file(&self) -> Result<SecretFile> {
        match self {
            Self::Plain(path) => Ok(SecretFile {
                path: path.clone(),
                is_ours: false,
            }),
            Self::Encrypted(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                // /run is in memory.
                let path = Path::new("/run").join(format!(
                    "msp-evidence-{}-{name}.plain",
                    ulid::Ulid::generate()
                ));
                write_new(&path, &self.read()?, 0o400)?;
                Ok(SecretFile {
                    path,
                    is_ours: true,
                })
            }
        }
    }
}

/// A secret in a file, which is gone with this if it was made for it.
pub(crate) struct SecretFile {
    path: PathBuf,
    is_ours: bool,
}

impl SecretFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if self.is_ours && fs::remove_file(&self.path).is_err() {
            eprintln!(
                "msp-evidence: {} holds a secret and could not be removed",
                self.path.display()
            );
        }
    }
}

/// What our uploader would be given, where this command is root's and its own environment names none.
///
/// # Errors
/// When there is one that cannot be used.
pub(crate) fn of_uploader() -> Result<Option<SecretFile>> {
    let has_own = ["AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    if has_own || !geteuid().is_root() {
        return Ok(None);
    }
    match stored(host::secret::S3_CREDENTIAL_NAME)? {
        Some(stored) => Ok(Some(stored.file()?)),
        None => Ok(None),
    }
}

/// Lets a store's client use what our uploader would be given, where the destination names nothing itself.
pub(crate) fn lend(store: &mut S3Options, handed: Option<&SecretFile>) {
    if let (None, Some(file)) = (&store.credentials_file, handed) {
        store.credentials_file = Some(file.path().to_owned());
    }
}

/// The password of the signing key, as our agent would be given it; `None` where this is not root's
/// command, or systemd has handed one to this process already.
///
/// # Errors
/// When there is one that cannot be used.
pub(crate) fn of_agent() -> Result<Option<Zeroizing<String>>> {
    if host::secret::credentials_directory().is_some() || !geteuid().is_root() {
        return Ok(None);
    }
    let Some(stored) = stored(host::secret::CREDENTIAL_NAME)? else {
        return Ok(None);
    };
    stored.password().map(Some)
}

/// Encrypts for this machine, with TPM and host key as systemd finds them; the unit must load it under
/// exactly this name.
pub(crate) fn encrypted(name: &str, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut command = Command::new("systemd-creds");
    command.arg("encrypt").arg(format!("--name={name}"));
    command.args(["-", "-"]);
    through(command, secret)
}

/// What the program makes of it; no secret is on its command line.
fn through(mut command: Command, input: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input)
            .with_context(|| format!("writing to {program}"))?;
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("running {program}"))?;
    let made = Zeroizing::new(output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed ({}): {}", output.status, said.trim());
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_plain_one_counts_and_must_be_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(stored_in(folder.path(), "x").unwrap(), None);
        let encrypted = folder.path().join("x.cred");
        fs::write(&encrypted, "?").unwrap();
        assert_eq!(
            stored_in(folder.path(), "x").unwrap(),
            Some(Stored::Encrypted(encrypted.clone()))
        );
        let broken = Stored::Encrypted(encrypted).read().unwrap_err();
        assert!(format!("{broken:#}").contains("cannot be decrypted"));
        let plain = folder.path().join("x");
        fs::write(&plain, "secret").unwrap();
        let found = stored_in(folder.path(), "x").unwrap().unwrap();
        assert_eq!(found, Stored::Plain(plain.clone()));
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(found.read().unwrap_err().to_string().contains("chmod 0400"));
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(found.read().unwrap().as_slice(), b"secret");
        let file = found.file().unwrap();
        drop(file);
        assert!(plain.exists(), "it is not ours to remove");
    }
}
