//! `/etc/msp/evidence.toml`, parsed and validated.
//!
//! Text becomes a raw [`file::ConfigFile`] that refuses unknown keys, the environment is laid over
//! it, and only then is it checked as a whole and turned into [`Settings`]. Nothing outside this
//! module sees a setting that was not validated.

mod environment;
mod error;
mod file;
mod places;
mod settings;
#[cfg(test)]
mod tests;
mod validate;

use std::ffi::OsString;
use std::path::Path;

pub use environment::{CONFIG_PATH_VARIABLE, PREFIX as ENVIRONMENT_PREFIX};
pub use error::ConfigError;
pub use settings::{
    AgentSettings, DestinationSettings, DropSettings, LogFormat, LogSettings, OnSealed, Paths,
    Settings, Signing, UploaderSettings,
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
    /// Reads, parses and validates the file, with the environment laid over it.
    ///
    /// `env` is usually [`environment`]; variables without our prefix are ignored.
    ///
    /// # Errors
    /// When the file cannot be read, or anything in it or in the environment is not valid.
    pub fn load(
        path: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        use std::io::Read as _;
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(FILE_MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        // Half a file would be settings that nobody wrote.
        if text.len() as u64 > FILE_MAX_BYTES {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
        }
        Self::parse(&text, path, env)
    }

    /// Parses and validates text; `source` names it in messages.
    ///
    /// # Errors
    /// When anything in it or in the environment is not valid.
    pub fn parse(
        text: &str,
        source: &Path,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut file = file::ConfigFile::parse(text, source)?;
        let env: Vec<(String, String)> = env.collect();
        let not_followed = environment::not_followed(&env);
        let origins = environment::apply(&mut file, env.into_iter())?;
        let mut settings = validate::settings(file, &places::Places::new(source, origins))?;
        settings.warnings.extend(not_followed);
        Ok(settings)
    }
}

/// This process's environment, without what is not UTF-8 (no setting of ours is).
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |os: OsString| os.into_string().ok();
    std::env::vars_os().filter_map(move |(name, value)| Some((text(name)?, text(value)?)))
}
