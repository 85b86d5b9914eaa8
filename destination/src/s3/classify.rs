//! From the SDK's errors to what to do about them (the table of the upload protocol).

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::clock::http_date;
use super::credentials::tried;
use crate::{Class, Failure};

/// Which call failed, and whether it may have changed something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    changes: bool,
}

impl Call {
    /// Changes nothing, or nothing that sending it again would not put right.
    pub(super) const fn reading(operation: &'static str) -> Self {
        Self {
            operation,
            changes: false,
        }
    }

    pub(super) const fn changing(operation: &'static str) -> Self {
        Self {
            operation,
            changes: true,
        }
    }

    /// No answer, or none that says what happened.
    const fn without_answer(self) -> Class {
        if self.changes {
            Class::OutcomeUnknown
        } else {
            Class::Transient
        }
    }
}

/// No message of a store is longer in our logs.
const MESSAGE_CHARS: usize = 300;

pub(super) fn classify<E>(call: Call, error: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let operation = call.operation;
    match error {
        SdkError::ServiceError(answer) => {
            let raw = answer.raw();
            let status = raw.status().as_u16();
            let server_date = raw.headers().get("date").and_then(http_date);
            let code = answer.err().code();
            let message = answer
                .err()
                .message()
                .unwrap_or("the store gave no message");
            Failure {
                class: of_answer(call, code, status, message),
                operation,
                message: message
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MESSAGE_CHARS)
                    .collect(),
                code: code.unwrap_or_else(|| code_of(status)).to_owned(),
                status: Some(status),
                server_date,
                source: None,
            }
        }
        other => of_silence(call, other),
    }
}

fn of_silence<E>(call: Call, error: SdkError<E, HttpResponse>) -> Failure
where
    E: StdError + Send + Sync + 'static,
{
    let chain = chain_of(&error).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| chain.contains(word));
    // Before a connection exists nothing can have taken effect.
    let never_sent = says(&[
        "(connect)",
        "dns error",
        "connection refused",
        "failed to lookup",
    ]);
    let no_answer = if never_sent {
        Class::Transient
    } else {
        call.without_answer()
    };
    let (class, code) = match &error {
        SdkError::TimeoutError(_) => (call.without_answer(), "Timeout"),
        SdkError::ConstructionFailure(_) => (Class::BlockItem, "NotARequest"),
        SdkError::ResponseError(_) => (call.without_answer(), "BadResponse"),
        // "identity resolver timed out": a `credential_process` that does not end, for example.
        _ if says(&["credential", "profile", "identity resolver"]) => {
            (Class::Park, "NoCredentials")
        }
        _ if says(&["dns error", "failed to lookup"]) => (Class::Transient, "Dns"),
        _ if says(&["certificate", "tls", "handshake"]) => (no_answer, "Tls"),
        _ if says(&["connection refused"]) => (Class::Transient, "ConnectionRefused"),
        _ if says(&["timed out", "timeout"]) => (no_answer, "Timeout"),
        _ => (no_answer, "ConnectionLost"),
    };
    let message = match code {
        "NoCredentials" => "no source gave credentials in time",
        "Timeout" => "no answer in time",
        "NotARequest" => "the request could not be built",
        "BadResponse" => "the answer could not be read",
        "Dns" => "the store's name is not known",
        "Tls" if says(&["unknownissuer", "badsignature"]) => {
            "the store's certificate comes from nobody who is trusted here; if it is of your own \
             authority, set ca_file"
        }
        "Tls" => "no secure connection",
        "ConnectionRefused" => "nothing listens there",
        _ => "the connection failed or was cut",
    };
    Failure {
        class,
        operation: call.operation,
        code: code.to_owned(),
        status: None,
        message: tried(&error).unwrap_or_else(|| message.to_owned()),
        server_date: None,
        source: Some(Box::new(error)),
    }
}

