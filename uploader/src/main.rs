//! `msp-evidence-uploader`: the daemon that stores sealed evidence at every destination and
//! proves that it is locked there.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use destination::{S3Destination, S3Options};
use host::config::{self, ConfigError, Settings};
use host::instance::{InstanceLock, UPLOADER_LOCK};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use uploader::daemon::{Configured, DaemonError, Ended, Places, run_under};
use uploader::policy::Policy;
use uploader::{Action, Arguments};

/// In the journal, in messages, and in the unit's name.
const NAME: &str = "msp-evidence-uploader";

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
    match arguments.action {
        None => start(&arguments),
        Some(Action::Reload) => reload(&arguments),
        Some(Action::Failed) => {
            host::failure::tell(NAME);
            host::exit::ExitCode::Ok
        }
    }
    .into()
}

fn start(arguments: &Arguments) -> host::exit::ExitCode {
    let loaded = load(&arguments.config).map_err(anyhow::Error::from);
    let logging = loaded.and_then(|loaded| {
        host::logging::init(&loaded.0.log, NAME)?;
        Ok(loaded)
    });
    let (settings, stores) = match logging {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{NAME}: {error:#}");
            return host::exit::ExitCode::Usage;
        }
    };
    match serve(arguments, settings, stores) {
        Ok(()) => host::exit::ExitCode::Ok,
        Err(error) => {
            tracing::error!("{error:#}");
            exit_code(&error)
        }
    }
}

/// A configuration that is not valid is refused here, before the service is troubled with it. What it
/// refers to only the service looks at: systemd hands credentials to nobody else.
fn reload(arguments: &Arguments) -> host::exit::ExitCode {
    let asked = Settings::load(&arguments.config, config::environment())
        .map_err(anyhow::Error::from)
        .and_then(|settings| {
            let lock = settings.paths.delivery.join(UPLOADER_LOCK);
            Ok(host::reload::ask(&lock)?)
        });
    match asked {
        Ok(()) => host::exit::ExitCode::Ok,
        Err(error) => {
            eprintln!("{NAME}: {error:#}");
            host::exit::ExitCode::Usage
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
    uploader::credentials_are_closed(&settings)?;
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
        let lock = settings.paths.delivery.join(UPLOADER_LOCK);
        let instance = Arc::new(InstanceLock::acquire(&lock).map_err(DaemonError::Instance)?);
        loop {
            for warning in &settings.warnings {
                tracing::warn!("{warning}");
            }
            let mut destinations = Vec::with_capacity(settings.destinations.len());
            for (destination, options) in settings.destinations.iter().zip(stores.clone()) {
                let store = S3Destination::connect(options).await;
                destinations.push(Configured::new(destination, store));
            }
            let policy = Policy::from_settings(&settings.uploader);
            let mut next = None;
            let stop = async { next = asked(&mut signals, arguments, &settings, &instance).await };
            let places = Places::from_settings(&settings, started_at);
            let ended = run_under(&instance, &places, policy, destinations, stop).await?;
            match next {
                None if ended == Ended::Stopped => return Ok(()),
                // It ended by itself, and is begun again as it was.
                None => {}
                Some((new, options)) => {
                    tracing::info!(state = "reloaded", "the configuration was read again");
                    settings = new;
                    stores = options;
                    instance.reloaded(Ok(()));
                }
            }
        }
    })
}

/// Waits until the service is to stop, or to go on with another configuration: one that cannot serve is
/// refused, and nothing that is in flight is troubled by it.
async fn asked(
    signals: &mut Signals,
    arguments: &Arguments,
    settings: &Settings,
    instance: &InstanceLock,
) -> Option<(Settings, Vec<S3Options>)> {
    while signals.next_is_reload().await {
        host::notify::reloading();
        let loaded =
            load(&arguments.config).map_err(|error| format!("{:#}", anyhow::Error::from(error)));
        let why = match loaded {
            Ok(loaded) => match host::reload::needs_restart(settings, &loaded.0) {
                None => return Some(loaded),
                Some(what) => {
                    format!("{what} cannot change while the service runs: restart it")
                }
            },
            Err(why) => why,
        };
        tracing::error!(
            state = "reload_refused",
            "the configuration was not read again, the one before is in use: {why}"
        );
        instance.reloaded(Err(&why));
        host::notify::ready();
    }
    // Here, since only this end of a run is the service's: told while it reloads, systemd would wait for
    // its end for ever.
    host::notify::stopping();
    None
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
