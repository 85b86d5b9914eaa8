//! Work orders: what the agent asks the uploader to store, frozen at seal time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// One immutable work order; it may cover a whole group commit.
///
/// Every object is to be stored at every destination. The object key at a destination is its
/// `prefix` followed by the object's `path`; the bytes are in the evidence folder at `path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Always 1.
    pub order_version: u32,
    /// Unique for ever: `{chain_id}-{first sequence, 12 digits}`, plus a suffix for backfills.
    /// Also the file name, before [`super::ORDER_SUFFIX`].
    pub order_id: String,
    /// Whose evidence this is.
    pub client_id: String,
    /// The host that sealed it.
    pub host_id: String,
    /// The chain that the bundles belong to (ULID).
    pub chain_id: String,
    /// When the order was made, by the host's clock; for age only, never for retention.
    pub created_at: Timestamp,
    /// Where everything goes, as configured when it was sealed.
    pub destinations: Vec<OrderedDestination>,
    /// What goes there, in the order of upload: of one bundle the artifacts, then the signature,
    /// then the bundle itself as commit marker.
    pub objects: Vec<OrderedObject>,
}

/// A destination as it was configured at seal time. The uploader refuses to deliver when its own
/// configuration gives the same id another meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedDestination {
    /// The configured id.
    pub destination_id: String,
    /// `s3://bucket/prefix`.
    pub uri: String,
    /// Object Lock mode; always `COMPLIANCE`.
    pub object_lock_mode: String,
    /// How long to lock, in days from the server's date at upload.
    pub retention_days: u32,
}

/// What part an object plays in its bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A file of the incident, content-addressed.
    Artifact,
    /// `EB-….json.bundle`, the sigstore bundle.
    Signature,
    /// `EB-….json`, uploaded last: its presence says that the rest is there.
    Bundle,
}

impl Role {
    /// The name used in JSON, SQL and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Signature => "signature",
            Self::Bundle => "bundle",
        }
    }

    /// The inverse of [`Role::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Artifact, Self::Signature, Self::Bundle]
            .into_iter()
            .find(|r| r.as_str() == name)
    }
}

/// One file to store, with everything needed to prove it is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedObject {
    /// The bundle it belongs to, `EB-YYYYMMDD-NNNN`.
    pub bundle_id: String,
    /// Its place in the chain.
    pub sequence: u64,
    /// Its part in the bundle.
    pub role: Role,
    /// Object key without the destination's prefix, and file name below the evidence folder:
    /// `{client_id}/{host_id}/{chain_id}/{YYYY}/{MM}/{DD}/…`.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
}

/// Why a file is not a valid order.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Not JSON of the expected form.
    #[error("the order is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("order version {0} is not known to this version; upgrade the uploader")]
    Version(u32),
    /// A path that could leave the evidence folder, or an id that could leave the outbox.
    #[error("the order names an unsafe path or id: {0:?}")]
    UnsafeName(String),
    /// An empty or contradictory order.
    #[error("the order is inconsistent: {0}")]
    Inconsistent(&'static str),
}

impl Order {
    /// The bytes of the order file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses and checks an order file.
    ///
    /// # Errors
    /// When the bytes are not an order of version 1, or name anything outside the evidence folder.
    pub fn parse(bytes: &[u8]) -> Result<Self, OrderError> {
        let order: Self = serde_json::from_slice(bytes)?;
        if order.order_version != 1 {
            return Err(OrderError::Version(order.order_version));
        }
        if !is_safe_name(&order.order_id) {
            return Err(OrderError::UnsafeName(order.order_id));
        }
        if order.objects.is_empty() || order.destinations.is_empty() {
            return Err(OrderError::Inconsistent("no objects or no destinations"));
        }
        let mut paths = std::collections::HashSet::new();
        for object in &order.objects {
            if !is_safe_path(&object.path) || !is_safe_name(&object.bundle_id) {
                return Err(OrderError::UnsafeName(object.path.clone()));
            }
            if !paths.insert(object.path.as_str()) {
                return Err(OrderError::Inconsistent("the same path twice"));
            }
        }
        let mut ids = std::collections::HashSet::new();
        for destination in &order.destinations {
            if !is_safe_name(&destination.destination_id) {
                return Err(OrderError::UnsafeName(destination.destination_id.clone()));
            }
            if !ids.insert(destination.destination_id.as_str()) {
                return Err(OrderError::Inconsistent("the same destination twice"));
            }
            if destination.object_lock_mode != "COMPLIANCE" || destination.retention_days == 0 {
                return Err(OrderError::Inconsistent(
                    "a destination without COMPLIANCE retention",
                ));
            }
        }
        Ok(order)
    }
}

