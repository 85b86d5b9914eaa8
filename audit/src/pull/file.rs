//! Files of a pulled folder: whole or not there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

/// What is begun and not whole yet begins so; it is left behind only by a crash.
pub(super) const TEMP_PREFIX: &str = ".pulling-";

/// A file that will take its name when it is whole.
pub(super) fn begin(place: &Path) -> io::Result<NamedTempFile> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder)?;
    tempfile::Builder::new()
        .prefix(TEMP_PREFIX)
        .tempfile_in(folder)
}

/// Gives it its name; durable, so that what is written down as there is there.
pub(super) fn finish(file: NamedTempFile, place: &Path, mode: u32) -> io::Result<()> {
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(place)?;
    match place.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes a whole file; whatever bore its name is replaced.
pub(super) fn write(place: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = begin(place)?;
    file.write_all(bytes)?;
    finish(file, place, mode)
}

/// Removes what a pull that was killed had begun and not finished.
pub(super) fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_begun = entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX);
        // Of a link its own kind is told, so none is followed.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_leftovers(&entry.path())?;
        } else if kind.is_file() && is_begun {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Readable JSON with a final newline.
pub(super) fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
