//! Keys rotated and keys exchanged, with real daemons: whatever is killed, each bundle is signed by the one
//! key that the chain names, and anybody with the public keys can prove it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ::fsck::Level;
use evidence::bundle::{Kind, VerifiedBundle};
use evidence::keys::{HostKeys, PublicKey};
use evidence::rotation::Rotation;
use tests::bucket::judge;
use tests::clinic::{BUCKET, Clinic, Place, Role, files_below};
use tests::cosign::{Cosign, Verdict};
use tests::tools::{self, Tool};

use crate::incident::document;

const ROTATE: [&str; 4] = ["keys", "rotate", "--reason", "yearly"];

fn key_file(clinic: &Clinic, name: &str) -> PathBuf {
    clinic.dir.path().join("keys").join(name)
}

/// All public keys that lie on the host, the one in use first.
fn host_keys(clinic: &Clinic) -> HostKeys {
    let current = host::signing_keys::read_public(&clinic.public_key_file()).unwrap();
    let others = host::signing_keys::other_public_keys(&key_file(clinic, "evidence.key"));
    HostKeys::new(current, others)
}

/// Every bundle, proven with one of the host's keys, in the order of the chain.
fn bundles(clinic: &Clinic) -> Vec<(PathBuf, VerifiedBundle)> {
    let keys = host_keys(clinic);
    let mut bundles: Vec<_> = files_below(&clinic.state("evidence"))
        .into_iter()
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".locations.json")
        })
        .map(|path| {
            let signature = fs::read(path.with_extension("json.bundle")).unwrap();
            let bundle = keys.verify(&fs::read(&path).unwrap(), &signature).unwrap();
            (path, bundle)
        })
        .collect();
    bundles.sort_by_key(|(_, b)| {
        let link = &b.header().chain;
        (link.chain_id.clone(), link.sequence)
    });
    bundles
}

/// One chain, in which only rotations change the key; returns how many there are.
fn rotations_of_one_chain(bundles: &[(PathBuf, VerifiedBundle)]) -> usize {
    let mut rotations = 0;
    let mut expected = bundles[0].1.header().signatures[0].key_id.clone();
    let mut before: Option<&VerifiedBundle> = None;
    for (path, bundle) in bundles {
        let header = bundle.header();
        assert_eq!(header.signatures[0].key_id, expected, "{}", path.display());
        assert_eq!(
            header.chain.previous_sha256,
            before.map(VerifiedBundle::sha256),
            "{}",
            path.display()
        );
        if header.kind == Kind::Rotation {
            rotations += 1;
            expected = Rotation::read(bundle).unwrap().0.to_key_id;
        }
        before = Some(bundle);
    }
    rotations
}

fn confirm(clinic: &mut Clinic, incident: &str) {
    clinic.drop_document(&format!("{incident}.json"), &document(incident));
    let name = incident.to_owned();
    clinic.wait_until("confirmation", move |c| {
        let has = |b: &VerifiedBundle| b.document()["incident"]["incident_id"] == name.as_str();
        bundles(c).iter().any(|(_, b)| has(b)) && c.is_confirmed()
    });
}

fn in_the_bucket(clinic: &Clinic, keys: &[PublicKey]) -> tests::bucket::Judged {
    let client = Place::sandbox("main", &clinic.sandbox).client();
    clinic.runtime().block_on(judge(&client, BUCKET, keys))
}

