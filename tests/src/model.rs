//! The whole pipeline against a simple model: random drops, deaths of the machine, server faults,
//! clock jumps, full disks and changes of the configuration, and in the end everything that was
//! dropped is in the bucket once, locked, and nothing else is.
//!
//! Agent, uploader and store run in this process, on a [`Machine`] that can die at any system call
//! that changes a file. The model is a list of what was dropped. A sequence that fails is made
//! smaller by proptest until every step is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent::{Agent, Keys};
use destination::S3Destination;
use evidence::keys::{PrivateKey, PublicKey};
use fsck::{Level, Look};
use host::config::Settings;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sandbox::{Action, Fault, Sandbox, SandboxOptions};
use tokio::runtime::Runtime;
use uploader::daemon::{Configured, DaemonError, Ended, Places};
use uploader::policy::Policy;

use crate::bucket::judge;
use crate::disk::Cut;
use crate::incident::document;
use crate::interpose::Machine;
use crate::servers::client;

const BUCKET: &str = "evidence";
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(30);

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new incident is dropped, or the same one again.
    Drop(u8),
    /// An incident of a known id is dropped with other bytes.
    DropChanged(u8),
    /// An incident with artifacts is dropped.
    DropFolder(u8),
    /// Something that is no incident is dropped.
    DropBroken,
    /// The agent makes so many passes.
    Seal(u8),
    /// The uploader works for so many milliseconds.
    Deliver(u8),
    /// The machine dies at the n-th system call from now on.
    Die(u16, Death),
    /// Both daemons are stopped in good order.
    Stop,
    /// The store misbehaves on its next requests.
    Server(Mischief, u8),
    /// The store behaves again.
    ServerHeals,
    /// The host's clock jumps, in minutes.
    Clock(i16),
    /// The disk is full, or not any more.
    Full(bool),
    /// Another limit of drops in one transaction, from the next start on.
    GroupLimit(u8),
    /// delivery.db is gone at the next start.
    LoseDelivery,
}

/// How the machine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Every process is killed.
    Kill,
    /// The power fails, and nothing that was not synced is left.
    PowerCut,
    /// The power fails, and some of what was not synced is left.
    TornPowerCut(u64),
}

/// How a store misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// 503 SlowDown.
    SlowDown,
    /// 500 after it did what was asked.
    FailsAfterCommit,
    /// The connection ends before anything is done.
    DropsRequest,
    /// The connection ends after everything is done.
    DropsAnswer,
    /// 409.
    Conflict,
    /// 403 AccessDenied.
    Denies,
    /// The body of an answer is cut off.
    CutsBody,
    /// Checksums are not told.
    HidesChecksum,
    /// Locks are dropped without a word.
    LosesLock,
    /// `If-None-Match` is ignored.
    IgnoresCondition,
    /// Its clock is an hour ahead.
    ClockAhead,
    /// Its clock is an hour behind.
    ClockBehind,
}

impl Mischief {
    const ALL: [Self; 12] = [
        Self::SlowDown,
        Self::FailsAfterCommit,
        Self::DropsRequest,
        Self::DropsAnswer,
        Self::Conflict,
        Self::Denies,
        Self::CutsBody,
        Self::HidesChecksum,
        Self::LosesLock,
        Self::IgnoresCondition,
        Self::ClockAhead,
        Self::ClockBehind,
    ];

