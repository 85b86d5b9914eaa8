//! Keeping a record: here, and in the store, locked like evidence.

use std::fs;
use std::path::PathBuf;

use destination::{Destination as _, Lock, PutRequest};
use evidence::digest::Sha256;
use evidence::record::Record;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};

use super::{Change, HoldError};

/// Signs a record, writes it here and stores it; returns its digest and the local file. First here: what
/// the store then refuses is still known.
pub(super) async fn keep(
    change: &Change<'_>,
    record: &Record,
) -> Result<(Sha256, PathBuf), HoldError> {
    let signed = record.sign(change.key)?;
    let file = change.record_folder.join(record.file_name());
    let signature_file = PathBuf::from(format!("{}.bundle", file.display()));
    for (path, bytes) in [(&signature_file, &signed.signature), (&file, &signed.bytes)] {
        fs::write(path, bytes).map_err(|error| HoldError::File(path.clone(), error))?;
    }
    let now = change.store.server_now().unwrap_or_else(change.now);
    let wanted = now + SignedDuration::from_hours(24 * i64::from(change.record_retention_days));
    let retain_until = Timestamp::from_second(wanted.as_second() + 1).unwrap_or(wanted);
    let prefix = &change.store.options().prefix;
    let path = format!("{prefix}{}", record.path());
    for (key, bytes) in [
        (format!("{path}.bundle"), &signed.signature),
        (path, &signed.bytes),
    ] {
        let put = change
            .store
            .put(&PutRequest {
                key: key.clone(),
                body: bytes.clone().into(),
                sha256: Sha256::of(bytes),
                md5: Some(Md5::digest(bytes).into()),
                content_type: "application/json",
                retain_until,
            })
            .await?;
        let is_locked = match &put.version_id {
            Some(version) => {
                let stored = change.store.inspect(&key, version).await?;
                stored.is_some_and(
                    |stored| matches!(stored.lock, Lock::Compliance(until) if until >= retain_until),
                )
            }
            None => false,
        };
        if !is_locked {
            return Err(HoldError::RecordUnlocked(key));
        }
    }
    Ok((signed.sha256, file))
}
