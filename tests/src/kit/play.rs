//! Plays a kit's steps: hosts seal, whoever attacks them forges, and a store is filled.

use std::collections::BTreeMap;
use std::sync::Arc;

use evidence::custody::{ConfirmedEntry, ReportedBy};
use evidence::digest::Sha256;
use evidence::handover::Role;
use evidence::keys::PrivateKey;
use jiff::{SignedDuration, Timestamp};

use super::forge::Files;
use super::header::{Claim, Header, Part, Step, Storing, Verb};
use super::host::{DESTINATION, Host, Made};
use super::shelf::Shelf;

/// A kit that has been laid out.
pub struct Played {
    keys: Keys,
    /// Before anything was sealed, by the hosts' clocks.
    pub before_sealed: Timestamp,
    /// Before anything was stored, by the store's clock, and after all was sealed by the hosts'.
    pub before_stored: Timestamp,
    /// The key of the first host, as its auditor was given it.
    pub first_key: String,
}

/// Keys by name, made when first named.
#[derive(Default)]
struct Keys(BTreeMap<String, Arc<PrivateKey>>);

impl Keys {
    fn get(&mut self, name: &str) -> Arc<PrivateKey> {
        let made = || Arc::new(PrivateKey::generate(b"only for kits").unwrap().0);
        Arc::clone(self.0.entry(name.to_owned()).or_insert_with(made))
    }
}

impl Played {
    /// The public key of this name, as PEM.
    pub fn public_pem(&mut self, name: &str) -> String {
        self.keys.get(name).public().to_pem()
    }

    /// Its fingerprint.
    pub fn key_id(&mut self, name: &str) -> String {
        self.keys.get(name).public().key_id()
    }
}

struct Stage<'a> {
    shelf: &'a Shelf,
    uri: String,
    /// By the hosts' clocks: everything is sealed well before it is stored.
    start: Timestamp,
    keys: Keys,
    hosts: BTreeMap<String, Host>,
    copies: BTreeMap<String, Host>,
    made: BTreeMap<String, Made>,
    files: BTreeMap<String, Files>,
    count: usize,
}

/// Plays the steps of `header` onto `shelf`; plans name `uri` (`s3://bucket/prefix/`).
///
/// # Panics
/// When a step cannot be played.
pub async fn play(header: &Header, shelf: &Shelf, uri: &str) -> Played {
    let now = Timestamp::now();
    let start = now - SignedDuration::from_hours(12);
    let mut stage = Stage {
        shelf,
        uri: uri.to_owned(),
        start,
        keys: Keys::default(),
        hosts: BTreeMap::new(),
        copies: BTreeMap::new(),
        made: BTreeMap::new(),
        files: BTreeMap::new(),
        count: 0,
    };
    stage.host("clinic-a/srv-1");
    for step in &header.steps {
        stage.step(step).await;
    }
    Played {
        keys: stage.keys,
        before_sealed: start - SignedDuration::from_hours(1),
        before_stored: now - SignedDuration::from_mins(1),
        first_key: "clinic-a/srv-1".to_owned(),
    }
}