#[test]
fn a_rotated_key_signs_on_in_the_same_chain_and_cosign_accepts_each_part_with_its_key() {
    let test = "a_rotated_key_signs_on_in_the_same_chain_and_cosign_accepts_each_part_with_its_key";
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let too_early = clinic.cli(&ROTATE);
    assert!(!too_early.status.success(), "{too_early:?}");
    clinic.start(Role::Uploader);
    confirm(&mut clinic, "INC-1");
    let first = clinic.public.clone();
    let rotated = clinic.cli(&[&ROTATE[..], &["--by", "Mia"]].concat());
    assert!(rotated.status.success(), "{rotated:?}");
    confirm(&mut clinic, "INC-2");
    let rotated = clinic.cli(&ROTATE);
    assert!(rotated.status.success(), "{rotated:?}");
    confirm(&mut clinic, "INC-3");
    clinic.wind_down();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    confirm(&mut clinic, "INC-4");

    let all = bundles(&clinic);
    assert_eq!(rotations_of_one_chain(&all), 2);
    let keys = host_keys(&clinic);
    assert_eq!(keys.all().len(), 3);
    assert!(keys.all()[1..].contains(&first));
    let kept = host::signing_keys::retired(&key_file(&clinic, "evidence.key"), &first);
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o400);
    assert!(!key_file(&clinic, "evidence.key.next").exists());
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
    let judged = in_the_bucket(&clinic, keys.all());
    assert_eq!(judged.problems, Vec::<String>::new());
    assert_eq!((judged.incidents.len(), judged.chains.len()), (4, 1));

    for cosign in Cosign::all(test) {
        for (path, bundle) in &all {
            let signature = path.with_extension("json.bundle");
            for key in keys.all() {
                let file = clinic.dir.path().join("pinned.pub");
                fs::write(&file, key.to_pem()).unwrap();
                let is_its_key = bundle.header().signatures[0].key_id == key.key_id();
                // Counted as a skip where the network cannot be turned off.
                let Some(verdict) = cosign.verify(&file, &signature, path) else {
                    continue;
                };
                assert_eq!(
                    verdict == Verdict::Verified,
                    is_its_key,
                    "{:?} {}: {verdict:?}",
                    cosign.tool,
                    path.display()
                );
            }
        }
    }
}

#[test]
fn whatever_a_rotation_was_cut_off_at_the_same_command_finishes_it_and_rotates_once() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    confirm(&mut clinic, "INC-0");
    clinic.kill(Role::Agent);
    // Nobody answers: the next key waits, and the request.
    let asked = clinic.cli(&ROTATE);
    assert_eq!(asked.status.code(), Some(3), "{asked:?}");
    let next = key_file(&clinic, "evidence.key.next");
    assert_eq!(fs::metadata(&next).unwrap().mode() & 0o777, 0o400);
    // The agent carries it out when it starts, and no command puts the files in place.
    clinic.start(Role::Agent);
    confirm(&mut clinic, "INC-1");
    clinic.kill(Role::Agent);
    let keys = clinic.dir.path().join("keys");
    let aside = clinic.dir.path().join("keys-aside");
    copy(&keys, &aside);
    let key = key_file(&clinic, "evidence.key");
    let old = host::signing_keys::retired(&key, &clinic.public);
    let steps: [&dyn Fn(); 5] = [
        &|| {},
        &|| fs::hard_link(&key, &old).unwrap(),
        &|| {
            let public = host::signing_keys::public_of(&old);
            fs::write(public, clinic.public.to_pem()).unwrap();
        },
        &|| fs::rename(&next, &key).unwrap(),
        &|| {
            fs::copy(
                key_file(&clinic, "evidence.key.next.pub"),
                clinic.public_key_file(),
            )
            .map(|_| ())
            .unwrap()
        },
    ];
    for cut_off_after in 0..steps.len() {
        fs::remove_dir_all(&keys).unwrap();
        copy(&aside, &keys);
        for step in &steps[..=cut_off_after] {
            step();
        }
        // Started there, the agent finds the one key that is in use.
        let settings = host::config::Settings::load(
            &clinic.dir.path().join("evidence.toml"),
            std::iter::empty(),
        )
        .unwrap();
        let clock = agent::system_clock();
        let mut agent = agent::Agent::open(settings, clock).unwrap();
        clinic.drop_document("cut.json", &document(&format!("INC-cut-{cut_off_after}")));
        assert_eq!(agent.pass().unwrap().sealed, 1);
        drop(agent);
        let finished = clinic.cli(&ROTATE);
        assert!(finished.status.success(), "{cut_off_after}: {finished:?}");
        let keys = host_keys(&clinic);
        assert_eq!(keys.all().len(), 2, "{cut_off_after}");
        assert_ne!(*keys.current(), clinic.public);
        assert!(!next.exists(), "{cut_off_after}");
    }
    clinic.start(Role::Agent);
    confirm(&mut clinic, "INC-2");
    assert_eq!(rotations_of_one_chain(&bundles(&clinic)), 1);
    clinic.wind_down();
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Kills a process when it makes the n-th of a system call from now on.
struct Assassin(Child);

