//! That a service failed: one alarm for a row of failures, and what `status` and `doctor` show of it.
//!
//! systemd starts a service that failed again, for ever. So that somebody hears of it, its unit calls
//! `… failed` after each failure (`ExecStopPost=`), and the alarm unit (`OnFailure=`) does the same where
//! the first could not; which of them comes, and how often, differs between versions of systemd. What
//! they note lies in the service's folder below /run, in a file of the service's own user: the same
//! failure told twice is one, and a failure soon after another belongs to the same row. The row ends,
//! and the file goes, when the service has worked for a while.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::files::{self, Durability, FileError, Replace};

/// The file below the service's folder.
const FILE: &str = "failed.json";
/// No such file is longer.
const FILE_MAX_BYTES: u64 = 4096;
/// A service that works for so long has recovered.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(600);
/// A row of failures that goes on is alarmed again after so long.
const REMIND_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Where systemd does not tell which start failed, a second word within this is of the same failure.
const SAME_WITHIN: SignedDuration = SignedDuration::from_secs(30);

/// A row of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When the first happened.
    pub first_at: Timestamp,
    /// When the newest did.
    pub last_at: Timestamp,
    /// How many.
    pub count: u64,
    /// How the newest ended, in systemd's words: `exit-code 1`, `watchdog KILL`.
    pub how: String,
    /// Which start of the service that was (`INVOCATION_ID`); blank where systemd did not say.
    invocation: String,
    /// When it was last alarmed.
    alarmed_at: Timestamp,
}

impl Failure {
    /// In one line, for people.
    #[must_use]
    pub fn words(&self, unit: &str) -> String {
        let times = match self.count {
            1 => "failed".to_owned(),
            n => format!("failed {n} times since {}", shown(self.first_at)),
        };
        format!(
            "{unit} {times}, at last at {} ({}); systemd starts it again; why: journalctl -u {unit} -n 50",
            shown(self.last_at),
            self.how
        )
    }
}

fn shown(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// What systemd says of a service that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    how: String,
    invocation: String,
}

impl Ended {
    /// From the variables of `ExecStopPost=` (`SERVICE_RESULT`, `EXIT_STATUS`) or, in the alarm unit, of
    /// the unit that failed (`MONITOR_…`, systemd 251 and newer); `None` when it ended well.
    #[must_use]
    pub fn of_process() -> Option<Self> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let own = variable("SERVICE_RESULT").map(|result| (result, ""));
        let (result, prefix) = own
            .or_else(|| variable("MONITOR_SERVICE_RESULT").map(|result| (result, "MONITOR_")))
            .unwrap_or_else(|| ("failed".to_owned(), "MONITOR_"));
        if result == "success" {
            return None;
        }
        let status = variable(&format!("{prefix}EXIT_STATUS")).unwrap_or_default();
        Some(Self {
            how: format!("{result} {status}").trim().to_owned(),
            invocation: variable(&format!("{prefix}INVOCATION_ID"))
                // Without the prefix it is the alarm unit's own.
                .filter(|_| prefix.is_empty() || variable("MONITOR_SERVICE_RESULT").is_some())
                .unwrap_or_default(),
        })
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Raise the alarm.
    Alarm(Failure),
    /// It belongs to a row that was alarmed.
    Again(Failure),
    /// This very failure was told before.
    Before,
}

/// Pure: what a failure means after those before it.
fn next(before: Option<Failure>, ended: Ended, now: Timestamp) -> Told {
    let Some(before) = before else {
        return Told::Alarm(Failure {
            first_at: now,
            last_at: now,
            count: 1,
            how: ended.how,
            invocation: ended.invocation,
            alarmed_at: now,
        });
    };
    let is_known = if ended.invocation.is_empty() {
        now.duration_since(before.last_at).abs() < SAME_WITHIN
    } else {
        ended.invocation == before.invocation
    };
    if is_known {
        return Told::Before;
    }
    let is_due = now.duration_since(before.alarmed_at).abs() >= REMIND_AFTER;
    let failure = Failure {
        last_at: now,
        count: before.count.saturating_add(1),
        how: ended.how,
        invocation: ended.invocation,
        alarmed_at: if is_due { now } else { before.alarmed_at },
        ..before
    };
    if is_due {
        Told::Alarm(failure)
    } else {
        Told::Again(failure)
    }
}

/// Notes a failure in the service's folder, and says whether to alarm. A folder that cannot be written
/// alarms: better twice than never.
#[must_use]
pub fn note(folder: &Path, ended: Ended, now: Timestamp) -> Told {
    let told = next(standing(folder).unwrap_or_default(), ended, now);
    if let Told::Alarm(failure) | Told::Again(failure) = &told
        && let Ok(bytes) = serde_json::to_vec(failure)
        && let Ok(dir) = files::open_dir(folder)
    {
        // Whoever could be told that this failed is being told of worse.
        let _ = files::publish(dir, FILE, &bytes, 0o644, Durability::None, Replace::Yes);
    }
    told
}

