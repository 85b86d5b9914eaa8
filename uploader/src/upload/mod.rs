//! One object to one destination, and one bundle as a parcel of objects (design: the upload
//! protocol).
//!
//! [`place`] and [`prove`] decide and do no I/O: they say what to ask of the store next, and are
//! told the answer. [`attempt`] asks, and writes down what was learnt before it acts on it.

mod attempt;
pub(crate) mod body;
pub(crate) mod parcel;
pub(crate) mod place;
pub(crate) mod prove;
pub(crate) mod retain;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod verdict;

use destination::{Failure, ObjectVersion, Put, ReadBack, Stored};
use jiff::Timestamp;

/// What to ask of the store next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Store the bytes, locked, if the key is free.
    Put,
    /// List the key's versions.
    Versions,
    /// What is stored at this version.
    Inspect(String),
    /// Read this version and hash it.
    ReadBack(String),
    /// Lock this version until then.
    Lock(String, Timestamp),
}

/// What the store answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To [`Ask::Put`].
    Put(Put),
    /// To [`Ask::Versions`].
    Versions(Vec<ObjectVersion>),
    /// To [`Ask::Inspect`].
    Inspected(Option<Stored>),
    /// To [`Ask::ReadBack`].
    ReadBack(ReadBack),
    /// To [`Ask::Lock`].
    Locked,
    /// To anything.
    Failed(Failure),
}

/// Either ask again, or the end of the matter.
#[derive(Debug)]
pub(crate) enum Next<End> {
    /// Ask this.
    Ask(Ask),
    /// Done, one way or the other.
    End(End),
}
