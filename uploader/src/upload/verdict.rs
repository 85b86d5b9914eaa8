//! From a failure to what is done about it (design: the table of error classes).

use destination::{Class, Failure};

use crate::delivery::{BlockedReason, ErrorNote};

/// What a failure of one object's attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Again after a backoff, for ever; the destination may be failing.
    Defer,
    /// Again after a short jitter; says nothing about the destination.
    DeferShortly,
    /// The destination needs an operator; the object itself is well.
    Park,
    /// Our idea of the store's clock is wrong: look at it again.
    Clock,
    /// This object needs an operator; others go on.
    Block(BlockedReason),
}

/// The store's code for bytes that do not match their digest.
const BAD_DIGEST: [&str; 3] = ["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"];

/// The store took the bytes for others than we said.
pub(crate) fn is_bad_digest(failure: &Failure) -> bool {
    failure.class == Class::BlockItem && BAD_DIGEST.contains(&failure.code.as_str())
}

/// The store's code for a completion that names parts which it has not, or not so.
pub(crate) const REFUSED_PARTS: [&str; 2] = ["InvalidPart", "InvalidPartOrder"];

/// Judges a failure; `previous_code` is the code of this object's failure before, and
/// `refused_completions` how often its parts were refused already.
pub(crate) fn judge(
    failure: &Failure,
    previous_code: Option<&str>,
    refused_completions: u32,
) -> Verdict {
    match failure.class {
        Class::Transient | Class::Occupied | Class::OutcomeUnknown => Verdict::Defer,
        // Everything is sent again for it: once at once, and then ever more seldom.
        Class::ConflictRetry
            if refused_completions > 0 && REFUSED_PARTS.contains(&failure.code.as_str()) =>
        {
            Verdict::Defer
        }
        Class::ConflictRetry => Verdict::DeferShortly,
        Class::Park => Verdict::Park,
        Class::Clock => Verdict::Clock,
        // Damaged on the way, perhaps: the file is read and hashed again before the second try.
        Class::BlockItem
            if is_bad_digest(failure) && previous_code != Some(failure.code.as_str()) =>
        {
            Verdict::DeferShortly
        }
        Class::BlockItem if failure.code == "EntityTooLarge" => {
            Verdict::Block(BlockedReason::TooLarge)
        }
        Class::BlockItem => Verdict::Block(BlockedReason::Refused),
    }
}

/// The name of a class in SQL, JSON and logs.
pub(crate) const fn class_name(class: Class) -> &'static str {
    match class {
        Class::Transient => "transient",
        Class::ConflictRetry => "conflict_retry",
        Class::Occupied => "occupied",
        Class::OutcomeUnknown => "outcome_unknown",
        Class::Park => "park",
        Class::Clock => "clock",
        Class::BlockItem => "block_item",
    }
}

/// Longest error text that is kept, in characters.
const MESSAGE_MAX_CHARS: usize = 600;

/// The failure as kept for the operator: the whole chain in one line.
pub(crate) fn note(failure: &Failure) -> ErrorNote {
    ErrorNote {
        class: class_name(failure.class),
        code: failure.code.clone(),
        message: chain(failure),
    }
}

/// An error and everything below it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    evidence::causes(error)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_MAX_CHARS)
        .collect()
}

