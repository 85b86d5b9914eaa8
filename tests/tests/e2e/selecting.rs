//! `list` and `pull` over a bucket and over a folder, and what `verify.sh` says of what was pulled.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;
use tests::kit::{self, Header, Shelf};
use tests::servers::{Kind, Server, client};
use tests::tools::{self, Tool, ours};

const BUCKET: &str = "evidence";

/// Forty incidents in four hours of custody, one with artifacts, one more that no custody covers yet, and
/// another host.
fn steps() -> String {
    let mut steps = String::from("title = \"a clinic\"\nsteps = [\n");
    for hour in 0..4 {
        for n in 0..10 {
            let artifacts = if n == 5 {
                ", artifacts = { \"a b.log\" = \"what happened\" }"
            } else {
                ""
            };
            steps.push_str(&format!(
                "  {{ do = \"incident\", name = \"INC-{hour}-{n}\"{artifacts} }},\n"
            ));
        }
        steps.push_str("  { do = \"custody\" },\n  { do = \"pass\", minutes = 20 },\n");
    }
    steps.push_str(
        "  { do = \"incident\", name = \"INC-OPEN\" },\n\
         { do = \"incident\", name = \"OTHER-1\", host = \"clinic-a/srv-2\" },\n\
         { do = \"custody\", host = \"clinic-a/srv-2\" },\n]\n[expect]\nexit = 0\n",
    );
    steps
}

/// Evidence, and how it is reached.
struct Ground {
    dir: tempfile::TempDir,
    place: Vec<String>,
    environment: Vec<(&'static str, String)>,
    /// Of the first host and of the second.
    keys: [PathBuf; 2],
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

    async fn folder(steps: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("copy");
        fs::create_dir(&folder).unwrap();
        let place = vec!["--folder".to_owned(), folder.display().to_string()];
        Self::lay(steps, &Shelf::Folder(folder), place, dir).await
    }

    async fn bucket(steps: &str, endpoint: &str, access_key: &str, secret_key: &str) -> Self {
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

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
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
        Command::new(ours("msp-evidence"))
            .arg(command)
            .args(&self.place)
            .arg("--keyring")
            .arg(&keyring)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("HOME", self.dir.path())
            .output()
            .unwrap()
    }

    fn list(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run("list", &[arguments, &["--json"]].concat());
        let code = output.status.code().unwrap();
        let json = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (code, json)
    }

    fn incidents(&self, arguments: &[&str]) -> Vec<String> {
        let (code, json) = self.list(arguments);
        assert_eq!(code, 0, "{json:#}");
        let rows = json["bundles"].as_array().unwrap();
        let id = |row: &Value| row["incident"]["incident_id"].as_str().unwrap().to_owned();
        rows.iter().map(id).collect()
    }

    fn pull(&self, to: &str, arguments: &[&str]) -> PathBuf {
        let out = self.dir.path().join(to);
        let output = self.run(
            "pull",
            &[arguments, &["--out", out.to_str().unwrap()]].concat(),
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        out
    }

    /// With the first key or with both.
    fn verify(&self, kit: &Path, keys: usize, cosign: &Path) -> (i32, String) {
        let output = Command::new(kit.join("verify.sh"))
            .args(&self.keys[..keys])
            .env("COSIGN", cosign)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), said)
    }
}

async fn start() -> Sandbox {
    Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap()
}

