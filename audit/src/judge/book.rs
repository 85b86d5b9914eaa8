//! Where judges write: counts of each check, and findings.

use std::collections::BTreeMap;

use crate::code::Code;
use crate::finding::{Check, Finding, Level, Subject, Tally};
use crate::ledger::{Ledger, LedgerError};

/// The counts so far. A thing is counted once by a check, and may have several findings.
pub(crate) struct Book<'a> {
    ledger: &'a Ledger,
    tallies: BTreeMap<Check, Tally>,
}

impl<'a> Book<'a> {
    pub(crate) fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            tallies: BTreeMap::new(),
        }
    }

    /// So many things are as they should be.
    pub(crate) fn pass(&mut self, check: Check, things: u64) {
        let tally = self.tallies.entry(check).or_default();
        tally.passed = tally.passed.saturating_add(things);
    }

    /// So many things are not as they should be, or could not be looked at; the finding is told by
    /// [`Book::say`].
    pub(crate) fn count(&mut self, check: Check, level: Level, things: u64) {
        let tally = self.tallies.entry(check).or_default();
        match level {
            Level::Failed => tally.failed = tally.failed.saturating_add(things),
            Level::CouldNotCheck => {
                tally.could_not_check = tally.could_not_check.saturating_add(things);
            }
            Level::Note => {}
        }
    }

    /// A finding, without counting.
    pub(crate) fn say(
        &self,
        check: Check,
        level: Level,
        code: Code,
        subject: Subject,
        message: impl Into<String>,
    ) -> Result<(), LedgerError> {
        self.ledger.add_finding(&Finding {
            check,
            level,
            code,
            subject,
            message: message.into(),
        })
    }

    /// One thing is not as it should be.
    pub(crate) fn fail(
        &mut self,
        check: Check,
        code: Code,
        subject: Subject,
        message: impl Into<String>,
    ) -> Result<(), LedgerError> {
        self.count(check, Level::Failed, 1);
        self.say(check, Level::Failed, code, subject, message)
    }

    /// One thing could not be looked at.
    pub(crate) fn unchecked(
        &mut self,
        check: Check,
        code: Code,
        subject: Subject,
        message: impl Into<String>,
    ) -> Result<(), LedgerError> {
        self.count(check, Level::CouldNotCheck, 1);
        self.say(check, Level::CouldNotCheck, code, subject, message)
    }

    /// Something to be known.
    pub(crate) fn note(
        &self,
        check: Check,
        code: Code,
        subject: Subject,
        message: impl Into<String>,
    ) -> Result<(), LedgerError> {
        self.say(check, Level::Note, code, subject, message)
    }

    /// What a folder cannot show, of so many things: one finding for all of them.
    pub(crate) fn not_in_a_folder(
        &mut self,
        check: Check,
        things: u64,
        what: &str,
    ) -> Result<(), LedgerError> {
        if things == 0 {
            return Ok(());
        }
        self.count(check, Level::CouldNotCheck, things);
        self.say(
            check,
            Level::CouldNotCheck,
            Code::NoStoreMetadata,
            Subject::default(),
            format!("a folder {what}: audit the bucket itself for that"),
        )
    }

    /// Writes every count down.
    pub(crate) fn close(self) -> Result<(), LedgerError> {
        Check::ALL.into_iter().try_for_each(|check| {
            let tally = self.tallies.get(&check).copied().unwrap_or_default();
            self.ledger.set_tally(check, tally)
        })
    }
}