impl Assassin {
    fn of(strace: &Path, pid: u32, call: &str, nth: usize) -> Self {
        let mut tracer = Command::new(strace)
            .args([
                "-f",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
            ])
            .arg(format!("inject={call}:signal=KILL:when={nth}"))
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(tracer.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains("attached"), "{line}");
        // What it says of further threads is nobody's to read.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self(tracer)
    }

    /// It ends with its victim.
    fn has_struck(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Assassin {
    fn drop(&mut self) {
        if !self.has_struck() {
            let tracer = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
            nix::sys::signal::kill(tracer, nix::sys::signal::Signal::SIGINT).unwrap();
            self.0.wait().unwrap();
        }
    }
}

#[test]
fn an_agent_that_is_killed_anywhere_in_a_rotation_rotates_once_and_goes_on() {
    let test = "an_agent_that_is_killed_anywhere_in_a_rotation_rotates_once_and_goes_on";
    let Some(strace) = tools::find(Tool::Strace, test) else {
        return;
    };
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    confirm(&mut clinic, "INC-first");
    let mut struck = 0;
    let mut asked = 0;
    for (call, nths) in [
        ("fdatasync", [1, 2, 3]),
        ("pwrite64", [1, 4, 16]),
        ("renameat2", [1, 3, 6]),
        ("unlinkat", [1, 2, 3]),
    ] {
        for nth in nths {
            let mut assassin = Assassin::of(&strace, clinic.pid(Role::Agent), call, nth);
            let mut command = clinic.spawn_cli(&ROTATE);
            asked += 1;
            let began = Instant::now();
            let mut again = false;
            let status = loop {
                if !again && assassin.has_struck() {
                    clinic.kill(Role::Agent);
                    clinic.start(Role::Agent);
                    again = true;
                }
                if let Some(status) = command.try_wait().unwrap() {
                    break status;
                }
                assert!(began.elapsed().as_secs() < 60, "{call} {nth}");
                std::thread::park_timeout(Duration::from_millis(20));
            };
            assert!(status.success(), "{call} {nth}: {status:?}");
            // After the answer it may still be killed.
            if !again && assassin.has_struck() {
                clinic.kill(Role::Agent);
                clinic.start(Role::Agent);
                again = true;
            }
            struck += usize::from(again);
            drop(assassin);
            confirm(&mut clinic, &format!("INC-{call}-{nth}"));
        }
    }
    assert!(struck > asked / 2, "only {struck} of {asked} were reached");
    assert_eq!(rotations_of_one_chain(&bundles(&clinic)), asked);
    let judged = in_the_bucket(&clinic, host_keys(&clinic).all());
    assert_eq!(judged.problems, Vec::<String>::new());
    assert_eq!(judged.incidents.len(), asked + 1);
    clinic.wind_down();
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
}

#[test]
fn a_key_that_was_exchanged_without_a_rotation_begins_a_new_chain_and_is_alarmed() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    confirm(&mut clinic, "INC-1");
    clinic.wind_down();
    let first = clinic.public.clone();
    for name in ["evidence.key", "evidence.pub"] {
        fs::rename(
            key_file(&clinic, name),
            key_file(&clinic, &format!("lost-{name}")),
        )
        .unwrap();
    }
    assert!(clinic.cli(&["keys", "generate"]).status.success());
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("two.json", &document("INC-2"));
    clinic.wait_until("confirmation", Clinic::is_confirmed);
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["alarms"][0]["code"], "key_changed", "{status:#}");
    let second = host_keys(&clinic).current().clone();
    let judged = in_the_bucket(&clinic, &[first.clone(), second]);
    assert_eq!(judged.problems, Vec::<String>::new());
    let both: BTreeSet<String> = ["INC-1".to_owned(), "INC-2".to_owned()].into();
    assert_eq!((judged.incidents, judged.chains.len()), (both, 2));
    let with_the_first = in_the_bucket(&clinic, &[first]);
    assert!(
        with_the_first.problems[0].contains("nobody's key"),
        "nothing vouches for the second: {with_the_first:#?}"
    );
}
