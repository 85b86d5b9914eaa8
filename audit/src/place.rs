//! What an object is, going by its path below the prefix; see `evidence::bundle::object_path`.

use evidence::bundle::BundleId;
use evidence::handover::Role;

/// A path that is laid out as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// What it is to its bundle.
    pub role: Role,
    /// The client in the path.
    pub client_id: &'a str,
    /// The host in the path.
    pub host_id: &'a str,
    /// The chain in the path.
    pub chain_id: &'a str,
    /// The bundle's name in the path.
    pub bundle_id: &'a str,
    /// The path of the bundle itself, `…/EB-….json`.
    pub bundle_path: String,
}

impl<'a> Place<'a> {
    /// The place that a path names; `None` when no object of a bundle is ever stored there.
    #[must_use]
    pub fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let [client_id, host_id, chain_id, year, month, day, rest @ ..] = parts.as_slice() else {
            return None;
        };
        let (role, bundle_id) = match rest {
            [name] => match name.strip_suffix(".json.bundle") {
                Some(id) => (Role::Signature, id),
                None => (Role::Bundle, name.strip_suffix(".json")?),
            },
            [id, "artifacts", sha256, name] if is_sha256(sha256) && !name.is_empty() => {
                (Role::Artifact, *id)
            }
            _ => return None,
        };
        // Another day than the name's is for those to judge who know what the bundle itself says.
        let _: BundleId = bundle_id.parse().ok()?;
        let is_day = [(year, 4), (month, 2), (day, 2)]
            .iter()
            .all(|(part, digits)| {
                part.len() == *digits && part.bytes().all(|b| b.is_ascii_digit())
            });
        if !is_day || [client_id, host_id, chain_id].iter().any(|p| p.is_empty()) {
            return None;
        }
        let folder = [client_id, host_id, chain_id, year, month, day].map(|part| *part);
        Some(Self {
            role,
            client_id,
            host_id,
            chain_id,
            bundle_id,
            bundle_path: format!("{}/{bundle_id}.json", folder.join("/")),
        })
    }
}

/// The first part of a path, where the rest is laid out as evidence: a prefix that an auditor left
/// out.
#[must_use]
pub fn forgotten_prefix(path: &str) -> Option<&str> {
    path.char_indices()
        .filter(|(_, c)| *c == '/')
        .map(|(at, _)| path.split_at(at + 1))
        .find(|(_, rest)| Place::of(rest).is_some())
        .map(|(prefix, _)| prefix)
}

fn is_sha256(text: &str) -> bool {
    text.parse::<evidence::digest::Sha256>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "c/h/CHAIN/2026/11/21";

    #[test]
    fn each_object_of_a_bundle_is_known_by_its_path() {
        let sha256 = evidence::digest::Sha256::of(b"x");
        for (path, role) in [
            (format!("{FOLDER}/EB-20261121-0001.json"), Role::Bundle),
            (
                format!("{FOLDER}/EB-20261121-0001.json.bundle"),
                Role::Signature,
            ),
            (
                format!("{FOLDER}/EB-20261121-0001/artifacts/{sha256}/a.log"),
                Role::Artifact,
            ),
        ] {
            let place = Place::of(&path).unwrap();
            assert_eq!(place.role, role);
            assert_eq!(
                (place.client_id, place.host_id, place.chain_id),
                ("c", "h", "CHAIN")
            );
            assert_eq!(place.bundle_id, "EB-20261121-0001");
            assert_eq!(place.bundle_path, format!("{FOLDER}/EB-20261121-0001.json"));
        }
    }

    #[test]
    fn nothing_else_is() {
        for path in [
            "",
            "EB-20261121-0001.json",
            "c/h/CHAIN/2026/11/x1/EB-20261121-0001.json",
            "c/h/CHAIN/2026/11/21/EB-20261121-0001.locations.json",
            "c/h/CHAIN/2026/11/21/EB-20261121-1.json",
            "c/h//2026/11/21/EB-20261121-0001.json",
            "x/c/h/CHAIN/2026/11/21/EB-20261121-0001.json",
            "c/h/CHAIN/2026/11/21/EB-20261121-0001/artifacts/abc/a.log",
            "c/h/CHAIN/2026/11/21/EB-20261121-0001/artifacts/a.log",
            "c/h/CHAIN/2026/11/21/notes.txt",
        ] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_prefix_that_was_forgotten_is_found() {
        let path = format!("evidence/v1/{FOLDER}/EB-20261121-0001.json");
        assert_eq!(forgotten_prefix(&path), Some("evidence/v1/"));
        assert_eq!(forgotten_prefix("evidence/v1/readme.txt"), None);
    }
}
