//! One look at a host: both databases opened read-only, each as its owner, then everything
//! compared.
//!
//! The daemons may go on meanwhile. Then what is younger than a minute may be on its way between
//! two folders, and is left out of what is called missing.

use std::path::Path;

use evidence::causes;
use evidence::keys::HostKeys;
use host::config::Settings;
use host::instance::is_running;
use host::owner::{OwnerError, as_owner_of};
use jiff::{SignedDuration, Timestamp};

use crate::finding::{Level, Part, Report};
use crate::{deliveries, evidence_files, handover_files};

/// What is younger may be on its way while a daemon runs.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(60);

/// The two databases of a host, open for reading.
pub struct Look<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) keys: &'a HostKeys,
    pub(crate) spool: Option<spool::reader::Reader>,
    pub(crate) delivery: Option<uploader::delivery::Reader>,
    /// Whatever was made before this is where it belongs.
    pub(crate) settled_before: Timestamp,
    report: Report,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Root could not become the files' owner.
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

impl<'a> Look<'a> {
    /// Opens what is there. A database that cannot be read is a finding, not an error.
    ///
    /// # Errors
    /// When root cannot become the databases' owner.
    pub fn open(
        settings: &'a Settings,
        keys: &'a HostKeys,
        now: Timestamp,
    ) -> Result<Self, LookError> {
        let paths = &settings.paths;
        let mut report = Report::default();
        let path = paths.spool.join("spool.db");
        let spool = if path.exists() {
            let opened = as_owner_of(&paths.spool, || spool::reader::Reader::open(&path))?;
            opened
                .map_err(|error| unreadable(&mut report, Part::Spool, "spool.db", &error))
                .ok()
        } else {
            let has_evidence = std::fs::read_dir(&paths.evidence)
                .is_ok_and(|mut entries| entries.any(|e| e.is_ok()));
            if has_evidence {
                report.say(
                    Level::Damaged,
                    Part::Spool,
                    "database_unreadable",
                    "spool.db",
                    "there is none, beside an evidence folder that is not empty",
                );
            }
            None
        };
        let delivery = if paths.delivery.exists() {
            let opened = as_owner_of(&paths.delivery, || {
                uploader::delivery::Reader::open(&paths.delivery)
            })?;
            opened.unwrap_or_else(|error| {
                report.say(
                    Level::Repairable,
                    Part::Delivery,
                    "delivery_damaged",
                    "delivery.db",
                    causes(&error),
                );
                None
            })
        } else {
            None
        };
        let runs = is_running(&paths.spool.join(host::instance::AGENT_LOCK))
            || is_running(&paths.delivery.join(host::instance::UPLOADER_LOCK));
        let settled_before = if runs {
            now.saturating_sub(ON_ITS_WAY).unwrap_or(Timestamp::MIN)
        } else {
            Timestamp::MAX
        };
        Ok(Self {
            settings,
            keys,
            spool,
            delivery,
            settled_before,
            report,
        })
    }

    /// Compares everything on the host.
    #[must_use]
    pub fn check(&mut self) -> Report {
        let mut report = std::mem::take(&mut self.report);
        if let Some(spool) = &self.spool {
            let checked = spool.check(self.keys, |problem| {
                let level = match problem.code {
                    "chain_gap_stated" | "custody_gap_stated" => Level::Note,
                    _ => Level::Damaged,
                };
                report.say(
                    level,
                    Part::Spool,
                    problem.code,
                    problem.item,
                    problem.message,
                );
            });
            match checked {
                Ok(looked) => {
                    report.bundles = looked.bundles;
                    report.chains = looked.chains;
                    report.open_orders = looked.open_orders;
                    report.confirmations = looked.confirmations;
                }
                Err(error) => unreadable(&mut report, Part::Spool, "spool.db", &error),
            }
            if let Err(error) = evidence_files::check(self, spool, &mut report) {
                unreadable(&mut report, Part::Spool, "spool.db", &error);
            }
            if let Err(error) = handover_files::check(self, spool, &mut report) {
                unreadable(&mut report, Part::Spool, "spool.db", &error);
            }
        }
        handover_files::check_quarantine(self, &mut report);
        if let Some(delivery) = &self.delivery
            && let Err(error) = deliveries::check(self, delivery, &mut report)
        {
            report.say(
                Level::Repairable,
                Part::Delivery,
                "delivery_damaged",
                "delivery.db",
                causes(&error),
            );
        }
        report
    }

    /// Whether something made then must be where it belongs by now.
    pub(crate) fn is_settled(&self, made_at: Timestamp) -> bool {
        made_at < self.settled_before
    }
}

fn unreadable(report: &mut Report, part: Part, item: &str, error: &spool::SpoolError) {
    if error.needs_recovery() || matches!(error, spool::SpoolError::Older { .. }) {
        // Also one that was being made. Whatever it lacks, the agent completes.
        return report.say(
            Level::Repairable,
            part,
            "database_unfinished",
            item,
            causes(error),
        );
    }
    // One damaged file is one finding, however many questions it could not answer.
    let said = |f: &crate::Finding| f.code == "database_unreadable" && f.part == part;
    if !report.findings.iter().any(said) {
        report.say(
            Level::Damaged,
            part,
            "database_unreadable",
            item,
            causes(error),
        );
    }
}

/// The whole seconds of a file's last change, as a time.
pub(crate) fn changed_at(folder: &Path, name: &str) -> Timestamp {
    host::files::open_dir(folder)
        .and_then(|dir| host::files::metadata(&dir, name))
        .ok()
        .flatten()
        .and_then(|meta| Timestamp::from_second(meta.changed.0).ok())
        .unwrap_or(Timestamp::MIN)
}
