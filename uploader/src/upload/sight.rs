//! Does the bucket have bundles of this host that the host has not? Then an older snapshot was
//! restored, and going on would claim places that are taken.
//!
//! Looked at when the bucket is: the keys of the newest chain from its newest day on, which is where
//! whatever was forgotten lies unless the clock was set back (`fsck --bucket` looks everywhere). The
//! agent judges: what is reported is the signed bundle itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use destination::{Destination, Failure, Fetched, ListMarker, ListedVersion};
use evidence::bundle::BundleId;
use evidence::digest::Sha256;
use evidence::handover::{SIGHTED_BUNDLE_MAX_BYTES, SIGHTING_SUFFIX, Sighting};
use evidence::signature::SIGNATURE_MAX_BYTES;
use host::files::{Durability, FileError, Replace, open_dir, publish};
use jiff::Timestamp;

use super::parcel::Route;

/// The group `msp-handover` reads.
const MODE: u32 = 0o640;
/// Pages listed at most; the rest of a long list changes nothing about what it means.
const PAGES: usize = 5;

/// Why nothing was reported; looked at again with the next preflight.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SightError {
    #[error(transparent)]
    Store(#[from] Failure),
    #[error("the sighting cannot be written to the receipts folder")]
    File(#[from] FileError),
}

impl<D: Destination> Route<D> {
    /// Reports one bundle that only the bucket has, the last by name, if there is one. Returns its
    /// path.
    pub(crate) async fn sight(&self) -> Result<Option<String>, SightError> {
        for day in newest_days(&self.evidence) {
            if let Some(path) = self.sight_after(&day).await? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    async fn sight_after(&self, day: &str) -> Result<Option<String>, SightError> {
        // client, host and chain; then the day.
        let chain: String = day
            .splitn(4, '/')
            .take(3)
            .flat_map(|part| [part, "/"])
            .collect();
        let below = format!("{}{chain}", self.prefix);
        let mut after = Some(ListMarker {
            key: format!("{}{day}/", self.prefix),
            version_id: None,
        });
        let mut unknown: Vec<ListedVersion> = Vec::new();
        for _ in 0..PAGES {
            let page = self.destination.list(&below, after.as_ref()).await?;
            unknown.extend(page.entries.into_iter().filter(|entry| {
                let path = entry.key.strip_prefix(&self.prefix).unwrap_or(&entry.key);
                !entry.version.is_delete_marker
                    && entry.version.size_bytes <= SIGHTED_BUNDLE_MAX_BYTES
                    && is_bundle(path)
                    && !self.evidence.join(path).exists()
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let Some(last) = unknown.pop() else {
            return Ok(None);
        };
        self.report(&last).await
    }

    async fn report(&self, seen: &ListedVersion) -> Result<Option<String>, SightError> {
        let store = &self.destination;
        let bundle = store
            .fetch(
                &seen.key,
                &seen.version.version_id,
                SIGHTED_BUNDLE_MAX_BYTES,
            )
            .await?;
        let key = format!("{}.bundle", seen.key);
        let versions = store.versions(&key).await?;
        let Some(signed) = versions.iter().rfind(|v| !v.is_delete_marker) else {
            return Ok(None);
        };
        let signature = store
            .fetch(&key, &signed.version_id, SIGNATURE_MAX_BYTES)
            .await?;
        let text = |found: Option<Fetched>| found.and_then(|f| String::from_utf8(f.bytes).ok());
        let (Some(bundle), Some(signature)) = (text(bundle), text(signature)) else {
            return Ok(None);
        };
        let sighting_id = Sha256::of(bundle.as_bytes()).to_string();
        let name = format!("{sighting_id}{SIGHTING_SUFFIX}");
        let sighting = Sighting {
            sighting_version: 1,
            sighting_id,
            reported_at: Timestamp::now(),
            destination_id: self.destination_id.clone(),
            bundle,
            signature,
        };
        let dir = open_dir(&self.receipts)?;
        let bytes = sighting.to_bytes();
        publish(&dir, &name, &bytes, MODE, Durability::None, Replace::Yes)?;
        Ok(Some(
            seen.key
                .strip_prefix(&self.prefix)
                .unwrap_or(&seen.key)
                .to_owned(),
        ))
    }
}

fn is_bundle(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".json")
        .is_some_and(|id| id.parse::<BundleId>().is_ok())
}

/// Of each host's newest chain (chains are ULIDs, so the last by name) the newest day that has a
/// folder: `client/host/chain/YYYY/MM/DD`.
fn newest_days(evidence: &Path) -> Vec<String> {
    let mut days = Vec::new();
    for client in folders(evidence) {
        for host in folders(&client) {
            let mut at = host;
            // Chain, year, month, day.
            for _ in 0..4 {
                match folders(&at).pop_last() {
                    Some(last) => at = last,
                    None => break,
                }
            }
            if let Ok(day) = at.strip_prefix(evidence)
                && day.components().count() == 6
            {
                days.push(day.display().to_string());
            }
        }
    }
    days
}

/// Visible folders only: staged artifacts are nobody's host.
fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return BTreeSet::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter(|e| !e.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|e| e.path())
        .collect()
}
