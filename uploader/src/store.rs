//! From the configuration to a reachable store: the same for the daemon and for `bucket check`.
//!
//! A destination that names no credentials file is given what systemd handed over as the credential
//! `s3-credentials`, if it did; otherwise credentials are found as AWS's tools find them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use destination::{CaBundle, S3Options};
use host::config::{ConfigError, DestinationSettings, Settings};
use host::secret::{self, SecretError};

use crate::upload::verdict::chain;

/// No file of certificate authorities is longer; the system's own is a fifth of it.
const CA_FILE_MAX_BYTES: u64 = 1 << 20;

/// Refuses credentials that are not there, or that others than the uploader can read: what a daemon does
/// before it starts. Where they come from elsewhere (a role of the machine, say) there is nothing to see.
///
/// # Errors
/// With the file and the remedy.
pub fn credentials_are_closed(settings: &Settings) -> Result<(), ConfigError> {
    for destination in &settings.destinations {
        let refuse = |error| no_credentials(destination, settings, error);
        match &destination.credentials_file {
            Some(file) => secret::private_file(file).map_err(refuse)?,
            None => secret::credential_is_closed(
                secret::credentials_directory().as_deref(),
                Path::new(secret::CREDENTIALS_SOURCE),
                secret::S3_CREDENTIAL_NAME,
            )
            .map_err(refuse)?,
        }
    }
    Ok(())
}

fn no_credentials(
    destination: &DestinationSettings,
    settings: &Settings,
    error: SecretError,
) -> ConfigError {
    let key = format!(
        "destination.{}.credentials_file",
        destination.destination_id
    );
    let value = destination.credentials_file.as_ref();
    ConfigError::Value {
        place: settings.origins.place(&key),
        key,
        value: value.map_or_else(|| "(not set)".to_owned(), |file| file.display().to_string()),
        problem: chain(&error),
        remedy: "write an AWS credentials file, owner msp-uploader and mode 0400; or leave this out and \
                 write /etc/msp/credentials/s3-credentials, owner root and mode 0400, and restart"
            .to_owned(),
    }
}

/// How to reach a configured destination. Reads `ca_file`.
///
/// # Errors
/// When `ca_file` cannot be read, or holds no certificate that can be trusted; when systemd handed over
/// credentials that cannot be read.
pub fn store_options(
    destination: &DestinationSettings,
    settings: &Settings,
) -> Result<S3Options, ConfigError> {
    let ca = match &destination.ca_file {
        None => None,
        Some(file) => Some(ca_bundle(file).map_err(|problem| {
            let key = format!("destination.{}.ca_file", destination.destination_id);
            ConfigError::Value {
                place: settings.origins.place(&key),
                key,
                value: file.display().to_string(),
                problem,
                remedy: "name a PEM file with the certificate of the authority that signed the \
                     store's, readable by the uploader's user"
                    .to_owned(),
            }
        })?),
    };
    let credentials_file = match &destination.credentials_file {
        Some(file) => Some(file.clone()),
        None => secret::credential(
            secret::credentials_directory().as_deref(),
            Path::new(secret::CREDENTIALS_SOURCE),
            secret::S3_CREDENTIAL_NAME,
        )
        .map_err(|error| no_credentials(destination, settings, error))?,
    };
    Ok(S3Options {
        prefix: destination.prefix.clone(),
        endpoint: destination.endpoint.clone(),
        path_style: destination.path_style,
        use_dual_stack: destination.use_dual_stack,
        use_fips: destination.use_fips,
        ca,
        sse_kms_key_id: destination.sse_kms_key_id.clone(),
        profile: destination.profile.clone(),
        credentials_file,
        request_timeout: Duration::from_secs(settings.uploader.request_timeout_secs),
        ..S3Options::new(
            &destination.destination_id,
            &destination.bucket,
            &destination.region,
        )
    })
}

