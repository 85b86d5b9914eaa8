//! Retention and legal hold of a version.

use s3s::dto::{
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectRetentionInput,
    GetObjectRetentionOutput, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention,
    ObjectLockRetentionMode, PutObjectLegalHoldInput, PutObjectLegalHoldOutput,
    PutObjectRetentionInput, PutObjectRetentionOutput,
};
use s3s::{S3Error, S3Request, S3Result};

use super::claim::check_xml;
use super::{Operations, access, exchange, refuse, values};
use crate::store::{Lock, Mode, Refusal, Retention, require_object_lock};

pub(super) fn malformed() -> S3Error {
    refuse::with(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

impl Operations {
    fn lock_of(&self, bucket: &str, key: &str, version_id: Option<&str>) -> Result<Lock, Refusal> {
        require_object_lock(&self.store.settings(bucket)?)?;
        Ok(self.store.get(bucket, key, version_id)?.lock)
    }
}

pub(super) async fn get_retention(
    operations: &Operations,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<GetObjectRetentionOutput> {
    let input = request.input;
    let lock = operations.lock_of(&input.bucket, &input.key, input.version_id.as_deref());
    let retention = lock.and_then(|lock| lock.retention.ok_or(Refusal::NoSuchObjectLock));
    let retention = retention.map_err(refuse::error)?;
    Ok(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention {
            mode: Some(ObjectLockRetentionMode::from_static(
                retention.mode.as_str(),
            )),
            retain_until_date: Some(values::to_dto(retention.until)),
        }),
    })
}

pub(super) async fn put_retention(
    operations: &Operations,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<PutObjectRetentionOutput> {
    let exchange = exchange(&request);
    check_xml(&exchange, &request.headers)?;
    let input = request.input;
    let settings = operations
        .store
        .settings(&input.bucket)
        .map_err(refuse::error)?;
    require_object_lock(&settings).map_err(refuse::error)?;
    let wanted = input.retention.ok_or_else(malformed)?;
    let wanted = match (wanted.mode, wanted.retain_until_date) {
        // An empty element removes the retention, where that is allowed.
        (None, None) => None,
        (Some(mode), Some(until)) => {
            let mode = Mode::parse(mode.as_str()).ok_or_else(malformed)?;
            let until = values::from_dto(&until)?;
            if until <= operations.clock.now() {
                return Err(refuse::with(
                    "InvalidArgument",
                    "The retain until date must be in the future!",
                ));
            }
            Some(Retention { mode, until })
        }
        _ => return Err(malformed()),
    };
    let bypass = access::bypass(&exchange, input.bypass_governance_retention)?;
    operations
        .blocking(move |store| {
            let version_id = input.version_id.as_deref();
            store.set_retention(&input.bucket, &input.key, version_id, wanted, bypass)
        })
        .await?;
    Ok(PutObjectRetentionOutput::default())
}

pub(super) async fn get_legal_hold(
    operations: &Operations,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<GetObjectLegalHoldOutput> {
    let input = request.input;
    let lock = operations.lock_of(&input.bucket, &input.key, input.version_id.as_deref());
    let hold = lock.and_then(|lock| lock.legal_hold.ok_or(Refusal::NoSuchObjectLock));
    let hold = hold.map_err(refuse::error)?;
    let legal_hold = ObjectLockLegalHold {
        status: Some(values::legal_hold(hold)),
    };
    Ok(GetObjectLegalHoldOutput {
        legal_hold: Some(legal_hold),
    })
}

pub(super) async fn put_legal_hold(
    operations: &Operations,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<PutObjectLegalHoldOutput> {
    check_xml(&exchange(&request), &request.headers)?;
    let input = request.input;
    let status = input.legal_hold.and_then(|hold| hold.status);
    let on = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
        Some("ON") => true,
        Some("OFF") => false,
        _ => return Err(malformed()),
    };
    operations
        .blocking(move |store| {
            store.set_legal_hold(&input.bucket, &input.key, input.version_id.as_deref(), on)
        })
        .await?;
    Ok(PutObjectLegalHoldOutput::default())
}
