//! Reading a bucket back from its folder.

use std::collections::BTreeSet;
use std::io;

use super::bucket::Bucket;
use super::disk::Disk;
use super::upload::Upload;
use super::version::{NULL_VERSION, Version};
use super::{multipart, record_name};

/// Reads a bucket back and clears what a killed process left half done.
pub(super) fn bucket(disk: &Disk, name: &str, last_sequence: &mut u64) -> io::Result<Bucket> {
    let mut bucket = Bucket::new(disk.read_record(name, "bucket.json")?);
    let mut versions: Vec<Version> = disk.read_records(name, "versions")?;
    versions.sort_by_key(|version| version.sequence);
    let mut completed = Vec::new();
    for mut version in versions {
        *last_sequence = version.sequence.max(*last_sequence);
        version.body = disk.find_body(name, &version.object_id);
        // Bytes are removed after their record, so a record without bytes is damage.
        if version.body.is_none() && !version.is_delete_marker {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "the bytes of {} version {} are gone",
                    version.key, version.version_id
                ),
            ));
        }
        completed.extend(version.upload_id.clone());
        if version.version_id == NULL_VERSION
            && let Some(replaced) = bucket.take(&version.key, NULL_VERSION)
        {
            disk.remove_record(name, &record_name(&replaced))?;
        }
        bucket
            .keys
            .entry(version.key.clone())
            .or_default()
            .push(version);
    }
    for mut upload in disk.read_records::<Upload>(name, "uploads")? {
        if completed.contains(&upload.upload_id) {
            disk.remove_record(name, &multipart::record_name(&upload.upload_id))?;
            continue;
        }
        for part in upload.parts.values_mut() {
            part.body = disk.find_body(name, &part.object_id);
        }
        bucket.uploads.insert(upload.upload_id.clone(), upload);
    }
    let named: BTreeSet<&str> = bucket
        .keys
        .values()
        .flatten()
        .map(|version| version.object_id.as_str())
        .chain(
            bucket
                .uploads
                .values()
                .flat_map(|upload| upload.parts.values().map(|part| part.object_id.as_str())),
        )
        .collect();
    disk.remove_orphans(name, |id| named.contains(id))?;
    Ok(bucket)
}
