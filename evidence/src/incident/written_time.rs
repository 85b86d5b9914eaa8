//! A time as the executor wrote it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An RFC 3339 time that keeps its own spelling, offset included: what is sealed is what was
/// written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTime {
    text: String,
    at: Timestamp,
}

/// The text is not RFC 3339 with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time by RFC 3339: expected YYYY-MM-DDTHH:MM:SS, up to nine decimals, then Z or an offset like +02:00"
)]
pub struct NotATime;

impl WrittenTime {
    /// The instant meant.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TryFrom<String> for WrittenTime {
    type Error = NotATime;

    fn try_from(text: String) -> Result<Self, NotATime> {
        // jiff reads much more than RFC 3339, and the schema has only a pattern: the form first.
        if !has_rfc3339_form(text.as_bytes()) {
            return Err(NotATime);
        }
        let at = text.parse().map_err(|_| NotATime)?;
        Ok(Self { text, at })
    }
}

impl FromStr for WrittenTime {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for WrittenTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for WrittenTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for WrittenTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

/// RFC 3339 section 5.6, capital `T` and `Z` only, offset `Z` or `±HH:MM`, at most nanoseconds.
fn has_rfc3339_form(text: &[u8]) -> bool {
    let Some((fixed, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let fixed_fits = fixed
        .iter()
        .zip(b"0000-00-00T00:00:00")
        .all(|(byte, form)| fits(*byte, *form));
    let offset = match rest.strip_prefix(b".") {
        Some(decimals) => {
            let count = decimals.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&count) {
                return false;
            }
            &decimals[count..]
        }
        None => rest,
    };
    let offset_fits = match offset {
        b"Z" => true,
        [b'+' | b'-', hours_minutes @ ..] => {
            hours_minutes.len() == 5
                && hours_minutes
                    .iter()
                    .zip(b"00:00")
                    .all(|(byte, form)| fits(*byte, *form))
                && &hours_minutes[..2] <= b"23"
                && &hours_minutes[3..] <= b"59"
        }
        _ => false,
    };
    fixed_fits && offset_fits
}

const fn fits(byte: u8, form: u8) -> bool {
    if form == b'0' {
        byte.is_ascii_digit()
    } else {
        byte == form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_spelling_and_knows_its_instant() {
        let utc: Timestamp = "2025-10-31T14:32:01Z".parse().unwrap();
        for text in [
            "2025-10-31T14:32:01Z",
            "2025-10-31T14:32:01.000000000Z",
            "2025-10-31T16:32:01.0+02:00",
            "2025-10-31T14:32:01+00:00",
            "2025-10-31T14:32:01-00:00",
            "2025-11-01T14:31:01+23:59",
        ] {
            let time: WrittenTime = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!((time.at(), time.as_str()), (utc, text));
        }
        assert!(
            "2016-12-31T23:59:60Z".parse::<WrittenTime>().is_ok(),
            "a leap second"
        );
    }

    #[test]
    fn what_is_not_rfc_3339_is_no_time() {
        for text in [
            "",
            "2025-10-31",
            "2025-10-31T14:32:01",
            "2025-10-31 14:32:01Z",
            "2025-10-31t14:32:01z",
            "20251031T143201Z",
            "2025-10-31T14:32Z",
            "2025-10-31T14:32:01.Z",
            "2025-10-31T14:32:01.1234567890Z",
            "2025-10-31T14:32:01+2:00",
            "2025-10-31T14:32:01+0200",
            "2025-10-31T14:32:01+24:00",
            "2025-10-31T14:32:01+02:60",
            "2025-02-30T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-10-31T24:00:00Z",
            "2025-10-31T14:60:00Z",
            "2025-10-31T14:32:61Z",
            "2025-10-31T14:32:01Z[UTC]",
            "2025-10-31T14:32:01Z ",
            "+002025-10-31T14:32:01Z",
            "1761921121",
            "२०२५-10-31T14:32:01Z",
        ] {
            assert_eq!(text.parse::<WrittenTime>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn a_time_is_shown_and_sealed_as_it_was_written() {
        let text = "2025-10-31T16:32:01.0+02:00";
        let time: WrittenTime = text.parse().unwrap();
        assert_eq!(time.to_string(), text);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<WrittenTime>(&json).unwrap(), time);
        assert!(serde_json::from_str::<WrittenTime>("\"yesterday\"").is_err());
    }
}
