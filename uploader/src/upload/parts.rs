//! A multipart upload's decisions, without I/O: which parts the store has, and what a failure means
//! for the upload.
//!
//! Multipart is how a PUT is carried out for a large object, so every failure also goes on to
//! [`super::place`] and the one table of errors, as if a PUT had failed. A part that failed has
//! changed nothing that the key shows; only the completion is as good as a PUT.

use std::collections::BTreeMap;

use destination::{Class, Failure, UploadedPart};

use super::plan::{Plan, PlannedPart};
use super::verdict::is_bad_digest;

/// What the store has of a plan, and what it lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// By number.
    pub(crate) stored: BTreeMap<u32, UploadedPart>,
    /// To be sent, in order.
    pub(crate) missing: Vec<PlannedPart>,
}

impl Parts {
    /// Compares what the store lists with the plan. What is not of the planned bytes is sent again
    /// and so replaced.
    pub(crate) fn of(plan: &Plan, listed: Vec<UploadedPart>) -> Self {
        let mut listed: BTreeMap<u32, UploadedPart> =
            listed.into_iter().map(|part| (part.number, part)).collect();
        let mut parts = Self::default();
        for planned in plan.parts() {
            match listed
                .remove(&planned.number)
                .filter(|part| is_same(&planned, part))
            {
                Some(part) => {
                    parts.stored.insert(planned.number, part);
                }
                None => parts.missing.push(planned),
            }
        }
        parts
    }

    /// What the completion names: every part with the checksum that was sent with it, since a store
    /// that keeps checksums wants them there (MinIO), also if none came with its answers.
    pub(crate) fn into_named(mut self, plan: &Plan) -> Vec<UploadedPart> {
        let named = |planned: PlannedPart| {
            let stored = self.stored.remove(&planned.number)?;
            Some(UploadedPart {
                crc64nvme: Some(planned.crc64nvme),
                ..stored
            })
        };
        plan.parts().filter_map(named).collect()
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored.values().map(|part| part.size_bytes).sum()
    }
}

/// A checksum that differs settles it; else one that agrees is needed. An ETag that is not the MD5
/// says nothing: a KMS key may encrypt the part.
fn is_same(planned: &PlannedPart, listed: &UploadedPart) -> bool {
    let by_crc = listed.crc64nvme.map(|crc| crc == planned.crc64nvme);
    let by_md5 = planned
        .md5
        .is_some_and(|md5| listed.etag.eq_ignore_ascii_case(&hex::encode(md5)));
    listed.size_bytes == planned.size_bytes && by_crc != Some(false) && (by_crc.is_some() || by_md5)
}

/// What becomes of an upload after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is resumed.
    Kept,
    /// The store does not know it any more.
    Gone,
    /// Its parts cannot become our object: begun anew, and aborted.
    GivenUp,
}

/// What a failed part means.
pub(crate) fn after_part(failure: Failure) -> (Failure, Fate) {
    if failure.code == "NoSuchUpload" {
        // Expired, aborted, or completed by an attempt whose answer was lost: the next run looks at
        // the key first. It says nothing about the store's health.
        return (of_class(failure, Class::ConflictRetry), Fate::Gone);
    }
    (failure, Fate::Kept)
}

/// What a failed completion means.
pub(crate) fn after_completion(failure: Failure) -> (Failure, Fate) {
    if failure.code == "NoSuchUpload" {
        // Completed before, most likely: look at the key now.
        return (of_class(failure, Class::OutcomeUnknown), Fate::Gone);
    }
    // A conflict asks for a new upload (Amazon S3 API Reference, CompleteMultipartUpload); so does a
    // part that the store has not, or an object that is not the sum of what was sent.
    let fate = if failure.class == Class::ConflictRetry || is_bad_digest(&failure) {
        Fate::GivenUp
    } else {
        Fate::Kept
    };
    (failure, fate)
}