/// Names an answer without a code: HEAD has no body, and a proxy is no store.
const fn code_of(status: u16) -> &'static str {
    match status {
        300..=399 => "Redirect",
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "AccessDenied",
        404 => "NotFound",
        407 => "ProxyAuthenticationRequired",
        408 => "RequestTimeout",
        409 => "Conflict",
        412 => "PreconditionFailed",
        413 => "EntityTooLarge",
        429 => "TooManyRequests",
        500 => "InternalError",
        502 => "BadGateway",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        _ => "NoCode",
    }
}

/// Codes: Amazon S3 API Reference, "Error responses"; MinIO's where they differ.
fn of_answer(call: Call, code: Option<&str>, status: u16, message: &str) -> Class {
    let Some(code) = code else {
        return of_status(call, status);
    };
    match code {
        "PreconditionFailed" => Class::Occupied,
        "ConditionalRequestConflict" | "OperationAborted" => Class::ConflictRetry,
        "SlowDown"
        | "TooManyRequests"
        | "ServiceUnavailable"
        | "Busy"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "Throttling"
        | "ThrottlingException"
        | "XMinioServerNotInitialized" => Class::Transient,
        // The body came short on the way, so nothing was stored.
        "IncompleteBody" => Class::Transient,
        // The object went between two questions; the next attempt looks and finds out.
        "NoSuchKey" | "NoSuchVersion" | "NoSuchUpload" => Class::Transient,
        // The store does not have a part as we know it: the upload is begun anew.
        "InvalidPart" | "InvalidPartOrder" => Class::ConflictRetry,
        "RequestTimeTooSkewed" | "RequestExpired" => Class::Clock,
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "NoSuchBucket"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "NotSignedUp"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "InvalidBucketName"
        | "MethodNotAllowed"
        | "NotImplemented" => Class::Park,
        _ if code.starts_with("KMS.") || code.starts_with("Kms") => Class::Park,
        // The same codes for the request, its date, and the bucket: only the words tell them
        // apart. S3 says InvalidArgument for a date in the past, MinIO InvalidRequest.
        "InvalidArgument" | "InvalidRequest" => of_words(message),
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "EntityTooLarge"
        | "EntityTooSmall"
        | "KeyTooLongError"
        | "MissingContentLength" => Class::BlockItem,
        _ => match status {
            409 | 412 | 429 | 500.. => of_status(call, status),
            300..=399 | 401 | 403 | 404 => Class::Park,
            _ => Class::BlockItem,
        },
    }
}

fn of_words(message: &str) -> Class {
    let words = message.to_lowercase();
    if words.contains("retain until date must be in the future") {
        // Judged by the store's clock, the lock would already be over.
        Class::Clock
    } else if words.contains("missing object lock configuration")
        || words.contains("missing objectlockconfiguration")
    {
        // True of every object for this bucket: isolating them one by one would block them all.
        Class::Park
    } else {
        Class::BlockItem
    }
}

/// An answer without a code says nothing about the object: it is a HEAD, whose refusals for an
/// expired token (400), a denial (403) and a wrong region (301) have no body, or somebody who is
/// not the store, such as a proxy or a guest network's page. Blocking items for that would block
/// them all.
fn of_status(call: Call, status: u16) -> Class {
    match status {
        408 | 429 | 503 => Class::Transient,
        409 => Class::ConflictRetry,
        412 => Class::Occupied,
        413 => Class::BlockItem,
        // 500, 502 and 504 do not say whether the object was stored.
        500.. => call.without_answer(),
        _ => Class::Park,
    }
}

