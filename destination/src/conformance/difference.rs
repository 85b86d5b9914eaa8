//! Where servers differ from Amazon S3, by name, and what that means for evidence.
//!
//! A difference is tolerated only because the uploader does not rely on what is missing: it looks
//! before it puts, asks for a lock that is not there, reads back what is not identified, and calls
//! nothing confirmed without a lock that it has read. What is in no list here is not tolerated.

use super::{Check, Outcome};

/// A tolerated difference from Amazon S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Difference {
    /// `If-None-Match: *` is ignored by PutObject.
    ConditionIgnored,
    /// `If-None-Match: *` is ignored by CompleteMultipartUpload.
    MultipartConditionIgnored,
    /// The lock asked for in CreateMultipartUpload is dropped without a word.
    MultipartLockDropped,
    /// HEAD does not tell the SHA-256 that was sent.
    NoSha256,
    /// The checksum of the whole is not compared when a multipart upload is completed.
    MultipartChecksumIgnored,
    /// Under a delete marker or a newer version the lock of a version cannot be read.
    LockHiddenUnderNewer,
}

impl Difference {
    /// Every difference that is known.
    pub const ALL: [Self; 6] = [
        Self::ConditionIgnored,
        Self::MultipartConditionIgnored,
        Self::MultipartLockDropped,
        Self::NoSha256,
        Self::MultipartChecksumIgnored,
        Self::LockHiddenUnderNewer,
    ];

    /// Its name in reports and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConditionIgnored => "condition_ignored",
            Self::MultipartConditionIgnored => "multipart_condition_ignored",
            Self::MultipartLockDropped => "multipart_lock_dropped",
            Self::NoSha256 => "no_sha256",
            Self::MultipartChecksumIgnored => "multipart_checksum_ignored",
            Self::LockHiddenUnderNewer => "lock_hidden_under_newer",
        }
    }

    /// What it means for evidence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ConditionIgnored => {
                "two writers of one key can both succeed; the uploader looks before it puts again, \
                 and neither version is lost, but a race can store an object twice"
            }
            Self::MultipartConditionIgnored => {
                "the same for large artifacts: a race can store one twice, and loses none"
            }
            Self::MultipartLockDropped => {
                "a large artifact is unlocked for a moment after its upload; the uploader sees \
                 that, locks it, and confirms it only when it has read the lock"
            }
            Self::NoSha256 => {
                "the uploader proves identity by the ETag, or downloads and hashes every object, \
                 which costs traffic"
            }
            Self::MultipartChecksumIgnored => {
                "a large artifact that was damaged on the way is found only when it is proven, by \
                 its ETag or by reading it back"
            }
            Self::LockHiddenUnderNewer => {
                "if somebody lays a delete marker over an object before it is confirmed, it is \
                 never confirmed, though its lock holds; auditors see such a lock as unreadable"
            }
        }
    }

    /// The checks that fail because of it.
    #[must_use]
    pub const fn checks(self) -> &'static [&'static str] {
        match self {
            Self::ConditionIgnored => &[
                "a second conditional PUT is refused as occupied",
                "of racing conditional PUTs exactly one wins",
            ],
            Self::MultipartConditionIgnored => {
                &["a multipart upload to a taken key is refused as occupied"]
            }
            Self::MultipartLockDropped => &["an object of several parts is locked as asked"],
            Self::NoSha256 => &["the SHA-256 that was sent is told of the version"],
            Self::MultipartChecksumIgnored => {
                &["completing with a wrong checksum of the whole is refused"]
            }
            Self::LockHiddenUnderNewer => &[
                "a delete marker hides nothing from a listing of versions",
                "what is laid over a locked version leaves that version as it was",
            ],
        }
    }

    fn of(check: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.checks().contains(&check))
    }
}

/// A server that the tests run, and how it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownStore {
    /// Its name.
    pub name: &'static str,
    /// The checks that fail there, and no others.
    pub differences: &'static [Difference],
}

/// The servers that pass the suite in the tests, with their differences; docs/stores.md has the
/// same table.
pub const KNOWN_STORES: [KnownStore; 3] = [
    KnownStore {
        name: "sandbox",
        differences: &[],
    },
    KnownStore {
        name: "MinIO",
        differences: &[],
    },
    KnownStore {
        name: "versitygw",
        differences: &[Difference::LockHiddenUnderNewer],
    },
];

/// What a run of the suite says of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed.
    Qualified,
    /// Only tolerated differences were found.
    UsableWith(Vec<Difference>),
    /// Evidence would not be safe there: these checks failed.
    NotUsable(Vec<&'static str>),
    /// Nothing failed that matters, and these could not be checked.
    CouldNotCheck(Vec<&'static str>),
}

impl Verdict {
    /// Judges the checks of one run.
    #[must_use]
    pub fn of(checks: &[Check]) -> Self {
        let mut differences = Vec::new();
        let mut failed = Vec::new();
        let mut unknown = Vec::new();
        for check in checks {
            match (&check.outcome, Difference::of(check.name)) {
                (Outcome::Passed, _) => {}
                (Outcome::CouldNotCheck(_), _) => unknown.push(check.name),
                (Outcome::Failed(_), Some(difference)) => {
                    if !differences.contains(&difference) {
                        differences.push(difference);
                    }
                }
                (Outcome::Failed(_), None) => failed.push(check.name),
            }
        }
        if !failed.is_empty() || checks.is_empty() {
            Self::NotUsable(failed)
        } else if !unknown.is_empty() {
            Self::CouldNotCheck(unknown)
        } else if !differences.is_empty() {
            Self::UsableWith(differences)
        } else {
            Self::Qualified
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, outcome: Outcome) -> Check {
        Check { name, outcome }
    }

    fn failed() -> Outcome {
        Outcome::Failed("so".to_owned())
    }

    #[test]
    fn only_tolerated_differences_leave_a_store_usable() {
        let condition = Difference::ConditionIgnored.checks();
        let unknown = Outcome::CouldNotCheck("down".to_owned());
        assert_eq!(
            Verdict::of(&[check("any", Outcome::Passed)]),
            Verdict::Qualified
        );
        assert_eq!(
            Verdict::of(&[check(condition[0], failed()), check(condition[1], failed())]),
            Verdict::UsableWith(vec![Difference::ConditionIgnored])
        );
        assert_eq!(
            Verdict::of(&[check(condition[0], failed()), check("any", failed())]),
            Verdict::NotUsable(vec!["any"])
        );
        assert_eq!(
            Verdict::of(&[check(condition[0], unknown)]),
            Verdict::CouldNotCheck(vec![condition[0]])
        );
        assert_eq!(Verdict::of(&[]), Verdict::NotUsable(vec![]));
    }
}
