//! `EB-YYYYMMDD-NNNN`: what people call a bundle.
//!
//! The number is a counter of the UTC day at sealing. It is a name, not an order: only
//! `chain.sequence` orders, because a clock may be set back.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

/// A bundle's name. At least four digits; a busy day simply has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    day: Date,
    number: u64,
}

impl BundleId {
    /// The `number`-th bundle (from 1) of the UTC day `day`.
    #[must_use]
    pub const fn new(day: Date, number: u64) -> Self {
        Self { day, number }
    }

    /// The UTC day in the name.
    #[must_use]
    pub const fn day(&self) -> Date {
        self.day
    }

    /// The number in the name.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The file name of the bundle.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{self}.json")
    }

    /// The file name of its signature.
    #[must_use]
    pub fn signature_name(&self) -> String {
        format!("{self}.json.bundle")
    }

    /// The file name of its completed locations.
    #[must_use]
    pub fn locations_name(&self) -> String {
        format!("{self}.locations.json")
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "EB-{:04}{:02}{:02}-{:04}",
            self.day.year(),
            self.day.month(),
            self.day.day(),
            self.number
        )
    }
}

/// The text is not a bundle id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a bundle id: expected EB-YYYYMMDD-NNNN")]
pub struct NotABundleId;

impl FromStr for BundleId {
    type Err = NotABundleId;

    fn from_str(text: &str) -> Result<Self, NotABundleId> {
        let (day, number) = text
            .strip_prefix("EB-")
            .and_then(|rest| rest.split_once('-'))
            .ok_or(NotABundleId)?;
        // Cut below, so in eight bytes of ASCII.
        if day.len() != 8 || !day.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotABundleId);
        }
        let part =
            |range: std::ops::Range<usize>| day[range].parse::<i16>().map_err(|_| NotABundleId);
        let (year, month, date) = (part(0..4)?, part(4..6)?, part(6..8)?);
        let day = Date::new(year, month as i8, date as i8).map_err(|_| NotABundleId)?;
        let id = Self {
            day,
            number: number.parse().map_err(|_| NotABundleId)?,
        };
        // One spelling per bundle: `00001`, `+001` and `1` are refused where `0001` is meant.
        if id.number == 0 || id.to_string() != text {
            Err(NotABundleId)
        } else {
            Ok(id)
        }
    }
}

/// Object key without the destination's prefix, and file name below the evidence folder:
/// `{client_id}/{host_id}/{chain_id}/{YYYY}/{MM}/{DD}/{file}`.
///
/// The chain is part of it so that two histories of one host (a clone, a lost spool) never meet.
#[must_use]
pub fn object_path(
    client_id: &str,
    host_id: &str,
    chain_id: &str,
    day: Date,
    file: &str,
) -> String {
    format!(
        "{client_id}/{host_id}/{chain_id}/{:04}/{:02}/{:02}/{file}",
        day.year(),
        day.month(),
        day.day()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_was_written() {
        for text in [
            "EB-20261121-0001",
            "EB-20261121-9999",
            "EB-20261121-10000",
            "EB-00010203-0042",
        ] {
            assert_eq!(text.parse::<BundleId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "EB-20261121-001",
            "EB-20261121-00001",
            "EB-20261121-0000",
            "EB-20261321-0001",
            "EB-20260230-0001",
            "eb-20261121-0001",
            "EB-20261121-0001.json",
            "EB-2026112１-0001",
            "EB-20261121-+001",
            "EB-20261121-99999999999999999999999",
            "EB-202611210-0001",
            "EB-2026112-0001",
            "EB-2026112x-0001",
            "EB-20261121-000x",
            "EB-+0261121-0001",
            "EB-202é121-0001",
            "EB-20261121-1",
            "EB-20261121-",
        ] {
            assert_eq!(text.parse::<BundleId>(), Err(NotABundleId), "{text}");
        }
    }

    #[test]
    fn an_id_knows_its_day_its_number_and_the_names_of_its_files() {
        let day = Date::constant(2026, 11, 21);
        let id = BundleId::new(day, 42);
        assert_eq!((id.day(), id.number()), (day, 42));
        assert_eq!(id.file_name(), "EB-20261121-0042.json");
        assert_eq!(id.signature_name(), "EB-20261121-0042.json.bundle");
        assert_eq!(id.locations_name(), "EB-20261121-0042.locations.json");
    }

    #[test]
    fn an_objects_path_names_client_host_chain_and_day() {
        let path = object_path("c", "h", "CHAIN", Date::constant(42, 1, 2), "EB-x.json");
        assert_eq!(path, "c/h/CHAIN/0042/01/02/EB-x.json");
    }
}
