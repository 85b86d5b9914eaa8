//! A strict I-JSON reader (RFC 7493) for bytes that nobody vouches for: drops.
//!
//! What is sealed must mean the same to every reader for six years, so whatever two JSON readers
//! could understand differently is refused here, before anything looks at it: text that is not
//! UTF-8, a byte order mark, duplicate member names (also when one is spelled with escapes), lone
//! surrogates, `NaN` and `Infinity`, bytes after the document, nesting deeper than the caller
//! allows. The caller caps the size.
//!
//! Numbers are what I-JSON only warns about (section 2.2). One that would not come back from a
//! double digit for digit is kept as its text, a JSON string, and its place is reported: nothing
//! is rounded and nothing is refused for it. That is
//! - a number whose decimal value differs from the shortest round-trip text of the nearest double
//!   (`1e400`, `0.1000000000000000055511`; but `0.1` and `1.50` stay), and
//! - a number written as an integer outside ±(2^53 − 1), the range in which RFC 7493 expects
//!   integers to be exact; RFC 8785 tools refuse or round the others.
//!
//! Negative zero stays what it is: a double holds it, and only RFC 8785 writes it as `0`.
//! Noncharacters (`U+FFFE`, `U+FDD0`, …) are forbidden by section 2.1, but every reader agrees on
//! what they are; they are kept and reported, since a log excerpt must not keep evidence out.
//!
//! The order of work makes this safe: the scan finds the numbers to keep as text, they are
//! blanked by a `0` of the same length, and only then serde_json reads the document, so its
//! grammar, not ours, decides what is JSON. Its own recursion guard (127 levels) bounds the stack.

mod error;
mod number;
mod pointer;
mod scan;
mod visit;

use serde_json::Value;

pub use error::{Code, Error};
pub(crate) use pointer::rename;
pub use pointer::{is_unsafe_to_show, presentable};

/// The deepest nesting that can be asked for: serde_json's own guard is at 128.
pub const MAX_DEPTH: usize = 120;

/// So many places are listed by name; the rest are only counted.
pub const MAX_PLACES: usize = 100;

/// A document that was read, and what was noticed on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The document.
    pub value: Value,
    /// Where numbers were kept as text.
    pub number_as_text: Places,
    /// Which strings or member names hold noncharacters.
    pub noncharacter: Places,
}

/// Places in a document, the first [`MAX_PLACES`] of them by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// JSON pointers (RFC 6901), made presentable: see [`presentable`].
    pub pointers: Vec<String>,
    /// How many there are, listed or not.
    pub total: usize,
}

/// Reads one I-JSON document.
///
/// `max_depth` is the greatest number of arrays and objects within each other, at most
/// [`MAX_DEPTH`]: `{}` has depth 1.
///
/// # Errors
/// When the bytes are not I-JSON of that depth. The error says what and where, and never quotes
/// a value.
pub fn read(bytes: &[u8], max_depth: usize) -> Result<Parsed, Error> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(Error::new(
            Code::ByteOrderMark,
            "",
            "the document starts with a byte order mark",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::new(
            Code::NotUtf8,
            "",
            format!("not UTF-8 from byte {}", e.valid_up_to()),
        )
    })?;
    let scan = scan::scan(text);
    visit::read(text, &scan, max_depth.min(MAX_DEPTH))
}

#[cfg(test)]
mod tests;