/// The row of failures that the service in this folder is in, if any.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn standing(folder: &Path) -> io::Result<Option<Failure>> {
    let dir = match files::open_dir(folder) {
        Ok(dir) => dir,
        Err(FileError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    };
    match files::read_capped(&dir, FILE, FILE_MAX_BYTES) {
        Ok(contents) => Ok(serde_json::from_slice(&contents.bytes).ok()),
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The folder that systemd gives this service below /run (`RuntimeDirectory=`); `None` without systemd.
#[must_use]
pub fn own_folder() -> Option<PathBuf> {
    let folders = env::var("RUNTIME_DIRECTORY").ok()?;
    // Several are separated by colons (systemd.exec(5)).
    folders.split(':').next().map(PathBuf::from)
}

/// The same of a service (`msp-evidence-agent`) for whoever looks from outside.
#[must_use]
pub fn folder_of(service: &str) -> PathBuf {
    Path::new("/run").join(service)
}

/// For a service that has worked since its start: after [`RECOVERED_AFTER`] its row of failures is over.
/// Returns what is over.
#[must_use]
pub fn recovered(folder: Option<&Path>, worked: Duration) -> Option<Failure> {
    let folder = folder.filter(|_| worked >= RECOVERED_AFTER)?;
    let failure = standing(folder).ok()??;
    files::open_dir(folder)
        .and_then(|dir| files::remove(dir, FILE))
        .ok()?;
    Some(failure)
}

/// What `msp-evidence-agent failed` and its twin do: a line in the journal, at priority alert the first
/// time (sd-daemon(3)'s prefixes). Never fails.
pub fn tell(service: &str) {
    let (Some(ended), Some(folder)) = (Ended::of_process(), own_folder()) else {
        return;
    };
    let unit = format!("{service}.service");
    match note(&folder, ended, Timestamp::now()) {
        Told::Alarm(failure) => eprintln!("<1>ALARM: {}", failure.words(&unit)),
        Told::Again(failure) => eprintln!("<4>{}", failure.words(&unit)),
        Told::Before => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(secs: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(secs)
    }

    fn ended(invocation: &str) -> Ended {
        Ended {
            how: "exit-code 1".to_owned(),
            invocation: invocation.to_owned(),
        }
    }

    #[test]
    fn a_crash_loop_is_one_alarm_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let note = |invocation: &str, at| note(folder.path(), ended(invocation), at);
        assert!(matches!(note("1", NOW), Told::Alarm(_)));
        assert_eq!(note("1", after(1)), Told::Before, "by the alarm unit");
        for n in 2..50 {
            let at = after(n * 100);
            let Told::Again(failure) = note(&n.to_string(), at) else {
                panic!("{n}");
            };
            assert_eq!((failure.count, failure.first_at), (n.cast_unsigned(), NOW));
            assert_eq!(note(&n.to_string(), at), Told::Before);
        }
        assert_eq!(standing(folder.path()).unwrap().unwrap().count, 49);
    }

    #[test]
    fn a_row_that_goes_on_is_alarmed_again_a_day_later() {
        let folder = tempfile::tempdir().unwrap();
        let note = |invocation, at| note(folder.path(), ended(invocation), at);
        let day = 24 * 3600;
        assert!(matches!(note("1", NOW), Told::Alarm(_)));
        assert!(matches!(note("2", after(day - 1)), Told::Again(_)));
        assert!(matches!(note("3", after(day)), Told::Alarm(_)));
        assert!(matches!(note("4", after(day + 1)), Told::Again(_)));
    }

    #[test]
    fn where_systemd_does_not_say_which_start_failed_the_time_tells() {
        let folder = tempfile::tempdir().unwrap();
        let note = |invocation, at| note(folder.path(), ended(invocation), at);
        assert!(matches!(note("1", NOW), Told::Alarm(_)));
        assert_eq!(note("", after(29)), Told::Before);
        assert!(matches!(note("", after(30)), Told::Again(_)));
    }

    #[test]
    fn a_service_that_works_for_a_while_has_recovered_and_the_next_failure_alarms() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path());
        assert_eq!(recovered(path, RECOVERED_AFTER), None);
        let _ = note(folder.path(), ended("1"), NOW);
        assert_eq!(recovered(path, RECOVERED_AFTER / 2), None);
        assert_eq!(recovered(path, RECOVERED_AFTER).unwrap().count, 1);
        assert_eq!(standing(folder.path()).unwrap(), None);
        assert!(matches!(
            note(folder.path(), ended("2"), after(1)),
            Told::Alarm(_)
        ));
    }

    #[test]
    fn a_folder_that_cannot_be_written_alarms_and_fails_nothing() {
        let nowhere = Path::new("/nonexistent/folder");
        assert!(matches!(note(nowhere, ended("1"), NOW), Told::Alarm(_)));
        assert_eq!(standing(nowhere).unwrap(), None);
    }

    #[test]
    fn systemds_variables_say_how_it_ended_and_a_good_end_is_no_failure() {
        let from = |variables: &[(&str, &str)]| {
            Ended::from_variables(|name| {
                let found = variables.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(from(&[("SERVICE_RESULT", "success")]), None);
        let own = from(&[
            ("SERVICE_RESULT", "watchdog"),
            ("EXIT_STATUS", "KILL"),
            ("INVOCATION_ID", "a"),
        ]);
        let own = own.unwrap();
        assert_eq!((&*own.how, &*own.invocation), ("watchdog KILL", "a"));
        let monitored = from(&[
            ("MONITOR_SERVICE_RESULT", "exit-code"),
            ("MONITOR_EXIT_STATUS", "1"),
            ("MONITOR_INVOCATION_ID", "a"),
            ("INVOCATION_ID", "b"),
        ]);
        assert_eq!(monitored.unwrap(), ended("a"));
        let old = from(&[("INVOCATION_ID", "b")]).unwrap();
        assert_eq!((&*old.how, &*old.invocation), ("failed", ""));
    }
}
