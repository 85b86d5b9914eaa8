//! `pages DIR`: what packages hold that is made from the code: man pages, completions, and which
//! schemas of the databases these programs know.
//!
//! Why a program of its own: it is in no package, so the libraries that write pages weigh on none of
//! the shipped programs, and yet everything comes from the very command lines that are shipped.
//!
//! Below DIR: `man/NAME.SECTION`, `completions/bash/NAME`, `completions/zsh/_NAME`,
//! `completions/fish/NAME.fish`, and `schemas`, lines of `NAME VERSION` that the maintainer scripts
//! are given, so that a package which is older than a host's databases is refused before it is unpacked.

mod man;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _, Parser as _};
use clap_complete::Shell;

/// Writes man pages, completions and the known schemas, all made from the code.
#[derive(clap::Parser)]
#[command(name = "pages", version)]
struct Arguments {
    /// Where to; made when missing.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The commented example configuration, of which evidence.toml(5) is made.
    #[arg(long, value_name = "FILE", default_value = "packaging/evidence.toml")]
    settings: PathBuf,
    /// The day that the man pages bear, such as 2026-11-21.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: String,
}

/// A shipped program.
struct Program {
    command: Command,
    /// The section of its man pages: 1 for everybody's commands, 8 for daemons.
    section: &'static str,
    /// Other pages that a reader may want, in a line.
    see_also: &'static str,
}

fn programs() -> [Program; 3] {
    [
        Program {
            command: cli::command(),
            section: "1",
            see_also: "evidence.toml(5), msp-evidence-agent(8), msp-evidence-uploader(8)",
        },
        Program {
            command: agent::Arguments::command(),
            section: "8",
            see_also: "evidence.toml(5), msp-evidence(1), msp-evidence-uploader(8)",
        },
        Program {
            command: uploader::Arguments::command(),
            section: "8",
            see_also: "evidence.toml(5), msp-evidence(1), msp-evidence-agent(8)",
        },
    ]
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let man = made(&arguments.folder.join("man"))?;
    for program in programs() {
        completions(program.command.clone(), &arguments.folder)?;
        man::write(program, &arguments.date, &man)?;
    }
    let example = fs::read_to_string(&arguments.settings)
        .with_context(|| format!("{} cannot be read", arguments.settings.display()))?;
    let page = settings::page(&example, &arguments.date)?;
    write(&man.join("evidence.toml.5"), page.as_bytes())?;
    let schemas = format!(
        "spool {}\ndelivery {}\n",
        spool::SCHEMA_VERSION,
        uploader::delivery::SCHEMA_VERSION
    );
    write(&arguments.folder.join("schemas"), schemas.as_bytes())
}

/// One file for each shell, under the name by which the shell finds it.
fn completions(mut command: Command, folder: &Path) -> Result<()> {
    let name = command.get_name().to_owned();
    for (shell, place, file) in [
        (Shell::Bash, "bash", name.clone()),
        (Shell::Zsh, "zsh", format!("_{name}")),
        (Shell::Fish, "fish", format!("{name}.fish")),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, &name, &mut text);
        let folder = made(&folder.join("completions").join(place))?;
        write(&folder.join(file), &text)?;
    }
    Ok(())
}

fn made(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder.to_owned())
}

fn write(file: &Path, text: &[u8]) -> Result<()> {
    fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}
