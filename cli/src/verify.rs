//! `verify`: what an auditor runs, offline, with a key of their own.

use anyhow::Result;
use audit::{Checked, Outcome, VerifyTally as Tally};
use host::exit::ExitCode;
use serde::Serialize;

use crate::arguments::VerifyOptions;
use crate::keys::read_public;
use crate::output::{self, plain};

/// The documented form of `verify --json`.
#[derive(Serialize)]
struct Report {
    key_id: String,
    #[serde(flatten)]
    tally: Tally,
    bundles: Vec<Checked>,
}

pub(crate) fn run(options: &VerifyOptions) -> Result<ExitCode> {
    let key = read_public(&options.key)?;
    let mut bundles = Vec::new();
    let tally = audit::verify(&options.paths, &key, |checked| {
        if options.json {
            bundles.push(checked.clone());
        } else {
            print(checked, options.quiet);
        }
    });
    if options.json {
        output::json(&Report {
            key_id: key.key_id(),
            tally,
            bundles,
        })?;
    } else {
        println!(
            "{} verified, {} bad, {} could not be checked, with key {}",
            tally.verified,
            tally.bad,
            tally.could_not_check,
            key.key_id()
        );
    }
    Ok(code(&tally))
}

/// Bad evidence outweighs what could not be checked; nothing at all is not good.
fn code(tally: &Tally) -> ExitCode {
    if tally.bad > 0 {
        ExitCode::EvidenceBad
    } else if tally.could_not_check > 0 || tally.verified == 0 {
        ExitCode::CouldNotCheck
    } else {
        ExitCode::Ok
    }
}

fn print(checked: &Checked, quiet: bool) {
    let file = plain(&checked.file.display().to_string());
    match &checked.outcome {
        Outcome::Verified { .. } if quiet => {}
        Outcome::Verified {
            sequence,
            artifacts: 0,
            ..
        } => println!("verified         {file}  ({sequence})"),
        Outcome::Verified {
            sequence,
            artifacts,
            ..
        } => println!("verified         {file}  ({sequence}, {artifacts} artifacts)"),
        Outcome::Bad(reason) => println!("BAD              {file}: {}", plain(&reason.reason)),
        Outcome::CouldNotCheck(reason) => {
            println!("could not check  {file}: {}", plain(&reason.reason));
        }
    }
}
