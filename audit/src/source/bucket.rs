//! A bucket, read with whatever credentials may read it.

use destination::{Destination as _, Lock, S3Destination, S3Options, Stored};
use evidence::digest::Sha256Stream;
use jiff::Timestamp;

use super::{Digested, Facts, Fetched, Listed, Marker, Page, Patience, SourceError};
use destination::ListMarker;

/// A bucket and prefix.
pub struct Bucket {
    pub(super) store: S3Destination,
    prefix: String,
    pub(super) patience: Patience,
}

impl Bucket {
    /// Reaches the bucket as the options say; their prefix is where the evidence begins.
    pub async fn connect(options: S3Options, patience: Patience) -> Self {
        Self {
            prefix: options.prefix.clone(),
            store: S3Destination::connect(options).await,
            patience,
        }
    }

    /// `s3://bucket/prefix`, as custody and plans write it.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.store.options().bucket, self.prefix)
    }

    pub(super) fn now(&self) -> Option<Timestamp> {
        self.store.server_now()
    }

    pub(super) fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    pub(super) async fn list(
        &self,
        below: &str,
        after: Option<&Marker>,
    ) -> Result<Page, SourceError> {
        let prefix = self.key(below);
        let after = after.map(|marker| ListMarker {
            key: self.key(&marker.path),
            version_id: marker.version_id.clone(),
        });
        let page = self
            .patience
            .ask(|| self.store.list(&prefix, after.as_ref()))
            .await?;
        let path = |key: &str| key.strip_prefix(&self.prefix).unwrap_or(key).to_owned();
        Ok(Page {
            next: page.next.map(|marker| Marker {
                path: path(&marker.key),
                version_id: marker.version_id,
            }),
            entries: page
                .entries
                .into_iter()
                .map(|entry| Listed {
                    path: path(&entry.key),
                    version_id: entry.version.version_id,
                    is_delete_marker: entry.version.is_delete_marker,
                    is_latest: entry.version.is_latest,
                    size_bytes: entry.version.size_bytes,
                    last_modified: entry.version.last_modified,
                })
                .collect(),
        })
    }

    pub(super) async fn fetch(
        &self,
        path: &str,
        version_id: &str,
        max_bytes: u64,
    ) -> Result<Fetched, SourceError> {
        let key = self.key(path);
        let fetched = self
            .patience
            .ask(|| self.store.fetch(&key, version_id, max_bytes))
            .await?;
        if let Some(fetched) = fetched {
            return Ok(Fetched {
                facts: facts(&fetched.stored),
                bytes: Some(fetched.bytes),
            });
        }
        // Longer than it may be: its lock is of interest all the same.
        let stored = self
            .patience
            .ask(|| self.store.inspect(&key, version_id))
            .await?;
        Ok(Fetched {
            facts: stored.as_ref().map_or_else(nothing_known, facts),
            bytes: None,
        })
    }

    pub(super) async fn digest(
        &self,
        path: &str,
        version_id: &str,
        trust_checksum: bool,
    ) -> Result<Digested, SourceError> {
        let key = self.key(path);
        if trust_checksum {
            let stored = self
                .patience
                .ask(|| self.store.inspect(&key, version_id))
                .await?;
            if let Some((stored, sha256)) = stored.and_then(|s| s.sha256.map(|sha256| (s, sha256)))
            {
                return Ok(Digested {
                    facts: facts(&stored),
                    sha256,
                });
            }
        }
        let (stored, sha256) = self
            .patience
            .ask(|| async {
                let mut hash = Sha256Stream::default();
                let stored = self
                    .store
                    .copy_out(&key, version_id, &mut |piece| {
                        hash.update(piece);
                        Ok(())
                    })
                    .await?;
                Ok((stored, hash.finish()))
            })
            .await?;
        Ok(Digested {
            facts: facts(&stored),
            sha256,
        })
    }
}

pub(super) fn facts(stored: &Stored) -> Facts {
    let is_in_parts = stored
        .etag
        .as_ref()
        .is_some_and(|etag| is_etag_of_parts(etag));
    Facts {
        size_bytes: stored.size_bytes,
        lock: Some(stored.lock),
        last_modified: stored.last_modified.filter(|_| !is_in_parts),
        is_in_parts,
    }
}

const fn nothing_known() -> Facts {
    Facts {
        size_bytes: 0,
        lock: Some(Lock::Unknown),
        last_modified: None,
        is_in_parts: false,
    }
}

/// `…-N`, N parts.
fn is_etag_of_parts(etag: &str) -> bool {
    etag.rsplit_once('-')
        .is_some_and(|(_, parts)| !parts.is_empty() && parts.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_in_parts_is_known_by_its_etag() {
        assert!(is_etag_of_parts("9b2cf535f27731c974343645a3985328-2"));
        assert!(!is_etag_of_parts("9b2cf535f27731c974343645a3985328"));
        assert!(!is_etag_of_parts("9b2cf535-x"));
        assert!(!is_etag_of_parts("9b2cf535-"));
    }

    #[test]
    fn when_an_upload_in_parts_was_finished_nobody_can_tell() {
        let stored = |etag: &str| Stored {
            version_id: "v".to_owned(),
            size_bytes: 1,
            etag: Some(etag.to_owned()),
            sha256: None,
            etag_is_md5: true,
            lock: Lock::Unlocked,
            last_modified: Some(Timestamp::UNIX_EPOCH),
            server_date: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(facts(&stored("a-2")).last_modified, None);
        assert_eq!(
            facts(&stored("a")).last_modified,
            Some(Timestamp::UNIX_EPOCH)
        );
    }
}
