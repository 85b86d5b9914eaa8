//! From the SDK's errors to what to do about them (the table of the upload protocol).

use std::error::Error as StdError;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::clock::http_date;
use crate::{Class, Failure};

/// Which call failed, and whether it may have changed something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    changes: bool,
}

impl Call {
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
            let code = answer
                .err()
                .code()
                .unwrap_or_else(|| code_of(status))
                .to_owned();
            let message = answer
                .err()
                .message()
                .unwrap_or("the store gave no message");
            Failure {
                class: of_answer(call, &code, status, message),
                operation,
                message: message
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MESSAGE_CHARS)
                    .collect(),
                code,
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
        _ if says(&["credential", "profile"]) => (Class::Park, "NoCredentials"),
        _ if says(&["dns error", "failed to lookup"]) => (Class::Transient, "Dns"),
        _ if says(&["certificate", "tls", "handshake"]) => (no_answer, "Tls"),
        _ if says(&["connection refused"]) => (Class::Transient, "ConnectionRefused"),
        _ if says(&["timed out", "timeout"]) => (no_answer, "Timeout"),
        _ => (no_answer, "ConnectionLost"),
    };
    let message = match code {
        "NoCredentials" => {
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        }
        "Timeout" => "no answer in time",
        "NotARequest" => "the request could not be built",
        "BadResponse" => "the answer could not be read",
        "Dns" => "the store's name is not known",
        "Tls" => "no secure connection",
        "ConnectionRefused" => "nothing listens there",
        _ => "the connection failed or was cut",
    };
    Failure {
        class,
        operation: call.operation,
        code: code.to_owned(),
        status: None,
        message: message.to_owned(),
        server_date: None,
        source: Some(Box::new(error)),
    }
}

/// An answer without a code: HEAD has no body.
const fn code_of(status: u16) -> &'static str {
    match status {
        400 => "BadRequest",
        403 => "AccessDenied",
        404 => "NotFound",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "NoCode",
    }
}

fn of_answer(call: Call, code: &str, status: u16, message: &str) -> Class {
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
        | "InvalidRequestObjectLock"
        | "NotImplemented" => Class::Park,
        _ if code.starts_with("KMS.") || code.starts_with("Kms") => Class::Park,
        // The lock date was judged by the store's clock to lie in the past.
        "InvalidArgument" if message.contains("retain until date") => Class::Clock,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "EntityTooLarge"
        | "EntityTooSmall"
        | "InvalidRequest"
        | "InvalidArgument"
        | "KeyTooLongError"
        | "MissingContentLength"
        | "IncompleteBody" => Class::BlockItem,
        _ if status == 412 => Class::Occupied,
        _ if status == 409 => Class::ConflictRetry,
        _ if status == 429 || status == 503 => Class::Transient,
        // 500, 502 and 504 do not say whether the object was stored.
        _ if status >= 500 => call.without_answer(),
        _ if matches!(status, 301 | 307 | 401 | 403 | 404) => Class::Park,
        _ => Class::BlockItem,
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
        let table: [(&str, u16, Class); 30] = [
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
            ("NeverHeardOf", 418, Class::BlockItem),
        ];
        for (code, status, class) in table {
            assert_eq!(of_answer(put, code, status, ""), class, "{code} {status}");
        }
        let late = "The retain until date must be in the future!";
        assert_eq!(of_answer(put, "InvalidArgument", 400, late), Class::Clock);
    }

    #[test]
    fn an_unclear_answer_to_a_reading_call_changes_nothing_and_is_transient() {
        let head = Call::reading("HeadObject");
        assert_eq!(of_answer(head, "InternalError", 500, ""), Class::Transient);
        assert_eq!(head.without_answer(), Class::Transient);
        assert_eq!(
            Call::changing("PutObject").without_answer(),
            Class::OutcomeUnknown
        );
    }
}