/// What an operator can do about a parked destination.
pub(crate) fn park_hint(code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => {
            "create the bucket with Object Lock enabled, or correct `bucket` in the configuration"
        }
        "ExpiredToken" | "TokenRefreshRequired" => {
            "renew the credentials; they are read again at every probe"
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
            "correct the credentials; they are read again at every probe"
        }
        "not_versioned" | "bucket_unfit" => "use a bucket with versioning and Object Lock enabled",
        "Redirect" | "PermanentRedirect" | "TemporaryRedirect" => {
            "correct `endpoint` and `region`; or somebody who is not the store answers, such as a \
             guest network's log-in page"
        }
        "ProxyAuthenticationRequired" => {
            "give the proxy's user and password in HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT)"
        }
        "NoCredentials" => "give credentials; they are looked for again at every probe",
        "destination_not_configured" => {
            "add the destination to the configuration again, under the same id"
        }
        "destination_changed_meaning" => {
            "an id never changes meaning: restore its bucket and prefix, and give the new place an id of its own"
        }
        _ if code.starts_with("KMS") || code.contains("Kms") => {
            "check the bucket's KMS key and the permission to use it"
        }
        _ => {
            "check the bucket policy and the permissions of the credentials; try `msp-evidence bucket check`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::failure;
    use super::*;

    fn coded(class: Class, code: &str) -> Failure {
        Failure {
            code: code.to_owned(),
            ..failure(class)
        }
    }

    #[test]
    fn every_class_has_the_action_of_the_design() {
        let table = [
            (Class::Transient, "SlowDown", None, Verdict::Defer),
            (
                Class::Transient,
                "SlowDown",
                Some("SlowDown"),
                Verdict::Defer,
            ),
            (
                Class::OutcomeUnknown,
                "ConnectionReset",
                None,
                Verdict::Defer,
            ),
            (Class::Occupied, "PreconditionFailed", None, Verdict::Defer),
            (
                Class::ConflictRetry,
                "ConditionalRequestConflict",
                None,
                Verdict::DeferShortly,
            ),
            (Class::Park, "AccessDenied", None, Verdict::Park),
            (Class::Clock, "RequestTimeTooSkewed", None, Verdict::Clock),
            (
                Class::BlockItem,
                "InvalidRequest",
                None,
                Verdict::Block(BlockedReason::Refused),
            ),
            (
                Class::BlockItem,
                "EntityTooLarge",
                None,
                Verdict::Block(BlockedReason::TooLarge),
            ),
            (Class::BlockItem, "BadDigest", None, Verdict::DeferShortly),
            (
                Class::BlockItem,
                "BadDigest",
                Some("SlowDown"),
                Verdict::DeferShortly,
            ),
            (
                Class::BlockItem,
                "BadDigest",
                Some("BadDigest"),
                Verdict::Block(BlockedReason::Refused),
            ),
        ];
        for (class, code, previous, verdict) in table {
            assert_eq!(
                judge(&coded(class, code), previous, 0),
                verdict,
                "{code} after {previous:?}"
            );
        }
    }

    #[test]
    fn parts_that_are_refused_again_are_sent_again_ever_more_seldom() {
        let judge = |code, times| judge(&coded(Class::ConflictRetry, code), Some(code), times);
        for code in REFUSED_PARTS {
            assert_eq!(judge(code, 0), Verdict::DeferShortly);
            assert_eq!(judge(code, 1), Verdict::Defer);
        }
        assert_eq!(judge("OperationAborted", 9), Verdict::DeferShortly);
    }

    #[test]
    fn a_note_is_one_line_with_the_whole_chain() {
        let failure = Failure {
            message: "two\nlines".to_owned(),
            source: Some("below".into()),
            ..failure(Class::Transient)
        };
        assert_eq!(note(&failure).message, "Test: Transient: two lines: below");
    }

    #[test]
    fn every_class_has_a_name_of_its_own() {
        let classes = [
            (Class::Transient, "transient"),
            (Class::ConflictRetry, "conflict_retry"),
            (Class::Occupied, "occupied"),
            (Class::OutcomeUnknown, "outcome_unknown"),
            (Class::Park, "park"),
            (Class::Clock, "clock"),
            (Class::BlockItem, "block_item"),
        ];
        for (class, name) in classes {
            assert_eq!(class_name(class), name);
            assert_eq!(note(&failure(class)).class, name);
        }
    }

    #[test]
    fn a_parked_destination_has_a_hint_for_each_cause() {
        for (code, says) in [
            ("NoSuchBucket", "create the bucket"),
            ("ExpiredToken", "renew the credentials"),
            ("TokenRefreshRequired", "renew the credentials"),
            ("InvalidAccessKeyId", "correct the credentials"),
            ("SignatureDoesNotMatch", "correct the credentials"),
            ("not_versioned", "versioning and Object Lock"),
            ("bucket_unfit", "versioning and Object Lock"),
            ("Redirect", "correct `endpoint`"),
            ("PermanentRedirect", "correct `endpoint`"),
            ("TemporaryRedirect", "correct `endpoint`"),
            ("ProxyAuthenticationRequired", "the proxy's user"),
            ("NoCredentials", "give credentials"),
            ("destination_not_configured", "add the destination"),
            ("destination_changed_meaning", "restore its bucket"),
            ("KMS.DisabledException", "KMS key"),
            ("InvalidKmsKey", "KMS key"),
            ("AccessDenied", "permissions of the credentials"),
        ] {
            assert!(
                park_hint(code).contains(says),
                "{code}: {}",
                park_hint(code)
            );
        }
    }
}
