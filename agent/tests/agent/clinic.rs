//! One host's folders and keys, and an agent that can be stopped and started on them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::{Agent, Clock};
use evidence::bundle::{Kind, VerifiedBundle};
use evidence::handover::{Confirmation, Order, Proof, Receipt};
use evidence::keys::{PrivateKey, PublicKey};
use host::config::Settings;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) struct Clinic {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) public: PublicKey,
    pub(crate) now: Arc<Mutex<Timestamp>>,
    pub(crate) since_boot: Arc<Mutex<Duration>>,
    pub(crate) more_config: String,
    pub(crate) min_free_bytes: u64,
}

impl Clinic {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        fs::create_dir(&keys).unwrap();
        let (key, pem) = PrivateKey::generate(b"test password").unwrap();
        fs::write(keys.join("evidence.key"), pem.as_bytes()).unwrap();
        fs::write(keys.join("evidence.pub"), key.public().to_pem()).unwrap();
        fs::write(keys.join("digest.key"), "11".repeat(32)).unwrap();
        fs::write(keys.join("password"), "test password\n").unwrap();
        for secret in ["evidence.key", "digest.key", "password"] {
            fs::set_permissions(keys.join(secret), fs::Permissions::from_mode(0o400)).unwrap();
        }
        Self {
            dir,
            public: key.public().clone(),
            now: Arc::new(Mutex::new("2026-11-21T10:00:00Z".parse().unwrap())),
            since_boot: Arc::new(Mutex::new(Duration::from_secs(100))),
            more_config: String::new(),
            min_free_bytes: 1 << 20,
        }
    }

    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state").join(name)
    }

    pub(crate) fn settings(&self) -> Settings {
        let root = self.dir.path().display();
        let text = format!(
            "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n{}\n\
             [paths]\nstate_dir = \"{root}/state\"\n\
             [signing]\nkey = \"{root}/keys/evidence.key\"\npublic_key = \"{root}/keys/evidence.pub\"\n\
             password_file = \"{root}/keys/password\"\ndigest_key = \"{root}/keys/digest.key\"\n\
             [agent]\nmin_free_bytes = {}\n\
             [[destination]]\nid = \"main\"\nbucket = \"evidence\"\nprefix = \"p/\"\nregion = \"us-east-1\"\n",
            self.more_config, self.min_free_bytes
        );
        Settings::parse(&text, Path::new("test.toml"), std::iter::empty()).unwrap()
    }

    pub(crate) fn agent(&self) -> Agent {
        self.try_agent().unwrap()
    }

    pub(crate) fn try_agent(&self) -> Result<Agent, agent::AgentError> {
        let now = Arc::clone(&self.now);
        let since_boot = Arc::clone(&self.since_boot);
        let clock = Clock::new(
            move || *now.lock().unwrap(),
            move || *since_boot.lock().unwrap(),
        );
        Agent::open(self.settings(), clock)
    }

    /// Both clocks go on by so much.
    pub(crate) fn wait(&self, seconds: u32) {
        *self.now.lock().unwrap() += SignedDuration::from_secs(i64::from(seconds));
        *self.since_boot.lock().unwrap() += Duration::from_secs(u64::from(seconds));
    }

    /// Only the date changes.
    pub(crate) fn set_clock(&self, time: &str) {
        *self.now.lock().unwrap() = time.parse().unwrap();
    }

    pub(crate) fn drop_bytes(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.state("drop");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let temporary = folder.join(format!(".{}.part", name.len()));
        fs::write(&temporary, bytes).unwrap();
        fs::rename(&temporary, &path).unwrap();
        path
    }

    pub(crate) fn drop_incident(&self, id: &str) {
        self.drop_bytes(&format!("{id}.json"), &incident(id));
    }

    /// Every bundle file, verified, in the order of the chain.
    pub(crate) fn bundles(&self) -> Vec<VerifiedBundle> {
        let mut bundles: Vec<_> = files_below(&self.state("evidence"))
            .into_iter()
            .filter(|p| {
                let name = p.file_name().unwrap().to_string_lossy();
                name.ends_with(".json")
                    && !name.ends_with(".locations.json")
                    && !p.components().any(|part| part.as_os_str() == "artifacts")
            })
            .map(|path| {
                let bytes = fs::read(&path).unwrap();
                let signature = fs::read(path.with_extension("json.bundle")).unwrap();
                VerifiedBundle::verify(&bytes, &signature, &self.public).unwrap()
            })
            .collect();
        bundles.sort_by_key(|b| (b.header().chain.chain_id.clone(), b.header().chain.sequence));
        bundles
    }

    pub(crate) fn incident_ids(&self) -> Vec<String> {
        self.bundles()
            .iter()
            .filter(|b| b.header().kind == Kind::Incident)
            .map(|b| {
                b.document()["incident"]["incident_id"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.state(folder))
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The reason codes in quarantine, sorted.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<_> = self
            .names("quarantine")
            .iter()
            .filter(|name| name.ends_with(".reason.json"))
            .map(|name| {
                let reason: Value =
                    serde_json::from_slice(&fs::read(self.state("quarantine").join(name)).unwrap())
                        .unwrap();
                reason["reason_code"].as_str().unwrap().to_owned()
            })
            .collect();
        reasons.sort();
        reasons
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.names("outbox")
            .iter()
            .map(|name| Order::parse(&fs::read(self.state("outbox").join(name)).unwrap()).unwrap())
            .collect()
    }

    pub(crate) fn receipt(&self, name: &str, bytes: &[u8]) {
        fs::write(self.state("receipts").join(name), bytes).unwrap();
    }
}

/// What an honest uploader would report of an order.
pub(crate) fn honest_receipt(order: &Order) -> Receipt {
    let date: Timestamp = "2026-11-21T10:00:05Z".parse().unwrap();
    let destination = &order.destinations[0];
    Receipt {
        receipt_version: 1,
        receipt_id: order.order_id.clone(),
        reported_at: date,
        confirmations: order
            .objects
            .iter()
            .map(|object| Confirmation {
                order_id: order.order_id.clone(),
                bundle_id: object.bundle_id.clone(),
                path: object.path.clone(),
                sha256: object.sha256,
                size_bytes: object.size_bytes,
                destination_id: destination.destination_id.clone(),
                uri: format!("{}{}", destination.uri, object.path),
                version_id: format!("version-of-{}", object.role.as_str()),
                etag: None,
                proof: Proof::ServerSha256,
                object_lock_mode: "COMPLIANCE".to_owned(),
                retain_until: date
                    + SignedDuration::from_hours(24 * i64::from(destination.retention_days)),
                server_date: date,
                confirmed_at: date,
            })
            .collect(),
    }
}

pub(crate) fn incident(id: &str) -> Vec<u8> {
    let hash = format!("sha256:{}", "5a".repeat(32));
    serde_json::to_vec(&json!({
        "incident": {"incident_id": id, "event_type": "backup_failure", "severity": "high",
            "detected_at": "2026-11-21T09:50:00Z", "hostname": "host-1"},
        "runbook": {"runbook_id": "RB-1", "runbook_version": "1", "runbook_hash": hash,
            "steps_total": 1, "steps_executed": 1},
        "execution": {"timestamp_start": "2026-11-21T09:51:00Z",
            "timestamp_end": "2026-11-21T09:52:00Z", "operator": "service:mcp-executor",
            "mttr_seconds": 60, "sla_target_seconds": 600, "sla_met": true,
            "resolution_type": "auto"},
        "actions": [{"step": 1, "action": "run_backup", "script_hash": hash, "result": "ok",
            "exit_code": 0, "timestamp": "2026-11-21T09:52:00Z"}],
        "outputs": {"resolution_status": "success"}
    }))
    .unwrap()
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
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
