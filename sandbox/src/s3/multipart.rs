//! Multipart uploads.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Part, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result};

use super::claim::{Claim, read_body};
use super::list::Encode;
use super::lock::malformed;
use super::put::{condition, corrupt, encryption, kms_key, require_lock_permissions};
use super::values::{self, tell_checksum};
use super::{Operations, exchange, refuse};
use crate::faults::Action;
use crate::store::{
    Algorithm, CompletedPart, Completion, Headers, Kind, Lock, LockRequest, Versioning,
};

/// Amazon S3 multipart upload limits.
const MAX_PARTS: i32 = 10_000;
const MAX_PAGE: i32 = 1000;

pub(super) async fn create(
    operations: &Operations,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let exchange = exchange(&request);
    let input = request.input;
    operations
        .store
        .settings(&input.bucket)
        .map_err(refuse::error)?;
    let lock = values::lock_request(
        &exchange,
        operations.clock.now(),
        input.object_lock_mode.as_ref(),
        input.object_lock_retain_until_date.as_ref(),
        input.object_lock_legal_hold_status.as_ref(),
    )?;
    require_lock_permissions(
        &exchange,
        input.object_lock_mode.is_some(),
        input.object_lock_legal_hold_status.is_some(),
    )?;
    let agreed = agree(
        input.checksum_algorithm.as_ref(),
        input.checksum_type.as_ref(),
    )?;
    let headers = Headers {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        kms_key_id: kms_key(input.server_side_encryption.as_ref(), input.ssekms_key_id)?,
    };
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let upload = operations
        .blocking(move |store| store.create_upload(&bucket, &key, agreed, headers, lock))
        .await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload.upload_id),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: upload
            .algorithm
            .map(|_| ChecksumType::from_static(upload.kind.as_str())),
        ..CreateMultipartUploadOutput::default()
    })
}

/// The checksum an upload is to have. SHAs are composite, CRC-64 is of the whole, the other CRCs
/// may be either (Amazon S3 User Guide, "Checking object integrity").
fn agree(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<(Option<Algorithm>, Kind)> {
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok((None, Kind::FullObject)),
            Some(_) => Err(refuse::with(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm \
                 header.",
            )),
        };
    };
    let algorithm = Algorithm::parse(algorithm.as_str()).ok_or_else(|| {
        refuse::with(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported.",
        )
    })?;
    let kind = match kind.map(ChecksumType::as_str) {
        None if algorithm == Algorithm::Crc64Nvme => Kind::FullObject,
        None | Some(ChecksumType::COMPOSITE) => Kind::Composite,
        Some(ChecksumType::FULL_OBJECT) => Kind::FullObject,
        Some(_) => {
            return Err(refuse::with(
                "InvalidRequest",
                "Value for x-amz-checksum-type header is invalid.",
            ));
        }
    };
    let possible = match algorithm {
        Algorithm::Crc32 | Algorithm::Crc32c => true,
        Algorithm::Crc64Nvme => kind == Kind::FullObject,
        Algorithm::Sha1 | Algorithm::Sha256 => kind == Kind::Composite,
    };
    if !possible {
        return Err(refuse::with(
            "InvalidRequest",
            format!(
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                kind.as_str(),
                algorithm.as_str().to_lowercase()
            ),
        ));
    }
    Ok((Some(algorithm), kind))
}

