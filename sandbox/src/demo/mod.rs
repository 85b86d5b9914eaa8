//! The demo: every step is done by the real programs, and checked by what they leave behind.

mod attack;
mod executor;
mod layout;
mod processes;
mod progress;
mod proof;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sandbox::{Sandbox, SandboxOptions};

use layout::Layout;
use processes::Daemon;
use progress::Progress;

/// The bucket in the box.
pub(crate) const BUCKET: &str = "clinic-evidence";
/// Nothing in the box takes so long; a stage that does has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was asked for.
pub(crate) struct Options {
    pub(crate) incidents: u32,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) keep_running: bool,
    pub(crate) json: bool,
}

/// Runs the demo; true when all of it held.
pub(crate) async fn run(options: Options) -> Result<bool> {
    let programs = processes::build().await?;
    let layout = Layout::create(options.dir.as_deref())?;
    eprintln!("\nA clinic in a box, in {}", layout.root.display());

    let sandbox = Sandbox::start(SandboxOptions {
        dir: Some(layout.root.join("store")),
        ..SandboxOptions::with_bucket(BUCKET)
    })
    .await?;
    eprintln!(
        "  store      {} (bucket {BUCKET}, Object Lock on)",
        sandbox.endpoint()
    );
    layout.write_config(&sandbox.endpoint(), BUCKET)?;
    let fingerprint = processes::make_keys(&programs, &layout).await?;
    eprintln!("  signing    {fingerprint}");

    let before = proof::Existing::look(&layout)?;
    let mut progress = Progress::default();
    let events = progress.channel();
    let mut agent = Daemon::start(&programs.agent, &layout, None, events.clone()).await?;
    let mut uploader = Daemon::start(
        &programs.uploader,
        &layout,
        Some(sandbox.credentials()),
        events,
    )
    .await?;

    let started = Instant::now();
    eprintln!("\nThe sample executor drops incidents:");
    let dropped = executor::drop_all(&layout, options.incidents)?;
    let arrived = tokio::time::timeout(PATIENCE, progress.until_done(&dropped))
        .await
        .context("not everything arrived in time; see agent.log and uploader.log")
        .and_then(|done| done);
    let elapsed = started.elapsed();
    if let Err(error) = arrived {
        agent.stop().await?;
        uploader.stop().await?;
        return Err(error);
    }

    eprintln!("\nProven again, from the files and the public key alone:");
    let mut proof = proof::Proof::new(&layout, &programs);
    proof.verify_all(&before, &dropped).await?;
    proof.locations_match_the_store(&sandbox, &progress, &dropped)?;
    proof.quarantine_and_duplicates(&before, &dropped).await?;
    proof.attacks_fail(&sandbox, BUCKET).await?;

    proof.summary(&options, &dropped, elapsed, &sandbox.endpoint())?;
    if options.keep_running {
        eprintln!("\nRunning until Ctrl-C. Credentials of the store:");
        let credentials = sandbox.credentials();
        eprintln!("  export AWS_ACCESS_KEY_ID={}", credentials.access_key);
        eprintln!("  export AWS_SECRET_ACCESS_KEY={}", credentials.secret_key);
        tokio::signal::ctrl_c().await?;
    }
    agent.stop().await?;
    uploader.stop().await?;
    sandbox.shutdown().await?;
    Ok(proof.holds())
}
