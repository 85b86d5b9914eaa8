//! The conditions of a read (RFC 9110, 13.1).

use s3s::S3Result;
use s3s::dto::{ETagCondition, Timestamp};

use super::{refuse, values};
use crate::store::Version;

/// The conditions of a GET or HEAD.
pub(super) struct Precondition<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

impl Precondition<'_> {
    /// Refuses with 412 or 304 where a condition does not hold; an ETag outweighs a date.
    pub(super) fn check(&self, version: &Version) -> S3Result<()> {
        let modified_secs = version.last_modified.as_second();
        let later_than = |date: &Timestamp| -> S3Result<bool> {
            Ok(modified_secs > values::from_dto(date)?.as_second())
        };
        let failed = match (self.if_match, self.if_unmodified_since) {
            (Some(etag), _) => !matches(etag, version),
            (None, Some(date)) => later_than(date)?,
            (None, None) => false,
        };
        if failed {
            return Err(refuse::with(
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
            ));
        }
        let unchanged = match (self.if_none_match, self.if_modified_since) {
            (Some(etag), _) => matches(etag, version),
            (None, Some(date)) => !later_than(date)?,
            (None, None) => false,
        };
        if unchanged {
            return Err(refuse::with("NotModified", "Not Modified"));
        }
        Ok(())
    }
}

fn matches(condition: &ETagCondition, version: &Version) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == version.etag,
    }
}