pub(super) async fn upload_part(
    operations: &Operations,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let exchange = exchange(&request);
    let store = &operations.store;
    let settings = store
        .settings(&request.input.bucket)
        .map_err(refuse::error)?;
    let number = part_number(request.input.part_number)?;
    let upload = store
        .upload(
            &request.input.bucket,
            &request.input.key,
            &request.input.upload_id,
        )
        .map_err(refuse::error)?;
    let mut claim = Claim::read(&request.headers)?;
    let locks = matches!(upload.lock, LockRequest::Asked(lock) if lock != Lock::default());
    if (locks || settings.default_rule.is_some()) && !claim.is_some() {
        return Err(refuse::with(
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with \
             Object Lock parameters",
        ));
    }
    let body = request.input.body.take();
    let bytes = read_body(&request, body, &mut claim).await?;
    let input = request.input;

    // Where nothing was agreed, S3 computes CRC64NVME over the whole, and takes no other.
    let algorithm = upload.algorithm.unwrap_or(Algorithm::Crc64Nvme);
    let claimed = claim.checksum().map(|(algorithm, _)| *algorithm);
    let is_missing = upload.kind == Kind::Composite && claimed.is_none();
    if is_missing || claimed.is_some_and(|claimed| claimed != algorithm) {
        let name = |algorithm: Option<Algorithm>| {
            algorithm.map_or("null".to_owned(), |algorithm| {
                algorithm.as_str().to_lowercase()
            })
        };
        return Err(refuse::with(
            "InvalidRequest",
            format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                 Type: {}",
                name(upload.algorithm),
                name(claimed)
            ),
        ));
    }
    let (part, checksum) = operations
        .checked(move |store| {
            let checksum = claim.check(&bytes, algorithm)?;
            let part = store
                .put_part(
                    &input.bucket,
                    &input.upload_id,
                    number,
                    bytes,
                    &checksum.value,
                )
                .map_err(refuse::error)?;
            Ok((part, checksum))
        })
        .await?;
    let mut output = UploadPartOutput {
        e_tag: Some(s3s::dto::ETag::Strong(part.etag)),
        ..UploadPartOutput::default()
    };
    if !exchange.is_struck_by(&Action::HideChecksum) {
        tell_checksum!(output, checksum.algorithm, checksum.value);
    }
    Ok(output)
}

fn part_number(number: i32) -> S3Result<u16> {
    match u16::try_from(number) {
        Ok(valid) if (1..=MAX_PARTS).contains(&number) => Ok(valid),
        _ => Err(refuse::with(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
        )),
    }
}

pub(super) async fn complete(
    operations: &Operations,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<CompleteMultipartUploadOutput> {
    let exchange = exchange(&request);
    let claim = Claim::read(&request.headers)?;
    let input = request.input;
    let settings = operations
        .store
        .settings(&input.bucket)
        .map_err(refuse::error)?;
    let condition = condition(
        &exchange,
        input.if_none_match.as_ref(),
        input.if_match.as_ref(),
    )?;
    let named = input
        .multipart_upload
        .and_then(|upload| upload.parts)
        .unwrap_or_default();
    if named.is_empty() {
        return Err(malformed());
    }
    let parts = named.into_iter().map(|part| {
        let checksum = part
            .checksum_sha256
            .or(part.checksum_crc64nvme)
            .or(part.checksum_crc32)
            .or(part.checksum_crc32c)
            .or(part.checksum_sha1);
        Ok(CompletedPart {
            number: part_number(part.part_number.ok_or_else(malformed)?)?,
            etag: part.e_tag.ok_or_else(malformed)?.into_value(),
            checksum,
        })
    });
    let completion = Completion {
        parts: parts.collect::<S3Result<_>>()?,
        size_bytes: input
            .mpu_object_size
            .and_then(|size| u64::try_from(size).ok()),
        checksum: claim.checksum().cloned(),
    };
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let lose_lock = exchange.is_struck_by(&Action::LoseLock);
    let corrupts = exchange.is_struck_by(&Action::CorruptBytes);
    let version = operations
        .blocking(move |store| {
            let id = &input.upload_id;
            let version =
                store.complete_upload(&bucket, &key, id, &completion, &condition, lose_lock)?;
            if corrupts {
                corrupt(store, &bucket, &version)?;
            }
            Ok(version)
        })
        .await?;
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(values::etag(&version)),
        version_id: values::version_id(&version, settings.versioning != Versioning::Off),
        server_side_encryption: Some(encryption(&version)),
        ..CompleteMultipartUploadOutput::default()
    };
    if let Some(checksum) = version.checksum
        && !exchange.is_struck_by(&Action::HideChecksum)
    {
        output.checksum_type = Some(ChecksumType::from_static(checksum.kind.as_str()));
        tell_checksum!(output, checksum.algorithm, checksum.value);
    }
    Ok(output)
}