async fn in_sandbox(sandbox: &Sandbox, steps: &str) -> Ground {
    let identity = sandbox.credentials();
    Ground::bucket(
        steps,
        &sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
    )
    .await
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

/// The whole of it, over any place.
fn assert_lists(ground: &Ground) {
    assert_eq!(ground.incidents(&[]).len(), 42);
    let (_, json) = ground.list(&[]);
    let rows = json["bundles"].as_array().unwrap();
    let by_custody = rows.iter().filter(|row| !row["listed_by"].is_null());
    assert_eq!(by_custody.count(), 41, "one is not covered yet");
    // Five custody bundles and the open one, two objects each, and the newest signature of each chain.
    assert_eq!(json["fetched_objects"], 2 * 6 + 2);
    assert_eq!(ground.incidents(&["--host", "srv-2"]), ["OTHER-1"]);
    assert_eq!(ground.incidents(&["--control", "164.308(a)(7)"]).len(), 42);
    assert_eq!(ground.incidents(&["--control", "164.312"]).len(), 0);
    assert_eq!(ground.incidents(&["--sla-missed"]).len(), 0);
    assert_eq!(ground.incidents(&["--severity", "HIGH"]).len(), 42);
    assert_eq!(ground.incidents(&["--text", "inc-open"]), ["INC-OPEN"]);
    assert_eq!(ground.incidents(&["--to", "2020-01"]).len(), 0);
    let (code, json) = ground.list(&["--kind", "custody"]);
    assert_eq!((code, json["bundles"].as_array().unwrap().len()), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_listed_by_its_custody_from_a_bucket_and_from_a_folder() {
    let sandbox = start().await;
    assert_lists(&in_sandbox(&sandbox, &steps()).await);
    assert_lists(&Ground::folder(&steps()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_not_listed_but_named() {
    let forged = steps().replace(
        "name = \"INC-OPEN\"",
        "name = \"INC-OPEN\", key = \"other\"",
    );
    let ground = Ground::folder(&forged).await;
    let (code, json) = ground.list(&[]);
    assert_eq!(code, 2, "{json:#}");
    assert_eq!(json["bundles"].as_array().unwrap().len(), 41);
    let doubtful = &json["doubtful"][0];
    assert_eq!(doubtful["verdict"], "failed");
    assert!(doubtful["reason"].as_str().unwrap().contains("not trusted"));
    // Custody lists it, and it is not there: said to be so.
    let withheld = steps().replace(
        "name = \"INC-1-3\"",
        "name = \"INC-1-3\", store = \"withheld\"",
    );
    let ground = Ground::folder(&withheld).await;
    let (code, json) = ground.list(&[]);
    assert_eq!((code, &json["not_stored"]), (3, &Value::from(1)));
    let empty = Ground::folder("title = \"\"\nsteps = []\n[expect]\nexit = 0\n").await;
    assert_eq!(empty.list(&[]).0, 3, "nothing there is not nothing to say");
}

fn assert_pulls(ground: &Ground, cosign: Option<&Path>) {
    let first = ground.pull("first", &[]);
    let second = ground.pull("second", &[]);
    let pulled = contents(&first);
    assert_eq!(pulled, contents(&second), "the same, byte for byte");
    for name in [
        "verify.sh",
        "index.html",
        "manifest.json",
        "manifest.sha256",
        "store.json",
    ] {
        assert!(pulled.contains_key(Path::new(name)), "{name}");
    }
    // Again into the same folder: everything was there.
    ground.pull("first", &[]);
    assert_eq!(contents(&first), pulled);
    let Some(cosign) = cosign else { return };
    let (code, said) = ground.verify(&first, 2, cosign);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("41 answer the question"), "{said}");
    assert_ne!(
        ground.verify(&first, 1, cosign).0,
        0,
        "another host's key is missing"
    );
    let out = ground.pull("sample", &["--sample", "7", "--seed", "11"]);
    let (code, said) = ground.verify(&out, 2, cosign);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("7 of 42 drawn"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pulled_is_the_same_twice_and_stands_by_itself() {
    let test = "what_is_pulled_is_the_same_twice_and_stands_by_itself";
    let cosign = tools::find(Tool::CosignNewest, test);
    let sandbox = start().await;
    assert_pulls(&in_sandbox(&sandbox, &steps()).await, cosign.as_deref());
    assert_pulls(&Ground::folder(&steps()).await, cosign.as_deref());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_on_minio() {
    let test = "list and pull: the_same_holds_on_minio";
    let Some(server) = Server::start(Kind::Minio, test).await else {
        return;
    };
    server.make_bucket(BUCKET).await;
    let (access_key, secret_key) = server.credentials();
    let ground = Ground::bucket(&steps(), &server.endpoint, access_key, secret_key).await;
    assert_lists(&ground);
    assert_pulls(&ground, tools::find(Tool::CosignNewest, test).as_deref());
}