/// Letters, digits, `.`, `_`, `-`; not empty, not starting with a dot, at most 128 bytes.
#[must_use]
pub fn is_safe_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Safe names joined by single slashes, relative, at most 900 bytes (S3 allows 1,024 with prefix).
#[must_use]
pub fn is_safe_path(path: &str) -> bool {
    path.len() <= 900 && path.split('/').all(is_safe_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let object = |role, path: &str| OrderedObject {
            bundle_id: "EB-20261121-0001".to_owned(),
            sequence: 1,
            role,
            path: path.to_owned(),
            size_bytes: 5,
            sha256: Sha256::of(b"bytes"),
        };
        let destination = |id: &str| OrderedDestination {
            destination_id: id.to_owned(),
            uri: "s3://bucket/prefix/".to_owned(),
            object_lock_mode: "COMPLIANCE".to_owned(),
            retention_days: 1,
        };
        Order {
            order_version: 1,
            order_id: "CHAIN-000000000001".to_owned(),
            client_id: "c".to_owned(),
            host_id: "h".to_owned(),
            chain_id: "CHAIN".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            destinations: vec![destination("main"), destination("second")],
            objects: vec![
                object(Role::Signature, "c/h/EB.json.bundle"),
                object(Role::Bundle, "c/h/EB.json"),
            ],
        }
    }

    /// What an order is refused for after `change`.
    fn refused(change: impl Fn(&mut Order)) -> OrderError {
        let mut order = order();
        change(&mut order);
        Order::parse(&order.to_bytes()).expect_err("it should have been refused")
    }

    #[test]
    fn what_is_written_is_read_back() {
        let order = order();
        let bytes = order.to_bytes();
        assert_eq!(Order::parse(&bytes).unwrap(), order);
        assert!(bytes.ends_with(b"}\n"));
    }

    #[test]
    fn an_order_of_another_version_or_with_a_field_too_many_is_refused() {
        assert!(matches!(
            refused(|o| o.order_version = 2),
            OrderError::Version(2)
        ));
        let text = String::from_utf8(order().to_bytes()).unwrap();
        let more = text.replacen('{', "{\"more\":1,", 1);
        assert!(matches!(
            Order::parse(more.as_bytes()),
            Err(OrderError::Json(_))
        ));
    }

    #[test]
    fn nothing_in_an_order_leaves_its_folder() {
        let unsafe_name = |error| matches!(error, OrderError::UnsafeName(_));
        assert!(unsafe_name(refused(|o| o.order_id = "../x".to_owned())));
        assert!(unsafe_name(refused(
            |o| o.objects[1].path = "c/../x".to_owned()
        )));
        assert!(unsafe_name(refused(
            |o| o.objects[1].bundle_id = "a/b".to_owned()
        )));
        assert!(unsafe_name(refused(|o| {
            o.destinations[1].destination_id = "a/b".to_owned();
        })));
    }

    #[test]
    fn an_order_that_is_empty_or_says_a_thing_twice_is_refused() {
        let inconsistent = |error| matches!(error, OrderError::Inconsistent(_));
        assert!(inconsistent(refused(|o| o.objects.clear())));
        assert!(inconsistent(refused(|o| o.destinations.clear())));
        assert!(inconsistent(refused(|o| {
            o.objects[1].path = o.objects[0].path.clone();
        })));
        assert!(inconsistent(refused(|o| {
            o.destinations[1].destination_id = o.destinations[0].destination_id.clone();
        })));
    }

    #[test]
    fn an_order_without_a_compliance_lock_for_some_time_is_refused() {
        let inconsistent = |error| matches!(error, OrderError::Inconsistent(_));
        assert!(inconsistent(refused(|o| {
            o.destinations[1].object_lock_mode = "GOVERNANCE".to_owned();
        })));
        assert!(inconsistent(refused(
            |o| o.destinations[1].retention_days = 0
        )));
    }

    #[test]
    fn a_role_has_one_name_in_json_and_elsewhere() {
        for role in [Role::Artifact, Role::Signature, Role::Bundle] {
            let json = serde_json::to_value(role).unwrap();
            assert_eq!(json.as_str(), Some(role.as_str()));
            assert_eq!(Role::from_name(role.as_str()), Some(role));
        }
        assert_eq!(Role::from_name("custody"), None);
    }

    #[test]
    fn only_names_that_stay_in_their_folder_and_are_seen_are_safe() {
        let longest = "x".repeat(128);
        for name in ["a", "a.b", "EB-20261121-0001.json.bundle", "_-", &longest] {
            assert!(is_safe_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "a\\b",
            "a b",
            "ä",
            "a\n",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(!is_safe_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_path_is_made_of_safe_names_and_has_room_for_a_prefix() {
        let folder = format!("{}/", "x".repeat(99));
        let longest = format!("{}{}", folder.repeat(8), "x".repeat(100));
        assert_eq!(longest.len(), 900);
        for path in ["a", "a/b", &longest] {
            assert!(is_safe_path(path), "{path}");
        }
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "./a",
            &format!("{longest}x"),
        ] {
            assert!(!is_safe_path(path), "{path:?}");
        }
    }
}
