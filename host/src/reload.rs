//! Reading the configuration again without a stop: what a running service cannot change, how it is
//! asked (`SIGHUP`), and how it answers whoever asked.
//!
//! The answer stands in the file on which the service holds its lock, beside its alarms. So
//! `msp-evidence-agent reload` can wait for it, and `systemctl reload` tells whether the configuration
//! was taken; no /bin/kill is needed, which minimal systems have not. A configuration that cannot serve
//! is refused, the old one stays in use, and an alarm says so until one is taken.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::instance::is_running;

/// The alarm's code.
pub const REFUSED: &str = "reload_refused";
/// Draining what is in flight, and opening everything again.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of the last reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When it was over.
    pub at: Timestamp,
    /// Why the configuration was not taken; nothing if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Why a reload did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Nobody holds the lock.
    #[error("no service holds {path}: it does not run, or runs with other paths", path = path.display())]
    NotRunning {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file cannot be read.
    #[error("could not read {path}", path = path.display())]
    Read {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The signal could not be sent.
    #[error("could not signal process {pid}; run this as its user or as root")]
    Signal {
        /// Who was to get it.
        pid: i32,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// The service kept what it had.
    #[error("the configuration was not taken, the one before stays in use: {0}")]
    Refused(String),
    /// Nothing was heard.
    #[error("no answer within {} s; the journal tells what it does", PATIENCE.as_secs())]
    NoAnswer,
}

/// The setting that keeps a running service from taking the new configuration: what is part of every
/// key and signed byte, and the folders whose locks it holds.
#[must_use]
pub fn needs_restart(old: &Settings, new: &Settings) -> Option<&'static str> {
    [
        ("client_id", old.client_id != new.client_id),
        ("host_id", old.host_id != new.host_id),
        ("[paths]", old.paths != new.paths),
        ("[log]", old.log != new.log),
    ]
    .into_iter()
    .find_map(|(name, differs)| differs.then_some(name))
}

/// Asks the service that holds this lock, and waits until it has read its configuration again.
///
/// # Errors
/// When none runs or answers, or it refuses the configuration.
pub fn ask(lock: &Path) -> Result<(), ReloadError> {
    let read = || {
        std::fs::read_to_string(lock).map_err(|source| ReloadError::Read {
            path: lock.to_owned(),
            source,
        })
    };
    let before = read()?;
    let pid = before.lines().next().and_then(|pid| pid.parse().ok());
    let Some(pid) = pid.filter(|_| is_running(lock)) else {
        return Err(ReloadError::NotRunning {
            path: lock.to_owned(),
        });
    };
    let before = answer_in(&before);
    kill(Pid::from_raw(pid), Signal::SIGHUP)
        .map_err(|source| ReloadError::Signal { pid, source })?;
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let now = answer_in(&read()?);
        if now != before
            && let Some(answer) = now
        {
            return answer
                .refused
                .map_or(Ok(()), |why| Err(ReloadError::Refused(why)));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Err(ReloadError::NoAnswer)
}

/// The third line of the lock file.
fn answer_in(page: &str) -> Option<Answer> {
    serde_json::from_str(page.lines().nth(2)?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::InstanceLock;

    fn settings(more: &str) -> Settings {
        let text = format!(
            "client_id = \"c\"\nhost_id = \"h\"\n[[destination]]\nid = \"d\"\nbucket = \"bucket\"\n\
             region = \"r\"\n{more}"
        );
        Settings::parse(&text, Path::new("/e.toml"), std::iter::empty()).unwrap()
    }

    #[test]
    fn what_is_signed_or_locked_needs_a_restart_and_nothing_else_does() {
        let old = settings("");
        assert_eq!(needs_restart(&old, &old), None);
        let other = settings("retention_days = 3000\n[uploader]\nin_flight = 3\n");
        assert_eq!(needs_restart(&old, &other), None);
        let moved = settings("[paths]\nstate_dir = \"/srv/msp\"\n");
        assert_eq!(needs_restart(&old, &moved), Some("[paths]"));
        let told = settings("[log]\nfilter = \"debug\"\n");
        assert_eq!(needs_restart(&old, &told), Some("[log]"));
        let mut renamed = old.clone();
        renamed.host_id = "i".to_owned();
        assert_eq!(needs_restart(&old, &renamed), Some("host_id"));
    }

    #[test]
    fn an_answer_stands_beside_the_alarms_and_a_refusal_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        let lock = InstanceLock::acquire(&path).unwrap();
        let answer = || answer_in(&std::fs::read_to_string(&path).unwrap());
        let codes = || -> Vec<String> {
            let alarms = crate::alarm::alarms(&path).unwrap();
            alarms.into_iter().map(|alarm| alarm.code).collect()
        };
        assert_eq!(answer(), None);
        lock.raise("left", "words");
        lock.reloaded(Err("line 3"));
        let refused = answer().unwrap();
        assert_eq!(refused.refused.as_deref(), Some("line 3"));
        assert_eq!(codes(), ["left", REFUSED]);
        lock.raise("stalled", "words");
        assert_eq!(answer(), Some(refused), "it outlives other alarms");
        lock.reloaded(Ok(()));
        assert_eq!(answer().unwrap().refused, None);
        assert_eq!(codes(), ["left", "stalled"]);
    }

    #[test]
    fn nobody_to_ask_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.lock");
        assert!(matches!(ask(&path), Err(ReloadError::Read { .. })));
        drop(InstanceLock::acquire(&path).unwrap());
        assert!(matches!(ask(&path), Err(ReloadError::NotRunning { .. })));
    }
}