    fn apply(self, sandbox: &Sandbox, times: u8) {
        let answer = |status, code: &str| Action::Answer {
            status,
            code: code.to_owned(),
            message: String::new(),
        };
        let (operation, action) = match self {
            Self::SlowDown => (None, answer(503, "SlowDown")),
            Self::FailsAfterCommit => (
                Some("PutObject"),
                Action::AnswerAfterCommit {
                    status: 500,
                    code: "InternalError".to_owned(),
                    message: String::new(),
                },
            ),
            Self::DropsRequest => (None, Action::DropBeforeCommit),
            Self::DropsAnswer => (None, Action::DropAfterCommit),
            Self::Conflict => (Some("PutObject"), answer(409, "ConditionalRequestConflict")),
            Self::Denies => (None, answer(403, "AccessDenied")),
            Self::CutsBody => (None, Action::CutBody { after_bytes: 10 }),
            Self::HidesChecksum => (None, Action::HideChecksum),
            Self::LosesLock => (Some("PutObject"), Action::LoseLock),
            Self::IgnoresCondition => (Some("PutObject"), Action::IgnoreIfNoneMatch),
            Self::ClockAhead => return sandbox.clock().set_offset_secs(3600),
            Self::ClockBehind => return sandbox.clock().set_offset_secs(-3600),
        };
        sandbox.faults().add(Fault {
            operation: operation.map(str::to_owned),
            key_contains: None,
            skip: 0,
            times: Some(u64::from(times)),
            action,
        });
    }
}

/// Sequences of at most `longest` steps.
pub fn sequences(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    let death = prop_oneof![
        Just(Death::Kill),
        Just(Death::PowerCut),
        any::<u64>().prop_map(Death::TornPowerCut),
    ];
    let step = prop_oneof![
        6 => (0..12_u8).prop_map(Step::Drop),
        1 => (0..12_u8).prop_map(Step::DropChanged),
        2 => (0..4_u8).prop_map(Step::DropFolder),
        1 => Just(Step::DropBroken),
        9 => (1..4_u8).prop_map(Step::Seal),
        9 => (1..30_u8).prop_map(Step::Deliver),
        12 => (1..100_u16, death).prop_map(|(n, death)| Step::Die(n, death)),
        1 => Just(Step::Stop),
        3 => (0..Mischief::ALL.len(), 1..4_u8)
            .prop_map(|(n, times)| Step::Server(Mischief::ALL[n], times)),
        1 => Just(Step::ServerHeals),
        2 => (-1500..1500_i16).prop_map(Step::Clock),
        1 => any::<bool>().prop_map(Step::Full),
        1 => (1..9_u8).prop_map(Step::GroupLimit),
        1 => Just(Step::LoseDelivery),
    ];
    proptest::collection::vec(step, 5..longest)
}

/// What the sequences of a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Sequences that ended well.
    pub sequences: u64,
    /// Steps in them.
    pub steps: u64,
    /// Deaths by kill.
    pub kills: u64,
    /// Deaths by power cut.
    pub power_cuts: u64,
    /// Faults of the store.
    pub server_faults: u64,
    /// Jumps of the clock.
    pub clock_jumps: u64,
    /// Times that the disk was full.
    pub full_disks: u64,
    /// Bundles that were judged in a bucket.
    pub bundles: u64,
}

