//! One pass over the text before it is parsed, for what a parser no longer shows: the digits of
//! a number. Almost every document has nothing to find, and is then parsed where it lies.

use super::number::must_stay_text;

/// A number to keep as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextNumber<'a> {
    /// How many numbers precede it in the document.
    pub(super) ordinal: usize,
    /// Where it starts, in bytes.
    pub(super) start: usize,
    /// As written.
    pub(super) text: &'a str,
}

/// What the scan found.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    /// In the order of the document.
    pub(super) text_numbers: Vec<TextNumber<'a>>,
    /// True if a string could hold a noncharacter.
    pub(super) may_hold_noncharacters: bool,
}

/// A number of at most so many digits, without an exponent, always survives: a double keeps any
/// 15 digits (IEEE 754, DBL_DIG), and so few cannot leave its range.
const MAX_SURE_DIGITS: usize = 15;

/// U+FDD0 and everything after it starts with one of these in UTF-8.
const FIRST_SUSPECT_BYTE: u8 = 0xEF;

/// Scans `text`. In a document that is not JSON the result is of no use but does no harm.
pub(super) fn scan(text: &str) -> Scan<'_> {
    let bytes = text.as_bytes();
    let mut found = Scan::default();
    let mut numbers = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at + 1, &mut found),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|b| is_number_byte(**b))
                    .count();
                let token = &text[at..at + length];
                if !is_surely_exact(token) && must_stay_text(token) {
                    found.text_numbers.push(TextNumber {
                        ordinal: numbers,
                        start: at,
                        text: token,
                    });
                }
                numbers += 1;
                at += length;
            }
            _ => at += 1,
        }
    }
    found
}

/// The index after the closing quote of the string whose content starts at `at`.
fn string_end(bytes: &[u8], mut at: usize, found: &mut Scan<'_>) -> usize {
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => {
                found.may_hold_noncharacters |= bytes.get(at + 1) == Some(&b'u');
                at += 2;
            }
            _ => {
                found.may_hold_noncharacters |= byte >= FIRST_SUSPECT_BYTE;
                at += 1;
            }
        }
    }
    at
}

const fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

fn is_surely_exact(token: &str) -> bool {
    // The sign and the point only make this stricter.
    token.len() <= MAX_SURE_DIGITS && !token.bytes().any(|b| matches!(b, b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_outside_strings_only() {
        let found = scan(r#"{"1e400":["2e400\"3e400",4,5e400,-0.5,6e400]}"#);
        let places: Vec<_> = found
            .text_numbers
            .iter()
            .map(|n| (n.ordinal, n.text))
            .collect();
        assert_eq!(places, [(1, "5e400"), (3, "6e400")]);
    }

    #[test]
    fn broken_text_is_scanned_to_its_end() {
        for text in [
            "\"",
            "\"\\",
            "\"\\u",
            "-",
            "[1e400",
            "{\"a\":\"b\\\\",
            "é\\\"é",
        ] {
            scan(text);
        }
    }

    #[test]
    fn plain_text_raises_no_suspicion_and_high_or_escaped_characters_do() {
        assert!(!scan(r#"["plain", "caf\n", "é", "語"]"#).may_hold_noncharacters);
        assert!(scan("[\"\u{FFFE}\"]").may_hold_noncharacters);
        assert!(scan("[\"\u{1FFFF}\"]").may_hold_noncharacters);
        assert!(scan(r#"["\uFDD0"]"#).may_hold_noncharacters);
    }
}
