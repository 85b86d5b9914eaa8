//! Logging: journald's own protocol under systemd, one line for people or JSON elsewhere.
//!
//! Fields are fixed, so that one query finds the whole way of an incident: `incident`, `bundle`,
//! `destination`, `state`, `attempt` (in the journal `MSP_INCIDENT=` and so on), and `drop`,
//! `path`, `error` where they apply. One info line per change of state. Never a secret, never
//! evidence content.
//!
//! A line that cannot be written, since the log's own disk is full, is lost and nothing else is: the
//! layers must not report that to stderr, which is the very place, and where a failed print panics.

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogFormat, LogSettings};

/// The prefix of our fields in the journal, which keeps them apart from journald's own.
pub const JOURNAL_PREFIX: &str = "MSP";

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `log.filter` does not parse; [`crate::config`] refuses it earlier.
    #[error("log.filter is not a tracing filter such as `info` or `info,agent=debug`")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// journald was asked for by name and is not there.
    #[error("log.format is `journald` and journald does not answer; use `human` or `json`")]
    Journald(#[source] io::Error),
    /// Somebody installed a subscriber before.
    #[error("logging was started twice")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging for this process; `program` is the identifier in the journal.
///
/// # Errors
/// When the filter does not parse, journald is asked for and absent, or logging runs already.
pub fn init(settings: &LogSettings, program: &str) -> Result<(), LoggingError> {
    let filter =
        EnvFilter::try_new(&settings.filter).map_err(|error| LoggingError::Filter(error.into()))?;
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(layer(settings, program)?);
    registry
        .try_init()
        .map_err(|error| LoggingError::Twice(error.into()))
}

/// Whether a tracing filter parses.
#[must_use]
pub fn is_filter(text: &str) -> bool {
    !text.trim().is_empty() && EnvFilter::try_new(text).is_ok()
}

type AnyLayer = Box<dyn Layer<Layered> + Send + Sync>;
type Layered = tracing_subscriber::layer::Layered<EnvFilter, Registry>;

fn layer(settings: &LogSettings, program: &str) -> Result<AnyLayer, LoggingError> {
    match settings.format {
        LogFormat::Journald => journald(program).map_err(LoggingError::Journald),
        // systemd connected stderr to the journal: the native protocol keeps the fields. Should
        // its socket be closed to us, lines on stderr reach the journal all the same.
        LogFormat::Auto if stderr_is_the_journal() => {
            Ok(journald(program).unwrap_or_else(|_| human()))
        }
        LogFormat::Auto | LogFormat::Human => Ok(human()),
        LogFormat::Json => Ok(tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .log_internal_errors(false)
            .with_writer(io::stderr)
            .boxed()),
    }
}

fn journald(program: &str) -> io::Result<AnyLayer> {
    let layer = tracing_journald::layer()?
        .with_field_prefix(Some(JOURNAL_PREFIX.to_owned()))
        .with_syslog_identifier(program.to_owned());
    Ok(layer.boxed())
}

fn human() -> AnyLayer {
    tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .boxed()
}

/// `JOURNAL_STREAM` holds device and inode of the stream that systemd connected (systemd.exec(5));
/// compared with stderr itself, since a child may have inherited the variable alone.
fn stderr_is_the_journal() -> bool {
    let Ok(announced) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stat) = nix::sys::stat::fstat(io::stderr()) else {
        return false;
    };
    announced == format!("{}:{}", stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_recognised() {
        for good in [
            "info",
            "debug",
            "info,agent=debug",
            "warn,uploader::delivery=trace",
        ] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "  ", "agent=loud", "info,[="] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}
