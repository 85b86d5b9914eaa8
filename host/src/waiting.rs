//! What waits in folders that people may look into: drops, and what is in quarantine.

use std::fs;
use std::io;
use std::path::Path;

/// Drops that wait, also those that were taken and not sealed yet; `None` when the folder cannot be
/// listed: a folder that is hidden is not an empty one.
#[must_use]
pub fn drops(folder: &Path) -> Option<usize> {
    count(folder, |name| {
        !name.starts_with('.') || name.starts_with(".taken-")
    })
}

/// What is in quarantine now; `None` as for [`drops`].
#[must_use]
pub fn in_quarantine(folder: &Path) -> Option<usize> {
    count(folder, |name| name.ends_with(".reason.json"))
}

fn count(folder: &Path, is_counted: impl Fn(&str) -> bool) -> Option<usize> {
    match fs::read_dir(folder) {
        Ok(entries) => Some(
            entries
                .flatten()
                .filter(|e| is_counted(&e.file_name().to_string_lossy()))
                .count(),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(_) => None,
    }
}
