//! One host, its daemons, a store, and the ways on which a fault may sit between them.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clinic::{BUCKET, Clinic, Place, Role, files_below};
use crate::incident::document;
use crate::proxy::{Proxy, Rule};
use crate::tls::TlsFront;

/// How the uploader finds the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By address, through the proxy.
    Proxy,
    /// By address, through TLS.
    Tls,
    /// By a name that a hosts file of its own tells, through the proxy.
    Name,
}

/// What is dropped while the fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Three incidents, one of them with an artifact.
    Small,
    /// One incident with an artifact that is uploaded in parts.
    Large,
}

/// The name of the store, for [`Way::Name`] (RFC 6761 section 6.2: no resolver knows it).
const NAME: &str = "store.test";
/// Just over the largest object that is sent in one request.
const LARGE_BYTES: usize = (64 << 20) + 4321;

/// One case's ground.
pub struct Ground {
    /// The host.
    pub clinic: Clinic,
    /// Between the uploader and the store.
    pub proxy: Proxy,
    /// The same with TLS, for [`Way::Tls`].
    pub tls: Option<TlsFront>,
    /// The store itself, for the judge, and for whoever else may write there.
    pub direct: Place,
    /// Faults that no proxy and no script counts.
    pub injected: u64,
    /// What the uploader logged.
    pub events: Vec<Value>,
    /// Every incident that was dropped.
    pub dropped: BTreeSet<String>,
    scripted: Vec<sandbox::FaultId>,
    load: Load,
}

impl Ground {
    /// A host that reaches the store at `store`, or its own sandbox; its daemons run, and one
    /// incident is confirmed already.
    #[must_use]
    pub fn new(template: &Clinic, store: Option<Place>, way: Way, load: Load) -> Self {
        let mut clinic = Clinic::with_keys_of(template, &[]);
        let direct = store.unwrap_or_else(|| Place::sandbox("main", &clinic.sandbox));
        let address = address_of(&direct.endpoint);
        let handle = clinic.runtime().handle().clone();
        let proxy = Proxy::start(&handle, address, &direct.access_key, &direct.secret_key);
        let tls = (way == Way::Tls).then(|| TlsFront::start(&handle, address));
        let endpoint = match (way, &tls) {
            (_, Some(tls)) => format!("https://{}", tls.address()),
            (Way::Name, None) => format!("http://{NAME}:{}", proxy.address().port()),
            (_, None) => format!("http://{}", proxy.address()),
        };
        let place = Place {
            endpoint,
            ..direct.clone()
        };
        clinic.configure(&[place], "");
        let file = clinic.dir.path().join("evidence.toml");
        let mut text = fs::read_to_string(&file).unwrap();
        text = text.replace("[uploader]\n", "[uploader]\nrequest_timeout_secs = 2\n");
        if let Some(tls) = &tls {
            let ca = tls.ca_file(clinic.dir.path());
            text.push_str(&format!("ca_file = {:?}\n", ca.display().to_string()));
        }
        fs::write(file, text).unwrap();
        clinic.start(Role::Agent);
        let mut ground = Self {
            clinic,
            proxy,
            tls,
            direct,
            injected: 0,
            events: Vec::new(),
            dropped: BTreeSet::new(),
            scripted: Vec::new(),
            load,
        };
        ground.set_name(true);
        let uploader = match way {
            Way::Name => ground.with_own_names(),
            _ => ground.clinic.daemon(Role::Uploader),
        };
        ground.clinic.start_as(Role::Uploader, uploader);
        ground.drop_incident("INC-0", None);
        ground
    }

