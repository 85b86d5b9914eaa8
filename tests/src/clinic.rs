//! One clinic with its daemons as real processes, on an embedded store, for tests that kill them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use evidence::bundle::{Kind, VerifiedBundle};
use evidence::keys::PublicKey;
use fsck::Level;
use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;

use crate::servers::{Server, client};
use crate::tools::workspace_root;

/// The bucket of every clinic.
pub const BUCKET: &str = "evidence";
/// Nothing takes so long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// msp-evidence-agent.
    Agent,
    /// msp-evidence-uploader.
    Uploader,
}

/// A bucket that a clinic is configured for.
#[derive(Debug, Clone)]
pub struct Place {
    /// The destination's id.
    pub id: String,
    /// Where the store is.
    pub endpoint: String,
    /// The bucket there.
    pub bucket: String,
    /// Before every key.
    pub prefix: String,
    /// Who we are there.
    pub access_key: String,
    /// And its secret.
    pub secret_key: String,
}

impl Place {
    /// The bucket [`BUCKET`] of a sandbox.
    #[must_use]
    pub fn sandbox(id: &str, sandbox: &Sandbox) -> Self {
        let identity = sandbox.credentials();
        Self {
            id: id.to_owned(),
            endpoint: sandbox.endpoint(),
            bucket: BUCKET.to_owned(),
            prefix: "p/".to_owned(),
            access_key: identity.access_key.clone(),
            secret_key: identity.secret_key.clone(),
        }
    }

    /// A client of the SDK, for what our own code never asks of a store.
    #[must_use]
    pub fn client(&self) -> aws_sdk_s3::Client {
        client(&self.endpoint, &self.access_key, &self.secret_key)
    }

    /// The bucket [`BUCKET`] of a real server.
    #[must_use]
    pub fn server(id: &str, server: &Server) -> Self {
        let (access_key, secret_key) = server.credentials();
        Self {
            id: id.to_owned(),
            endpoint: server.endpoint.clone(),
            bucket: BUCKET.to_owned(),
            prefix: "p/".to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
        }
    }
}

/// Folders, keys, a store, and whatever daemons run.
pub struct Clinic {
    /// Everything lies below it.
    pub dir: tempfile::TempDir,
    /// The store, unless others are configured.
    pub sandbox: Sandbox,
    /// What auditors pin.
    pub public: PublicKey,
    runtime: tokio::runtime::Runtime,
    daemons: BTreeMap<Role, Child>,
    sender: Sender<(Role, Value)>,
    events: Receiver<(Role, Value)>,
}

impl Clinic {
    /// Makes keys with the CLI and writes a configuration for a sandbox; starts no daemon.
    ///
    /// # Panics
    /// When anything of that fails, as everywhere in this module: it is a test's ground.
    #[must_use]
    pub fn new() -> Self {
        let clinic = Self::without_keys();
        clinic.configure(&[Place::sandbox("main", &clinic.sandbox)], "");
        clinic.with_keys()
    }

    /// The same for other stores.
    #[must_use]
    pub fn at(places: &[Place]) -> Self {
        let clinic = Self::without_keys();
        clinic.configure(places, "");
        clinic.with_keys()
    }

    /// Another host with everything that `other` has, its machine-id included. `other` must be
    /// stopped.
    #[must_use]
    pub fn copy_of(other: &Self, places: &[Place]) -> Self {
        let clinic = Self::with_keys_of(other, places);
        let from = other.dir.path();
        copy_folder(&from.join("state"), &clinic.dir.path().join("state"));
        fs::copy(
            from.join("machine-id"),
            clinic.dir.path().join("machine-id"),
        )
        .unwrap();
        clinic
    }

    /// Another host with the keys of `other` and nothing else.
    #[must_use]
    pub fn with_keys_of(other: &Self, places: &[Place]) -> Self {
        let mut clinic = Self::without_keys();
        clinic.configure(places, "");
        let keys = clinic.dir.path().join("keys");
        fs::remove_dir_all(&keys).unwrap();
        copy_folder(&other.dir.path().join("keys"), &keys);
        clinic.read_public_key();
        clinic
    }

    /// Makes this another machine.
    pub fn set_machine_id(&self, id: &str) {
        fs::write(self.dir.path().join("machine-id"), id).unwrap();
    }