pub(crate) fn ca_bundle(file: &Path) -> Result<CaBundle, String> {
    let mut pem = Vec::new();
    let read =
        File::open(file).and_then(|open| open.take(CA_FILE_MAX_BYTES + 1).read_to_end(&mut pem));
    read.map_err(|error| format!("it cannot be read ({error})"))?;
    if pem.len() as u64 > CA_FILE_MAX_BYTES {
        return Err(format!("it is longer than {CA_FILE_MAX_BYTES} bytes"));
    }
    CaBundle::from_pem(&pem).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Settings {
        let text = format!(
            "client_id = \"c\"\n[[destination]]\nid = \"primary\"\nbucket = \"evidence\"\n\
             region = \"us-east-1\"\n{more}"
        );
        Settings::parse(
            &text,
            Path::new("/etc/msp/evidence.toml"),
            std::iter::empty(),
        )
        .unwrap()
    }

    fn options(more: &str) -> Result<S3Options, ConfigError> {
        let settings = settings(more);
        store_options(&settings.destinations[0], &settings)
    }

    #[test]
    fn every_setting_reaches_the_store() {
        let found = options(
            "prefix = \"p/\"\npath_style = true\nuse_fips = true\nuse_dual_stack = true\n\
             sse_kms_key_id = \"alias/evidence\"\nprofile = \"clinic\"\n\
             credentials_file = \"/etc/msp/aws\"\n[uploader]\nrequest_timeout_secs = 7\n",
        )
        .unwrap();
        let wanted = S3Options {
            prefix: "p/".to_owned(),
            path_style: true,
            use_fips: true,
            use_dual_stack: true,
            sse_kms_key_id: Some("alias/evidence".to_owned()),
            profile: Some("clinic".to_owned()),
            credentials_file: Some("/etc/msp/aws".into()),
            request_timeout: Duration::from_secs(7),
            ..S3Options::new("primary", "evidence", "us-east-1")
        };
        assert_eq!(found, wanted);
        let endpoint = options("endpoint = \"https://s3.example.com\"\n").unwrap();
        assert_eq!(endpoint.endpoint.as_deref(), Some("https://s3.example.com"));
    }

    #[test]
    fn credentials_that_are_missing_or_open_to_others_name_the_file_and_what_to_do() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("aws");
        let check = || {
            let more = format!("credentials_file = \"{}\"\n", file.display());
            credentials_are_closed(&settings(&more)).map_err(|error| error.to_string())
        };
        let missing = check().unwrap_err();
        std::fs::write(&file, "[default]").unwrap();
        let mode = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, permissions).unwrap();
        };
        mode(0o440);
        for (error, problem) in [
            (missing, "No such file"),
            (check().unwrap_err(), "can be read by others"),
        ] {
            for part in [
                "/etc/msp/evidence.toml, line 6: destination.primary.credentials_file = ",
                problem,
                "msp-uploader",
                "/etc/msp/credentials/s3-credentials",
            ] {
                assert!(error.contains(part), "no {part:?} in: {error}");
            }
        }
        mode(0o400);
        assert_eq!(check(), Ok(()));
    }

    #[test]
    fn a_ca_file_that_cannot_serve_names_file_key_value_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let error = || {
            let error = options(&format!("ca_file = \"{}\"\n", file.display())).unwrap_err();
            error.to_string()
        };
        let missing = error();
        std::fs::write(&file, "hello").unwrap();
        let empty = error();
        let long = "x".repeat(usize::try_from(CA_FILE_MAX_BYTES).unwrap() + 1);
        std::fs::write(&file, long).unwrap();
        for (error, problem) in [
            (missing, "it cannot be read (No such file"),
            (empty, "it holds no certificate"),
            (error(), "it is longer than"),
        ] {
            for part in [
                "/etc/msp/evidence.toml, line 6: destination.primary.ca_file = ",
                "ca.pem",
                problem,
                "name a PEM file",
            ] {
                assert!(error.contains(part), "no {part:?} in: {error}");
            }
        }
    }
}
