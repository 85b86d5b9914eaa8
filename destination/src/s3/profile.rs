//! Credentials from a profile in the AWS configuration files.
//!
//! The SDK's own provider reads the files once and for all, and waits for a `credential_process`
//! without end. This one has the SDK read them anew whenever credentials are asked for (again),
//! unless they are the same files and what they gave has no end; and it runs each
//! `credential_process` under coreutils' `timeout`, which ends the whole process group, also when
//! nobody waits for it any more. The command reaches the SDK by one more file laid over the
//! others, so that everything else about profiles stays the SDK's.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::ProfileSet;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_runtime::env_config::file::{Builder, EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider};

use super::connection::S3Options;

/// One profile, read again when its files change.
#[derive(Debug)]
pub(super) struct ProfileSource {
    name: Option<String>,
    file: Option<PathBuf>,
    process_limit: Duration,
    config: ProviderConfig,
    /// What `credential_source` may name, besides the environment.
    named: [(&'static str, SharedCredentialsProvider); 2],
    last: Mutex<Option<(Vec<Stamp>, Credentials)>>,
}

/// What changes when a file is written or replaced: modification time, size, inode.
type Stamp = Option<(i64, i64, u64, u64)>;

impl ProfileSource {
    pub(super) fn new(
        options: &S3Options,
        config: ProviderConfig,
        named: [(&'static str, SharedCredentialsProvider); 2],
    ) -> Self {
        Self {
            name: options.profile.clone(),
            file: options.credentials_file.clone(),
            process_limit: options.credential_process_timeout,
            config,
            named,
            last: Mutex::default(),
        }
    }

    async fn load(&self) -> Result<Credentials, CredentialsError> {
        // Before they are read: a change in between is then seen the next time.
        let stamps: Vec<Stamp> = self.paths().iter().map(stamp).collect();
        if let Some(same) = self.unchanged(&stamps) {
            return Ok(same);
        }
        let began = Instant::now();
        let credentials = self.read().await.map_err(|error| {
            let is_absent = matches!(error, CredentialsError::CredentialsNotLoaded(_));
            if is_absent || began.elapsed() < self.process_limit {
                return error;
            }
            CredentialsError::provider_error(format!(
                "no answer within {} s, which is as long as a credential_process may take",
                self.process_limit.as_secs()
            ))
        })?;
        let kept = (stamps, credentials.clone());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(credentials)
    }

    /// The same files, and credentials without an end: a static key, or those of a process that
    /// gives no `Expiration`, which AWS's tools do not run again either.
    fn unchanged(&self, stamps: &[Stamp]) -> Option<Credentials> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, credentials) = last.as_ref()?;
        (before == stamps && credentials.expiry().is_none()).then(|| credentials.clone())
    }

    async fn read(&self) -> Result<Credentials, CredentialsError> {
        let mut files = self.files();
        let name = self.name.clone().map(Cow::Owned);
        let profiles = aws_config::profile::load(
            &Default::default(),
            &Default::default(),
            &self.files().build(),
            name,
        )
        .await;
        // What is wrong with the files, the provider says below.
        if let Ok(profiles) = profiles {
            files = files.with_contents(
                EnvConfigFileKind::Credentials,
                bounded(&profiles, self.process_limit),
            );
        }
        let mut provider = ProfileFileCredentialsProvider::builder()
            .configure(&self.config)
            .profile_files(files.build());
        if let Some(name) = &self.name {
            provider = provider.profile_name(name);
        }
        for (name, source) in &self.named {
            provider = provider.with_custom_provider(*name, source.clone());
        }
        provider.build().provide_credentials().await
    }

    fn files(&self) -> Builder {
        match &self.file {
            Some(file) => EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, file),
            None => EnvConfigFiles::builder()
                .include_default_config_file(true)
                .include_default_credentials_file(true),
        }
    }

    /// The files that [`ProfileSource::files`] names (AWS SDKs and Tools Reference Guide,
    /// "Location of the shared config and credentials files").
    fn paths(&self) -> Vec<PathBuf> {
        if let Some(file) = &self.file {
            return vec![file.clone()];
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        [
            ("AWS_CONFIG_FILE", "~/.aws/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ]
        .into_iter()
        .map(|(variable, usual)| {
            let path = std::env::var_os(variable).map_or_else(|| usual.into(), PathBuf::from);
            match (path.strip_prefix("~"), &home) {
                (Ok(below), Some(home)) => home.join(below),
                _ => path,
            }
        })
        .collect()
    }
}

impl fmt::Display for ProfileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "profile {name}")?,
            None => f.write_str("default profile")?,
        }
        match &self.file {
            Some(file) => write!(f, " in {}", file.display()),
            None => Ok(()),
        }
    }
}

impl ProvideCredentials for ProfileSource {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}

/// Every `credential_process` again, under a time limit. KILL at once: after TERM, `timeout` ends with the
/// first that obeys, and what ignored it in the group would stay.
fn bounded(profiles: &ProfileSet, limit: Duration) -> String {
    let mut text = String::new();
    for name in profiles.profiles() {
        let Some(command) = profiles
            .get_profile(name)
            .and_then(|profile| profile.get("credential_process"))
        else {
            continue;
        };
        // What goes on in a further line is indented in these files.
        let quoted = command.replace('\'', r"'\''").replace('\n', "\n ");
        text.push_str(&format!(
            "[{name}]\ncredential_process = timeout -s KILL {} sh -c '{quoted}'\n",
            limit.as_secs_f32()
        ));
    }
    text
}