/// Keys and a runtime, made once for all sequences.
pub struct World {
    keys_folder: tempfile::TempDir,
    keys: Arc<Keys>,
    public: PublicKey,
    runtime: Runtime,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes keys.
    ///
    /// # Panics
    /// As everything here, when the ground of the test fails.
    #[must_use]
    pub fn new() -> Self {
        let keys_folder = tempfile::tempdir().unwrap();
        let root = keys_folder.path();
        let (key, pem) = PrivateKey::generate(b"model").unwrap();
        fs::write(root.join("evidence.key"), pem.as_bytes()).unwrap();
        fs::write(root.join("evidence.pub"), key.public().to_pem()).unwrap();
        fs::write(root.join("digest.key"), "22".repeat(32)).unwrap();
        fs::write(root.join("password"), "model\n").unwrap();
        for secret in ["evidence.key", "digest.key", "password"] {
            use std::os::unix::fs::PermissionsExt as _;
            let private = fs::Permissions::from_mode(0o400);
            fs::set_permissions(root.join(secret), private).unwrap();
        }
        let settings = settings(root, root, 16, "http://127.0.0.1:1");
        Self {
            keys: Arc::new(Keys::open(&settings.signing).unwrap()),
            public: key.public().clone(),
            keys_folder,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    /// Runs one sequence and judges; what is wrong, if something is.
    ///
    /// # Errors
    /// Everything that is lost, doubled, unlocked, stuck or falsely claimed.
    pub fn run(&self, steps: &[Step], figures: &mut Figures) -> Result<(), String> {
        let sandbox = self
            .runtime
            .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
            .unwrap();
        let identity = sandbox.credentials();
        let credentials = format!(
            "[default]\naws_access_key_id={}\naws_secret_access_key={}\n",
            identity.access_key, identity.secret_key
        );
        fs::write(self.keys_folder.path().join("credentials"), credentials).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::create_dir(state.join("drop")).unwrap();
        fs::write(folder.path().join("machine-id"), "model").unwrap();
        let mut run = Run {
            world: self,
            sandbox,
            machine: Machine::start(&state),
            folder: folder.path().to_owned(),
            state,
            now: Arc::new(Mutex::new(host_clock(steps))),
            group_limit: 16,
            death: None,
            agent: None,
            uploader: None,
            dropped: BTreeMap::new(),
            again: 0,
            broken: 0,
            names: 0,
        };
        for step in steps {
            run.step(step, figures);
        }
        let judged = run.settle().and_then(|()| run.judge(figures));
        run.stop_all();
        let Run {
            sandbox, machine, ..
        } = run;
        drop(machine);
        self.runtime.block_on(sandbox.shutdown()).unwrap();
        if judged.is_ok() {
            figures.sequences += 1;
            figures.steps += steps.len() as u64;
        }
        judged
    }
}

/// A running uploader, with a runtime that dies with it.
struct Uploader {
    runtime: Runtime,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<Result<Ended, DaemonError>>,
}

struct Run<'a> {
    world: &'a World,
    sandbox: Sandbox,
    machine: Machine,
    folder: PathBuf,
    state: PathBuf,
    now: Arc<Mutex<Timestamp>>,
    group_limit: u8,
    death: Option<Death>,
    agent: Option<Agent>,
    uploader: Option<Uploader>,
    /// Every document that was dropped, with its artifacts: what must be sealed exactly once.
    dropped: BTreeMap<Vec<u8>, String>,
    /// Drops of something that had been dropped before.
    again: u64,
    broken: u64,
    names: u64,
}

impl Run<'_> {
    fn settings(&self) -> Settings {
        settings(
            &self.folder,
            self.world.keys_folder.path(),
            self.group_limit,
            &self.sandbox.endpoint(),
        )
    }

    fn step(&mut self, step: &Step, figures: &mut Figures) {
        match step {
            Step::Drop(n) => {
                let id = format!("INC-{n}");
                self.drop_document(&id, &document(&id), &[]);
            }
            Step::DropChanged(n) => {
                let id = format!("INC-{n}");
                let mut bytes = document(&id);
                bytes.push(b' ');
                self.drop_document(&id, &bytes, &[]);
            }
            Step::DropFolder(n) => {
                let id = format!("INC-F{n}");
                let log = format!("log of {n}");
                let files: [(&str, &[u8]); 2] = [("run.log", log.as_bytes()), ("empty", b"")];
                self.drop_document(&id, &document(&id), &files);
            }
            Step::DropBroken => {
                self.names += 1;
                let name = format!("{}.json", self.names);
                self.hand_over(&name, |place| fs::write(place, b"{").unwrap());
                self.broken += 1;
            }
            Step::Seal(passes) => {
                for _ in 0..*passes {
                    self.seal();
                }
            }
            Step::Deliver(millis) => self.deliver(Duration::from_millis(u64::from(*millis))),
            Step::Die(n, death) => {
                self.death = Some(*death);
                self.machine.die_after(u64::from(*n));
            }
            Step::Stop => self.stop_all(),
            Step::Server(mischief, times) => {
                figures.server_faults += 1;
                mischief.apply(&self.sandbox, *times);
            }
            Step::ServerHeals => self.heal_server(),
            Step::Clock(minutes) => {
                figures.clock_jumps += 1;
                let mut now = self.now.lock().unwrap();
                *now += SignedDuration::from_mins(i64::from(*minutes));
            }
            Step::Full(full) => {
                figures.full_disks += u64::from(*full);
                self.machine.set_full(*full);
            }
            Step::GroupLimit(limit) => self.group_limit = *limit,
            Step::LoseDelivery => {
                self.stop_all();
                let folder = self.state.join("delivery");
                for name in ["delivery.db", "delivery.db-wal", "delivery.db-shm"] {
                    // It may not be there yet.
                    let _ = fs::remove_file(folder.join(name));
                }
            }
        }
        self.bury(figures);
    }

