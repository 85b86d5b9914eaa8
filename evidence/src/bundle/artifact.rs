//! Where an artifact is stored: content-addressed, below its bundle's name.
//!
//! The name that the executor gave a file is hostile: it is recorded in the signed bytes as it is,
//! and reaches a path or an object key only as a safe name.

use crate::digest::Sha256;

/// Longest safe name, in bytes.
const SAFE_NAME_MAX_BYTES: usize = 100;

/// The path of an artifact, given its bundle's (`…/EB-….json`):
/// `…/EB-…/artifacts/{sha256}/{safe name}`.
#[must_use]
pub fn artifact_path(bundle_path: &str, sha256: Sha256, name: &str) -> String {
    let folder = bundle_path.strip_suffix(".json").unwrap_or(bundle_path);
    format!("{folder}/artifacts/{sha256}/{}", safe_name(name))
}

/// Letters, digits, `.`, `_` and `-` of ASCII as they are, `_` for anything else; never empty,
/// never starting with a dot.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .take(SAFE_NAME_MAX_BYTES)
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect();
    if safe.is_empty() {
        safe.push('_');
    }
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::{is_safe_name, is_safe_path};

    #[test]
    fn an_artifact_lies_below_its_bundles_name_under_its_digest() {
        let sha256 = Sha256::of(b"x");
        let path = artifact_path(
            "c/h/CHAIN/2026/11/21/EB-20261121-0001.json",
            sha256,
            "a b.log",
        );
        assert_eq!(
            path,
            format!("c/h/CHAIN/2026/11/21/EB-20261121-0001/artifacts/{sha256}/a_b.log")
        );
        assert!(is_safe_path(&path));
    }

    #[test]
    fn no_name_leaves_its_folder_or_hides() {
        for (name, safe) in [
            ("plain.log", "plain.log"),
            ("", "_"),
            (".", "_"),
            ("..", "_."),
            (".hidden", "_hidden"),
            ("a/b\\c", "a_b_c"),
            ("line\nbreak\u{202e}.txt", "line_break_.txt"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
            assert!(is_safe_name(&safe_name(name)), "{name:?}");
        }
        assert!(is_safe_name(&safe_name(&"x".repeat(4000))));
    }
}
