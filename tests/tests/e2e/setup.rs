//! `setup` from nothing to a probe that a real store has locked, in as many goes as it takes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::types::ObjectLockRetentionMode;
use evidence::bundle::{Kind as BundleKind, VerifiedBundle};
use host::instance::{AGENT_LOCK, UPLOADER_LOCK, is_running};
use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;
use tests::clinic::{BUCKET, program_file};
use tests::servers::{Kind, Server};

/// A host on which nothing is set up.
struct Bare {
    dir: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Bare {
    fn new(access_key: &str, secret_key: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[default]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
        );
        fs::write(dir.path().join("given"), text).unwrap();
        Self {
            dir,
            daemons: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program_file(program));
        command
            .arg("--config")
            .arg(self.path("etc/evidence.toml"))
            .env_remove("COSIGN_PASSWORD")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null());
        command
    }

    fn setup(&self, flags: &[&str]) -> Output {
        let mut command = self.command("msp-evidence");
        command.arg("setup").args(flags).output().unwrap()
    }

    fn setup_json(&self, code: i32, flags: &[&str]) -> Value {
        let output = self.setup(&[flags, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// What a first go is told of a store on loopback.
    fn first(&self, endpoint: &str) -> Vec<String> {
        [
            "--client-id=clinic-a",
            "--host-id=host-1",
            "--bucket=evidence",
            "--region=us-east-1",
            "--path-style",
            "--prefix=p/",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([
            format!("--endpoint={endpoint}"),
            format!("--state-dir={}", self.path("state").display()),
            format!("--s3-credentials={}", self.path("given").display()),
        ])
        .collect()
    }

    /// As systemd would.
    fn start_daemons(&mut self) {
        for name in ["msp-evidence-agent", "msp-evidence-uploader"] {
            let log = fs::File::create(self.path(name)).unwrap();
            let mut command = self.command(name);
            command.stdout(Stdio::null()).stderr(log);
            self.daemons.push(command.spawn().unwrap());
        }
        let began = Instant::now();
        let locks = [
            self.path("state/spool").join(AGENT_LOCK),
            self.path("state/delivery").join(UPLOADER_LOCK),
        ];
        while !locks.iter().all(|lock| is_running(lock)) {
            assert!(began.elapsed() < Duration::from_secs(60), "they do not run");
            std::thread::yield_now();
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in &mut self.daemons {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn refs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

/// As `step outcome`.
fn steps(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps
        .iter()
        .map(|step| format!("{} {}", text(&step["step"]), text(&step["outcome"])))
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_host_is_set_up_in_two_goes_and_the_third_finds_everything_done() {
    let test = "a_host_is_set_up_in_two_goes_and_the_third_finds_everything_done";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start(Kind::Minio, test)) else {
        return;
    };
    let (access_key, secret_key) = server.credentials();
    let mut host = Bare::new(access_key, secret_key);
    let first = host.first(&server.endpoint);

    // The bucket is made with the environment's credentials.
    let mut command = host.command("msp-evidence");
    let output = command
        .args(["setup", "--create-bucket", "--no-policy", "--yes", "--json"])
        .args(&first)
        .env("AWS_ACCESS_KEY_ID", access_key)
        .env("AWS_SECRET_ACCESS_KEY", secret_key)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        steps(&report),
        [
            "configuration done",
            "password done",
            "folders done",
            "keys done",
            "credentials done",
            "bucket done",
            "bucket present",
            "services remains",
            "probe remains",
        ]
    );
    assert_eq!(report["is_complete"], false);
    let keys = host.path("etc/signing-keys");
    assert_eq!(mode(&keys), 0o700);
    for secret in ["password", "evidence.key", "digest.key"] {
        assert_eq!(mode(&keys.join(secret)), 0o400, "{secret}");
    }
    assert_eq!(mode(&host.path("etc/s3-credentials")), 0o400);
    assert_eq!(mode(&host.path("state/drop")), 0o3770);
    let written = fs::read_to_string(host.path("etc/evidence.toml")).unwrap();

    host.start_daemons();
    let report = host.setup_json(0, &["--probe"]);
    assert_eq!(
        steps(&report),
        [
            "configuration present",
            "password present",
            "folders present",
            "keys present",
            "credentials present",
            "bucket present",
            "services present",
            "probe done",
        ]
    );
    let probe = &report["probe"];
    assert_eq!(probe["state"], "confirmed");
    let objects = probe["places"][0]["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 2, "bundle and signature: {probe:#}");
    for object in objects {
        let text = |name: &str| object[name].as_str().unwrap();
        let key = text("uri").strip_prefix("s3://evidence/").unwrap();
        let retention = runtime
            .block_on(
                server
                    .client()
                    .get_object_retention()
                    .bucket(BUCKET)
                    .key(key)
                    .version_id(text("version_id"))
                    .send(),
            )
            .unwrap()
            .retention
            .unwrap();
        assert_eq!(retention.mode, Some(ObjectLockRetentionMode::Compliance));
        let until: jiff::Timestamp = text("retain_until").parse().unwrap();
        let locked = retention.retain_until_date.unwrap();
        assert_eq!(locked.secs(), until.as_second(), "as it was told");
        let left_secs = until.as_second() - jiff::Timestamp::now().as_second();
        assert!(left_secs > 2192 * 86_400);
    }

    // A bundle of its own kind, signed by the key that the report names.
    let public = host::signing_keys::read_public(&keys.join("evidence.pub")).unwrap();
    assert_eq!(report["key_id"], public.key_id());
    let id = probe["bundle_id"].as_str().unwrap();
    let file = tests::clinic::files_below(&host.path("state/evidence"))
        .into_iter()
        .find(|path| path.ends_with(format!("{id}.json")))
        .unwrap();
    let signature = fs::read(file.with_extension("json.bundle")).unwrap();
    let bundle = VerifiedBundle::verify(&fs::read(&file).unwrap(), &signature, &public).unwrap();
    assert_eq!(bundle.header().kind, BundleKind::Probe);

    // Again: nothing is sent, nothing is changed.
    let again = host.setup_json(0, &["--yes"]);
    assert!(
        steps(&again).iter().all(|step| step.ends_with("present")),
        "{again:#}"
    );
    assert_eq!(again["probe"]["bundle_id"], id);
    let refused = host.setup(&["--client-id=another", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("never overwritten") && said.contains("--client-id"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(host.path("etc/evidence.toml")).unwrap(),
        written
    );
}

#[test]
fn what_is_wrong_stops_before_the_services_and_is_corrected_without_starting_over() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    let host = Bare::new("AKIAWRONG", "wrong");
    let nothing = host.setup(&["--yes"]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    let said = String::from_utf8_lossy(&nothing.stderr);
    assert!(said.contains("--client-id, --bucket, --region"), "{said}");
    assert!(!host.path("etc").exists(), "nothing was done");

    let first = host.first(&sandbox.endpoint());
    let report = host.setup_json(3, &refs(&first));
    let found = steps(&report);
    assert_eq!(
        found[4..],
        [
            "credentials done",
            "bucket failed",
            "services remains",
            "probe remains"
        ]
    );
    let key_id = report["key_id"].clone();
    let bucket = &report["steps"][5];
    assert!(
        bucket["what"]
            .as_str()
            .unwrap()
            .contains("InvalidAccessKeyId"),
        "{bucket}"
    );
    assert!(
        bucket["remedy"].as_str().unwrap().contains("credentials"),
        "{bucket}"
    );

    // Others are not put in the place of what is there, until that is taken away.
    let identity = sandbox.credentials();
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        identity.access_key, identity.secret_key
    );
    fs::write(host.path("given"), text).unwrap();
    let report = host.setup_json(3, &refs(&first));
    let credentials = &report["steps"][4];
    assert_eq!(credentials["outcome"], "failed");
    assert!(
        credentials["what"].as_str().unwrap().contains("rm "),
        "{credentials}"
    );
    fs::remove_file(host.path("etc/s3-credentials")).unwrap();
    let report = host.setup_json(3, &refs(&first));
    assert_eq!(steps(&report)[4..6], ["credentials done", "bucket present"]);
    assert_eq!(report["key_id"], key_id, "the same key");
    assert!(
        sandbox.store().all_versions(BUCKET).is_empty(),
        "nothing was sent"
    );

    // A key without its password is not replaced, and no other password is taken.
    let file = host.path("other");
    fs::write(&file, "another\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let other = format!("--password-file={}", file.display());
    let report = host.setup_json(3, &[&other]);
    assert_eq!(steps(&report)[1], "password failed");
    fs::remove_file(host.path("etc/signing-keys/password")).unwrap();
    let report = host.setup_json(3, &[&other]);
    assert_eq!(
        steps(&report)[1..4],
        ["password done", "folders present", "keys failed"]
    );
}

#[test]
fn at_a_terminal_it_asks_what_no_flag_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    let host = Bare::new("", "");
    let identity = sandbox.credentials();
    let line = format!(
        "{} --config {} setup --state-dir {} --no-start --no-probe",
        program_file("msp-evidence").display(),
        host.path("etc/evidence.toml").display(),
        host.path("state").display()
    );
    // script(1) gives it a terminal.
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_remove("COSIGN_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut says = script.stdin.take().unwrap();
    let mut reads = script.stdout.take().unwrap();
    let mut shown = String::new();
    for (question, answer) in [
        ("Client id", "clinic-a"),
        ("Host id", "host-1"),
        ("Bucket", BUCKET),
        ("Region", ""),
        ("Endpoint", &sandbox.endpoint()),
        ("one is made): ", "some words"),
        ("(again): ", "some words"),
        ("Access key id", &identity.access_key),
        ("secret access key: ", &identity.secret_key),
    ] {
        let from = shown.len();
        while !shown[from..].contains(question) {
            let mut bytes = [0; 4096];
            let n = reads.read(&mut bytes).unwrap();
            assert!(n > 0, "it ended before {question:?}: {shown}");
            shown.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        }
        writeln!(says, "{answer}").unwrap();
    }
    reads.read_to_string(&mut shown).unwrap();
    let status = script.wait().unwrap();
    assert!(status.success(), "{shown}");
    assert!(shown.contains("This host is set up"), "{shown}");
    let kept = fs::read_to_string(host.path("etc/signing-keys/password")).unwrap();
    assert_eq!(kept, "some words\n");
    let settings = host
        .command("msp-evidence")
        .args(["config", "show"])
        .output()
        .unwrap();
    let settings = String::from_utf8_lossy(&settings.stdout);
    assert!(settings.contains(r#"client_id = "clinic-a""#), "{settings}");
    assert!(settings.contains(r#"host_id = "host-1""#), "{settings}");
}

#[test]
fn the_sops_example_writes_a_password_once_and_nothing_when_it_cannot_be_decrypted() {
    let dir = tempfile::tempdir().unwrap();
    // A stand-in that insists on how sops is called; the real one is not among the tests' tools.
    let stand_in = dir.path().join("sops");
    let script = "#!/bin/sh\n[ \"$1 $2 $3 $4\" = 'decrypt --extract [\"pw\"] secrets.yaml' ] || exit 1\n\
                  printf 'some words\\n'\n";
    fs::write(&stand_in, script).unwrap();
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = dir.path().join("credentials");
    let run = |name: &str| {
        Command::new(tests::tools::workspace_root().join("packaging/secrets/sops-password"))
            .args(["secrets.yaml", name])
            .arg(&folder)
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .output()
            .unwrap()
    };
    assert!(!run("other").status.success());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");
    let written = run("pw");
    assert!(written.status.success(), "{written:?}");
    let file = folder.join("signing-key-password");
    assert_eq!(fs::read_to_string(&file).unwrap(), "some words\n");
    assert_eq!((mode(&file), mode(&folder)), (0o400, 0o700));
    assert!(
        run("other").status.success(),
        "it is there, and nothing is asked"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn under_systemd_secrets_are_encrypted_and_the_services_started_with_them() {
    let test = "under_systemd_secrets_are_encrypted_and_the_services_started_with_them";
    let Some(guest) = tests::guest::Guest::boot(tests::guest::Release::Bookworm, test) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start(Kind::Minio, test)) else {
        return;
    };
    runtime.block_on(server.make_bucket(BUCKET));
    let address = server.endpoint.trim_start_matches("http://");
    let _relay = guest.relay(runtime.handle(), 9000, address.parse().unwrap());
    for name in [
        "msp-evidence",
        "msp-evidence-agent",
        "msp-evidence-uploader",
    ] {
        fs::copy(program_file(name), guest.path().join("usr/bin").join(name)).unwrap();
    }
    let systemd = tests::tools::workspace_root().join("systemd");
    for (from, to) in [
        (
            "msp-evidence-agent.service",
            "usr/lib/systemd/system/msp-evidence-agent.service",
        ),
        (
            "msp-evidence-uploader.service",
            "usr/lib/systemd/system/msp-evidence-uploader.service",
        ),
        (
            "sysusers.d/msp-evidence.conf",
            "usr/lib/sysusers.d/msp-evidence.conf",
        ),
        (
            "tmpfiles.d/msp-evidence.conf",
            "usr/lib/tmpfiles.d/msp-evidence.conf",
        ),
    ] {
        fs::copy(systemd.join(from), guest.path().join(to)).unwrap();
    }
    fs::copy(server.credentials_file(), guest.path().join("root/given")).unwrap();
    guest.sh(
        "systemd-sysusers; systemd-tmpfiles --create msp-evidence.conf; systemctl daemon-reload",
    );
    let output = guest.run(&[
        "msp-evidence",
        "setup",
        "--client-id=clinic-a",
        "--host-id=host-1",
        "--bucket=evidence",
        "--region=us-east-1",
        "--endpoint=http://store.example:9000",
        "--path-style",
        "--s3-credentials=/root/given",
        "--yes",
        "--json",
    ]);
    let journal = || guest.sh("journalctl --no-pager -n 40 -u 'msp-evidence*'");
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{}", journal());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["probe"]["state"], "confirmed", "{report:#}");
    let kept = guest.sh("ls /etc/msp/credentials");
    assert_eq!(
        kept.trim(),
        "s3-credentials.cred\nsigning-key-password.cred"
    );
}
