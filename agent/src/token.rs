//! Names of taken drops: `.taken-{16 hex digits}-{the drop's name}`; and of folders that are sealed
//! and on their way out: `.sealed-{16 hex digits}`.
//!
//! The token is recorded with the bundle. A drop that is still there after its bundle was
//! committed (a crash in between) is recognised by it and is not counted as a duplicate.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

const PREFIX: &[u8] = b".taken-";
const SEALED_PREFIX: &[u8] = b".sealed-";
const TOKEN_BYTES: usize = 16;
/// Leaves room for the prefix and token within the 255 bytes that file systems allow.
const NAME_BYTES: usize = 200;
/// Of a longer name the end is kept too: it says what kind of drop it is.
const END_BYTES: usize = 5;

/// A fresh token: unique enough, and not a secret.
pub(crate) fn fresh() -> String {
    format!(
        "{:016x}",
        RandomState::new().hash_one(std::time::Instant::now())
    )
}

/// The name under which a drop is held.
pub(crate) fn taken_name(token: &str, drop_name: &OsStr) -> OsString {
    let mut name = PREFIX.to_vec();
    name.extend_from_slice(token.as_bytes());
    name.push(b'-');
    let bytes = drop_name.as_bytes();
    if bytes.len() <= NAME_BYTES {
        name.extend_from_slice(bytes);
    } else {
        name.extend_from_slice(&bytes[..NAME_BYTES - END_BYTES]);
        name.extend_from_slice(&bytes[bytes.len() - END_BYTES..]);
    }
    OsString::from_vec(name)
}

/// The name of a sealed folder while it is removed.
pub(crate) fn sealed_name(token: &str) -> OsString {
    OsString::from_vec([SEALED_PREFIX, token.as_bytes()].concat())
}

/// Whether a name is a [`sealed_name`].
pub(crate) fn is_sealed(name: &OsStr) -> bool {
    name.as_bytes().starts_with(SEALED_PREFIX)
}

/// The token and the drop's name, if this is a taken drop.
pub(crate) fn parse(name: &OsStr) -> Option<(String, OsString)> {
    let rest = name.as_bytes().strip_prefix(PREFIX)?;
    let (token, rest) = rest.split_at_checked(TOKEN_BYTES)?;
    let drop_name = rest.strip_prefix(b"-")?;
    let token = std::str::from_utf8(token).ok()?;
    token
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        .then(|| (token.to_owned(), OsString::from_vec(drop_name.to_vec())))
}

/// Any name as printable ASCII, for logs and for names of our own.
pub(crate) fn printable(name: &OsStr, max: usize) -> String {
    let text: String = name
        .as_bytes()
        .iter()
        .take(max)
        .map(|&b| {
            if b.is_ascii_alphanumeric() || b"._-".contains(&b) {
                char::from(b)
            } else {
                '_'
            }
        })
        .collect();
    if text.is_empty() {
        "_".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_name_gives_its_token_and_drop_name_back() {
        let token = fresh();
        for drop_name in ["a.json", "", "x-y\n.json"] {
            let taken = taken_name(&token, OsStr::new(drop_name));
            assert_eq!(
                parse(&taken),
                Some((token.clone(), OsString::from(drop_name)))
            );
        }
    }

    #[test]
    fn a_taken_name_fits_into_255_bytes() {
        let long = OsString::from_vec(vec![0xff; 255]);
        assert!(taken_name(&fresh(), &long).len() <= 255);
    }

    #[test]
    fn other_dot_names_are_not_taken_drops() {
        for name in [
            ".taken-",
            ".taken-0123-x",
            ".taken-0123456789ABCDEF-x",
            ".tmp-x",
            "a.json",
        ] {
            assert_eq!(parse(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn of_the_longest_name_the_end_is_kept_and_it_fits() {
        let name = OsString::from_vec([&[0xfe; 250][..], b".json"].concat());
        let taken = taken_name("0123456789abcdef", &name);
        assert!(taken.len() <= 255);
        let (_, parsed) = parse(&taken).unwrap();
        assert_eq!(parsed.len(), 200);
        assert!(parsed.as_bytes().ends_with(b"\xfe.json"));
    }

    #[test]
    fn printable_names_are_plain_ascii() {
        assert_eq!(
            printable(OsStr::new("a\n\u{202e}b/.json"), 64),
            "a____b_.json"
        );
        assert_eq!(printable(OsStr::new(""), 64), "_");
    }
}