    /// If the machine has died, it lives again as that kind of death leaves it.
    fn bury(&mut self, figures: &mut Figures) {
        if !self.machine.is_dead() {
            return;
        }
        let death = self.death.take().unwrap_or(Death::Kill);
        let cut = match death {
            Death::Kill => None,
            Death::PowerCut => Some(Cut::Everything),
            Death::TornPowerCut(seed) => Some(Cut::Some(seed)),
        };
        if cut.is_some() {
            figures.power_cuts += 1;
        } else {
            figures.kills += 1;
        }
        self.agent = None;
        if let Some(uploader) = self.uploader.take() {
            uploader.task.abort();
            uploader.runtime.shutdown_background();
        }
        wait_for_threads_to_end();
        self.machine.live_again(cut);
    }

    fn drop_document(&mut self, id: &str, bytes: &[u8], files: &[(&str, &[u8])]) {
        let mut content = bytes.to_vec();
        for (name, bytes) in files {
            content.extend_from_slice(name.as_bytes());
            content.extend_from_slice(bytes);
        }
        if self.dropped.insert(content, id.to_owned()).is_some() {
            self.again += 1;
        }
        self.names += 1;
        if files.is_empty() {
            let name = format!("{}.json", self.names);
            self.hand_over(&name, |place| fs::write(place, bytes).unwrap());
        } else {
            let name = self.names.to_string();
            self.hand_over(&name, |place| {
                fs::create_dir_all(place.join("artifacts")).unwrap();
                fs::write(place.join("incident.json"), bytes).unwrap();
                for (name, bytes) in files {
                    fs::write(place.join("artifacts").join(name), bytes).unwrap();
                }
            });
        }
    }

    /// The executor is no part of what dies here: what it hands over is there, and durable.
    fn hand_over(&self, name: &str, write: impl FnOnce(&Path)) {
        let drop = self.state.join("drop");
        let temporary = drop.join(format!(".{name}.part"));
        self.machine.as_outsider(|| {
            write(&temporary);
            fs::rename(&temporary, drop.join(name)).unwrap();
        });
        self.machine.adopt(&drop.join(name));
    }

    fn seal(&mut self) {
        if self.machine.is_dead() {
            return;
        }
        if self.agent.is_none() {
            let now = Arc::clone(&self.now);
            let clock: agent::Clock = Box::new(move || *now.lock().unwrap());
            let keys = Arc::clone(&self.world.keys);
            // A full disk, or the machine has died; both are looked at by whoever called.
            self.agent = Agent::with_keys(self.settings(), keys, clock).ok();
        }
        if let Some(agent) = &mut self.agent {
            let passed = agent.pass();
            if passed.is_ok() {
                let _ = agent.sync();
            }
        }
    }

