//! The versions that a selection of bundles means, and what keeps each of them.

use destination::{Destination as _, Failure, ListMarker, Lock, S3Destination};
use evidence::record::LockState;

use super::HoldError;

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Below the destination's prefix.
    pub path: String,
    /// The version.
    pub version_id: String,
    /// What keeps it now.
    pub before: LockState,
}

/// Every version of every object of a bundle: itself, its signature, its artifacts; `bundle` is its path
/// below the prefix, `….json`. All versions, since a hold keeps what was laid over evidence, too.
///
/// # Errors
/// When the store does not answer, or has nothing there.
pub async fn targets(store: &S3Destination, bundle: &str) -> Result<Vec<Target>, HoldError> {
    let prefix = &store.options().prefix;
    let stem = bundle
        .strip_suffix(".json")
        .ok_or_else(|| HoldError::NoBundle(bundle.to_owned()))?;
    let key = format!("{prefix}{stem}");
    let mut found = Vec::new();
    let mut after: Option<ListMarker> = None;
    loop {
        let page = store.list(&key, after.as_ref()).await?;
        for entry in page.entries {
            let path = entry.key.strip_prefix(prefix.as_str()).unwrap_or_default();
            if entry.version.is_delete_marker || !belongs(stem, path) {
                continue;
            }
            found.push(Target {
                path: path.to_owned(),
                before: lock_state(store, &entry.key, &entry.version.version_id).await?,
                version_id: entry.version.version_id,
            });
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if found.iter().any(|target| target.path == bundle) {
        Ok(found)
    } else {
        Err(HoldError::NoBundle(bundle.to_owned()))
    }
}

/// `EB-20261121-0001` is also how `EB-20261121-00010` would begin.
fn belongs(stem: &str, path: &str) -> bool {
    path.strip_prefix(stem).is_some_and(|rest| {
        matches!(rest, ".json" | ".json.bundle") || rest.starts_with("/artifacts/")
    })
}

/// What keeps a version, as the store says now.
pub(super) async fn lock_state(
    store: &S3Destination,
    key: &str,
    version_id: &str,
) -> Result<LockState, Failure> {
    let lock = match store.inspect(key, version_id).await? {
        Some(stored) => stored.lock,
        None => Lock::Unknown,
    };
    let (mode, retain_until) = match lock {
        Lock::Compliance(until) => ("COMPLIANCE", Some(until)),
        Lock::Governance(until) => ("GOVERNANCE", Some(until)),
        Lock::Unlocked => ("none", None),
        Lock::Unknown => ("unknown", None),
    };
    let legal_hold = match store.legal_hold(key, version_id).await? {
        destination::LegalHold::On => Some(true),
        destination::LegalHold::Off => Some(false),
        destination::LegalHold::Unknown => None,
    };
    Ok(LockState {
        mode: mode.to_owned(),
        retain_until,
        legal_hold,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundles_objects_are_its_own_only() {
        let stem = "c/h/x/2026/11/21/EB-20261121-1000";
        for (path, is_own) in [
            ("c/h/x/2026/11/21/EB-20261121-1000.json", true),
            ("c/h/x/2026/11/21/EB-20261121-1000.json.bundle", true),
            ("c/h/x/2026/11/21/EB-20261121-1000/artifacts/00/a.log", true),
            ("c/h/x/2026/11/21/EB-20261121-10000.json", false),
            ("c/h/x/2026/11/21/EB-20261121-1000.json.old", false),
            ("c/h/x/2026/11/21/EB-20261121-1000/other", false),
        ] {
            assert_eq!(belongs(stem, path), is_own, "{path}");
        }
    }
}
