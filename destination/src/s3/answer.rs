//! The store's words in the domain's types.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ObjectLockRule;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Sha256;
use jiff::Timestamp;

pub(super) fn time(date: &DateTime) -> Option<Timestamp> {
    Timestamp::new(date.secs(), i32::try_from(date.subsec_nanos()).ok()?).ok()
}

/// Rounded up: a lock never ends before it was asked to.
pub(super) fn whole_seconds(time: Timestamp) -> i64 {
    time.as_second() + i64::from(time.subsec_nanosecond() > 0)
}

pub(super) fn etag(quoted: Option<&str>) -> Option<String> {
    quoted.map(|etag| etag.trim_matches('"').to_owned())
}

/// A full-object SHA-256. A composite one (`…-N`, of a multipart upload) is the hash of hashes and
/// never the file's, so it is not one.
pub(super) fn sha256_of(base64: Option<&str>) -> Option<Sha256> {
    let bytes: [u8; 32] = STANDARD.decode(base64?).ok()?.try_into().ok()?;
    Some(Sha256::from_bytes(bytes))
}

pub(super) fn rule(rule: &ObjectLockRule) -> Option<String> {
    let retention = rule.default_retention()?;
    let mode = retention.mode()?.as_str();
    match (retention.days(), retention.years()) {
        (Some(days), _) => Some(format!("{mode} {days} days")),
        (None, Some(years)) => Some(format!("{mode} {years} years")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composite_checksum_is_not_the_files() {
        let full = STANDARD.encode(Sha256::of(b"x").as_bytes());
        assert_eq!(sha256_of(Some(&full)), Some(Sha256::of(b"x")));
        assert_eq!(sha256_of(Some(&format!("{full}-3"))), None);
        assert_eq!(sha256_of(Some("AAAA")), None);
        assert_eq!(sha256_of(None), None);
    }

    #[test]
    fn a_lock_date_with_a_fraction_is_rounded_up() {
        assert_eq!(
            whole_seconds("2032-01-01T00:00:00.000001Z".parse().unwrap()),
            1_956_528_001
        );
        assert_eq!(
            whole_seconds("2032-01-01T00:00:00Z".parse().unwrap()),
            1_956_528_000
        );
    }
}