    fn without_keys() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let sandbox = runtime
            .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
            .unwrap();
        let root = dir.path();
        fs::create_dir(root.join("keys")).unwrap();
        let password = root.join("keys/password");
        fs::write(&password, "only for tests\n").unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o400)).unwrap();
        make_folders(root);
        fs::write(root.join("machine-id"), root.as_os_str().as_encoded_bytes()).unwrap();
        let (sender, events) = channel();
        Self {
            public: evidence::keys::PrivateKey::generate(b"")
                .unwrap()
                .0
                .public()
                .clone(),
            dir,
            sandbox,
            runtime,
            daemons: BTreeMap::new(),
            sender,
            events,
        }
    }

    fn with_keys(mut self) -> Self {
        let made = self.cli(&["keys", "generate"]);
        assert!(made.status.success(), "{made:?}");
        self.read_public_key();
        self
    }

    fn read_public_key(&mut self) {
        let pem = fs::read_to_string(self.public_key_file()).unwrap();
        self.public = PublicKey::from_pem(&pem).unwrap();
    }

    /// Writes the configuration: these destinations, and `more` before the first of them.
    pub fn configure(&self, places: &[Place], more: &str) {
        let root = self.dir.path();
        let shown = root.display();
        let mut text = format!(
            "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n\
             [paths]\nstate_dir = \"{shown}/state\"\nmachine_id = \"{shown}/machine-id\"\n\
             [signing]\nkey = \"{shown}/keys/evidence.key\"\npassword_file = \"{shown}/keys/password\"\n\
             [agent]\nmin_free_bytes = 1048576\ngroup_limit = 16\n\
             [uploader]\nbackoff_min_ms = 10\nbackoff_max_secs = 1\npark_probe_secs = 1\n\
             [log]\nformat = \"json\"\n{more}"
        );
        let mut credentials = String::new();
        for place in places {
            text.push_str(&format!(
                "[[destination]]\nid = \"{id}\"\nbucket = \"{}\"\nprefix = \"{}\"\n\
                 region = \"us-east-1\"\nendpoint = \"{}\"\npath_style = true\nprofile = \"{id}\"\n",
                place.bucket,
                place.prefix,
                place.endpoint,
                id = place.id,
            ));
            credentials.push_str(&format!(
                "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                place.id, place.access_key, place.secret_key
            ));
        }
        fs::write(root.join("evidence.toml"), text).unwrap();
        fs::write(root.join("aws-credentials"), credentials).unwrap();
    }

    /// Replaces one piece of the configuration.
    pub fn edit_configuration(&self, old: &str, new: &str) {
        let path = self.dir.path().join("evidence.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{old} is not in it");
        fs::write(&path, text.replacen(old, new, 1)).unwrap();
    }

    /// Makes the state folder's own folders, where they are missing.
    pub fn make_folders(&self) {
        make_folders(self.dir.path());
    }

    /// Where auditors' key is.
    #[must_use]
    pub fn public_key_file(&self) -> PathBuf {
        self.dir.path().join("keys/evidence.pub")
    }

    /// A folder below the state folder.
    #[must_use]
    pub fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    /// The runtime that the store lives in.
    #[must_use]
    pub const fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// Runs the CLI on this clinic's configuration.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.command("msp-evidence")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Starts the CLI, for whoever does something meanwhile.
    #[must_use]
    pub fn spawn_cli(&self, arguments: &[&str]) -> Child {
        self.command("msp-evidence")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the CLI, which must succeed, and reads its JSON.
    #[must_use]
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whether nothing is on its way, and everything that was sealed is confirmed. Folders are empty
    /// also while the daemons have not looked yet what is to be done.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        // While a daemon starts, not everything can be read.
        let output = self.cli(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let number = |pointer| status.pointer(pointer).and_then(Value::as_u64);
        self.is_settled()
            && number("/pending") == Some(0)
            && number("/spool/sealed_bundles").is_some_and(|n| n > 0)
            && number("/spool/sealed_bundles") == number("/spool/confirmed_bundles")
    }

    /// What `fsck` says of the host, and of the bucket if asked: each finding that is at least as bad
    /// as `level`.
    ///
    /// # Panics
    /// When it cannot look.
    #[must_use]
    pub fn fsck(&self, level: Level, asks_bucket: bool) -> Vec<String> {
        let bucket: &[&str] = if asks_bucket { &["--bucket"] } else { &[] };
        let output = self.cli(&[&["fsck", "--json"], bucket].concat());
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("fsck: {output:?}"));
        let named = |name: &str| match name {
            "note" => Level::Note,
            "repairable" => Level::Repairable,
            "could_not_check" => Level::CouldNotCheck,
            "damaged" => Level::Damaged,
            other => panic!("an unknown level {other}"),
        };
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| named(f["level"].as_str().unwrap()) >= level)
            .map(|f| {
                format!(
                    "{} {} {}: {}",
                    f["part"], f["code"], f["item"], f["message"]
                )
            })
            .collect()
    }

    fn command(&self, program: &str) -> Command {
        let root = self.dir.path();
        let mut command = Command::new(program_file(program));
        command
            .arg("--config")
            .arg(root.join("evidence.toml"))
            .env("AWS_SHARED_CREDENTIALS_FILE", root.join("aws-credentials"))
            .env_remove("COSIGN_PASSWORD");
        command
    }

    /// Starts a daemon; its log lines become events.
    pub fn start(&mut self, role: Role) {
        let command = self.daemon(role);
        self.start_as(role, command);
    }

    /// The same by a command that becomes the daemon, such as a shell with limits of its own.
    pub fn start_as(&mut self, role: Role, mut command: Command) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send((role, event)).is_err() {
                    break;
                }
            }
        });
        assert!(
            self.daemons.insert(role, child).is_none(),
            "{role:?} runs already"
        );
    }

    /// The process id of a daemon that runs.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn pid(&self, role: Role) -> u32 {
        self.daemons[&role].id()
    }

    /// The command that starts a daemon, for whoever starts it in a way of their own.
    #[must_use]
    pub fn daemon(&self, role: Role) -> Command {
        self.command(match role {
            Role::Agent => "msp-evidence-agent",
            Role::Uploader => "msp-evidence-uploader",
        })
    }

    /// Starts a daemon that nobody listens to; it is the caller's to end. What it says goes to
    /// [`Clinic::complaints`].
    #[must_use]
    pub fn spawn(&self, role: Role) -> Child {
        let log = fs::File::create(self.log_file(role)).unwrap();
        self.daemon(role)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn log_file(&self, role: Role) -> PathBuf {
        self.dir.path().join(format!("{role:?}.log"))
    }

    /// The last warnings and errors of a daemon that was started by [`Clinic::spawn`], or how it
    /// ended.
    #[must_use]
    pub fn complaints(&self, role: Role) -> Vec<String> {
        let text = fs::read_to_string(self.log_file(role)).unwrap_or_default();
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.contains("\"INFO\"") && !line.contains("\"DEBUG\""))
            .map(|line| format!("{role:?}: {line}"))
            .collect();
        lines.split_off(lines.len().saturating_sub(10))
    }

    /// Starts a daemon that refuses to run, and returns what it said.
    #[must_use]
    pub fn start_that_fails(&self, role: Role) -> String {
        let output = self.daemon(role).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "{role:?} ran");
        String::from_utf8(output.stderr).unwrap()
    }

    /// `kill -9`, without a word of warning.
    pub fn kill(&mut self, role: Role) {
        let mut child = self.daemons.remove(&role).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and exit status 0.
    pub fn stop(&mut self, role: Role) {
        let mut child = self.daemons.remove(&role).unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{role:?} stopped with {status}");
    }

    /// Stops both in good order: first the agent, then, once its last custody is stored and the
    /// receipt for it waits for the agent's next start, the uploader. Everything else must be
    /// confirmed by then.
    pub fn wind_down(&mut self) {
        self.stop(Role::Agent);
        self.wait_until("the last custody to be stored", |clinic| {
            let is_reported = fs::read_dir(clinic.state("receipts"))
                .unwrap()
                .any(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.'));
            is_reported && clinic.cli_json(&["status", "--json"])["pending"] == 0
        });
        self.stop(Role::Uploader);
    }

    /// The next log line of either daemon, if one comes within `wait`.
    ///
    /// # Panics
    /// When a daemon that should run has ended by itself.
    pub fn next_event(&mut self, wait: Duration) -> Option<(Role, Value)> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => {
                for (role, child) in &mut self.daemons {
                    assert!(
                        child.try_wait().unwrap().is_none(),
                        "{role:?} ended by itself"
                    );
                }
                None
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("this clinic keeps a sender"),
        }
    }

    /// Waits until `is_true`, looked at after every event and at least five times a second.
    ///
    /// # Panics
    /// When that takes too long; the last events are shown.
    pub fn wait_until(&mut self, what: &str, is_true: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        let mut last = std::collections::VecDeque::new();
        while !is_true(self) {
            if let Some((role, event)) = self.next_event(Duration::from_millis(200)) {
                if last.len() == 20 {
                    last.pop_front();
                }
                last.push_back(format!("{role:?} {event}"));
            }
            assert!(
                began.elapsed() < PATIENCE,
                "waited for {what}; the last events: {last:#?}"
            );
        }
    }

    /// Whether nothing is on its way any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        ["drop", "outbox", "receipts"].iter().all(|folder| {
            fs::read_dir(self.state(folder)).unwrap().all(|e| {
                let name = e.unwrap().file_name();
                let name = name.to_string_lossy();
                // Notices stay for ever.
                (name.starts_with('.') && !name.starts_with(".taken-"))
                    || name.ends_with(".notice.json")
                    || name == evidence::handover::STANDING_NAME
            })
        })
    }

    /// Hands an incident over as the drop contract asks.
    pub fn drop_document(&self, name: &str, bytes: &[u8]) {
        let folder = self.state("drop");
        let temporary = folder.join(format!(".{name}.part"));
        fs::write(&temporary, bytes).unwrap();
        fs::rename(&temporary, folder.join(name)).unwrap();
    }

    /// Hands an incident with artifacts over as the drop contract asks.
    pub fn drop_folder(&self, name: &str, document: &[u8], artifacts: &[(&str, &[u8])]) {
        let folder = self.state("drop");
        let temporary = folder.join(format!(".{name}.part"));
        fs::create_dir_all(temporary.join("artifacts")).unwrap();
        fs::write(temporary.join("incident.json"), document).unwrap();
        for (name, bytes) in artifacts {
            fs::write(temporary.join("artifacts").join(name), bytes).unwrap();
        }
        fs::rename(&temporary, folder.join(name)).unwrap();
    }

    /// The same of incidents only.
    #[must_use]
    pub fn incidents(&self) -> Vec<(PathBuf, VerifiedBundle)> {
        let mut bundles = self.bundles();
        bundles.retain(|(_, bundle)| bundle.header().kind == Kind::Incident);
        bundles
    }

    /// Every bundle file with its verified content, in the order of the chain.
    #[must_use]
    pub fn bundles(&self) -> Vec<(PathBuf, VerifiedBundle)> {
        let mut bundles: Vec<_> = files_below(&self.state("evidence"))
            .into_iter()
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy();
                name.ends_with(".json")
                    && !name.ends_with(".locations.json")
                    && !name.starts_with('.')
                    && !path
                        .components()
                        .any(|part| part.as_os_str() == "artifacts")
            })
            .map(|path| {
                let bytes = fs::read(&path).unwrap();
                let signature = fs::read(path.with_extension("json.bundle")).unwrap();
                let verified = VerifiedBundle::verify(&bytes, &signature, &self.public)
                    .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
                (path, verified)
            })
            .collect();
        bundles.sort_by_key(|(_, b)| b.header().chain.sequence);
        bundles
    }
}

impl Default for Clinic {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Clinic {
    fn drop(&mut self) {
        for child in self.daemons.values_mut() {
            // A test that failed must not leave daemons behind.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn make_folders(root: &Path) {
    for folder in [
        "drop",
        "spool",
        "evidence",
        "outbox",
        "receipts",
        "delivery",
        "quarantine",
    ] {
        fs::create_dir_all(root.join("state").join(folder)).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One of our own programs, built beside the tests.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn program_file(name: &str) -> PathBuf {
    // A test lies in target/PROFILE/deps, a program of ours in target/PROFILE.
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    let program = match folder.file_name() {
        Some(last) if last == "deps" => folder.with_file_name(name),
        _ => folder.join(name),
    };
    assert!(
        program.exists(),
        "{} is missing: run tests/run, or `cargo build --workspace --bins` in {}",
        program.display(),
        workspace_root().display()
    );
    program
}

/// Every file below a folder, sorted.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
