//! Which versions and delete markers there are.

use super::S3Destination;
use super::answer::time;
use super::classify::{Call, classify};
use crate::{Failure, ListMarker, ListedVersion, ObjectVersion, VersionPage};

impl S3Destination {
    pub(super) async fn versions_of(&self, key: &str) -> Result<Vec<ObjectVersion>, Failure> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.page(key, after.as_ref()).await?;
            let ours = page.entries.into_iter().filter(|entry| entry.key == key);
            found.extend(ours.map(|entry| entry.version));
            // Keys come sorted: once another key has come, this one is complete.
            match page.next {
                Some(next) if next.key.as_str() <= key => after = Some(next),
                _ => break,
            }
        }
        found.sort_by_key(|v| (!v.is_latest, v.last_modified.map(std::cmp::Reverse)));
        Ok(found)
    }

    pub(super) async fn page(
        &self,
        prefix: &str,
        after: Option<&ListMarker>,
    ) -> Result<VersionPage, Failure> {
        let page = self
            .client()
            .list_object_versions()
            .bucket(self.bucket())
            .prefix(prefix)
            .set_key_marker(after.map(|marker| marker.key.clone()))
            .set_version_id_marker(after.and_then(|marker| marker.version_id.clone()))
            .send()
            .await
            .map_err(|error| classify(Call::reading("ListObjectVersions"), error))?;
        let versions = page.versions().iter().map(|entry| ListedVersion {
            key: entry.key().unwrap_or_default().to_owned(),
            version: ObjectVersion {
                version_id: entry.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: false,
                is_latest: entry.is_latest().unwrap_or(false),
                size_bytes: entry
                    .size()
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(0),
                last_modified: entry.last_modified().and_then(time),
            },
        });
        let markers = page.delete_markers().iter().map(|entry| ListedVersion {
            key: entry.key().unwrap_or_default().to_owned(),
            version: ObjectVersion {
                version_id: entry.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: true,
                is_latest: entry.is_latest().unwrap_or(false),
                size_bytes: 0,
                last_modified: entry.last_modified().and_then(time),
            },
        });
        let mut entries: Vec<ListedVersion> = versions.chain(markers).collect();
        // The answer has the two kinds apart; by key they belong together.
        entries.sort_by(|a, b| {
            let newest = |e: &ListedVersion| {
                (
                    !e.version.is_latest,
                    e.version.last_modified.map(std::cmp::Reverse),
                )
            };
            a.key.cmp(&b.key).then_with(|| newest(a).cmp(&newest(b)))
        });
        let next = if page.is_truncated() == Some(true) {
            let next = page.next_key_marker.map(|key| ListMarker {
                key,
                version_id: page.next_version_id_marker,
            });
            if next.is_none() || next.as_ref() == after {
                let message = "the listing goes on, but does not say where";
                return Err(self.half_answer("ListObjectVersions", "ListingStuck", message));
            }
            next
        } else {
            None
        };
        Ok(VersionPage { entries, next })
    }
}
