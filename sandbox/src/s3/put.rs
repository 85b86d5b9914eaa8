//! PutObject, and what it shares with multipart uploads.

use s3s::dto::{
    ChecksumType, ETagCondition, PutObjectInput, PutObjectOutput, ServerSideEncryption,
};
use s3s::{S3Request, S3Result};

use super::claim::{Claim, read_body};
use super::values::{self, tell_checksum};
use super::{Operations, access, exchange, refuse};
use crate::endpoint::Exchange;
use crate::faults::Action;
use crate::store::{
    Algorithm, Condition, Headers, NewObject, Refusal, Store, Version, Versioning, hex, md5_of,
};

/// The largest object in one request (Amazon S3 User Guide, "Uploading objects").
const MAX_PUT_BYTES: i64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn put(
    operations: &Operations,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let exchange = exchange(&request);
    let settings = operations
        .store
        .settings(&request.input.bucket)
        .map_err(refuse::error)?;
    if request
        .input
        .content_length
        .is_some_and(|length| length > MAX_PUT_BYTES)
    {
        return Err(refuse::with(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed object size.",
        ));
    }
    let lock = values::lock_request(
        &exchange,
        operations.clock.now(),
        request.input.object_lock_mode.as_ref(),
        request.input.object_lock_retain_until_date.as_ref(),
        request.input.object_lock_legal_hold_status.as_ref(),
    )?;
    let asks_retention = request.input.object_lock_mode.is_some();
    let asks_hold = request.input.object_lock_legal_hold_status.is_some();
    require_lock_permissions(&exchange, asks_retention, asks_hold)?;
    let mut claim = Claim::read(&request.headers)?;
    if (asks_retention || asks_hold || settings.default_rule.is_some()) && !claim.is_some() {
        return Err(refuse::with(
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with \
             Object Lock parameters",
        ));
    }
    let condition = condition(
        &exchange,
        request.input.if_none_match.as_ref(),
        request.input.if_match.as_ref(),
    )?;

    let body = request.input.body.take();
    let bytes = read_body(&request, body, &mut claim).await?;
    let input = request.input;
    let headers = Headers {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        kms_key_id: kms_key(input.server_side_encryption.as_ref(), input.ssekms_key_id)?,
    };
    let (bucket, key) = (input.bucket, input.key);
    let corrupts = exchange.is_struck_by(&Action::CorruptBytes);
    let version = operations
        .checked(move |store| {
            let checksum = claim.check(&bytes, Algorithm::Crc64Nvme)?;
            // Under SSE-KMS the ETag is not the MD5 of the bytes.
            let etag = match headers.kms_key_id {
                None => hex(&md5_of(&bytes)),
                Some(_) => hex(&std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..))),
            };
            let object = NewObject {
                key,
                bytes,
                etag,
                checksum,
                headers,
                lock,
            };
            let version = store
                .put(&bucket, object, &condition)
                .map_err(refuse::error)?;
            if corrupts {
                corrupt(store, &bucket, &version).map_err(refuse::error)?;
            }
            Ok(version)
        })
        .await?;

    let mut output = PutObjectOutput {
        e_tag: Some(values::etag(&version)),
        version_id: values::version_id(&version, settings.versioning != Versioning::Off),
        server_side_encryption: Some(encryption(&version)),
        ssekms_key_id: version.headers.kms_key_id.clone(),
        ..PutObjectOutput::default()
    };
    if let Some(checksum) = version.checksum
        && !exchange.is_struck_by(&Action::HideChecksum)
    {
        output.checksum_type = Some(ChecksumType::from_static(checksum.kind.as_str()));
        tell_checksum!(output, checksum.algorithm, checksum.value);
    }
    Ok(output)
}

/// Lock headers need permissions of their own.
pub(super) fn require_lock_permissions(
    exchange: &Exchange,
    retention: bool,
    hold: bool,
) -> S3Result<()> {
    if retention {
        access::require(exchange, "PutObjectRetention")?;
    }
    if hold {
        access::require(exchange, "PutObjectLegalHold")?;
    }
    Ok(())
}

/// The condition of a write. S3 takes `If-None-Match` with `*` only, `If-Match` with an ETag only.
pub(super) fn condition(
    exchange: &Exchange,
    if_none_match: Option<&ETagCondition>,
    if_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_none_match, if_match) {
        (None, None) => Ok(Condition::Always),
        (Some(ETagCondition::Any), None) => {
            let ignored = exchange.is_struck_by(&Action::IgnoreIfNoneMatch);
            Ok(if ignored {
                Condition::Always
            } else {
                Condition::Absent
            })
        }
        (None, Some(ETagCondition::ETag(etag))) => Ok(Condition::Matches(etag.value().to_owned())),
        _ => Err(refuse::with(
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        )),
    }
}

/// The KMS key of an object; `None` for S3's own encryption.
pub(super) fn kms_key(
    encryption: Option<&ServerSideEncryption>,
    key_id: Option<String>,
) -> S3Result<Option<String>> {
    match encryption.map(ServerSideEncryption::as_str) {
        None | Some("AES256") => Ok(None),
        Some("aws:kms") => Ok(Some(key_id.unwrap_or_else(|| "alias/aws/s3".to_owned()))),
        Some(_) => Err(refuse::with(
            "InvalidEncryptionAlgorithmError",
            "The encryption request you specified is not valid.",
        )),
    }
}

/// S3 encrypts everything since 2023, and says so.
pub(super) fn encryption(version: &Version) -> ServerSideEncryption {
    ServerSideEncryption::from_static(match version.headers.kms_key_id {
        None => ServerSideEncryption::AES256,
        Some(_) => ServerSideEncryption::AWS_KMS,
    })
}

/// Damages the stored bytes: the first one flips, and an empty object gains one.
pub(super) fn corrupt(store: &Store, bucket: &str, version: &Version) -> Result<(), Refusal> {
    let mut bytes = store
        .bytes(bucket, &version.key, &version.version_id)?
        .to_vec();
    match bytes.first_mut() {
        Some(first) => *first ^= 1,
        None => bytes.push(1),
    }
    store.tamper_bytes(bucket, &version.key, &version.version_id, bytes.into())
}
