//! Real S3 servers on loopback, for tests that must not believe our own sandbox.
//!
//! Each has a folder, a port and credentials of its own. It runs under a shell that waits for the
//! end of its standard input, so that it ends with the test whatever ends the test.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

use crate::tools::{self, Tool};

/// Nothing takes so long to start on a machine that works.
const PATIENCE: Duration = Duration::from_secs(60);
/// The user of every server, and its password: they hold for one test.
const ACCESS_KEY: &str = "conformance";
const SECRET_KEY: &str = "only-for-tests-on-loopback";
/// What every server calls its region.
pub const REGION: &str = "us-east-1";

/// A server that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// MinIO, on one drive.
    Minio,
    /// versitygw on a POSIX file system, with a folder for versions.
    Versitygw,
    /// moto: every call of AWS's, and no lock that holds.
    Moto,
}

impl Kind {
    /// Its name in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minio => "MinIO",
            Self::Versitygw => "versitygw",
            Self::Moto => "moto",
        }
    }

    const fn tool(self) -> Tool {
        match self {
            Self::Minio => Tool::Minio,
            Self::Versitygw => Tool::Versitygw,
            Self::Moto => Tool::Moto,
        }
    }
}

/// A running server; it ends when this is dropped.
pub struct Server {
    /// Which one.
    pub kind: Kind,
    /// Such as `http://127.0.0.1:40123`.
    pub endpoint: String,
    dir: tempfile::TempDir,
    shell: Child,
}

impl Server {
    /// Starts the server and waits until it answers; `None` after saying loudly that `test` is
    /// skipped, where it is not installed.
    ///
    /// # Panics
    /// When it does not answer in time: its log is shown.
    pub async fn start(kind: Kind, test: &str) -> Option<Self> {
        let program = tools::find(kind.tool(), test)?;
        let dir = tempfile::tempdir().unwrap();
        // Bound and let go again: nobody else is given the same port within this moment.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        for folder in ["data", "versions", "sidecar"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let path = |name: &str| dir.path().join(name).display().to_string();
        let arguments = match kind {
            Kind::Minio => vec![
                "server".to_owned(),
                "--quiet".to_owned(),
                "--address".to_owned(),
                address.clone(),
                path("data"),
            ],
            Kind::Versitygw => vec![
                "--port".to_owned(),
                address.clone(),
                "--region".to_owned(),
                REGION.to_owned(),
                "--quiet".to_owned(),
                "posix".to_owned(),
                "--versioning-dir".to_owned(),
                path("versions"),
                // Not every file system under a test has extended attributes.
                "--sidecar".to_owned(),
                path("sidecar"),
                path("data"),
            ],
            Kind::Moto => vec![
                "--host".to_owned(),
                "127.0.0.1".to_owned(),
                "--port".to_owned(),
                port.to_string(),
            ],
        };
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let shell = Command::new("sh")
            .args([
                "-c",
                r#""$@" & server=$!; cat >/dev/null; kill -9 $server; wait"#,
                "sh",
            ])
            .arg(program)
            .args(arguments)
            .env("HOME", dir.path())
            .env("MINIO_ROOT_USER", ACCESS_KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .env("ROOT_ACCESS_KEY_ID", ACCESS_KEY)
            .env("ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            kind,
            endpoint: format!("http://{address}"),
            dir,
            shell,
        };
        server.answers().await;
        Some(server)
    }

    /// Makes a bucket with Object Lock, which turns versioning on.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn make_bucket(&self, bucket: &str) {
        self.client()
            .create_bucket()
            .bucket(bucket)
            .object_lock_enabled_for_bucket(true)
            .send()
            .await
            .unwrap_or_else(|error| panic!("{bucket}: {error:?}\n{}", self.log()));
    }

    /// The credentials of its only user: access key and secret.
    #[must_use]
    pub const fn credentials(&self) -> (&'static str, &'static str) {
        (ACCESS_KEY, SECRET_KEY)
    }

    /// The same in the form of an AWS credentials file.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn credentials_file(&self) -> PathBuf {
        let path = self.dir.path().join("aws-credentials");
        let text = format!(
            "[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// A client of the SDK, for what our own code never asks of a store.
    #[must_use]
    pub fn client(&self) -> Client {
        client(&self.endpoint, ACCESS_KEY, SECRET_KEY)
    }

    /// What the server has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    async fn answers(&self) {
        let client = self.client();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let answered = async {
            // A server that has only half started refuses the credentials or the request.
            while client.list_buckets().send().await.is_err() {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, answered).await.is_err() {
            panic!("{:?} does not answer:\n{}", self.kind, self.log());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It ends because its input has; there is nothing else to wait for.
        let _ = self.shell.wait();
    }
}

/// A client of the SDK for a server on loopback.
#[must_use]
pub fn client(endpoint: &str, access_key: &str, secret_key: &str) -> Client {
    let credentials = Credentials::new(access_key, secret_key, None, None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}