    /// Whether [`Way::Name`] can be gone on this machine.
    #[must_use]
    pub fn may_have_own_names() -> bool {
        unshare()
            .arg("true")
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// The uploader with a hosts file of its own, and nobody else to ask.
    fn with_own_names(&self) -> Command {
        let nsswitch = self.clinic.dir.path().join("nsswitch.conf");
        fs::write(&nsswitch, "hosts: files\n").unwrap();
        let daemon = self.clinic.daemon(Role::Uploader);
        let mut command = unshare();
        command
            .args(["sh", "-c"])
            .arg(
                "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/nsswitch.conf \
                 && shift 2 && exec \"$@\"",
            )
            .arg("sh")
            .arg(self.hosts())
            .arg(nsswitch)
            .arg(daemon.get_program())
            .args(daemon.get_args());
        for (name, value) in daemon.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // The store is on this host, and no proxy could reach it.
        command.env("NO_PROXY", NAME);
        command
    }

    fn hosts(&self) -> PathBuf {
        self.clinic.dir.path().join("hosts")
    }

    /// Makes the store's name known or unknown.
    pub fn set_name(&self, known: bool) {
        let line = if known { NAME } else { "nobody.test" };
        // In place, since it is this very file that the uploader sees.
        fs::write(self.hosts(), format!("127.0.0.1 {line}\n")).unwrap();
        self.proxy.hang_up();
    }

    /// Writes another access key where the uploader reads it.
    pub fn set_credentials(&self, access_key: &str, secret_key: &str) {
        let text = format!(
            "[main]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
        );
        fs::write(self.clinic.dir.path().join("aws-credentials"), text).unwrap();
    }

    /// Has the uploader read its configuration and credentials again.
    pub fn reload(&self) {
        let pid = i32::try_from(self.clinic.pid(Role::Uploader)).unwrap();
        let signal = nix::sys::signal::Signal::SIGHUP;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// Arms a fault of the sandbox.
    pub fn script(&mut self, fault: sandbox::Fault) {
        self.scripted.push(self.clinic.sandbox.faults().add(fault));
    }

    /// Arms a fault of the proxy.
    pub fn arm(&self, rule: Rule) {
        self.proxy.arm(rule);
    }

    /// How often a fault has struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        let faults = self.clinic.sandbox.faults();
        let scripted: u64 = self.scripted.iter().map(|id| faults.struck(*id)).sum();
        self.injected + self.proxy.struck() + scripted
    }

    /// Ends every fault of the proxy and of the sandbox.
    pub fn clear(&self) {
        self.proxy.clear();
        self.clinic.sandbox.faults().clear();
    }

    /// Drops what this case drops, unless that was done.
    pub fn drop_load(&mut self) {
        if self.dropped.len() > 1 {
            return;
        }
        match self.load {
            Load::Small => {
                self.drop_incident("INC-1", None);
                self.drop_incident("INC-2", None);
                self.drop_incident("INC-3", Some(&[b'l'; 4000]));
            }
            Load::Large => self.drop_incident("INC-1", Some(&vec![b'l'; LARGE_BYTES])),
        }
    }

    fn drop_incident(&mut self, id: &str, artifact: Option<&[u8]>) {
        match artifact {
            None => self
                .clinic
                .drop_document(&format!("{id}.json"), &document(id)),
            Some(bytes) => self
                .clinic
                .drop_folder(id, &document(id), &[("run.log", bytes)]),
        }
        self.dropped.insert(id.to_owned());
    }

    /// Waits until the agent has sealed the whole load, and returns the key of the bundle with
    /// this incident.
    ///
    /// # Panics
    /// When it does not.
    pub fn key_of(&mut self, incident: &str) -> String {
        let all = self.dropped.len();
        let sealed = self.wait(Duration::from_secs(60), |g| g.clinic.bundles().len() == all);
        assert!(sealed, "the agent has not sealed everything");
        let evidence = self.clinic.state("evidence");
        let found = self
            .clinic
            .bundles()
            .into_iter()
            .find(|(_, bundle)| bundle.document()["incident"]["incident_id"] == *incident);
        let (path, _) = found.expect("a bundle of this incident");
        let path = path.strip_prefix(&evidence).unwrap();
        format!("{}{}", self.direct.prefix, path.display())
    }

    /// Puts somebody else's object, without a lock.
    pub fn put_foreign(&mut self, key: &str) {
        let client = self.direct.client();
        let put = client
            .put_object()
            .bucket(&self.direct.bucket)
            .key(key)
            .body(aws_sdk_s3::primitives::ByteStream::from_static(b"not ours"));
        self.clinic.runtime().block_on(put.send()).unwrap();
        self.injected += 1;
    }

    /// Lays a delete marker over a key.
    pub fn delete(&mut self, key: &str) {
        let client = self.direct.client();
        let delete = client.delete_object().bucket(&self.direct.bucket).key(key);
        self.clinic.runtime().block_on(delete.send()).unwrap();
        self.injected += 1;
    }

    /// How many versions and delete markers lie at a key.
    #[must_use]
    pub fn versions(&self, key: &str) -> usize {
        let client = self.direct.client();
        let list = client
            .list_object_versions()
            .bucket(&self.direct.bucket)
            .prefix(key);
        let page = self.clinic.runtime().block_on(list.send()).unwrap();
        let of_key = page.versions().iter().filter(|v| v.key() == Some(key));
        let markers = page
            .delete_markers()
            .iter()
            .filter(|m| m.key() == Some(key));
        of_key.count() + markers.count()
    }

    /// What `status --json` says.
    #[must_use]
    pub fn status(&self) -> Value {
        self.clinic.cli_json(&["status", "--json"])
    }

    /// Whether nothing is on its way, and nothing is wrong any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let sealed = files_below(&self.clinic.state("evidence"));
        let status = || self.status();
        !sealed.is_empty() && self.clinic.is_settled() && {
            let status = status();
            status["pending"] == 0
                && status["blocked"].as_array().is_some_and(Vec::is_empty)
                && status["delivery"]["destinations"][0]["state"] == "ok"
        }
    }

    /// Reads the daemons' events until `is_true`, looked at a few times a second; `false` when
    /// that took longer than `patience`.
    ///
    /// # Panics
    /// When a daemon has ended by itself.
    pub fn wait(&mut self, patience: Duration, is_true: impl Fn(&Self) -> bool) -> bool {
        let began = Instant::now();
        loop {
            let look_at = Instant::now() + Duration::from_millis(100);
            while let Some((role, event)) = self
                .clinic
                .next_event(look_at.saturating_duration_since(Instant::now()))
            {
                if role == Role::Uploader {
                    self.events.push(event);
                }
            }
            if is_true(self) {
                return true;
            }
            if began.elapsed() > patience {
                return false;
            }
        }
    }
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !nix::unistd::Uid::effective().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--");
    command
}

fn address_of(endpoint: &str) -> SocketAddr {
    endpoint
        .strip_prefix("http://")
        .and_then(|address| address.parse().ok())
        .expect("a store under test is on loopback")
}

/// A bucket of its own on a server.
#[must_use]
pub fn bucket_name(number: usize) -> String {
    format!("{BUCKET}-{number}")
}