impl Stage<'_> {
    /// A host's own key has the host's name.
    fn host(&mut self, name: &str) -> &mut Host {
        if !self.hosts.contains_key(name) {
            let (client, host) = name.split_once('/').unwrap();
            let key = self.keys.get(name);
            let host = Host::new(client, host, key, &self.uri, self.start);
            self.hosts.insert(name.to_owned(), host);
        }
        self.hosts.get_mut(name).unwrap()
    }

    async fn step(&mut self, step: &Step) {
        let signer = step.key.as_deref().map(|name| self.keys.get(name));
        let to = step.to.as_deref().map(|name| self.keys.get(name));
        self.count += 1;
        let fallback = format!("INC-{}", self.count);
        let name = step.name.clone().unwrap_or(fallback);
        let host = self.host(&step.host);
        let own = Arc::clone(&host.key);
        if let Some(signer) = signer {
            host.key = signer;
        }
        let made = match step.verb {
            Verb::Incident => Some(host.incident(&name, &step.artifacts)),
            Verb::Custody => Some(host.custody(step.lie)),
            Verb::Rotate => {
                let made = host.rotate(to.expect("rotate names the key"));
                self.store(step, name, made).await;
                return;
            }
            Verb::UseKey => {
                host.key = to.expect("use_key names the key");
                return;
            }
            Verb::Restart => {
                host.restart(step.because.as_deref().expect("why"), step.predecessor);
                None
            }
            Verb::Snapshot => {
                let copy = host.clone();
                self.copies.insert(step.host.clone(), copy);
                return;
            }
            Verb::Restore => {
                let (now, numbers) = (host.now, host.numbers.clone());
                let mut copy = self.copies[&step.host].clone();
                // Else what is sealed from here on would lie over what was sealed since the copy.
                (copy.now, copy.numbers) = (now, numbers);
                *self.host(&step.host) = copy;
                return;
            }
            Verb::Pass => {
                host.now += SignedDuration::from_mins(step.minutes);
                None
            }
            Verb::Lay => {
                let folder = host.folder();
                let object = step.object.as_deref().expect("which object");
                let path = match object.strip_prefix('/') {
                    Some(absolute) => absolute.to_owned(),
                    None => format!("{folder}/{object}"),
                };
                let bytes = step.bytes.clone().unwrap_or_default();
                self.shelf.lay(&path, bytes.as_bytes(), step.store).await;
                None
            }
            Verb::Overlay | Verb::Hide | Verb::Copy => {
                self.after(step).await;
                None
            }
        };
        self.host(&step.host).key = own;
        if let Some(made) = made {
            self.store(step, name, made).await;
        }
    }

    /// What is done to objects that are stored.
    async fn after(&self, step: &Step) {
        let files = &self.files[step.of.as_ref().expect("of which bundle")];
        if step.verb == Verb::Copy {
            let to = step.to_host.as_deref().expect("to which host");
            let mut parts = files.path.splitn(3, '/');
            let rest = parts.nth(2).unwrap();
            let path = format!("{to}/{rest}");
            let signature = format!("{path}.bundle");
            self.shelf
                .lay(&signature, &files.signature, step.store)
                .await;
            self.shelf.lay(&path, &files.bytes, step.store).await;
            return;
        }
        let (path, bytes) = match step.part {
            Part::Bundle => (files.path.clone(), &files.bytes),
            Part::Signature => (files.signature_path(), &files.signature),
            Part::Artifact => (files.artifacts[0].0.clone(), &files.artifacts[0].1),
        };
        if step.verb == Verb::Hide {
            self.shelf.hide(&path).await;
        } else {
            let bytes = match &step.bytes {
                Some(text) => text.as_bytes(),
                None => bytes,
            };
            self.shelf.lay(&path, bytes, step.store).await;
        }
    }

    async fn store(&mut self, step: &Step, name: String, made: Made) {
        let mut files = Files::of(&made);
        let keys = &mut self.keys;
        for forgery in &step.forge {
            files.forge(forgery, &self.files, &mut |key| keys.get(key));
        }
        let mut objects = Vec::new();
        if step.store != Storing::WithoutArtifacts {
            for (path, bytes) in &files.artifacts {
                objects.push((Role::Artifact, path.clone(), bytes.clone()));
            }
        }
        if step.store != Storing::WithoutSignature {
            let path = files.signature_path();
            objects.push((Role::Signature, path, files.signature.clone()));
        }
        objects.push((Role::Bundle, files.path.clone(), files.bytes.clone()));
        for (role, path, bytes) in objects {
            let how = match (step.store, role) {
                (Storing::SignatureUnlocked, Role::Signature) => Storing::Unlocked,
                (how, _) => how,
            };
            let laid = match how {
                Storing::Withheld => None,
                how => Some(self.shelf.lay(&path, &bytes, how).await),
            };
            let is_safe = matches!(
                step.store,
                Storing::Locked | Storing::WithoutSignature | Storing::WithoutArtifacts
            );
            let is_claimed = match step.claim {
                Claim::Nothing => false,
                Claim::True => is_safe && laid.is_some(),
                _ => true,
            };
            if !is_claimed {
                continue;
            }
            let seven_years = Timestamp::now() + SignedDuration::from_hours(24 * 7 * 366);
            let (mut version_id, mut retain_until) = match laid {
                Some(laid) => (laid.version_id, laid.retain_until),
                None => ("a-version-that-never-was".to_owned(), seven_years),
            };
            let mut sha256 = Sha256::of(&bytes);
            match step.claim {
                Claim::OtherVersion => "another-version".clone_into(&mut version_id),
                Claim::LongerLock => retain_until += SignedDuration::from_hours(24 * 366),
                Claim::OtherBytes => sha256 = Sha256::of(b"other bytes"),
                Claim::Stored => retain_until = retain_until.max(seven_years),
                Claim::True | Claim::Nothing => {}
            }
            let uri = format!("{}{path}", self.uri);
            let entry = ConfirmedEntry {
                bundle_id: made.sealed.bundle_id.to_string(),
                chain_id: made.sealed.position.chain_id.clone(),
                sequence: made.sealed.position.sequence,
                object: path,
                role,
                destination_id: DESTINATION.to_owned(),
                uri,
                version_id,
                sha256,
                size_bytes: bytes.len() as u64,
                retain_until,
                server_date: Timestamp::now(),
                confirmed_at: self.hosts[&step.host].now,
                reported_by: ReportedBy::Uploader,
            };
            self.host(&step.host).confirm(entry);
        }
        self.made.insert(name.clone(), made);
        self.files.insert(name, files);
    }
}
