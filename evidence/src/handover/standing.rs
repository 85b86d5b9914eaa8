//! The agent's standing: what the agent cannot do just now, for the uploader to tell others of.
//!
//! The agent has no network and the uploader may read neither the spool nor the quarantine, so the
//! agent says it in `outbox/`, in one file that is replaced. It holds codes and counts, never words:
//! what leaves the host must not be able to carry evidence.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::is_safe_name;

/// No standing names more alarms.
const ALARMS_MAX: usize = 64;

/// What the agent last said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Always 1.
    pub standing_version: u32,
    /// When it was written, by the host's clock; every minute at least while the agent works.
    pub at: Timestamp,
    /// What it cannot do, each by its code.
    pub alarms: Vec<StandingAlarm>,
    /// Drops in quarantine now; absent when they cannot be counted.
    pub in_quarantine: Option<u64>,
}

/// One alarm of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingAlarm {
    /// Such as `stalled`.
    pub code: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why a file is not a valid standing.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// Not JSON of the expected form.
    #[error("the standing is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("standing version {0} is not known to this version; upgrade the uploader")]
    Version(u32),
    /// A code that is not one.
    #[error("the standing names an unsafe code: {0:?}")]
    UnsafeName(String),
    /// More than can be.
    #[error("the standing names {0} alarms")]
    TooMany(usize),
}

impl Standing {
    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses the file.
    ///
    /// # Errors
    /// When the bytes are not a standing of version 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, StandingError> {
        let standing: Self = serde_json::from_slice(bytes)?;
        if standing.standing_version != 1 {
            return Err(StandingError::Version(standing.standing_version));
        }
        if standing.alarms.len() > ALARMS_MAX {
            return Err(StandingError::TooMany(standing.alarms.len()));
        }
        match standing.alarms.iter().find(|a| !is_safe_name(&a.code)) {
            Some(alarm) => Err(StandingError::UnsafeName(alarm.code.clone())),
            None => Ok(standing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_read_back_and_what_could_carry_more_than_codes_is_refused() {
        let standing = Standing {
            standing_version: 1,
            at: Timestamp::UNIX_EPOCH,
            alarms: vec![StandingAlarm {
                code: "stalled".to_owned(),
                since: Timestamp::UNIX_EPOCH,
            }],
            in_quarantine: Some(2),
        };
        assert_eq!(Standing::parse(&standing.to_bytes()).unwrap(), standing);
        let with = |change: fn(&mut Standing)| {
            let mut other = standing.clone();
            change(&mut other);
            Standing::parse(&other.to_bytes()).unwrap_err().to_string()
        };
        assert!(with(|s| s.standing_version = 2).contains("version 2"));
        assert!(with(|s| s.alarms[0].code = "Jane Doe, 123-45".to_owned()).contains("unsafe"));
        assert!(with(|s| s.alarms = vec![s.alarms[0].clone(); 65]).contains("65"));
        let more = r#"{"standing_version":1,"at":"1970-01-01T00:00:00Z","alarms":[],"in_quarantine":0,"x":1}"#;
        Standing::parse(more.as_bytes()).unwrap_err();
    }
}