pub(super) async fn abort(
    operations: &Operations,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let input = request.input;
    operations
        .blocking(move |store| store.abort_upload(&input.bucket, &input.key, &input.upload_id))
        .await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn list_parts(
    operations: &Operations,
    request: S3Request<ListPartsInput>,
) -> S3Result<ListPartsOutput> {
    let input = request.input;
    let upload = operations
        .store
        .upload(&input.bucket, &input.key, &input.upload_id);
    let upload = upload.map_err(refuse::error)?;
    let max_parts = input.max_parts.unwrap_or(MAX_PAGE).clamp(0, MAX_PAGE);
    let after = input.part_number_marker.unwrap_or(0);
    let mut left = upload
        .parts
        .values()
        .filter(|part| i32::from(part.number) > after);
    let mut parts = Vec::new();
    for part in left.by_ref().take(max_parts as usize) {
        let mut told = Part {
            e_tag: Some(s3s::dto::ETag::Strong(part.etag.clone())),
            last_modified: Some(values::to_dto(part.last_modified)),
            part_number: Some(i32::from(part.number)),
            size: i64::try_from(part.size_bytes).ok(),
            ..Part::default()
        };
        if let Some(algorithm) = upload.algorithm {
            tell_checksum!(told, algorithm, part.checksum.clone());
        }
        parts.push(told);
    }
    let is_truncated = left.next().is_some();
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        checksum_algorithm: upload
            .algorithm
            .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.as_str())),
        checksum_type: upload
            .algorithm
            .map(|_| ChecksumType::from_static(upload.kind.as_str())),
        is_truncated: Some(is_truncated),
        max_parts: Some(max_parts),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        part_number_marker: input.part_number_marker,
        parts: Some(parts),
        ..ListPartsOutput::default()
    })
}

pub(super) async fn list_uploads(
    operations: &Operations,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = request.input;
    operations
        .store
        .settings(&input.bucket)
        .map_err(refuse::error)?;
    if input.delimiter.is_some() {
        return Err(refuse::with(
            "NotImplemented",
            "A delimiter is not implemented here",
        ));
    }
    let encode = Encode::new(input.encoding_type.as_ref())?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let id_marker = input.upload_id_marker.clone().unwrap_or_default();
    let max_uploads = input.max_uploads.unwrap_or(MAX_PAGE).clamp(0, MAX_PAGE);
    let mut uploads = operations.store.uploads(&input.bucket);
    uploads.retain(|upload| upload.key.starts_with(&prefix));
    // With an upload id the marker means that upload; without, all uploads of that key.
    let at_marker = uploads
        .iter()
        .position(|u| u.key == key_marker && u.upload_id == id_marker);
    match at_marker {
        Some(index) => drop(uploads.drain(..=index)),
        None => uploads.retain(|upload| upload.key > key_marker),
    }
    let is_truncated = uploads.len() > max_uploads as usize;
    uploads.truncate(max_uploads as usize);
    let last = uploads.last().filter(|_| is_truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        encoding_type: input.encoding_type,
        is_truncated: Some(is_truncated),
        key_marker: input.key_marker.as_deref().map(|text| encode.text(text)),
        max_uploads: Some(max_uploads),
        next_key_marker: last.map(|upload| encode.text(&upload.key)),
        next_upload_id_marker: last.map(|upload| upload.upload_id.clone()),
        prefix: input.prefix.as_deref().map(|text| encode.text(text)),
        upload_id_marker: input.upload_id_marker,
        uploads: Some(
            uploads
                .iter()
                .map(|upload| MultipartUpload {
                    checksum_algorithm: upload
                        .algorithm
                        .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.as_str())),
                    initiated: Some(values::to_dto(upload.initiated_at)),
                    key: Some(encode.text(&upload.key)),
                    upload_id: Some(upload.upload_id.clone()),
                    ..MultipartUpload::default()
                })
                .collect(),
        ),
        ..ListMultipartUploadsOutput::default()
    })
}
