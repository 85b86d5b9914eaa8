//! An incident as it is sealed: what the drop said, and what the agent adds to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::IncidentBody;
use crate::controls::MappedControls;
use crate::digest::Sha256;
use crate::findings::Finding;

/// The whole body of an incident bundle. The drop's fields and the agent's never share a name:
/// those of the agent are in [`super::HEADER_FIELDS`].
#[derive(Debug, Clone, Serialize)]
pub struct SealedIncident<'a> {
    /// What the drop said.
    #[serde(flatten)]
    pub body: &'a IncidentBody,
    /// Its citations in one spelling, and the criteria beside them.
    pub controls: &'a MappedControls,
    /// Where it came from.
    pub source: Source,
    /// What looked wrong.
    pub findings: &'a [Finding],
    /// What was taken out before sealing.
    pub redactions: &'a [Redaction],
}

/// The drop that was sealed, as it lay in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Keyed digest of its exact bytes; see [`crate::digest::DigestKey`].
    pub hmac_sha256: Sha256,
    /// Its size.
    pub size_bytes: u64,
    /// When the agent took it, by the host's clock.
    #[serde(serialize_with = "microseconds")]
    pub received_at: Timestamp,
}

/// Text that a screening rule took out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// JSON pointer of the string in the body.
    pub path: String,
    /// The rule's name.
    pub rule: String,
    /// How often it applied there.
    pub count: u64,
}

/// RFC 3339 in UTC with exactly six fractional digits, like every time the agent writes.
fn microseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}