    fn deliver(&mut self, patience: Duration) {
        if self.machine.is_dead() {
            return;
        }
        if self.uploader.is_none() {
            self.uploader = Some(self.start_uploader());
        }
        let machine = &self.machine;
        let Some(uploader) = &mut self.uploader else {
            return;
        };
        let ended = uploader.runtime.block_on(async {
            let began = Instant::now();
            while began.elapsed() < patience && !machine.is_dead() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if uploader.task.is_finished() {
                    return true;
                }
            }
            false
        });
        if ended {
            // It could not start: the disk is full. systemd starts it again.
            self.uploader = None;
        }
    }

    fn start_uploader(&self) -> Uploader {
        let settings = self.settings();
        let places = Places::from_settings(&settings);
        for path in [
            &places.outbox,
            &places.evidence,
            &places.receipts,
            &places.delivery,
        ] {
            // They are there already but for the first time.
            let _ = host::files::create_dir_durably(path);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = runtime.spawn(async move {
            let mut configured = Vec::new();
            for destination in &settings.destinations {
                let options = uploader::store_options(destination, &settings).unwrap();
                let store = S3Destination::connect(options).await;
                configured.push(Configured::new(destination, store));
            }
            uploader::daemon::run(&places, quick(), configured, async {
                let _ = stopped.await;
            })
            .await
        });
        Uploader {
            runtime,
            stop: Some(stop),
            task,
        }
    }

    fn stop_all(&mut self) {
        self.agent = None;
        if let Some(mut uploader) = self.uploader.take() {
            if let Some(stop) = uploader.stop.take() {
                let _ = stop.send(());
            }
            let task = &mut uploader.task;
            let ended = uploader
                .runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(20), task).await });
            if ended.is_err() {
                uploader.task.abort();
            }
            uploader.runtime.shutdown_background();
        }
        wait_for_threads_to_end();
    }

    fn heal_server(&self) {
        self.sandbox.faults().clear();
        self.sandbox.clock().set_offset_secs(0);
    }

    /// Everything is well again; the daemons work until nothing is left to do.
    fn settle(&mut self) -> Result<(), String> {
        let mut figures = Figures::default();
        self.machine.die();
        self.death = Some(Death::Kill);
        self.bury(&mut figures);
        self.machine.set_full(false);
        self.heal_server();
        let began = Instant::now();
        loop {
            self.seal();
            self.deliver(Duration::from_millis(5));
            if self.is_done() {
                self.stop_all();
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                self.stop_all();
                return Err(format!("it does not settle: {:#?}", self.status()));
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_empty = |folder: &str, of_interest: fn(&str) -> bool| {
            fs::read_dir(self.state.join(folder)).is_ok_and(|mut entries| {
                !entries.any(|e| of_interest(&e.unwrap().file_name().to_string_lossy()))
            })
        };
        is_empty("drop", |name| {
            !name.starts_with('.') || name.starts_with(".taken-")
        }) && is_empty("outbox", |name| name.ends_with(".order.json"))
            && is_empty("receipts", |name| name.ends_with(".receipt.json"))
            && self.status().is_some_and(|(spool, pending)| {
                spool.sealed_bundles == spool.confirmed_bundles && pending == 0
            })
    }

    fn status(&self) -> Option<(spool::reader::Counts, u64)> {
        let spool = spool::reader::Reader::open(&self.state.join("spool/spool.db")).ok()?;
        let delivery = uploader::delivery::Reader::open(&self.state.join("delivery")).ok()??;
        let summary = delivery.summary(Timestamp::now()).ok()?;
        let pending = summary
            .destinations
            .iter()
            .map(|d| d.counts.pending + d.counts.uploaded + d.counts.blocked)
            .sum();
        Some((spool.counts().ok()?, pending))
    }

    fn judge(&self, figures: &mut Figures) -> Result<(), String> {
        let mut problems = Vec::new();
        let (counts, _) = self.status().ok_or("no status")?;
        for (what, found, expected) in [
            ("sealed", counts.sealed_incidents, self.dropped.len() as u64),
            ("duplicates", counts.duplicates, self.again),
            ("quarantined", counts.quarantined, self.broken),
        ] {
            if found != expected {
                problems.push(format!("{what}: {found}, not {expected}"));
            }
        }
        let identity = self.sandbox.credentials();
        let client = client(
            &self.sandbox.endpoint(),
            &identity.access_key,
            &identity.secret_key,
        );
        let judged = self.world.runtime.block_on(judge(
            &client,
            BUCKET,
            std::slice::from_ref(&self.world.public),
        ));
        problems.extend(judged.problems);
        let expected: BTreeSet<String> = self.dropped.values().cloned().collect();
        if judged.incidents != expected {
            problems.push(format!(
                "in the bucket: {:?}, not {expected:?}",
                judged.incidents
            ));
        }
        if judged.chains.len() > 1 {
            problems.push(format!("{} chains", judged.chains.len()));
        }
        problems.extend(self.fsck());
        if problems.is_empty() {
            figures.bundles += counts.sealed_bundles;
            Ok(())
        } else {
            Err(problems.join("\n"))
        }
    }

    fn fsck(&self) -> Vec<String> {
        let settings = self.settings();
        let mut look = Look::open(&settings, &self.world.public, Timestamp::MAX).unwrap();
        let mut report = look.check();
        let destination = &settings.destinations[0];
        self.world.runtime.block_on(async {
            let options = uploader::store_options(destination, &settings).unwrap();
            let store = Arc::new(S3Destination::connect(options).await);
            let (id, prefix) = (&destination.destination_id, &destination.prefix);
            fsck::check_bucket(&look, id, prefix, store, &mut report, |_| {}).await;
        });
        report
            .findings
            .iter()
            .filter(|finding| finding.level >= Level::Repairable)
            .map(|finding| format!("fsck: {finding:?}"))
            .collect()
    }
}

/// Where the host's clock begins: two hours before the year ends. Only an order's age tells a new
/// delivery.db of one that comes into the outbox after its first look, so where that is lost the
/// clock begins where the uploader's is.
fn host_clock(steps: &[Step]) -> Timestamp {
    if steps.contains(&Step::LoseDelivery) {
        return Timestamp::now();
    }
    "2026-12-31T22:00:00Z".parse().unwrap()
}

/// The threads of a daemon that ended close its database; before that nobody may open it again.
fn wait_for_threads_to_end() {
    let began = Instant::now();
    let lives = || {
        fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .any(|task| {
                fs::read_to_string(task.path().join("comm"))
                    .is_ok_and(|name| matches!(name.trim(), "delivery-db" | "intake"))
            })
    };
    while lives() {
        assert!(
            began.elapsed() < PATIENCE,
            "a thread of a daemon does not end"
        );
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

fn settings(folder: &Path, keys: &Path, group_limit: u8, endpoint: &str) -> Settings {
    let (folder, keys) = (folder.display(), keys.display());
    let text = format!(
        "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n\
         [paths]\nstate_dir = \"{folder}/state\"\nmachine_id = \"{folder}/machine-id\"\n\
         [signing]\nkey = \"{keys}/evidence.key\"\npublic_key = \"{keys}/evidence.pub\"\n\
         password_file = \"{keys}/password\"\ndigest_key = \"{keys}/digest.key\"\n\
         [agent]\nmin_free_bytes = 1048576\ngroup_limit = {group_limit}\n\
         [[destination]]\nid = \"main\"\nbucket = \"{BUCKET}\"\nprefix = \"p/\"\n\
         region = \"us-east-1\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         credentials_file = \"{keys}/credentials\"\n"
    );
    Settings::parse(&text, Path::new("model.toml"), std::iter::empty()).unwrap()
}

/// Delays of milliseconds.
fn quick() -> Policy {
    let settings = settings(Path::new("/"), Path::new("/"), 1, "http://127.0.0.1:1");
    Policy {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(10),
        conflict_retry_max: Duration::from_millis(2),
        park_probe: Duration::from_millis(10),
        rescan_every: Duration::from_millis(10),
        receipt_linger: Duration::from_millis(1),
        reissue_after: Duration::from_millis(100),
        drain: Duration::from_secs(5),
        ..Policy::from_settings(&settings.uploader)
    }
}
