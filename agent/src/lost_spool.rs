//! Was there a spool before this one? The signed files tell.
//!
//! A new spool beside signed bundles of this host means that the earlier one was lost, with the
//! chain's head. The new chain names where the old one ended, as far as the files know.

use std::fs;
use std::path::{Path, PathBuf};

use evidence::bundle::{BUNDLE_MAX_BYTES, BundleId, ChainPosition};
use evidence::keys::HostKeys;
use evidence::signature::SIGNATURE_MAX_BYTES;
use host::files;

use crate::AgentError;

/// The last bundle of the newest chain, other than `own`, that has one with this host's signature.
pub(crate) fn end_of_earlier_chain(
    host_folder: &Path,
    own: &str,
    keys: &HostKeys,
) -> Result<Option<ChainPosition>, AgentError> {
    // Chain ids are ULIDs, so the newest is the last by name.
    let mut chains = folders(host_folder);
    chains.sort();
    for chain in chains.into_iter().rev() {
        if chain.file_name().is_some_and(|name| name == own) {
            continue;
        }
        if let Some(end) = end_of(&chain, keys)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// The highest sequence; days do not order, since a clock may have been set back.
fn end_of(chain: &Path, keys: &HostKeys) -> Result<Option<ChainPosition>, AgentError> {
    let mut end: Option<ChainPosition> = None;
    for year in folders(chain) {
        for month in folders(&year) {
            for day in folders(&month) {
                let dir = files::open_dir(&day).map_err(AgentError::file(&day))?;
                let names = files::names(&dir, usize::MAX - 1).map_err(AgentError::file(&day))?;
                for name in names {
                    let id = name
                        .to_str()
                        .and_then(|n| n.strip_suffix(".json")?.parse::<BundleId>().ok());
                    let Some(id) = id else { continue };
                    let read = |name: String, max| files::read_capped(&dir, name, max).ok();
                    let Some(bytes) = read(id.file_name(), BUNDLE_MAX_BYTES) else {
                        continue;
                    };
                    let Some(signature) = read(id.signature_name(), SIGNATURE_MAX_BYTES) else {
                        continue;
                    };
                    let verified = keys.verify(&bytes.bytes, &signature.bytes);
                    // One bad file does not decide; whoever audits will see it.
                    let Ok(verified) = verified else { continue };
                    let link = &verified.header().chain;
                    if end.as_ref().is_none_or(|end| end.sequence < link.sequence) {
                        end = Some(ChainPosition {
                            chain_id: link.chain_id.clone(),
                            sequence: link.sequence,
                            sha256: verified.sha256(),
                        });
                    }
                }
            }
        }
    }
    Ok(end)
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}