fn chain_of(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        text.push_str(&error.to_string());
        text.push('\n');
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_error_table_has_its_class() {
        let put = Call::changing("PutObject");
        let table = [
            ("InternalError", 500, Class::OutcomeUnknown),
            ("BadGateway", 502, Class::OutcomeUnknown),
            ("ServiceUnavailable", 503, Class::Transient),
            ("SlowDown", 503, Class::Transient),
            ("TooManyRequests", 429, Class::Transient),
            ("RequestTimeout", 400, Class::Transient),
            ("ConditionalRequestConflict", 409, Class::ConflictRetry),
            ("OperationAborted", 409, Class::ConflictRetry),
            ("SomeConflict", 409, Class::ConflictRetry),
            ("PreconditionFailed", 412, Class::Occupied),
            ("AccessDenied", 403, Class::Park),
            ("InvalidAccessKeyId", 403, Class::Park),
            ("SignatureDoesNotMatch", 403, Class::Park),
            ("ExpiredToken", 400, Class::Park),
            ("InvalidToken", 400, Class::Park),
            ("NoSuchBucket", 404, Class::Park),
            ("AccountProblem", 403, Class::Park),
            ("KMS.DisabledException", 400, Class::Park),
            ("KMS.KMSInvalidStateException", 400, Class::Park),
            ("SomethingForbidden", 403, Class::Park),
            ("PermanentRedirect", 301, Class::Park),
            ("RequestTimeTooSkewed", 403, Class::Clock),
            ("RequestExpired", 400, Class::Clock),
            ("BadDigest", 400, Class::BlockItem),
            ("InvalidDigest", 400, Class::BlockItem),
            ("EntityTooLarge", 400, Class::BlockItem),
            ("InvalidRequest", 400, Class::BlockItem),
            ("InvalidArgument", 400, Class::BlockItem),
            ("KeyTooLongError", 400, Class::BlockItem),
            ("IncompleteBody", 400, Class::Transient),
            ("NoSuchKey", 404, Class::Transient),
            ("NoSuchVersion", 404, Class::Transient),
            ("NoSuchUpload", 404, Class::Transient),
            ("InvalidPart", 400, Class::ConflictRetry),
            ("InvalidPartOrder", 400, Class::ConflictRetry),
            ("XMinioStorageFull", 507, Class::OutcomeUnknown),
            ("NeverHeardOf", 418, Class::BlockItem),
        ];
        for (code, status, class) in table {
            let found = of_answer(put, Some(code), status, "");
            assert_eq!(found, class, "{code} {status}");
        }
    }

    #[test]
    fn one_code_for_several_faults_is_told_apart_by_its_words() {
        let put = Call::changing("PutObject");
        for (code, message, class) in [
            (
                "InvalidArgument",
                "The retain until date must be in the future!",
                Class::Clock,
            ),
            (
                "InvalidRequest",
                "the retain until date must be in the future",
                Class::Clock,
            ),
            (
                "InvalidRequest",
                "Bucket is missing Object Lock Configuration",
                Class::Park,
            ),
            (
                "InvalidRequest",
                "Bucket is missing ObjectLockConfiguration",
                Class::Park,
            ),
            (
                "InvalidArgument",
                "The retain until date must be provided in ISO 8601 format",
                Class::BlockItem,
            ),
            ("InvalidRequest", "", Class::BlockItem),
        ] {
            assert_eq!(of_answer(put, Some(code), 400, message), class, "{message}");
        }
    }

    #[test]
    fn an_answer_without_a_code_blames_the_object_only_for_its_size() {
        let put = Call::changing("PutObject");
        for (status, class) in [
            (301, Class::Park),
            (302, Class::Park),
            (400, Class::Park),
            (401, Class::Park),
            (403, Class::Park),
            (404, Class::Park),
            (405, Class::Park),
            (407, Class::Park),
            (408, Class::Transient),
            (409, Class::ConflictRetry),
            (411, Class::Park),
            (412, Class::Occupied),
            (413, Class::BlockItem),
            (429, Class::Transient),
            (500, Class::OutcomeUnknown),
            (502, Class::OutcomeUnknown),
            (503, Class::Transient),
            (504, Class::OutcomeUnknown),
        ] {
            assert_eq!(of_answer(put, None, status, ""), class, "{status}");
        }
    }

    #[test]
    fn an_unclear_answer_to_a_reading_call_changes_nothing_and_is_transient() {
        let head = Call::reading("HeadObject");
        assert_eq!(
            of_answer(head, Some("InternalError"), 500, ""),
            Class::Transient
        );
        assert_eq!(head.without_answer(), Class::Transient);
        assert_eq!(
            Call::changing("PutObject").without_answer(),
            Class::OutcomeUnknown
        );
    }
}
