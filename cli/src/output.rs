//! What every command shares: settings, exit codes of errors, JSON.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Result;
use evidence::ijson::is_unsafe_to_show;
use host::config::{ConfigError, Settings, environment};
use host::exit::ExitCode;
use serde::Serialize;

/// A command line that parses but cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// The validated settings.
pub(crate) fn settings(config: &Path) -> Result<Settings> {
    Ok(Settings::load(config, environment())?)
}

/// Wrong usage or configuration is 1; everything else could not be done.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<ConfigError>() || error.is::<Misuse>() {
        ExitCode::Usage
    } else {
        ExitCode::CouldNotCheck
    }
}

/// Prints a value as readable JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Text of others for a terminal: no control characters and none that turn the direction of
/// writing, so that nobody paints over our words.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if is_unsafe_to_show(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Only a person at a terminal can agree in words.
pub(crate) fn agreed() -> Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Misuse("there is no terminal to ask on: agree with --yes".to_owned()).into());
    }
    eprint!("Type yes to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}
