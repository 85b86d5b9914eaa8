//! Shared by the tests of the decisions.

use destination::{Class, Failure, Lock, ObjectVersion, Stored};
use evidence::digest::Sha256;
use jiff::Timestamp;

use super::Answer;
use super::place::Wanted;

pub(crate) const SHA: Sha256 = Sha256::from_bytes([7; 32]);
pub(crate) const OTHER: Sha256 = Sha256::from_bytes([8; 32]);
pub(crate) const SIZE: u64 = 1234;

pub(crate) fn until() -> Timestamp {
    "2032-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn wanted() -> Wanted {
    Wanted {
        sha256: SHA,
        size_bytes: SIZE,
        retention_days: 10,
        retain_until: until(),
    }
}

pub(crate) fn good_lock() -> Lock {
    Lock::Compliance(until())
}

pub(crate) fn version(id: &str) -> ObjectVersion {
    ObjectVersion {
        version_id: id.to_owned(),
        is_delete_marker: false,
        is_latest: false,
        size_bytes: SIZE,
        last_modified: None,
    }
}

pub(crate) fn stored(id: &str, lock: Lock, sha256: Option<Sha256>) -> Stored {
    Stored {
        version_id: id.to_owned(),
        size_bytes: SIZE,
        etag: None,
        sha256,
        etag_is_md5: false,
        lock,
        last_modified: None,
        server_date: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

pub(crate) fn inspected(id: &str, lock: Lock, sha256: Option<Sha256>) -> Answer {
    Answer::Inspected(Some(stored(id, lock, sha256)))
}

pub(crate) fn failure(class: Class) -> Failure {
    Failure {
        class,
        operation: "Test",
        code: format!("{class:?}"),
        status: None,
        message: String::new(),
        server_date: None,
        source: None,
    }
}
