//! The page as a file, in a folder that node_exporter's textfile collector reads.
//!
//! Whole or not at all: it is written under another name, which the collector passes over, and
//! renamed. It needs no fsync, since after a power cut it is written anew. Two daemons share the
//! folder, so each has a temporary name of its own, and a left-over of that is its own, too.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::MetricsSettings;

use super::MetricsError;

/// Whoever collects it is another user.
const MODE: u32 = 0o644;

/// Where the file belongs: the configured folder, else the one below `/run` that systemd gives the
/// service (`RuntimeDirectory=`, systemd.exec(5)), which nobody else can write to.
#[must_use]
pub fn folder(settings: &MetricsSettings) -> Option<PathBuf> {
    folder_of(settings, std::env::var_os("RUNTIME_DIRECTORY").as_deref())
}

fn folder_of(settings: &MetricsSettings, given: Option<&OsStr>) -> Option<PathBuf> {
    let configured = settings.textfile_dir.clone();
    // Several folders are separated by colons; ours is the first.
    configured.or_else(|| std::env::split_paths(given?).find(|path| path.is_absolute()))
}

/// A daemon's file, and when it is due again.
#[derive(Debug)]
pub struct Textfile {
    folder: PathBuf,
    name: String,
    every: Duration,
    due_at: Instant,
    /// The fault of the last write, so that the log has it once.
    fault: Option<String>,
}

impl Textfile {
    /// The file of `daemon` (`agent` or `uploader`) in `folder`; due at once.
    #[must_use]
    pub fn new(folder: &Path, daemon: &str, every: Duration) -> Self {
        Self {
            folder: folder.to_owned(),
            name: format!("msp_evidence_{daemon}.prom"),
            every,
            due_at: Instant::now(),
            fault: None,
        }
    }

    /// How long until it is to be written again.
    #[must_use]
    pub fn due_in(&self) -> Duration {
        self.due_at.saturating_duration_since(Instant::now())
    }

    /// Writes what `page` makes, if it is due. What fails is logged once per cause and tried again
    /// when it is next due: monitoring never stops the work.
    pub fn keep(&mut self, page: impl FnOnce(Timestamp) -> Result<String, MetricsError>) {
        if self.due_in().is_zero() {
            self.write(page);
        }
    }

    /// Writes it now.
    pub fn write(&mut self, page: impl FnOnce(Timestamp) -> Result<String, MetricsError>) {
        self.due_at = Instant::now() + self.every;
        let written = page(Timestamp::now())
            .map_err(|error| error.to_string())
            .and_then(|text| self.replace(&text).map_err(|error| error.to_string()));
        match written {
            Ok(()) => self.fault = None,
            Err(fault) if self.fault.as_ref() == Some(&fault) => {}
            Err(fault) => {
                tracing::warn!(
                    path = %self.folder.join(&self.name).display(),
                    error = fault,
                    "the metrics cannot be written; nothing else is affected"
                );
                self.fault = Some(fault);
            }
        }
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{}.tmp", self.name));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Made anew, so that nothing that somebody laid there is followed.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(MODE))?;
        fs::rename(&temporary, self.folder.join(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path) -> Textfile {
        Textfile::new(folder, "agent", Duration::from_secs(3600))
    }

    #[test]
    fn the_file_is_replaced_as_a_whole_and_everybody_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("msp_evidence_agent.prom");
        let mut file = file(folder.path());
        file.write(|_| Ok("a 1\n".to_owned()));
        file.write(|_| Ok("b 2\n".to_owned()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "b 2\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_configured_folder_comes_before_the_one_of_the_service() {
        let settings = |dir: Option<&str>| MetricsSettings {
            textfile_dir: dir.map(PathBuf::from),
            interval_secs: 15,
            listen: None,
        };
        let given = Some(OsStr::new("/run/msp-evidence-agent:/run/other"));
        for (configured, given, folder) in [
            (Some("/metrics"), given, Some("/metrics")),
            (None, given, Some("/run/msp-evidence-agent")),
            (None, Some(OsStr::new("")), None),
            (None, None, None),
        ] {
            let found = folder_of(&settings(configured), given);
            assert_eq!(found, folder.map(PathBuf::from));
        }
    }

    #[test]
    fn it_is_due_at_once_and_then_after_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = file(folder.path());
        let mut made = 0;
        for _ in 0..3 {
            file.keep(|_| {
                made += 1;
                Ok(String::new())
            });
        }
        assert_eq!(made, 1);
        assert!(file.due_in() > Duration::from_secs(3000));
    }

    #[test]
    fn a_link_that_somebody_laid_there_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let temporary = folder.path().join(".msp_evidence_agent.prom.tmp");
        std::os::unix::fs::symlink(&precious, temporary).unwrap();
        file(folder.path()).write(|_| Ok("a 1\n".to_owned()));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn without_the_folder_the_work_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let mut file = file(&missing);
        file.write(|_| Ok("a 1\n".to_owned()));
        assert!(file.fault.is_some());
        fs::create_dir(&missing).unwrap();
        file.write(|_| Ok("a 1\n".to_owned()));
        assert_eq!(file.fault, None);
    }
}
