//! `evidence.d/*.toml`: parts of the configuration that other tools put beside it.
//!
//! Read in the order of their names' bytes, so that the outcome is the same on every host and in
//! every locale; a number in front of the name is the usual way to say which comes later.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::layer::Layers;

/// The drop-ins' folder of a configuration file: beside it, with the same name and the ending `.d`.
#[must_use]
pub fn folder(file: &Path) -> PathBuf {
    file.with_extension("d")
}

/// Lays them over the file, in order.
pub(super) fn lay(layers: &mut Layers, file: &Path) {
    let folder = folder(file);
    let names = match names(&folder) {
        Ok(names) => names,
        Err(source) => {
            layers.problems.push(ConfigError::DropIn {
                path: folder,
                source,
            });
            return;
        }
    };
    for name in names {
        let path = folder.join(&name);
        if path.extension() != Some(OsStr::new("toml")) {
            layers.warnings.push(format!(
                "{} is not read: the names of drop-ins end in .toml; rename or remove it",
                path.display()
            ));
            continue;
        }
        layers.origins.read(&path);
        match super::read(&path) {
            Ok(text) => layers.lay(&text, &path),
            Err(source) => layers.problems.push(ConfigError::DropIn { path, source }),
        }
    }
}

/// What is in the folder, sorted; hidden names and READMEs are nobody's drop-in.
fn names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // A file of that name is one that the configuration itself has.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let bytes = name.as_bytes();
        if !bytes.starts_with(b".") && !bytes.starts_with(b"README") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
