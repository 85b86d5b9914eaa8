//! Refusals as S3 errors.

use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode};

use crate::store::Refusal;

/// An error of this code and message.
pub(super) fn with(code: &str, message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    S3Error::with_message(code, message)
}

/// An error with a status that need not be the code's own.
pub(super) fn scripted(status: u16, code: &str, message: &str) -> S3Error {
    let message = if message.is_empty() { code } else { message };
    let mut error = with(code, message.to_owned());
    error.set_status_code(
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR),
    );
    error
}

pub(super) fn access_denied() -> S3Error {
    with("AccessDenied", "Access Denied")
}

pub(super) fn error(refusal: Refusal) -> S3Error {
    let mut error = with(refusal.code(), refusal.to_string());
    let marker = match &refusal {
        Refusal::NoSuchKey {
            delete_marker: Some(id),
        } => Some((id, false)),
        Refusal::IsDeleteMarker { version_id } => Some((version_id, true)),
        _ => None,
    };
    if let Some((version_id, only_delete)) = marker {
        error.set_headers(marker_headers(version_id, only_delete));
    }
    if let Refusal::Disk(source) = refusal {
        error.set_source(Box::new(source));
    }
    error
}

/// S3 tells that a delete marker is why (Amazon S3 User Guide, "Working with delete markers").
fn marker_headers(version_id: &str, only_delete: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    let marker = HeaderName::from_static("x-amz-delete-marker");
    headers.insert(marker, HeaderValue::from_static("true"));
    if let Ok(value) = HeaderValue::from_str(version_id) {
        headers.insert(HeaderName::from_static("x-amz-version-id"), value);
    }
    if only_delete {
        headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
    }
    headers
}
