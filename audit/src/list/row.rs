//! One bundle, as it is listed.

use evidence::bundle::{VerifiedBundle, object_path};
use evidence::custody::{IncidentEntry, SealedEntry};
use jiff::Timestamp;
use serde::Serialize;

/// One bundle that answers the question, by a verified word.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Whose evidence it is.
    pub client_id: String,
    /// The host that sealed it.
    pub host_id: String,
    /// Its chain.
    pub chain_id: String,
    /// What it is.
    #[serde(flatten)]
    pub entry: SealedEntry,
    /// When the store received what is stored first under its name, as the listing tells; null in a folder,
    /// which has no dates of a store.
    pub received_at: Option<Timestamp>,
    /// Where it belongs, below the prefix or folder.
    pub path: String,
    /// The custody bundle whose word this is; null when the bundle itself was verified, because no
    /// custody bundle covers it yet.
    pub listed_by: Option<String>,
    /// It and its signature are there; whether they are as they should be, only who reads them knows.
    pub is_stored: bool,
}

/// Where a bundle of this name belongs; `None` for what is no name.
pub(crate) fn path_of(
    client_id: &str,
    host_id: &str,
    chain_id: &str,
    bundle_id: &str,
) -> Option<String> {
    let id: evidence::bundle::BundleId = bundle_id.parse().ok()?;
    Some(object_path(
        client_id,
        host_id,
        chain_id,
        id.day(),
        &id.file_name(),
    ))
}

/// What custody will say of a bundle.
pub(crate) fn entry_of(bundle: &VerifiedBundle) -> SealedEntry {
    let header = bundle.header();
    SealedEntry {
        bundle_id: header.bundle_id.clone(),
        sequence: header.chain.sequence,
        sha256: bundle.sha256(),
        kind: header.kind,
        generated_at: header.generated_at,
        incident: IncidentEntry::of_bundle(bundle),
    }
}
