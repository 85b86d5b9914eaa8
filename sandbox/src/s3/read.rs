//! HeadObject and GetObject.

use bytes::Bytes;
use http_body_util::channel::Channel;
use s3s::dto::{
    ChecksumMode, ChecksumType, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    StreamingBlob,
};
use s3s::{S3Error, S3Request, S3Result};

use super::precondition::Precondition;
use super::put::encryption;
use super::values::{self, tell_checksum, tell_lock};
use super::{Operations, exchange, refuse};
use crate::endpoint::Exchange;
use crate::faults::Action;
use crate::store::{Refusal, Version, Versioning};

/// Read and sent at a time.
const PIECE_BYTES: usize = 256 * 1024;

impl Operations {
    /// The version a read means, and whether its bucket ever kept versions.
    async fn find(
        &self,
        exchange: &Exchange,
        bucket: String,
        key: String,
        version_id: Option<String>,
    ) -> S3Result<(Version, bool)> {
        let store = &self.store;
        let versioned = store.settings(&bucket).map_err(refuse::error)?;
        match store.get(&bucket, &key, version_id.as_deref()) {
            Ok(version) => Ok((version, versioned.versioning != Versioning::Off)),
            // Whoever may not list may not learn what is missing either.
            Err(Refusal::NoSuchKey { .. }) if !exchange.may("ListBucket") => {
                Err(refuse::access_denied())
            }
            Err(refusal) => Err(refuse::error(refusal)),
        }
    }
}

pub(super) async fn head(
    operations: &Operations,
    request: S3Request<HeadObjectInput>,
) -> S3Result<HeadObjectOutput> {
    let exchange = exchange(&request);
    let input = request.input;
    if input.part_number.is_some() || input.range.is_some() {
        return Err(refuse::with(
            "NotImplemented",
            "HEAD of a range or part is not implemented",
        ));
    }
    let (version, versioned) = operations
        .find(&exchange, input.bucket, input.key, input.version_id)
        .await?;
    let precondition = Precondition {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    precondition.check(&version)?;
    let mut output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(version.size_bytes).ok(),
        content_type: content_type(&version),
        content_encoding: version.headers.content_encoding.clone(),
        e_tag: Some(values::etag(&version)),
        last_modified: Some(values::to_dto(version.last_modified)),
        metadata: Some(version.headers.metadata.clone().into_iter().collect()),
        server_side_encryption: Some(encryption(&version)),
        ssekms_key_id: version.headers.kms_key_id.clone(),
        version_id: values::version_id(&version, versioned),
        ..HeadObjectOutput::default()
    };
    tell_lock!(output, exchange, version.lock);
    if wants_checksum(&exchange, input.checksum_mode.as_ref())
        && let Some(checksum) = version.checksum
    {
        output.checksum_type = Some(ChecksumType::from_static(checksum.kind.as_str()));
        tell_checksum!(output, checksum.algorithm, checksum.value);
    }
    Ok(output)
}

pub(super) async fn get(
    operations: &Operations,
    request: S3Request<GetObjectInput>,
) -> S3Result<GetObjectOutput> {
    let exchange = exchange(&request);
    let input = request.input;
    if input.part_number.is_some() {
        return Err(refuse::with(
            "NotImplemented",
            "GET of a part is not implemented",
        ));
    }
    let (version, versioned) = operations
        .find(&exchange, input.bucket, input.key, input.version_id)
        .await?;
    let precondition = Precondition {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    precondition.check(&version)?;
    let range = match input.range {
        None => 0..version.size_bytes,
        Some(range) => range
            .check(version.size_bytes)
            .map_err(|_| refuse::with("InvalidRange", "The requested range is not satisfiable"))?,
    };
    let content_range = input.range.map(|_| {
        let last = range.end.saturating_sub(1);
        format!("bytes {}-{last}/{}", range.start, version.size_bytes)
    });
    let length = range.end - range.start;
    let mut output = GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        body: Some(stream(&version, range.start, length)?),
        content_length: i64::try_from(length).ok(),
        content_type: content_type(&version),
        content_encoding: version.headers.content_encoding.clone(),
        e_tag: Some(values::etag(&version)),
        last_modified: Some(values::to_dto(version.last_modified)),
        metadata: Some(version.headers.metadata.clone().into_iter().collect()),
        server_side_encryption: Some(encryption(&version)),
        ssekms_key_id: version.headers.kms_key_id.clone(),
        version_id: values::version_id(&version, versioned),
        ..GetObjectOutput::default()
    };
    tell_lock!(output, exchange, version.lock);
    // The checksum is of the whole object, so it goes with the whole object only.
    if content_range.is_none()
        && wants_checksum(&exchange, input.checksum_mode.as_ref())
        && let Some(checksum) = version.checksum
    {
        output.checksum_type = Some(ChecksumType::from_static(checksum.kind.as_str()));
        tell_checksum!(output, checksum.algorithm, checksum.value);
    }
    output.content_range = content_range;
    Ok(output)
}

fn content_type(version: &Version) -> Option<String> {
    let told = version.headers.content_type.clone();
    told.or_else(|| Some("binary/octet-stream".to_owned()))
}

fn wants_checksum(exchange: &Exchange, mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
        && !exchange.is_struck_by(&Action::HideChecksum)
}

/// Reads the bytes as they are sent, so that large objects need no memory.
fn stream(version: &Version, offset: u64, length: u64) -> S3Result<StreamingBlob> {
    let Some(body) = &version.body else {
        return Err(refuse::error(Refusal::NoSuchVersion));
    };
    let mut reader = body.open_at(offset).map_err(S3Error::internal_error)?;
    if length <= PIECE_BYTES as u64 {
        // At most PIECE_BYTES, so it fits.
        let piece = reader
            .piece(length as usize)
            .map_err(S3Error::internal_error)?;
        return Ok(StreamingBlob::from(s3s::Body::from(piece)));
    }
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(2);
    tokio::spawn(async move {
        let mut left = length;
        while left > 0 {
            let limit = usize::try_from(left)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES);
            let read = tokio::task::spawn_blocking(move || {
                let piece = reader.piece(limit);
                (reader, piece)
            });
            let piece;
            (reader, piece) = match read.await {
                Ok(read) => read,
                Err(failed) => return sender.abort(std::io::Error::other(failed)),
            };
            match piece {
                Ok(piece) if piece.is_empty() => return,
                Ok(piece) => {
                    left -= piece.len() as u64;
                    if sender.send_data(piece).await.is_err() {
                        return;
                    }
                }
                Err(error) => return sender.abort(error),
            }
        }
    });
    Ok(StreamingBlob::from(s3s::Body::http_body_unsync(channel)))
}
