//! The whole pipeline against a simple model: random drops, deaths of the machine, server faults,
//! clock jumps, full disks and changes of the configuration, and in the end everything that was
//! dropped is in the bucket once, locked, and nothing else is.
//!
//! Agent, uploader and store run in this process, on a [`Machine`] that can die at any system call
//! that changes a file. The model is a list of what was dropped. A sequence that fails is made
//! smaller by proptest until every step is needed.

mod judge;
mod run;
mod settings;
mod step;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::Keys;
use evidence::keys::{PrivateKey, PublicKey};
use jiff::Timestamp;
use sandbox::{Sandbox, SandboxOptions};
use tokio::runtime::Runtime;

use crate::interpose::Machine;
use run::Run;
use settings::settings;
pub use step::{Death, Mischief, Step, sequences};

const BUCKET: &str = "evidence";
/// A bound for failures only.
const PATIENCE: Duration = Duration::from_secs(30);

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
            keys: Arc::new(Keys::open(&settings.signing, None).unwrap()),
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
            since_boot: Arc::default(),
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

/// Where the host's clock begins: two hours before the year ends. Only an order's age tells a new
/// delivery.db of one that comes into the outbox after its first look, so where that is lost the
/// clock begins where the uploader's is.
fn host_clock(steps: &[Step]) -> Timestamp {
    if steps.contains(&Step::LoseDelivery) {
        return Timestamp::now();
    }
    "2026-12-31T22:00:00Z".parse().unwrap()
}
