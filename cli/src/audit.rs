//! `audit`: everything that a bucket or folder can prove, and what it cannot.

mod print;
mod progress;

use std::path::{Path, PathBuf};

use anyhow::Result;
use audit::list::Period;
use audit::report::Limits;
use audit::{
    Collected, Collecting, ExpectedHost, Judging, Keyring, Ledger, LedgerError, Origin, Progress,
    Source, Verdict,
};
use clap::Args;
use host::exit::ExitCode;
use jiff::SignedDuration;
use tokio::sync::watch;

use crate::output::Misuse;
use crate::source::{SourceOptions, TrustOptions};

#[derive(Args)]
pub(crate) struct AuditOptions {
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) trust: TrustOptions,
    /// Only this client, who must have evidence.
    #[arg(long, value_name = "CLIENT")]
    pub(crate) client: Option<String>,
    /// This host must have evidence; with --client, only the hosts that are named are looked at. Can be
    /// repeated.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// Custody must reach back to this time: 2026-10, 2026-10-01 or 2026-10-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Period>,
    /// Custody must reach up to the end of this time; without it, what comes after the newest custody is
    /// the open tail.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Period>,
    /// Locks must last so many days from when the store received the object, or as long as the signed
    /// plan says if that is longer.
    #[arg(long, value_name = "DAYS", default_value_t = 2192)]
    pub(crate) min_retention_days: u32,
    /// How often the hosts make custody bundles, in minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub(crate) custody_interval_mins: u32,
    /// How much later a custody bundle may come, in minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    pub(crate) custody_tolerance_mins: u32,
    /// How far a host's clock may be from the store's, and go back, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) clock_tolerance_secs: u32,
    /// Name as late what the store received so many hours after it was sealed.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub(crate) max_delay_hours: u32,
    /// Keep the working file here. After an interruption the same command goes on with it; report reads
    /// it.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Write a report here, too: report.html, report.json and CSV files.
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// So many objects are read at once.
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Believe the store's SHA-256 of an artifact, where it has one, instead of reading the artifact.
    #[arg(long)]
    pub(crate) trust_store_checksums: bool,
    /// Print every finding, not only the first of each check.
    #[arg(long)]
    pub(crate) all: bool,
    /// As JSON, with every finding.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(options: &AuditOptions, config: &Path) -> Result<ExitCode> {
    let mut keyring = options.trust.keyring()?;
    if let (Some(client), [host]) = (&options.client, options.hosts.as_slice()) {
        // Who names one key and one host says whose it is.
        keyring = keyring.bound_to(client, host);
    }
    let folders = folders(options)?;
    // Reading waits for a store or a disk. Every thread more is a heap of its own (glibc's arenas), and
    // what is freed in one serves no other: many of them take twice the memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()?;
    let source = runtime.block_on(options.source.open(config))?;
    let judging = judging(options, &source);
    let origin = Origin {
        source: source.uri(),
        keyring: keyring.sha256().to_string(),
        scope: folders.join(" "),
    };
    let ledger = match Ledger::open(options.state.as_deref(), &origin) {
        Err(error @ (LedgerError::Other { .. } | LedgerError::Foreign(_))) => {
            return Err(Misuse(error.to_string()).into());
        }
        other => other?,
    };
    let collecting = Collecting {
        folders: folders.clone(),
        jobs: options.jobs.into(),
        trust_checksums: options.trust_store_checksums,
    };
    let (collected, has_asked) =
        runtime.block_on(collect(&ledger, source, &keyring, &collecting))?;
    if collected == Collected::Interrupted {
        match &options.state {
            Some(file) => eprintln!(
                "interrupted; the same command goes on from there: --state {}",
                file.display()
            ),
            None => eprintln!(
                "interrupted; with --state FILE an interrupted audit can go on where it was"
            ),
        }
        return Ok(ExitCode::CouldNotCheck);
    }
    if let (Some(file), false) = (&options.state, has_asked) {
        eprintln!(
            "{} was whole: judged again as it was listed then, nothing was asked anew",
            file.display()
        );
    }
    let verdict = audit::judge(&ledger, &keyring, &judging)?;
    if options.json {
        print::json(&ledger, verdict)?;
    } else {
        print::text(&ledger, verdict, options.all)?;
    }
    if let Some(folder) = &options.report {
        crate::report::write(&ledger, folder, Limits::default())?;
    }
    Ok(code(verdict))
}

/// One failure is 2; what could not be checked keeps from 0.
const fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Passed => ExitCode::Ok,
        Verdict::Failed => ExitCode::EvidenceBad,
        Verdict::CouldNotCheck | Verdict::NotApplicable => ExitCode::CouldNotCheck,
    }
}

/// How it ended, and whether anything was listed or read.
async fn collect(
    ledger: &Ledger,
    source: Source,
    keyring: &Keyring,
    collecting: &Collecting,
) -> Result<(Collected, bool)> {
    let (told, stop) = watch::channel(false);
    let ask_to_stop = tokio::spawn(async move {
        // Without the signal nobody can ask, and the audit runs to its end.
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = told.send(true);
        }
        told.closed().await;
    });
    let mut shown = progress::Shown::new();
    let mut has_asked = false;
    let collected = audit::collect(ledger, source, keyring, collecting, stop, |progress| {
        has_asked = true;
        shown.show(progress);
    })
    .await;
    ask_to_stop.abort();
    shown.show(Progress::Judging);
    Ok((collected?, has_asked))
}

/// The folders that are looked at: all, a client's, or some hosts'.
fn folders(options: &AuditOptions) -> Result<Vec<String>> {
    for name in options.client.iter().chain(&options.hosts) {
        if !evidence::handover::is_safe_name(name) {
            return Err(Misuse(format!("{name:?} is no name of a client or host")).into());
        }
    }
    let Some(client) = &options.client else {
        return Ok(vec![String::new()]);
    };
    if options.hosts.is_empty() {
        return Ok(vec![format!("{client}/")]);
    }
    let mut folders: Vec<String> = options
        .hosts
        .iter()
        .map(|host| format!("{client}/{host}/"))
        .collect();
    folders.sort();
    folders.dedup();
    Ok(folders)
}

fn judging(options: &AuditOptions, source: &Source) -> Judging {
    let expected = if options.hosts.is_empty() {
        options
            .client
            .iter()
            .map(|client| ExpectedHost {
                client_id: Some(client.clone()),
                host_id: None,
            })
            .collect()
    } else {
        options
            .hosts
            .iter()
            .map(|host| ExpectedHost {
                client_id: options.client.clone(),
                host_id: Some(host.clone()),
            })
            .collect()
    };
    Judging {
        has_store_metadata: source.has_store_metadata(),
        bucket_uri: source.has_store_metadata().then(|| source.uri()),
        expected,
        from: options.from.map(|period| period.start),
        to: options.to.map(|period| period.end),
        min_retention_days: options.min_retention_days,
        custody_interval: SignedDuration::from_mins(options.custody_interval_mins.into()),
        custody_tolerance: SignedDuration::from_mins(options.custody_tolerance_mins.into()),
        clock_tolerance: SignedDuration::from_secs(options.clock_tolerance_secs.into()),
        max_delay: SignedDuration::from_hours(options.max_delay_hours.into()),
    }
}
