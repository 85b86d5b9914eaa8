//! Was the spool restored from an older snapshot? The signed files tell.
//!
//! Files of this chain that the spool does not know, yet carry this host's signature, were sealed
//! by a spool that had gone further. Going on would give the same places to other bytes: a fork.
//! So a new chain is begun, which names the old one, and nothing of the old is overwritten.

use std::fs;
use std::path::Path;

use evidence::bundle::BundleId;
use evidence::keys::HostKeys;
use spool::Spool;

use crate::AgentError;
use crate::publish::is_signed;

/// Whether `evidence/` holds a signed bundle of the present chain that the spool does not know.
pub(crate) fn is_behind_files(
    spool: &Spool,
    chain_folder: &Path,
    keys: &HostKeys,
) -> Result<bool, AgentError> {
    // Newest day first, since what the spool lacks was most likely sealed last; but every day is
    // looked at, because a clock that was set back seals into an earlier one.
    let mut days = Vec::new();
    for year in folders(chain_folder) {
        for month in folders(&year) {
            days.extend(folders(&month));
        }
    }
    days.sort();
    for day in days.iter().rev() {
        let Ok(entries) = fs::read_dir(day) else {
            continue;
        };
        let dir = host::files::open_dir(day).map_err(AgentError::file(day))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|n| n.strip_suffix(".json")?.parse::<BundleId>().ok());
            let Some(id) = id else { continue };
            if !spool.knows_bundle(&id.to_string())? && is_signed(&dir, &id, keys) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn folders(path: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}
