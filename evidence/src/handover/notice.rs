//! Notices: what the agent tells the uploader besides orders.
//!
//! A notice ends deliveries that are not confirmed: all of a destination that was retired, or those
//! of one bundle at one destination. It stays in the outbox, so that losing delivery.db loses
//! nothing, and it never touches what is confirmed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::is_safe_name;

/// One immutable notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Always 1.
    pub notice_version: u32,
    /// Unique for ever; also the file name, before [`super::NOTICE_SUFFIX`].
    pub notice_id: String,
    /// Whose evidence this is.
    pub client_id: String,
    /// The host that sealed it.
    pub host_id: String,
    /// When it was made, by the host's clock.
    pub created_at: Timestamp,
    /// The destination whose deliveries end.
    pub destination_id: String,
    /// Its place, `s3://bucket/prefix`: another place under the same id is not meant.
    pub uri: String,
    /// Only this bundle's deliveries; `null` means all, now and later.
    pub bundle: Option<NoticedBundle>,
    /// Why, for the operator.
    pub reason: String,
}

/// The bundle that a notice is about. The number alone could come again in another chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticedBundle {
    /// Its chain (ULID), also part of its objects' paths.
    pub chain_id: String,
    /// `EB-YYYYMMDD-NNNN`.
    pub bundle_id: String,
}

/// Why a file is not a valid notice.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// Not JSON of the expected form.
    #[error("the notice is not valid JSON of version 1")]
    Json(#[from] serde_json::Error),
    /// A version this build does not know.
    #[error("notice version {0} is not known to this version; upgrade the uploader")]
    Version(u32),
    /// An id that is not one.
    #[error("the notice names an unsafe id: {0:?}")]
    UnsafeName(String),
    /// No place, or a reason that is none.
    #[error("the notice has no place, or its reason is no line of words")]
    Inconsistent,
}

impl Notice {
    /// The bytes of the notice file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses and checks a notice file.
    ///
    /// # Errors
    /// When the bytes are not a notice of version 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoticeError> {
        let notice: Self = serde_json::from_slice(bytes)?;
        if notice.notice_version != 1 {
            return Err(NoticeError::Version(notice.notice_version));
        }
        let bundle = notice.bundle.as_ref();
        let names = [
            Some(&notice.notice_id),
            Some(&notice.destination_id),
            bundle.map(|b| &b.chain_id),
            bundle.map(|b| &b.bundle_id),
        ];
        if let Some(bad) = names.into_iter().flatten().find(|n| !is_safe_name(n)) {
            return Err(NoticeError::UnsafeName(bad.clone()));
        }
        let is_reason = super::is_line(&notice.reason);
        if !is_reason || notice.uri.is_empty() || notice.uri.len() > 2048 {
            return Err(NoticeError::Inconsistent);
        }
        Ok(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(bundle: Option<NoticedBundle>) -> Notice {
        Notice {
            notice_version: 1,
            notice_id: "01JDA0000000000000000000AB".to_owned(),
            client_id: "c".to_owned(),
            host_id: "h".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            destination_id: "old".to_owned(),
            uri: "s3://old/".to_owned(),
            bundle,
            reason: "the contract ended".to_owned(),
        }
    }

    fn bundle() -> NoticedBundle {
        NoticedBundle {
            chain_id: "01JDA0000000000000000000CH".to_owned(),
            bundle_id: "EB-20261121-0001".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for notice in [notice(None), notice(Some(bundle()))] {
            assert_eq!(Notice::parse(&notice.to_bytes()).unwrap(), notice);
        }
    }

    #[test]
    fn what_is_not_exactly_a_notice_is_refused() {
        let text = String::from_utf8(notice(Some(bundle())).to_bytes()).unwrap();
        for (from, to) in [
            ("\"notice_version\":1", "\"notice_version\":2"),
            ("01JDA0000000000000000000AB", "../x"),
            ("01JDA0000000000000000000CH", "a/b"),
            ("EB-20261121-0001", "%"),
            ("\"destination_id\":\"old\"", "\"destination_id\":\"\""),
            ("s3://old/", ""),
            ("the contract ended", ""),
            ("the contract ended", " "),
            ("the contract ended", "two\\nlines"),
            ("the contract ended", "turned \u{202e}round"),
            ("\"reason\"", "\"more\":1,\"reason\""),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert!(Notice::parse(changed.as_bytes()).is_err(), "{to}");
        }
    }

    #[test]
    fn a_place_and_a_reason_may_be_long_but_not_endless() {
        let with = |uri_bytes: usize, reason_bytes: usize| Notice {
            uri: "s".repeat(uri_bytes),
            reason: "r".repeat(reason_bytes),
            ..notice(None)
        };
        let long = with(2048, crate::handover::REASON_MAX_BYTES);
        assert_eq!(Notice::parse(&long.to_bytes()).unwrap(), long);
        for longer in [
            with(2049, 1),
            with(1, crate::handover::REASON_MAX_BYTES + 1),
        ] {
            assert!(matches!(
                Notice::parse(&longer.to_bytes()),
                Err(NoticeError::Inconsistent)
            ));
        }
    }
}
