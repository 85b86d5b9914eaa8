//! `msp-evidence-agent`: seals incidents that the executor drops. Holds the key, has no network.

use std::process::ExitCode;

use agent::{Action, Arguments};
use clap::Parser as _;
use host::config::{ConfigError, Settings, environment};
use host::instance::AGENT_LOCK;
use zeroizing_alloc::ZeroAlloc;

/// What is freed is wiped first: of a drop nothing stays in memory, nor in a dump of it, once its bundle
/// is sealed without what screening took out.
#[global_allocator]
static MEMORY: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

/// In the journal, in messages, and in the unit's name.
const NAME: &str = "msp-evidence-agent";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.action {
        None => start(&arguments),
        Some(Action::Reload) => reload(&arguments),
        Some(Action::Failed) => {
            host::failure::tell(NAME);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if tracing::dispatcher::has_been_set() {
                tracing::error!(state = "stopped", "{error:#}");
            } else {
                eprintln!("{NAME}: {error:#}");
            }
            ExitCode::from(1)
        }
    }
}

fn read(arguments: &Arguments) -> Result<Settings, ConfigError> {
    Settings::load(&arguments.config, environment())
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = read(arguments)?;
    host::logging::init(&settings.log, NAME)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    agent::run(settings, || read(arguments))
}

/// A configuration that is not valid is refused here, before the service is troubled with it.
fn reload(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = read(arguments)?;
    host::reload::ask(&settings.paths.spool.join(AGENT_LOCK))?;
    Ok(())
}
