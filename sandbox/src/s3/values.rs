//! Values between `s3s` and the store: times, ETags, checksums, locks.

use jiff::Timestamp;
use s3s::S3Result;
use s3s::dto::{self, ETag, ObjectLockLegalHoldStatus, TimestampFormat};

use super::refuse;
use crate::endpoint::Exchange;
use crate::faults::Action;
use crate::store::{Lock, LockRequest, Mode, Retention, Version};

/// To the millisecond, as S3 writes it.
pub(super) fn to_dto(at: Timestamp) -> dto::Timestamp {
    dto::Timestamp::from(std::time::SystemTime::from(at))
}

/// From s3s's own text of it, which has milliseconds.
pub(super) fn from_dto(at: &dto::Timestamp) -> S3Result<Timestamp> {
    let mut text = Vec::new();
    let written = at.format(TimestampFormat::DateTime, &mut text).ok();
    let parsed = written.and_then(|()| std::str::from_utf8(&text).ok()?.parse().ok());
    parsed.ok_or_else(|| refuse::with("InvalidArgument", "The date is out of range"))
}

pub(super) fn etag(version: &Version) -> ETag {
    ETag::Strong(version.etag.clone())
}

/// The version id to tell: a bucket that never kept versions tells none.
pub(super) fn version_id(version: &Version, versioned: bool) -> Option<String> {
    versioned.then(|| version.version_id.clone())
}

pub(super) fn legal_hold(on: bool) -> ObjectLockLegalHoldStatus {
    let status = if on {
        ObjectLockLegalHoldStatus::ON
    } else {
        ObjectLockLegalHoldStatus::OFF
    };
    ObjectLockLegalHoldStatus::from_static(status)
}

/// Reads the lock that a request asks for, and what a fault makes of it.
pub(super) fn lock_request(
    exchange: &Exchange,
    now: Timestamp,
    mode: Option<&dto::ObjectLockMode>,
    until: Option<&dto::Timestamp>,
    hold: Option<&ObjectLockLegalHoldStatus>,
) -> S3Result<LockRequest> {
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = Mode::parse(mode.as_str())
                .ok_or_else(|| refuse::with("InvalidArgument", "Unknown wormMode directive."))?;
            let until = from_dto(until)?;
            if until <= now {
                return Err(refuse::with(
                    "InvalidArgument",
                    "The retain until date must be in the future!",
                ));
            }
            Some(Retention { mode, until })
        }
        _ => {
            return Err(refuse::with(
                "InvalidArgument",
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be \
                 supplied",
            ));
        }
    };
    let legal_hold = match hold.map(ObjectLockLegalHoldStatus::as_str) {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(_) => {
            return Err(refuse::with(
                "InvalidArgument",
                "Legal Hold must be either of 'ON' or 'OFF'",
            ));
        }
    };
    if exchange.is_struck_by(&Action::LoseLock) {
        return Ok(LockRequest::Lost);
    }
    Ok(LockRequest::Asked(Lock {
        retention: weakened(exchange, retention),
        legal_hold,
    }))
}

fn weakened(exchange: &Exchange, asked: Option<Retention>) -> Option<Retention> {
    let mut retention = asked?;
    let weaker = exchange.find(|action| match action {
        Action::WeakenLock {
            to_governance,
            shorter_by_secs,
        } => Some((*to_governance, *shorter_by_secs)),
        _ => None,
    });
    if let Some((to_governance, shorter_by_secs)) = weaker {
        if to_governance {
            retention.mode = Mode::Governance;
        }
        let shorter_by = jiff::SignedDuration::from_secs(i64::from(shorter_by_secs));
        retention.until = retention
            .until
            .checked_sub(shorter_by)
            .unwrap_or(retention.until);
    }
    Some(retention)
}

/// Fills the checksum fields of a response or part.
macro_rules! tell_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {{
        let value = Some($value);
        match $algorithm {
            $crate::store::Algorithm::Crc32 => $output.checksum_crc32 = value,
            $crate::store::Algorithm::Crc32c => $output.checksum_crc32c = value,
            $crate::store::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
            $crate::store::Algorithm::Sha1 => $output.checksum_sha1 = value,
            $crate::store::Algorithm::Sha256 => $output.checksum_sha256 = value,
        }
    }};
}

/// Fills the lock fields of a HEAD or GET, unless the caller may not read them.
macro_rules! tell_lock {
    ($output:expr, $exchange:expr, $lock:expr) => {{
        let hidden = $exchange.is_struck_by(&$crate::faults::Action::HideLock);
        if let Some(retention) = $lock.retention
            && !hidden
            && $exchange.may("GetObjectRetention")
        {
            $output.object_lock_mode = Some(s3s::dto::ObjectLockMode::from_static(
                retention.mode.as_str(),
            ));
            $output.object_lock_retain_until_date =
                Some($crate::s3::values::to_dto(retention.until));
        }
        if let Some(on) = $lock.legal_hold
            && !hidden
            && $exchange.may("GetObjectLegalHold")
        {
            $output.object_lock_legal_hold_status = Some($crate::s3::values::legal_hold(on));
        }
    }};
}

pub(super) use {tell_checksum, tell_lock};
