//! Is each version of each object locked in COMPLIANCE mode, and for long enough?
//!
//! COMPLIANCE is the mode that nobody can lift (Amazon S3 User Guide, "Object Lock retention modes").
//! How long is counted from the store's own date, by what the signed plan promised and by what the auditor
//! asks at least.

use jiff::SignedDuration;

use super::signature::subject_of;
use super::{Bench, micros, words};
use crate::code::Code;
use crate::finding::{Check, Subject};
use crate::ledger::LedgerError;

const DAY_HOURS: i64 = 24;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT path, version_id, state, problem, lock, retain_until_us, last_modified_us,
           (SELECT max(planned.value ->> 'retention_days')
            FROM bundle, json_each(bundle.plan) AS planned
            WHERE bundle.path = version.bundle_path AND is_trusted = 1
              AND planned.value ->> 'uri' = ?1 || bundle.path)
         FROM version WHERE role <> 'other' AND is_delete_marker = 0 ORDER BY path, version_rowid",
    )?;
    // A bundle may be planned for several places, each with a retention of its own.
    let mut rows = statement.query([&bench.judging.bucket_uri])?;
    let mut in_folder = 0_u64;
    while let Some(row) = rows.next()? {
        if !bench.judging.has_store_metadata {
            in_folder += 1;
            continue;
        }
        let path: String = row.get(0)?;
        let state: String = row.get(2)?;
        let lock: Option<String> = row.get(4)?;
        let until: Option<i64> = row.get(5)?;
        let stored: Option<i64> = row.get(6)?;
        let planned: Option<u32> = row.get(7)?;
        let subject = Subject {
            version_id: row.get(1)?,
            ..subject_of(&path)
        };
        let book = &mut bench.book;
        if state != "read" {
            let why: Option<String> = row.get(3)?;
            let why = why.unwrap_or_else(|| "it was not read".to_owned());
            book.unchecked(Check::Lock, Code::NotRead, subject.clone(), why.clone())?;
            book.unchecked(Check::Retention, Code::NotRead, subject, why)?;
            continue;
        }
        match lock.as_deref() {
            Some("compliance") => book.pass(Check::Lock, 1),
            Some("governance") => book.fail(
                Check::Lock,
                Code::Governance,
                subject.clone(),
                "it is locked in GOVERNANCE mode, which some may lift",
            )?,
            Some("unlocked") => {
                book.fail(
                    Check::Lock,
                    Code::Unlocked,
                    subject,
                    "it is not locked: whoever may delete versions can delete it",
                )?;
                // How long no lock lasts is no question.
                continue;
            }
            _ => {
                let why =
                    "the store would not say: may these credentials use s3:GetObjectRetention?";
                book.unchecked(Check::Lock, Code::LockUnknown, subject.clone(), why)?;
                book.unchecked(Check::Retention, Code::LockUnknown, subject, why)?;
                continue;
            }
        }
        retention(bench, subject, until, stored, planned)?;
    }
    let what = "has no locks";
    bench.book.not_in_a_folder(Check::Lock, in_folder, what)?;
    bench
        .book
        .not_in_a_folder(Check::Retention, in_folder, what)
}

fn retention(
    bench: &mut Bench<'_>,
    subject: Subject,
    until: Option<i64>,
    stored: Option<i64>,
    planned: Option<u32>,
) -> Result<(), LedgerError> {
    let least = bench.judging.min_retention_days;
    let days = planned.unwrap_or(0).max(least);
    let (Some(until), Some(stored)) = (until, stored) else {
        return bench.book.unchecked(
            Check::Retention,
            Code::StoreTimeUnknown,
            subject,
            "the store did not say when it received it",
        );
    };
    let wanted = stored
        .saturating_add(micros(SignedDuration::from_hours(
            DAY_HOURS * i64::from(days),
        )))
        // Retention is counted from the date of an answer that came before the upload.
        .saturating_sub(micros(bench.judging.clock_tolerance));
    if until >= wanted {
        bench.book.pass(Check::Retention, 1);
        return Ok(());
    }
    let why = if planned.is_some_and(|planned| planned >= least) {
        "as its signed plan says"
    } else {
        "as you ask"
    };
    bench.book.fail(
        Check::Retention,
        Code::LockTooShort,
        subject,
        format!(
            "stored at {}, it is locked until {}, and not for {days} days {why}",
            words(stored),
            words(until)
        ),
    )
}
