//! `keys screening`: the key of the tokens in markers, which may be destroyed.
//!
//! The old key is overwritten before it is unlinked, which is all that a program can do: copies of the
//! file, snapshots and the disk's own copies are beyond it, and the operator is told so.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use host::exit::ExitCode;

use crate::arguments::ScreeningKeyOptions;
use crate::keys::write_keyed;
use crate::output;

pub(crate) fn run(options: &ScreeningKeyOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let path = &settings.screening.key;
    let shown = path.display();
    let was_there = path.symlink_metadata().is_ok();
    if was_there && !options.replace {
        bail!("{shown} is there; --replace destroys it and makes another one");
    }
    if was_there {
        destroy(path).with_context(|| format!("destroying {shown}"))?;
    }
    write_keyed(path)?;
    // Made by root, it would keep the agent out, who reads the signing key beside it.
    if nix::unistd::geteuid().is_root()
        && let Ok(beside) = fs::metadata(&settings.signing.key)
    {
        chown(path, Some(beside.uid()), Some(beside.gid()))
            .with_context(|| format!("giving {shown} to the agent's user"))?;
    }
    if was_there {
        println!(
            "{shown} is another one; the old one is overwritten and gone from here. Copies of it, in \
             backups, snapshots and on other hosts, are yours to destroy"
        );
    } else {
        println!("{shown} (mode 0400, for the tokens in markers)");
    }
    println!("restart or reload the agent to use it");
    Ok(ExitCode::Ok)
}

fn destroy(path: &Path) -> std::io::Result<()> {
    if !path.symlink_metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = file.metadata()?.len();
    let zeros = vec![b'0'; usize::try_from(length.min(4096)).unwrap_or(0)];
    file.write_all(&zeros)?;
    file.sync_all()?;
    fs::remove_file(path)
}
