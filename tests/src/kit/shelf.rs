//! Where a kit is laid: into a bucket, or into a folder as it would be copied from one.

use std::path::PathBuf;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::ObjectLockMode;
use jiff::{SignedDuration, Timestamp};

use super::header::Storing;

/// A place for objects.
pub enum Shelf {
    /// A bucket; keys begin with the prefix.
    Bucket {
        /// As its owner.
        client: Client,
        /// Its name.
        bucket: String,
        /// Ends in a slash.
        prefix: String,
    },
    /// A folder.
    Folder(PathBuf),
}

/// One object, as it was stored.
#[derive(Debug, Clone)]
pub struct Laid {
    /// The version; of a folder, a word.
    pub version_id: String,
    /// Until when it is locked, as was asked.
    pub retain_until: Timestamp,
}

impl Shelf {
    /// Lays one object, under a path below the prefix.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn lay(&self, path: &str, bytes: &[u8], how: Storing) -> Laid {
        let now = Timestamp::now();
        let days = |n: i64| {
            let at = now + SignedDuration::from_hours(24 * n);
            Timestamp::from_second(at.as_second()).unwrap()
        };
        let (mode, retain_until) = match how {
            Storing::Unlocked => (None, days(0)),
            Storing::Governance => (Some(ObjectLockMode::Governance), days(7 * 366)),
            Storing::Early => (Some(ObjectLockMode::Compliance), days(30)),
            _ => (Some(ObjectLockMode::Compliance), days(7 * 366)),
        };
        let version_id = match self {
            Self::Bucket {
                client,
                bucket,
                prefix,
            } => {
                let lock_until = mode
                    .is_some()
                    .then(|| DateTime::from_secs(retain_until.as_second()));
                client
                    .put_object()
                    .bucket(bucket)
                    .key(format!("{prefix}{path}"))
                    .set_object_lock_mode(mode)
                    .set_object_lock_retain_until_date(lock_until)
                    .body(ByteStream::from(bytes.to_vec()))
                    .send()
                    .await
                    .unwrap_or_else(|error| panic!("{path}: {error:?}"))
                    .version_id()
                    .unwrap()
                    .to_owned()
            }
            Self::Folder(root) => {
                let file = root.join(path);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, bytes).unwrap();
                "a-version".to_owned()
            }
        };
        Laid {
            version_id,
            retain_until,
        }
    }

    /// Lays a delete marker over an object; a folder then has it no more.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn hide(&self, path: &str) {
        match self {
            Self::Bucket {
                client,
                bucket,
                prefix,
            } => {
                client
                    .delete_object()
                    .bucket(bucket)
                    .key(format!("{prefix}{path}"))
                    .send()
                    .await
                    .unwrap();
            }
            Self::Folder(root) => std::fs::remove_file(root.join(path)).unwrap(),
        }
    }
}
