//! From the configuration to a reachable store: the same for the daemon and for `bucket check`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use destination::{CaBundle, S3Options};
use host::config::{ConfigError, DestinationSettings, Settings};

/// No file of certificate authorities is longer; the system's own is a fifth of it.
const CA_FILE_MAX_BYTES: u64 = 1 << 20;

/// How to reach a configured destination. Reads `ca_file`.
///
/// # Errors
/// When `ca_file` cannot be read, or holds no certificate that can be trusted.
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
    Ok(S3Options {
        prefix: destination.prefix.clone(),
        endpoint: destination.endpoint.clone(),
        path_style: destination.path_style,
        use_dual_stack: destination.use_dual_stack,
        use_fips: destination.use_fips,
        ca,
        sse_kms_key_id: destination.sse_kms_key_id.clone(),
        profile: destination.profile.clone(),
        credentials_file: destination.credentials_file.clone(),
        request_timeout: Duration::from_secs(settings.uploader.request_timeout_secs),
        ..S3Options::new(
            &destination.destination_id,
            &destination.bucket,
            &destination.region,
        )
    })
}

fn ca_bundle(file: &Path) -> Result<CaBundle, String> {
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
