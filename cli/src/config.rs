//! `config check`, `config show`: what the daemons would read, and what is wrong with it.

use std::path::Path;

use anyhow::Result;
use host::config::{ConfigError, Setting, Settings, drop_in_folder, environment};
use host::exit::ExitCode;
use serde::Serialize;
use serde_json::Value;

use crate::arguments::{ConfigCheckOptions, ConfigCommand, ConfigShowOptions};
use crate::output::{self, plain};

pub(crate) fn run(command: &ConfigCommand, config: &Path) -> Result<ExitCode> {
    match command {
        ConfigCommand::Check(options) => check(options, config),
        ConfigCommand::Show(options) => show(options, config),
    }
}

/// What is wrong and what should be known, each in one line.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// The files that were read, in the order in which they count.
    pub(crate) files: Vec<String>,
    /// Neither daemon starts with these.
    pub(crate) problems: Vec<String>,
    /// Correcting the problems may bring up more.
    pub(crate) more_may_follow: bool,
    /// They start, and say so.
    pub(crate) warnings: Vec<String>,
}

/// Reads as the daemons do. Also tells what only the uploader's start would: a `ca_file` that
/// cannot serve.
pub(crate) fn look(config: &Path) -> (Option<Settings>, Checked) {
    match Settings::load(config, environment()) {
        Ok(settings) => {
            let checked = Checked {
                files: names(settings.origins.files()),
                problems: settings
                    .destinations
                    .iter()
                    .filter_map(|d| uploader::store_options(d, &settings).err())
                    .map(told)
                    .chain(
                        agent::screen_of(&settings.screening)
                            .err()
                            .map(|error| format!("[screening]: {:#}", anyhow::Error::from(error))),
                    )
                    .collect(),
                more_may_follow: false,
                warnings: settings.warnings.clone(),
            };
            (Some(settings), checked)
        }
        Err(error) => {
            let checked = Checked {
                files: vec![config.display().to_string()],
                more_may_follow: error.hides_others(),
                problems: match error {
                    ConfigError::Several(problems) => problems.into_iter().map(told).collect(),
                    one => vec![told(one)],
                },
                warnings: Vec::new(),
            };
            (None, checked)
        }
    }
}

fn names(files: &[std::path::PathBuf]) -> Vec<String> {
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect()
}

/// With its cause.
fn told(error: ConfigError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

fn check(options: &ConfigCheckOptions, config: &Path) -> Result<ExitCode> {
    let config = options.file.as_deref().unwrap_or(config);
    let (_, checked) = look(config);
    if options.json {
        output::json(&checked)?;
    } else {
        for problem in &checked.problems {
            println!("problem  {}", plain(problem));
        }
        if checked.more_may_follow {
            println!("note     the values are judged once every file can be read as TOML");
        }
        for warning in &checked.warnings {
            println!("warning  {}", plain(warning));
        }
        if checked.problems.is_empty() {
            println!("ok       {}", checked.files.join(", "));
        }
    }
    Ok(if checked.problems.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Usage
    })
}

/// The documented form of `config show --json`.
#[derive(Serialize)]
struct Shown {
    /// In the order in which they count, the last one the most.
    files: Vec<String>,
    settings: Vec<Setting>,
    warnings: Vec<String>,
}

fn show(options: &ConfigShowOptions, config: &Path) -> Result<ExitCode> {
    let settings = output::settings(config)?;
    let shown = Shown {
        files: names(settings.origins.files()),
        settings: settings
            .effective()
            .into_iter()
            .filter(|s| options.effective || s.origin != host::config::Origin::Default)
            .collect(),
        warnings: settings.warnings.clone(),
    };
    if options.json {
        output::json(&shown)?;
        return Ok(ExitCode::Ok);
    }
    println!("# read in this order, the later one wins; then the environment");
    for file in &shown.files {
        println!("#   {file}");
    }
    if shown.files.len() == 1 {
        println!("#   (no drop-in in {})", drop_in_folder(config).display());
    }
    let line = |setting: &Setting| {
        // As TOML writes it; JSON writes text, numbers, truth and lists the same way.
        match &setting.value {
            Value::Null => format!("{} is not set", setting.key),
            value => format!("{} = {value}", setting.key),
        }
    };
    let width = shown
        .settings
        .iter()
        .map(|s| line(s).len())
        .max()
        .unwrap_or(0)
        .min(72);
    for setting in &shown.settings {
        println!("{:<width$}  # {}", plain(&line(setting)), setting.origin);
    }
    for warning in &shown.warnings {
        println!("warning  {}", plain(warning));
    }
    Ok(ExitCode::Ok)
}
