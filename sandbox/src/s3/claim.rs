//! What a request claims about its body, and whether that is so.
//!
//! Amazon S3 API, PutObject: at most one `x-amz-checksum-…` and a `Content-MD5`; each is checked,
//! and a wrong one is `BadDigest`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Request, S3Result};

use super::refuse;
use crate::endpoint::Exchange;
use crate::store::{Algorithm, Checksum, Kind, checksum_of, md5_of};

/// The claims of a request.
#[derive(Debug, Default, Clone)]
pub(super) struct Claim {
    /// Raw MD5.
    md5: Option<[u8; 16]>,
    /// Base64 by one algorithm.
    checksum: Option<(Algorithm, String)>,
    /// By the trailer, the checksum comes after the body.
    in_trailer: Option<Algorithm>,
}

impl Claim {
    /// Reads the claims from the headers.
    pub(super) fn read(headers: &HeaderMap) -> S3Result<Self> {
        let mut claim = Self {
            md5: read_md5(headers)?,
            ..Self::default()
        };
        for algorithm in Algorithm::ALL {
            if let Some(value) = text(headers, algorithm.header())? {
                claim.set(algorithm, value)?;
            }
            if text(headers, "x-amz-trailer")?.is_some_and(|t| t.trim() == algorithm.header()) {
                claim.in_trailer = Some(algorithm);
            }
        }
        let named = text(headers, "x-amz-sdk-checksum-algorithm")?.is_some();
        if named && claim.checksum.is_none() && claim.in_trailer.is_none() && claim.md5.is_none() {
            return Err(refuse::with(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
                 x-amz-trailer headers were found.",
            ));
        }
        Ok(claim)
    }

    fn set(&mut self, algorithm: Algorithm, value: String) -> S3Result<()> {
        if self.checksum.is_some() {
            return Err(refuse::with(
                "InvalidRequest",
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                 allowed.",
            ));
        }
        // A composite value, as CompleteMultipartUpload may carry, has its part count appended.
        let bare = value
            .split_once('-')
            .map_or(value.as_str(), |(bare, _)| bare);
        if STANDARD.decode(bare).map(|raw| raw.len()).ok() != Some(algorithm.size_bytes()) {
            return Err(refuse::with(
                "InvalidRequest",
                format!("Value for {} header is invalid.", algorithm.header()),
            ));
        }
        self.checksum = Some((algorithm, value));
        Ok(())
    }

    /// Whether anything is claimed about the bytes.
    pub(super) const fn is_some(&self) -> bool {
        self.md5.is_some() || self.checksum.is_some() || self.in_trailer.is_some()
    }

    /// The claimed checksum.
    pub(super) const fn checksum(&self) -> Option<&(Algorithm, String)> {
        self.checksum.as_ref()
    }

    /// Checks the claims and returns the checksum by the claimed algorithm, or by `otherwise`.
    pub(super) fn check(&self, bytes: &[u8], otherwise: Algorithm) -> S3Result<Checksum> {
        if self.md5.is_some_and(|claimed| claimed != md5_of(bytes)) {
            return Err(refuse::with(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
            ));
        }
        let algorithm = self
            .checksum
            .as_ref()
            .map_or(otherwise, |(algorithm, _)| *algorithm);
        let value = checksum_of(algorithm, bytes);
        if self
            .checksum
            .as_ref()
            .is_some_and(|(_, claimed)| *claimed != value)
        {
            return Err(refuse::with(
                "BadDigest",
                format!(
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.as_str()
                ),
            ));
        }
        Ok(Checksum {
            algorithm,
            value,
            kind: Kind::FullObject,
        })
    }
}

fn read_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = text(headers, "content-md5")? else {
        return Ok(None);
    };
    let raw = STANDARD
        .decode(value)
        .ok()
        .and_then(|raw| <[u8; 16]>::try_from(raw).ok());
    match raw {
        Some(raw) => Ok(Some(raw)),
        None => Err(refuse::with(
            "InvalidDigest",
            "The Content-MD5 you specified was invalid.",
        )),
    }
}

fn text(headers: &HeaderMap, name: &str) -> S3Result<Option<String>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(value) => Ok(Some(value.to_owned())),
        Err(_) => Err(refuse::with(
            "InvalidRequest",
            format!("Value for {name} is invalid."),
        )),
    }
}

/// Reads a body to its end, and the checksum in its trailer into the claim.
pub(super) async fn read_body<T>(
    request: &S3Request<T>,
    body: Option<StreamingBlob>,
    claim: &mut Claim,
) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    let bytes = match s3s::Body::from(body).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return Err(broken_body(&error.to_string())),
    };
    if let (Some(algorithm), Some(trailers)) = (claim.in_trailer, &request.trailing_headers)
        && let Some(trailers) = trailers.take()
        && let Some(value) = text(&trailers, algorithm.header())?
    {
        claim.set(algorithm, value)?;
    }
    if claim.in_trailer.is_some() && claim.checksum.is_none() {
        return Err(refuse::with(
            "MalformedTrailerError",
            "The trailer has no checksum.",
        ));
    }
    Ok(bytes)
}

/// s3s checks `x-amz-content-sha256` while the body is read; its error type is private, so its
/// text tells which failure it was.
fn broken_body(text: &str) -> S3Error {
    if text.contains("Sha256Mismatch") {
        let mut error = refuse::with(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        );
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    }
    if text.contains("SignatureMismatch") {
        return refuse::with(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        );
    }
    refuse::with(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}

/// Checks an XML request: S3 wants a digest on those that change locks or delete in bulk.
pub(super) fn check_xml(exchange: &Exchange, headers: &HeaderMap) -> S3Result<()> {
    let claim = Claim::read(headers)?;
    if !claim.is_some() {
        return Err(refuse::with(
            "InvalidRequest",
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        ));
    }
    // In aws-chunked encoding the wire carries more than the body; s3s checked its chunks.
    if headers.contains_key("x-amz-decoded-content-length") {
        return Ok(());
    }
    match exchange.small_body() {
        Some(body) => claim.check(&body, Algorithm::Crc64Nvme).map(drop),
        None => Err(refuse::with(
            "MaxMessageLengthExceeded",
            "Your request was too big.",
        )),
    }
}
