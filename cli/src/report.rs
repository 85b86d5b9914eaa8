//! `report`: a finished audit, as one HTML file and as JSON and CSV.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use audit::report::{self, LedgerContent, Limits};
use audit::{Ledger, LedgerError};
use clap::Args;
use host::exit::ExitCode;

use crate::output::{Misuse, plain};

/// What the report says that it was made with.
const TOOL: &str = concat!("msp-evidence ", env!("CARGO_PKG_VERSION"));

#[derive(Args)]
pub(crate) struct ReportOptions {
    /// The working file of an audit that came to its end: the one that `audit --state` named.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: PathBuf,
    /// Where to write; made if it is not there. Files of an earlier report are replaced.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// So many bundles, at most, get a section of their own in report.html: if there are more, those
    /// with something wrong and incidents come first. JSON and CSV always have all.
    #[arg(long, value_name = "N", default_value_t = Limits::default().sections,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) sections: u64,
}

pub(crate) fn run(options: &ReportOptions) -> Result<ExitCode> {
    if !options.state.is_file() {
        return Err(Misuse(format!("{} is no file", options.state.display())).into());
    }
    let ledger = match Ledger::reopen(&options.state) {
        Err(error @ LedgerError::Foreign(_)) => return Err(Misuse(error.to_string()).into()),
        other => other?,
    };
    let limits = Limits {
        sections: options.sections,
        ..Limits::default()
    };
    for file in write(&ledger, &options.out, limits)? {
        println!("{}", plain(&file.display().to_string()));
    }
    Ok(ExitCode::Ok)
}

/// Writes the report of a judged ledger, and returns its files.
pub(crate) fn write(ledger: &Ledger, folder: &Path, limits: Limits) -> Result<Vec<PathBuf>> {
    let content = LedgerContent::new(ledger, TOOL)?.ok_or_else(|| {
        Misuse(
            "that audit did not come to its end: run the same audit again, and it goes on"
                .to_owned(),
        )
    })?;
    report::write(&content, folder, limits)
        .with_context(|| format!("the report in {}", folder.display()))
}
