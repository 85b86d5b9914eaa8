//! The chain: every bundle of a host names the bytes of the one before it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::bundle::{Began, ChainLink, ChainPosition};

/// Where the next bundle attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// No bundle yet; `predecessor` is where an earlier chain of this host ended, if known.
    Empty {
        /// This chain.
        chain_id: String,
        /// The earlier chain's end.
        predecessor: Option<ChainPosition>,
        /// Why it began, if that is known.
        began: Option<Began>,
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
                began,
            } => ChainLink {
                chain_id: chain_id.clone(),
                sequence: 1,
                previous_sha256: None,
                predecessor: predecessor.clone(),
                began: began.clone(),
            },
            Self::At(position) => ChainLink {
                chain_id: position.chain_id.clone(),
                sequence: position.sequence + 1,
                previous_sha256: Some(position.sha256),
                predecessor: None,
                began: None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn a_new_chain_starts_at_one_and_names_only_where_an_earlier_one_ended() {
        let earlier = ChainPosition {
            chain_id: "OLD".to_owned(),
            sequence: 9,
            sha256: Sha256::of(b"ninth"),
        };
        let began = Began {
            because: crate::bundle::ChainStart::SpoolLost,
            missing: Vec::new(),
        };
        let head = Head::Empty {
            chain_id: "NEW".to_owned(),
            predecessor: Some(earlier.clone()),
            began: Some(began.clone()),
        };
        assert_eq!((head.chain_id(), head.sequence()), ("NEW", 0));
        let first = ChainLink {
            chain_id: "NEW".to_owned(),
            sequence: 1,
            previous_sha256: None,
            predecessor: Some(earlier),
            began: Some(began),
        };
        assert_eq!(head.next(), first);
    }

    #[test]
    fn each_bundle_names_the_bytes_of_the_one_before_it() {
        let head = Head::At(ChainPosition {
            chain_id: "NEW".to_owned(),
            sequence: 41,
            sha256: Sha256::of(b"41st"),
        });
        assert_eq!((head.chain_id(), head.sequence()), ("NEW", 41));
        let next = ChainLink {
            chain_id: "NEW".to_owned(),
            sequence: 42,
            previous_sha256: Some(Sha256::of(b"41st")),
            predecessor: None,
            began: None,
        };
        assert_eq!(head.next(), next);
    }

    #[test]
    fn a_chains_id_is_a_ulid_and_no_two_are_the_same() {
        let (one, other) = (new_chain_id(), new_chain_id());
        assert_ne!(one, other);
        assert!(ulid::Ulid::from_string(&one).is_ok(), "{one}");
    }

    #[test]
    fn the_day_is_that_of_utc_up_to_its_last_moment() {
        for (at, day) in [
            ("2026-11-21T23:59:59.999999999Z", "2026-11-21"),
            ("2026-11-22T00:00:00Z", "2026-11-22"),
            ("2026-12-31T23:30:00-01:00", "2027-01-01"),
        ] {
            assert_eq!(utc_day(at.parse().unwrap()), day.parse().unwrap(), "{at}");
        }
    }
}
