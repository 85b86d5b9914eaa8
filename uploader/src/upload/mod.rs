//! One object to one destination, and one bundle as a parcel of objects (design: the upload
//! protocol).
//!
//! [`place`] and [`prove`] decide and do no I/O: they say what to ask of the store next, and are
//! told the answer. [`attempt`] asks (by [`exchange`]), and writes down what was learnt ([`record`])
//! before it acts on it; [`setback`] is what it does when that is no good news.
//! [`multipart`] is how a PUT is carried out for an object too large for one request; [`plan`],
//! [`parts`] and [`progress`] decide for it.

mod abandoned;
mod attempt;
pub(crate) mod body;
mod exchange;
mod multipart;
pub(crate) mod parcel;
mod parts;
mod pass;
pub(crate) mod place;
pub(crate) mod plan;
mod progress;
pub(crate) mod prove;
mod record;
pub(crate) mod retain;
mod setback;
mod sight;
#[cfg(test)]
pub(crate) mod testing;
mod unsent;
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
    /// Which ETag our own bytes would have, cut into parts: asked of the disk, not of the store.
    HashLocal,
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
    /// To [`Ask::HashLocal`]; `None` when our bytes are not at hand.
    Hashed(Option<String>),
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
