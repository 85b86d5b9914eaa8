//! `msp-evidence`: the command for MSP engineers and auditors.
//!
//! A library, so that the man pages and completions are made from the very command line that is
//! shipped, without weighing on the program.

mod arguments;
mod asking;
mod audit;
mod blocked;
mod bucket;
mod bucket_policy;
mod config;
mod conformance;
mod create;
mod credential;
mod destination;
mod doctor;
mod fsck;
mod hold;
mod keys;
mod list;
mod output;
mod publish_keys;
mod pull;
mod quarantine;
mod report;
mod reseal;
mod rotate_key;
mod screening;
mod screening_key;
mod selection;
mod setup;
mod show;
mod source;
mod status;
mod submit;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use arguments::{Arguments, Command};
use evidence::record::Action;

/// The command line of `msp-evidence`.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with the arguments of this process; returns its exit status.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Not being told which streams are closed is no reason to fail.
            let _ = error.print();
            // Help and version are answers; anything else is wrong usage, which is 1 here.
            return if error.use_stderr() {
                host::exit::ExitCode::Usage
            } else {
                host::exit::ExitCode::Ok
            }
            .into();
        }
    };
    match run(&arguments) {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("msp-evidence: {error:#}");
            output::code_of(&error).into()
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<host::exit::ExitCode> {
    let config = &arguments.config;
    match &arguments.command {
        Command::Setup(options) => setup::run(options, config),
        Command::Keys(command) => keys::run(command, config),
        Command::Submit(options) => submit::run(options, config),
        Command::Screen(options) => screening::run(options, config),
        Command::Status(options) => status::run(options, config),
        Command::Show(options) => show::run(options, config),
        Command::Verify(options) => verify::run(options),
        Command::List(options) => list::run(options, config),
        Command::Hold(options) => hold::run(options, Action::Hold, config),
        Command::ReleaseHold(options) => hold::run(options, Action::ReleaseHold, config),
        Command::Extend(options) => hold::extend(options, config),
        Command::Pull(options) => pull::run(options, config),
        Command::Bucket(command) => bucket::run(command, config),
        Command::Destination(command) => destination::run(command, config),
        Command::Reseal(options) => reseal::run(options, config),
        Command::Blocked(command) => blocked::run(command, config),
        Command::Quarantine(command) => quarantine::run(command, config),
        Command::Config(command) => config::run(command, config),
        Command::Doctor(options) => doctor::run(options, config),
        Command::Fsck(options) => fsck::run(options, config),
        Command::Audit(options) => audit::run(options, config),
        Command::Report(options) => report::run(options),
    }
}
