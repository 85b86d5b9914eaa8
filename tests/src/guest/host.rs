//! A guest with our programs on it, and a MinIO outside that it reaches over TLS.
//!
//! What is asked of it is what an engineer sees: systemd's properties, the journal, `status`, files.
//! What lies in the bucket is judged from outside, with nothing of the host but its public key.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::time::{Duration, Instant};

use evidence::keys::PublicKey;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Guest, Relay, Release, STORE_NAME};
use crate::bucket;
use crate::clinic::{BUCKET, Role, program_file};
use crate::incident;
use crate::servers::{Kind, Server};
use crate::tls::TlsFront;
use crate::tools::workspace_root;

/// Nothing takes so long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the store is, for the guest.
const PORT: u16 = 9000;
/// The user who drops incidents in a guest: a member of msp-drop.
pub const EXECUTOR: &str = "executor";

impl Role {
    /// The name of its service and its program.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Agent => "msp-evidence-agent",
            Self::Uploader => "msp-evidence-uploader",
        }
    }
}

/// A guest, and a store with a bucket for it.
pub struct Host {
    /// The guest.
    pub guest: Guest,
    /// The store that it reaches.
    pub server: Server,
    front: TlsFront,
    way: Option<Relay>,
    dropped: BTreeSet<String>,
    // Last: what the others run on.
    runtime: Runtime,
}

