//! The header that every kind of bundle shares.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::PlannedLocation;
use crate::digest::Sha256;

/// The format version this code writes and reads.
pub const BUNDLE_VERSION: &str = "1.0";

/// What a bundle attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One remediated incident.
    Incident,
    /// A statement of what was sealed, confirmed and refused.
    Custody,
    /// A test at set-up, excluded from every count.
    Probe,
    /// From one signing key to the next.
    Rotation,
}

impl Kind {
    /// The name used in JSON, SQL and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Custody => "custody",
            Self::Probe => "probe",
            Self::Rotation => "rotation",
        }
    }

    /// The inverse of [`Kind::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Incident, Self::Custody, Self::Probe, Self::Rotation]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// A bundle's place in its host's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainLink {
    /// ULID made with the chain, bound to the machine.
    pub chain_id: String,
    /// 1, 2, 3 … without a gap. Only this orders.
    pub sequence: u64,
    /// SHA-256 of the previous bundle's exact file bytes; null at sequence 1.
    pub previous_sha256: Option<Sha256>,
    /// At sequence 1 of a chain that follows a lost or cloned one: where that one ended, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<ChainPosition>,
    /// At sequence 1: why the chain began, and what is known to be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
}

/// How a chain came to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Began {
    /// Why.
    pub because: ChainStart,
    /// Places in earlier chains of this host whose bundles were found nowhere when the spool was
    /// rebuilt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// Why a chain began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainStart {
    /// There was none.
    First,
    /// The spool came from another machine.
    MachineChanged,
    /// Signed bundles show that the chain had gone further than the spool knows.
    RolledBack,
    /// The spool is new, and signed files of an earlier one are there.
    SpoolLost,
    /// Somebody else writes under this chain's keys: a clone, most likely.
    Forked,
    /// The spool was made anew from the evidence folder and the buckets.
    Rebuilt,
    /// Another key signs, and the one before did not name it.
    KeyChanged,
}

impl ChainStart {
    /// The name used in JSON, SQL and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::MachineChanged => "machine_changed",
            Self::RolledBack => "rolled_back",
            Self::SpoolLost => "spool_lost",
            Self::Forked => "forked",
            Self::Rebuilt => "rebuilt",
            Self::KeyChanged => "key_changed",
        }
    }

    /// The inverse of [`ChainStart::as_str`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::First,
            Self::MachineChanged,
            Self::RolledBack,
            Self::SpoolLost,
            Self::Forked,
            Self::Rebuilt,
            Self::KeyChanged,
        ]
        .into_iter()
        .find(|start| start.as_str() == name)
    }
}

/// Bundles that were found nowhere: a range of places in a chain, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// The chain.
    pub chain_id: String,
    /// The first of them.
    pub from_sequence: u64,
    /// The last of them.
    pub to_sequence: u64,
}

/// A point in a chain: the bundle at `sequence`, by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainPosition {
    /// The chain.
    pub chain_id: String,
    /// The bundle's sequence.
    pub sequence: u64,
    /// SHA-256 of its exact file bytes.
    pub sha256: Sha256,
}

/// What made the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// `msp-evidence-agent`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The kernel's boot id, so that restarts of the host are seen.
    pub boot_id: String,
}

/// What is known of the clock that `generated_at` was read from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSource {
    /// Such as `systemd-timesyncd`, `chrony`, or `unknown`.
    pub source: String,
    /// Whether it said that it was synchronised; null when unknown.
    pub synchronised: Option<bool>,
    /// Its own error bound in milliseconds; null when unknown.
    pub estimated_error_ms: Option<f64>,
}

impl TimeSource {
    /// Nothing is known of the clock, and that is said.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            source: "unknown".to_owned(),
            synchronised: None,
            estimated_error_ms: None,
        }
    }
}

/// An earlier bundle that this one speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Related {
    /// The earlier bundle.
    pub bundle_id: String,
    /// SHA-256 of its exact file bytes.
    pub sha256: Sha256,
    /// How, such as `incident_id_reused`.
    pub relation: String,
}

/// The earlier bundle that this one says again, because it could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reseals {
    /// The earlier bundle.
    pub bundle_id: String,
    /// SHA-256 of its exact file bytes: what the chain knows it by.
    pub sha256: Sha256,
}

/// Which key signed, and where the signature is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureRef {
    /// `sha256:` fingerprint of the key.
    pub key_id: String,
    /// The signature's file name, beside the bundle.
    pub file: String,
}

/// The header of a bundle, as read from verified bytes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Header {
    /// `EB-YYYYMMDD-NNNN`.
    pub bundle_id: String,
    /// Always [`BUNDLE_VERSION`].
    pub bundle_version: String,
    /// What it attests.
    pub kind: Kind,
    /// Whose evidence this is.
    pub client_id: String,
    /// The host that sealed it.
    pub host_id: String,
    /// When it was sealed, by the host's clock.
    pub generated_at: Timestamp,
    /// Its place in the chain.
    pub chain: ChainLink,
    /// What made it.
    pub producer: Producer,
    /// What is known of the clock.
    pub time: TimeSource,
    /// Earlier bundles it speaks of.
    #[serde(default)]
    pub related_to: Vec<Related>,
    /// The bundle that this one says again, with the same body: other bytes were found under its
    /// key, which is never overwritten. Both are kept.
    #[serde(default)]
    pub reseals: Option<Reseals>,
    /// `sha256:` over RFC 8785 of the document without this field, `signatures` and
    /// `storage_locations`.
    pub evidence_bundle_hash: String,
    /// Who signed.
    pub signatures: Vec<SignatureRef>,
    /// Where it was planned to be stored.
    pub storage_locations: Vec<PlannedLocation>,
}

/// RFC 3339 in UTC with exactly six fractional digits, as `generated_at` is written.
pub(crate) fn micros<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.6}"))
}

/// The same, or null.
pub(crate) fn micros_or_null<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => micros(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_in_json_and_elsewhere() {
        for kind in [Kind::Incident, Kind::Custody, Kind::Probe, Kind::Rotation] {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json.as_str(), Some(kind.as_str()));
        }
    }

    #[test]
    fn why_a_chain_began_has_one_name_and_is_read_back_from_it() {
        for start in [
            ChainStart::First,
            ChainStart::MachineChanged,
            ChainStart::RolledBack,
            ChainStart::SpoolLost,
            ChainStart::Forked,
            ChainStart::Rebuilt,
            ChainStart::KeyChanged,
        ] {
            let json = serde_json::to_value(start).unwrap();
            assert_eq!(json.as_str(), Some(start.as_str()));
            assert_eq!(ChainStart::from_name(start.as_str()), Some(start));
        }
        assert_eq!(ChainStart::from_name("by_chance"), None);
    }

    #[test]
    fn of_an_unknown_clock_nothing_is_claimed() {
        let json = serde_json::to_value(TimeSource::unknown()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"source": "unknown", "synchronised": null, "estimated_error_ms": null})
        );
    }
}
