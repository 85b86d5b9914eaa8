//! Evidence of two hosts in a bucket or in a folder, and the commands that an auditor types.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use evidence::digest::Sha256;
use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;
use tests::kit::{self, Header, Shelf};
use tests::servers::client;
use tests::tools::ours;

/// The bucket of every store.
pub(super) const BUCKET: &str = "evidence";

/// Evidence, and how it is reached.
pub(super) struct Ground {
    pub(super) dir: tempfile::TempDir,
    pub(super) place: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
    /// Of the first host and of the second.
    pub(super) keys: [PathBuf; 2],
}

impl Ground {
    async fn lay(steps: &str, shelf: &Shelf, place: Vec<String>, dir: tempfile::TempDir) -> Self {
        let header: Header = toml::from_str(steps).unwrap();
        let mut played = kit::play(&header, shelf, "s3://evidence/p/").await;
        let keys = ["clinic-a/srv-1", "clinic-a/srv-2"].map(|name| {
            let file = dir.path().join(format!("{}.pub", name.replace('/', "-")));
            fs::write(&file, played.public_pem(name)).unwrap();
            file
        });
        Self {
            dir,
            place,
            environment: Vec::new(),
            keys,
        }
    }

    pub(super) async fn folder(steps: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("copy");
        fs::create_dir(&folder).unwrap();
        let place = vec!["--folder".to_owned(), folder.display().to_string()];
        Self::lay(steps, &Shelf::Folder(folder), place, dir).await
    }

    pub(super) async fn bucket(
        steps: &str,
        endpoint: &str,
        access_key: &str,
        secret_key: &str,
    ) -> Self {
        let shelf = Shelf::Bucket {
            client: client(endpoint, access_key, secret_key),
            bucket: BUCKET.to_owned(),
            prefix: "p/".to_owned(),
        };
        let place = [
            "--bucket",
            BUCKET,
            "--prefix",
            "p",
            "--endpoint",
            endpoint,
            "--path-style",
        ];
        let place = place.map(str::to_owned).to_vec();
        let dir = tempfile::tempdir().unwrap();
        Self {
            environment: vec![
                ("AWS_ACCESS_KEY_ID", access_key.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", secret_key.to_owned()),
            ],
            ..Self::lay(steps, &shelf, place, dir).await
        }
    }

    pub(super) fn command(&self, command_name: &str, arguments: &[&str]) -> Command {
        let keyring = self.dir.path().join("keyring");
        if !keyring.exists() {
            fs::create_dir(&keyring).unwrap();
            let mut text = String::new();
            for (key, host) in self.keys.iter().zip(["srv-1", "srv-2"]) {
                fs::copy(key, keyring.join(format!("{host}.pub"))).unwrap();
                text.push_str(&format!(
                    "[[key]]\nfile = \"{host}.pub\"\nclient_id = \"clinic-a\"\nhost_id = \"{host}\"\n"
                ));
            }
            fs::write(keyring.join("keyring.toml"), text).unwrap();
        }
        let mut command = Command::new(ours("msp-evidence"));
        command
            .arg(command_name)
            .args(&self.place)
            .arg("--keyring")
            .arg(&keyring)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("HOME", self.dir.path());
        command
    }

    pub(super) fn run(&self, command: &str, arguments: &[&str]) -> Output {
        self.command(command, arguments).output().unwrap()
    }

    pub(super) fn list(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run("list", &[arguments, &["--json"]].concat());
        let code = output.status.code().unwrap();
        let json = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (code, json)
    }

    pub(super) fn incidents(&self, arguments: &[&str]) -> Vec<String> {
        let (code, json) = self.list(arguments);
        assert_eq!(code, 0, "{json:#}");
        let rows = json["bundles"].as_array().unwrap();
        let id = |row: &Value| row["incident"]["incident_id"].as_str().unwrap().to_owned();
        rows.iter().map(id).collect()
    }

    pub(super) fn pull(&self, to: &str, arguments: &[&str]) -> PathBuf {
        let out = self.dir.path().join(to);
        let output = self.run(
            "pull",
            &[arguments, &["--out", out.to_str().unwrap()]].concat(),
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        out
    }

    /// With the first key or with both.
    pub(super) fn verify(&self, kit: &Path, keys: usize, cosign: &Path) -> (i32, String) {
        let output = Command::new(kit.join("verify.sh"))
            .args(["--interval", "720"])
            .args(&self.keys[..keys])
            .env("COSIGN", cosign)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), said)
    }
}

pub(super) async fn start() -> Sandbox {
    Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap()
}

pub(super) async fn in_sandbox(sandbox: &Sandbox, steps: &str) -> Ground {
    let identity = sandbox.credentials();
    Ground::bucket(
        steps,
        &sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
    )
    .await
}

/// Every file below a folder, with its digest.
pub(super) fn digests(folder: &Path) -> BTreeMap<PathBuf, Sha256> {
    let files = contents(folder).into_iter();
    files
        .map(|(name, bytes)| (name, Sha256::of(&bytes)))
        .collect()
}

/// Every file below a folder, with its bytes.
pub(super) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
