//! `pull`: selected evidence in a folder that stands by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use audit::pull::{PullError, Pulled, Sample, Step};
use clap::Args;
use host::exit::ExitCode;

use crate::list::{self, Line};
use crate::output::{Misuse, plain};
use crate::selection::SelectionOptions;
use crate::source::{SourceOptions, TrustOptions};

#[derive(Args)]
pub(crate) struct PullOptions {
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) trust: TrustOptions,
    #[command(flatten)]
    pub(crate) selection: SelectionOptions,
    /// The folder to pull into: a new or empty one, or one in which the same was being pulled.
    #[arg(long, value_name = "FOLDER", help_heading = "Pulling")]
    pub(crate) out: PathBuf,
    /// Pull only so many of what is asked for, drawn at random by --seed.
    #[arg(long, value_name = "N", requires = "seed", help_heading = "Pulling")]
    pub(crate) sample: Option<usize>,
    /// A number of your own; whoever gives the same draws the same from the same evidence.
    #[arg(
        long,
        value_name = "SEED",
        requires = "sample",
        help_heading = "Pulling"
    )]
    pub(crate) seed: Option<u64>,
}

pub(crate) fn run(options: &PullOptions, config: &Path) -> Result<ExitCode> {
    let selection = options.selection.selection()?;
    let keyring = options.selection.bind(options.trust.keyring()?);
    let sample = options
        .sample
        .zip(options.seed)
        .map(|(size, seed)| Sample { size, seed });
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            let source = Arc::new(options.source.open(config).await?);
            let mut line = Line::default();
            let pulled = audit::pull::pull(
                &source,
                &keyring,
                &selection,
                sample,
                &options.out,
                |step| {
                    line.say(&match step {
                        Step::Finding(step) => list::words(step),
                        Step::Pulled(done, of) => format!("{done} of {of} bundles"),
                    });
                },
            )
            .await;
            line.clear();
            let pulled = pulled.map_err(|error| match error {
                PullError::Taken { .. } => anyhow::Error::from(Misuse(error.to_string())),
                error => error.into(),
            })?;
            list::conclude(&pulled.found, &selection);
            conclude(&pulled, &options.out);
            Ok(list::code(&pulled.found))
        })
}

fn conclude(pulled: &Pulled, out: &Path) {
    println!(
        "{} bundles that were asked for, and {} custody and rotation bundles beside them, are in {} ({} were there before)",
        pulled.asked,
        pulled.beside,
        plain(&out.display().to_string()),
        pulled.were_here,
    );
    println!(
        "check it with the key that you were given: {}/verify.sh YOUR-KEY.pub",
        plain(&out.display().to_string())
    );
}
