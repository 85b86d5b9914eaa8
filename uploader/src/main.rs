//! `msp-evidence-uploader`: the daemon that stores sealed evidence at every destination and
//! proves that it is locked there.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use destination::{S3Destination, S3Options};
use host::config::{self, ConfigError, Settings};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use uploader::Arguments;
use uploader::daemon::{Configured, DaemonError, Ended, Places, run};
use uploader::policy::Policy;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // --help and --version come this way too. A closed stdout is nobody's fault.
            let _ = error.print();
            let code = if error.use_stderr() {
                host::exit::ExitCode::Usage
            } else {
                host::exit::ExitCode::Ok
            };
            return code.into();
        }
    };
    let (settings, stores) = match load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("msp-evidence-uploader: {:#}", anyhow::Error::from(error));
            return host::exit::ExitCode::Usage.into();
        }
    };
    if let Err(error) = host::logging::init(&settings.log, "msp-evidence-uploader") {
        eprintln!("msp-evidence-uploader: {:#}", anyhow::Error::from(error));
        return host::exit::ExitCode::Usage.into();
    }
    match serve(&arguments, settings, stores) {
        Ok(()) => host::exit::ExitCode::Ok.into(),
        Err(error) => {
            tracing::error!("{error:#}");
            exit_code(&error).into()
        }
    }
}

/// Another instance is the operator's to resolve; everything else could not be done now.
fn exit_code(error: &anyhow::Error) -> host::exit::ExitCode {
    match error.downcast_ref() {
        Some(DaemonError::Instance(_)) => host::exit::ExitCode::Usage,
        _ => host::exit::ExitCode::CouldNotCheck,
    }
}

/// The configuration, and what it refers to.
fn load(path: &Path) -> Result<(Settings, Vec<S3Options>), ConfigError> {
    let settings = Settings::load(path, config::environment())?;
    let stores: Result<_, _> = settings
        .destinations
        .iter()
        .map(|destination| uploader::store_options(destination, &settings))
        .collect();
    stores.map(|stores| (settings, stores))
}

fn serve(
    arguments: &Arguments,
    mut settings: Settings,
    mut stores: Vec<S3Options>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let started_at = Timestamp::now();
        loop {
            let before = stores.clone();
            for warning in &settings.warnings {
                tracing::warn!("{warning}");
            }
            let mut destinations = Vec::with_capacity(settings.destinations.len());
            for (destination, options) in settings.destinations.iter().zip(stores) {
                let store = S3Destination::connect(options).await;
                destinations.push(Configured::new(destination, store));
            }
            let policy = Policy::from_settings(&settings.uploader);
            let mut reload = false;
            let stop = async { reload = signals.next_is_reload().await };
            let ended = run(
                &Places::from_settings(&settings, started_at),
                policy,
                destinations,
                stop,
            )
            .await?;
            if ended == Ended::Stopped && !reload {
                return Ok(());
            }
            stores = match load(&arguments.config) {
                Ok((new, options)) => {
                    settings = new;
                    options
                }
                Err(error) => {
                    tracing::error!(
                        "the configuration was not read again, the one before stays: {:#}",
                        anyhow::Error::from(error)
                    );
                    before
                }
            };
        }
    })
}

/// The signals that end a run.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be handled");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; whether it asks to read the configuration again.
    async fn next_is_reload(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hangup.recv() => true,
        }
    }
}