fn of_class(failure: Failure, class: Class) -> Failure {
    Failure { class, ..failure }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Planner;
    use super::super::testing::failure;
    use super::*;

    fn plan(with_md5: bool) -> Plan {
        let mut planner = Planner::new(4, with_md5);
        planner.update(b"aaaabbbbcc");
        planner.finish().1
    }

    /// What a store lists that took everything.
    fn listed() -> Vec<UploadedPart> {
        plan(true)
            .parts()
            .map(|part| UploadedPart {
                number: part.number,
                etag: hex::encode(part.md5.unwrap()),
                size_bytes: part.size_bytes,
                crc64nvme: Some(part.crc64nvme),
            })
            .collect()
    }

    fn missing(plan: &Plan, listed: Vec<UploadedPart>) -> Vec<u32> {
        let parts = Parts::of(plan, listed);
        assert_eq!(
            parts.stored.len() + parts.missing.len(),
            3,
            "each is one or the other"
        );
        parts.missing.iter().map(|part| part.number).collect()
    }

    #[test]
    fn what_the_store_has_is_kept_and_the_rest_is_sent() {
        assert_eq!(missing(&plan(true), Vec::new()), [1, 2, 3]);
        assert_eq!(missing(&plan(true), listed()), [0; 0]);
        let mut some = listed();
        some.remove(1);
        let parts = Parts::of(&plan(true), some);
        assert_eq!(parts.missing[0].number, 2);
        assert_eq!(parts.stored_bytes(), 6);
    }

    #[test]
    fn a_completion_names_the_checksum_of_each_part_also_when_the_store_told_none() {
        let mut silent = listed();
        for part in &mut silent {
            part.crc64nvme = None;
        }
        let parts = Parts::of(&plan(true), silent);
        assert_eq!(parts.into_named(&plan(true)), listed());
    }

    #[test]
    fn one_digest_that_agrees_is_enough_and_one_that_differs_is_too_much() {
        type Change = fn(&mut UploadedPart);
        let cases: [(&str, Change, bool, bool); 8] = [
            ("no CRC told", |p| p.crc64nvme = None, true, false),
            ("upper case", |p| p.etag.make_ascii_uppercase(), true, true),
            ("KMS", |p| p.etag = "x".repeat(32), true, true),
            (
                "KMS and no CRC",
                |p| {
                    p.etag = "x".repeat(32);
                    p.crc64nvme = None;
                },
                false,
                false,
            ),
            ("another CRC", |p| p.crc64nvme = Some(1), false, false),
            ("another size", |p| p.size_bytes += 1, false, false),
            ("another number", |p| p.number = 9, false, false),
            ("as it was", |_| {}, true, true),
        ];
        for (what, change, kept, kept_without_md5) in cases {
            for (with_md5, kept) in [(true, kept), (false, kept_without_md5)] {
                let mut listed = listed();
                change(&mut listed[1]);
                let expected: &[u32] = if kept { &[] } else { &[2] };
                assert_eq!(
                    missing(&plan(with_md5), listed),
                    expected,
                    "{what}, MD5: {with_md5}"
                );
            }
        }
    }

    #[test]
    fn a_failed_part_keeps_the_upload_unless_the_store_does_not_know_it() {
        let coded = |class, code: &str| Failure {
            code: code.to_owned(),
            ..failure(class)
        };
        for class in [
            Class::Transient,
            Class::Park,
            Class::Clock,
            Class::BlockItem,
        ] {
            let (after, fate) = after_part(failure(class));
            assert_eq!((after.class, fate), (class, Fate::Kept));
        }
        let (after, fate) = after_part(coded(Class::Transient, "NoSuchUpload"));
        assert_eq!((after.class, fate), (Class::ConflictRetry, Fate::Gone));
    }

    #[test]
    fn a_failed_completion_is_looked_at_resumed_or_begun_anew() {
        let table = [
            (Class::Transient, "SlowDown", Class::Transient, Fate::Kept),
            (
                Class::OutcomeUnknown,
                "Timeout",
                Class::OutcomeUnknown,
                Fate::Kept,
            ),
            (
                Class::Occupied,
                "PreconditionFailed",
                Class::Occupied,
                Fate::Kept,
            ),
            (Class::Park, "AccessDenied", Class::Park, Fate::Kept),
            (
                Class::Transient,
                "NoSuchUpload",
                Class::OutcomeUnknown,
                Fate::Gone,
            ),
            (
                Class::ConflictRetry,
                "ConditionalRequestConflict",
                Class::ConflictRetry,
                Fate::GivenUp,
            ),
            (
                Class::ConflictRetry,
                "InvalidPart",
                Class::ConflictRetry,
                Fate::GivenUp,
            ),
            (
                Class::BlockItem,
                "BadDigest",
                Class::BlockItem,
                Fate::GivenUp,
            ),
            (
                Class::BlockItem,
                "EntityTooSmall",
                Class::BlockItem,
                Fate::Kept,
            ),
        ];
        for (class, code, class_after, fate_after) in table {
            let (after, fate) = after_completion(Failure {
                code: code.to_owned(),
                ..failure(class)
            });
            assert_eq!((after.class, fate), (class_after, fate_after), "{code}");
        }
    }
}