impl Host {
    /// Boots a guest with nothing of ours on it, and starts a store with a bucket; `None` after saying
    /// loudly that `test` is skipped, where either is missing.
    ///
    /// # Panics
    /// When either does not come up, as everywhere in this module: it is a test's ground.
    #[must_use]
    pub fn boot(release: Release, test: &str) -> Option<Self> {
        let guest = Guest::boot(release, test)?;
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(Kind::Minio, test))?;
        runtime.block_on(server.make_bucket(BUCKET));
        let address = server.endpoint.trim_start_matches("http://");
        let front = TlsFront::start(runtime.handle(), address.parse().unwrap());
        let mut host = Self {
            guest,
            server,
            front,
            way: None,
            dropped: BTreeSet::new(),
            runtime,
        };
        host.reach_store();
        Some(host)
    }

    /// Puts the programs that were built beside the tests where the packages put them, makes users and
    /// folders as the packages do, and enables the services. They need the C library of Debian 12.
    pub fn install_by_hand(&self) {
        let root = self.guest.path();
        for name in [
            "msp-evidence",
            Role::Agent.service(),
            Role::Uploader.service(),
        ] {
            fs::copy(program_file(name), root.join("usr/bin").join(name)).unwrap();
        }
        let systemd = workspace_root().join("systemd");
        for (from, to) in [
            ("sysusers.d/msp-evidence.conf", "usr/lib/sysusers.d"),
            ("tmpfiles.d/msp-evidence.conf", "usr/lib/tmpfiles.d"),
            ("msp-evidence-agent.service", "usr/lib/systemd/system"),
            ("msp-evidence-uploader.service", "usr/lib/systemd/system"),
            ("msp-evidence-alarm@.service", "usr/lib/systemd/system"),
        ] {
            let name = from.rsplit('/').next().unwrap_or(from);
            fs::copy(systemd.join(from), root.join(to).join(name)).unwrap();
        }
        self.guest.sh("systemd-sysusers msp-evidence.conf
             systemd-tmpfiles --create msp-evidence.conf
             systemctl daemon-reload
             systemctl enable --now --quiet msp-evidence-agent msp-evidence-uploader");
    }

    /// Makes keys, credentials and a configuration for the bucket, with `more` before its destination,
    /// and starts the services. Beside the store nothing differs from what is usual but how soon is
    /// tried again.
    pub fn configure(&self, more: &str) {
        let etc = self.guest.path().join("etc/msp");
        let _ = self.front.ca_file(&etc);
        fs::set_permissions(etc.join("ca.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        let text = format!(
            "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n\
             [agent]\nmin_free_bytes = 1048576\n\
             [uploader]\nbackoff_min_ms = 10\nbackoff_max_secs = 1\npark_probe_secs = 1\n\
             {more}\n\
             [[destination]]\nid = \"main\"\nbucket = \"{BUCKET}\"\nregion = \"us-east-1\"\n\
             endpoint = \"https://{STORE_NAME}:{PORT}\"\npath_style = true\n\
             ca_file = \"/etc/msp/ca.pem\"\n"
        );
        fs::write(etc.join("evidence.toml"), text).unwrap();
        let credentials = fs::read(self.server.credentials_file()).unwrap();
        for (name, content) in [
            ("signing-key-password", b"only for tests".as_slice()),
            ("s3-credentials", &credentials),
        ] {
            let path = etc.join("credentials").join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        }
        self.guest.sh(
            "msp-evidence keys generate --password-file /etc/msp/credentials/signing-key-password
             chown -R msp-agent:msp-agent /etc/msp/signing-keys
             systemctl start msp-evidence-agent msp-evidence-uploader",
        );
    }

    /// Opens the way to the store, if it is closed.
    pub fn reach_store(&mut self) {
        let way = self
            .guest
            .relay(self.runtime.handle(), PORT, self.front.address());
        self.way = Some(way);
    }

    /// Closes the way to the store, with every connection.
    pub fn lose_store(&mut self) {
        self.way = None;
    }

    /// Drops an incident for each id, as the executor's user does.
    pub fn drop_incidents(&mut self, ids: &[&str]) {
        for id in ids {
            let path = self.guest.path().join("srv").join(format!("{id}.json"));
            fs::write(path, incident::document(id)).unwrap();
            self.dropped.insert((*id).to_owned());
        }
        self.guest.sh(&format!(
            "id {EXECUTOR} >/dev/null 2>&1 || useradd --system --groups msp-drop {EXECUTOR}
             runuser -u {EXECUTOR} -- sh -euc '
                 umask 0027
                 cd /var/lib/msp/drop
                 for id in {}; do cp /srv/$id.json .$id.part; mv -n .$id.part $id.json; done'",
            ids.join(" ")
        ));
    }

    /// What `msp-evidence status --json` says; null while it cannot say.
    #[must_use]
    pub fn status(&self) -> Value {
        let output = self.guest.run(&["msp-evidence", "status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Whether every incident that was dropped is sealed, and every bundle confirmed.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        let status = self.status();
        let number = |pointer| status.pointer(pointer).and_then(Value::as_u64);
        let sealed = number("/spool/sealed_bundles");
        number("/spool/sealed_incidents") >= Some(self.dropped.len() as u64)
            && sealed == number("/spool/confirmed_bundles")
            && number("/pending") == Some(0)
            && self.guest.sh("ls /var/lib/msp/drop").is_empty()
    }

    /// A property of a service, as `systemctl show` has it.
    #[must_use]
    pub fn property(&self, role: Role, name: &str) -> String {
        let value = self.guest.sh(&format!(
            "systemctl show --value --property={name} {}",
            role.service()
        ));
        value.trim().to_owned()
    }

    /// Its main process; "0" when there is none.
    #[must_use]
    pub fn pid(&self, role: Role) -> String {
        self.property(role, "MainPID")
    }

    /// Whether the service runs and has said that it is ready.
    #[must_use]
    pub fn is_active(&self, role: Role) -> bool {
        self.property(role, "ActiveState") == "active"
    }

    /// The messages of a unit in the journal.
    #[must_use]
    pub fn journal(&self, unit: &str) -> String {
        self.guest.sh(&format!("journalctl -u {unit} -o cat"))
    }

    /// Waits until `is_true`.
    ///
    /// # Panics
    /// When that takes too long; what the services say of themselves is shown.
    pub fn wait_until(&self, what: &str, is_true: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_true(self) {
            if began.elapsed() > PATIENCE {
                let shown = self.guest.run(&[
                    "sh",
                    "-c",
                    "msp-evidence status; systemctl status --no-pager --full 'msp-evidence-*'; \
                     journalctl --no-pager -n 60 -o short-precise",
                ]);
                panic!(
                    "waited for {what} in {}:\n{}",
                    self.guest.release().name(),
                    printed(&shown)
                );
            }
            // Nobody outside is told of what happens in a guest.
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Judges the bucket with the public key of the guest: every incident that was dropped is there,
    /// locked, signed and in one chain, and nothing is wrong.
    ///
    /// # Panics
    /// When not.
    pub fn assert_proven(&self) {
        let key = self.guest.path().join("etc/msp/signing-keys/evidence.pub");
        let public = PublicKey::from_pem(&fs::read_to_string(key).unwrap()).unwrap();
        let judged = self
            .runtime
            .block_on(bucket::judge(&self.server.client(), BUCKET, &[public]));
        assert_eq!(judged.problems, Vec::<String>::new());
        assert_eq!(judged.incidents, self.dropped);
        assert_eq!(judged.chains.len(), 1, "{:?}", judged.chains);
    }
}

/// What a command printed, both ways, for messages.
#[must_use]
pub fn printed(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[out.as_slice(), err].concat()).into_owned()
}
