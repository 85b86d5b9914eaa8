//! The chain: every bundle of a host names the bytes of the one before it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::bundle::{ChainLink, ChainPosition};

/// Where the next bundle attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// No bundle yet; `predecessor` is where an earlier chain of this host ended, if known.
    Empty {
        /// This chain.
        chain_id: String,
        /// The earlier chain's end.
        predecessor: Option<ChainPosition>,
    },
    /// The last sealed bundle.
    At(ChainPosition),
}

impl Head {
    /// This chain's id.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        match self {
            Self::Empty { chain_id, .. } => chain_id,
            Self::At(position) => &position.chain_id,
        }
    }

    /// The sequence of the last sealed bundle; 0 before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        match self {
            Self::Empty { .. } => 0,
            Self::At(position) => position.sequence,
        }
    }

    /// The link that the next bundle carries.
    #[must_use]
    pub fn next(&self) -> ChainLink {
        match self {
            Self::Empty {
                chain_id,
                predecessor,
            } => ChainLink {
                chain_id: chain_id.clone(),
                sequence: 1,
                previous_sha256: None,
                predecessor: predecessor.clone(),
            },
            Self::At(position) => ChainLink {
                chain_id: position.chain_id.clone(),
                sequence: position.sequence + 1,
                previous_sha256: Some(position.sha256),
                predecessor: None,
            },
        }
    }
}

/// A new chain's id: a ULID, from the operating system's random generator.
#[must_use]
pub fn new_chain_id() -> String {
    ulid::Ulid::generate().to_string()
}

/// The UTC day that a bundle sealed `at` is named by.
#[must_use]
pub fn utc_day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}
