//! `/etc/msp/evidence.toml`, its drop-ins and the environment, parsed and validated.
//!
//! Text becomes a raw [`file::ConfigFile`], in which each drop-in and then the environment replace
//! single settings; only then is it checked as a whole and turned into [`Settings`]. Nothing
//! outside this module sees a setting that was not validated. Every problem is collected, so that
//! an operator is told everything at once.

mod drop_ins;
mod effective;
mod environment;
mod error;
mod file;
mod layer;
mod origin;
mod places;
mod settings;
#[cfg(test)]
mod tests;
mod validate;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use layer::Layers;

pub use drop_ins::folder as drop_in_folder;
pub use effective::Setting;
pub use environment::{CONFIG_PATH_VARIABLE, PREFIX as ENVIRONMENT_PREFIX};
pub use error::ConfigError;
pub use origin::{Origin, Origins};
pub use settings::{
    AgentSettings, BinaryArtifacts, DestinationSettings, DropSettings, LogFormat, LogSettings,
    MetricsSettings, NotifySettings, OnSealed, Paths, RetentionSettings, ScreeningAction,
    ScreeningSettings, Settings, Signing, UploaderSettings,
};

/// Where the configuration is, unless `--config` or [`CONFIG_PATH_VARIABLE`] says otherwise.
pub const DEFAULT_PATH: &str = "/etc/msp/evidence.toml";
/// Six years in days, leap days counted: 45 CFR 164.316(b)(2)(i).
pub const SIX_YEARS_DAYS: u32 = 2192;
/// Ten years in days, leap days counted. COMPLIANCE cannot be undone, so more is asked twice.
pub const TEN_YEARS_DAYS: u32 = 3653;
/// The longest retention there is: S3 refuses more than 100 years.
pub const RETENTION_MAX_DAYS: u32 = 36_500;

/// No configuration file is longer.
const FILE_MAX_BYTES: u64 = 1 << 20;

impl Settings {
    /// Reads, parses and validates the file, with its drop-ins and then the environment laid over
    /// it.
    ///
    /// `env` is usually [`environment`]; variables without our prefix are ignored.
    ///
    /// # Errors
    /// When a file cannot be read, or anything in one or in the environment is not valid: all that
    /// is wrong, not the first of it.
    pub fn load(
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new(path);
        match read(path) {
            Ok(text) => layers.lay(&text, path),
            Err(source) => {
                return Err(ConfigError::Unreadable {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        drop_ins::lay(&mut layers, path);
        finish(layers, env)
    }

    /// Parses and validates text; `source` names it in messages. No drop-in is looked for.
    ///
    /// # Errors
    /// When anything in it or in the environment is not valid.
    pub fn parse(
        text: &str,
        source: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new(source);
        layers.lay(text, source);
        finish(layers, env)
    }
}

/// The environment, and the judgement of the whole.
fn finish(
    mut layers: Layers,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Settings, ConfigError> {
    layers.lay_environment(&env.collect::<Vec<_>>());
    let Layers {
        file,
        origins,
        mut problems,
        refused,
        warnings,
    } = layers;
    // What a file that could not be understood says is not known: no value can be judged.
    if problems.iter().any(ConfigError::hides_others) {
        return Err(ConfigError::of(problems).unwrap_or_else(|| ConfigError::Several(Vec::new())));
    }
    let (mut settings, invalid) = validate::settings(file, &origins, &refused);
    problems.extend(invalid);
    if let Some(error) = ConfigError::of(problems) {
        return Err(error);
    }
    settings.warnings.extend(warnings);
    settings.origins = origins;
    Ok(settings)
}

/// A whole file as text.
fn read(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
    // Half a file would be settings that nobody wrote.
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// This process's environment, without what is not UTF-8 (no setting of ours is).
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |os: OsString| os.into_string().ok();
    std::env::vars_os().filter_map(move |(name, value)| Some((text(name)?, text(value)?)))
}
