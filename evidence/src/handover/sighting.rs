//! Sightings: a signed bundle of this host that the uploader found in a bucket and not on the host.
//!
//! A host that was restored from an old snapshot has forgotten what it sealed since; the bucket has
//! not. The uploader cannot judge that, having no key, and is not believed: it hands over the bundle's
//! exact bytes and signature, and only the signature counts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::is_safe_name;

/// One sighting, in `receipts/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighting {
    /// Always 1.
    pub sighting_version: u32,
    /// Unique; also the file name, before [`super::SIGHTING_SUFFIX`].
    pub sighting_id: String,
    /// When it was written, by the uploader's clock.
    pub reported_at: Timestamp,
    /// Where it was seen.
    pub destination_id: String,
    /// `EB-….json`, exactly: bundles are UTF-8.
    pub bundle: String,
    /// `EB-….json.bundle`, exactly.
    pub signature: String,
}

/// Why a file is not a valid sighting.
#[derive(Debug, thiserror::Error)]
pub enum SightingError {
    /// Not JSON of the expected form.
    #[error("the sighting is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("sighting version {0} is not known to this version; upgrade the agent")]
    Version(u32),
    /// An id that is not one.
    #[error("the sighting names an unsafe id: {0:?}")]
    UnsafeName(String),
}

impl Sighting {
    /// The bytes of the sighting file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses a sighting file. What it holds is still to be verified.
    ///
    /// # Errors
    /// When the bytes are not a sighting of version 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, SightingError> {
        let sighting: Self = serde_json::from_slice(bytes)?;
        if sighting.sighting_version != 1 {
            return Err(SightingError::Version(sighting.sighting_version));
        }
        for id in [&sighting.sighting_id, &sighting.destination_id] {
            if !is_safe_name(id) {
                return Err(SightingError::UnsafeName(id.clone()));
            }
        }
        Ok(sighting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_is_read_back_and_another_version_or_an_unsafe_id_is_refused() {
        let sighting = Sighting {
            sighting_version: 1,
            sighting_id: "S-1".to_owned(),
            reported_at: Timestamp::UNIX_EPOCH,
            destination_id: "main".to_owned(),
            bundle: "{\n}\n".to_owned(),
            signature: "{}".to_owned(),
        };
        assert_eq!(Sighting::parse(&sighting.to_bytes()).unwrap(), sighting);
        for wrong in [
            Sighting {
                sighting_version: 2,
                ..sighting.clone()
            },
            Sighting {
                sighting_id: "../x".to_owned(),
                ..sighting.clone()
            },
            Sighting {
                destination_id: String::new(),
                ..sighting
            },
        ] {
            Sighting::parse(&wrong.to_bytes()).unwrap_err();
        }
    }
}
