//! Two hosts of the same client and host id, and one bucket: clones, re-imaged hosts, lost spools.
//! Judged from the bucket alone: nothing is lost, nothing is overwritten, every history can be
//! followed.

use std::collections::BTreeSet;
use std::fs;

use ::fsck::Level;
use evidence::custody::Custody;
use evidence::keys::PublicKey;
use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;
use tests::bucket::{Judged, judge};
use tests::clinic::{BUCKET, Clinic, Place, Role};

use crate::incident::document;

/// The bucket that they share.
struct Shared {
    runtime: tokio::runtime::Runtime,
    sandbox: Sandbox,
}

impl Shared {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let sandbox = runtime
            .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
            .unwrap();
        Self { runtime, sandbox }
    }

    fn place(&self) -> Place {
        Place::sandbox("main", &self.sandbox)
    }

    /// An audit of the bucket with the key of `clinic` ends so: 0 passed, 2 failed.
    fn assert_audited(&self, clinic: &Clinic, code: i32) {
        let key = clinic.public_key_file();
        let key = key.to_str().unwrap();
        let output = clinic.cli(&["audit", "--destination", "main", "--key", key, "--all"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{said}");
    }

    fn judge(&self, keys: &[&PublicKey]) -> Judged {
        let keys: Vec<PublicKey> = keys.iter().map(|key| (*key).clone()).collect();
        let client = self.place().client();
        self.runtime.block_on(judge(&client, BUCKET, &keys))
    }
}

fn incidents(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn start(clinic: &mut Clinic) {
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
}

fn stop(clinic: &mut Clinic) {
    clinic.wind_down();
}

fn has(clinic: &Clinic, incident: &str) -> bool {
    clinic
        .bundles()
        .iter()
        .any(|(_, b)| b.document()["incident"]["incident_id"] == incident)
}

fn confirm(clinic: &mut Clinic, incident: &str) {
    clinic.drop_document(&format!("{incident}.json"), &document(incident));
    clinic.wait_until("confirmation", |c| has(c, incident) && c.is_settled());
}

/// Waits until the uploader has looked at the bucket: what comes there later it learns by conflicts.
fn looked(clinic: &mut Clinic) {
    await_event(clinic, "the destination is ready", None);
}

fn await_event(clinic: &mut Clinic, message: &str, of: Option<Role>) {
    let began = std::time::Instant::now();
    loop {
        let event = clinic.next_event(std::time::Duration::from_millis(200));
        if event.is_some_and(|(role, event)| {
            event["message"] == message && of.is_none_or(|wanted| wanted == role)
        }) {
            return;
        }
        assert!(began.elapsed().as_secs() < 60, "{message} is not said");
    }
}

fn blocked(clinic: &Clinic) -> Value {
    clinic.cli_json(&["blocked", "list", "--json"])
}

/// The bundles of the chain that this incident is in: how it began.
fn first_of_chain(clinic: &Clinic, incident: &str) -> Value {
    let bundles = clinic.bundles();
    let chain = |b: &evidence::bundle::VerifiedBundle| b.header().chain.chain_id.clone();
    let (_, of) = bundles
        .iter()
        .find(|(_, b)| b.document()["incident"]["incident_id"] == incident)
        .unwrap();
    let (_, first) = bundles
        .iter()
        .find(|(_, b)| chain(b) == chain(of) && b.header().chain.sequence == 1)
        .unwrap();
    first.document().clone()
}

#[test]
fn a_copied_spool_on_another_machine_begins_a_new_chain_and_what_both_owe_is_stored_once() {
    let shared = Shared::new();
    let mut original = Clinic::at(&[shared.place()]);
    start(&mut original);
    confirm(&mut original, "INC-1");
    stop(&mut original);
    // One more is sealed and not uploaded: both will carry its order.
    original.start(Role::Agent);
    original.drop_document("two.json", &document("INC-2"));
    original.wait_until("the second bundle", |c| has(c, "INC-2"));
    original.stop(Role::Agent);
    let mut copy = Clinic::copy_of(&original, &[shared.place()]);
    copy.set_machine_id("another machine");

    start(&mut copy);
    confirm(&mut copy, "INC-COPY");
    start(&mut original);
    confirm(&mut original, "INC-3");
    let link = &first_of_chain(&copy, "INC-COPY")["chain"];
    // INC-1, custody at the stop, INC-2, custody at the stop.
    assert_eq!(link["predecessor"]["sequence"], 4, "{link:#}");
    let judged = shared.judge(&[&original.public]);
    assert_eq!(judged.problems, Vec::<String>::new());
    assert_eq!(
        judged.incidents,
        incidents(&["INC-1", "INC-2", "INC-3", "INC-COPY"])
    );
    assert_eq!(judged.chains.len(), 2);
    shared.assert_audited(&original, 0);
}

#[test]
fn a_full_clone_overwrites_nothing_and_goes_on_in_a_chain_of_its_own_once_resealed() {
    let shared = Shared::new();
    let mut original = Clinic::at(&[shared.place()]);
    start(&mut original);
    confirm(&mut original, "INC-1");
    stop(&mut original);
    // Machine-id and all: nothing on the host can tell that it is not the original.
    let mut clone = Clinic::copy_of(&original, &[shared.place()]);
    start(&mut clone);
    looked(&mut clone);
    start(&mut original);
    confirm(&mut original, "INC-2");

    clone.drop_folder(
        "two",
        &document("INC-CLONE-2"),
        &[("a.log", b"of the clone")],
    );
    clone.wait_until("the conflict", |c| blocked(c) != Value::Array(Vec::new()));
    let item = blocked(&clone)[0].clone();
    assert_eq!(item["reason"], "conflict", "{item:#}");
    assert!(item["hint"].as_str().unwrap().contains("reseal"));
    let judged = shared.judge(&[&original.public]);
    assert_eq!(
        judged.incidents,
        incidents(&["INC-1", "INC-2"]),
        "{judged:#?}"
    );
    // Meanwhile the next key of the chain is free, and the clone takes it.
    clone.drop_document("three.json", &document("INC-CLONE-3"));
    clone.wait_until("the third", |c| {
        has(c, "INC-CLONE-3")
            && c.cli_json(&["status", "--json"])["spool"]["confirmed_bundles"] == 3
    });
    let judged = shared.judge(&[&original.public]);
    assert_eq!(judged.problems.len(), 1, "a fork is seen: {judged:#?}");
    assert!(judged.problems[0].contains("broken at 4"), "{judged:#?}");
    shared.assert_audited(&original, 2);

    let reseal = ["reseal", "--all-conflicts", "--reason", "cloned by mistake"];
    let old = item["bundle_id"].as_str().unwrap().to_owned();
    assert!(clone.cli(&reseal).status.success());
    clone.wait_until("everything", |c| {
        c.is_settled() && blocked(c) == Value::Array(Vec::new())
    });
    let shown = clone.cli_json(&["show", &old, "--json"]);
    let new = shown["resealed_by"].as_str().unwrap().to_owned();
    assert_eq!(shown["storage_locations"][0]["state"], "retired");
    let shown = clone.cli_json(&["show", &new, "--json"]);
    assert_eq!(shown["reseals"]["bundle_id"], old.as_str());
    assert_eq!(shown["storage_locations"][0]["state"], "confirmed");
    assert_eq!(shown["incident"]["incident_id"], "INC-CLONE-2");
    let again = clone.cli(&["reseal", &old, "--reason", "again"]);
    assert_eq!(
        again.status.code(),
        Some(3),
        "nothing is in conflict: {again:?}"
    );
    // The same drop again is still known.
    clone.drop_folder(
        "again",
        &document("INC-CLONE-2"),
        &[("a.log", b"of the clone")],
    );
    confirm(&mut clone, "INC-CLONE-4");
    assert_eq!(
        clone.cli_json(&["status", "--json"])["spool"]["duplicates"],
        1
    );

    // Now the original runs into what the clone has stored.
    original.drop_document("three.json", &document("INC-3"));
    original.wait_until("the conflict", |c| blocked(c) != Value::Array(Vec::new()));
    assert!(original.cli(&reseal).status.success());
    original.wait_until("everything", |c| {
        c.is_settled() && blocked(c) == Value::Array(Vec::new())
    });
    confirm(&mut original, "INC-4");

    let judged = shared.judge(&[&original.public]);
    assert_eq!(judged.problems, Vec::<String>::new());
    let all = [
        "INC-1",
        "INC-2",
        "INC-3",
        "INC-4",
        "INC-CLONE-2",
        "INC-CLONE-3",
        "INC-CLONE-4",
    ];
    assert_eq!(judged.incidents, incidents(&all));
    assert_eq!(judged.chains.len(), 3, "the common one, and one of each");
    shared.assert_audited(&original, 0);
}

#[test]
fn a_conflict_of_a_lost_chain_never_reseals_another_bundle_of_the_same_name() {
    let shared = Shared::new();
    let mut original = Clinic::at(&[shared.place()]);
    start(&mut original);
    confirm(&mut original, "INC-1");
    stop(&mut original);
    let mut clone = Clinic::copy_of(&original, &[shared.place()]);
    start(&mut clone);
    looked(&mut clone);
    start(&mut original);
    confirm(&mut original, "INC-2");
    clone.drop_document("two.json", &document("INC-CLONE-2"));
    clone.wait_until("the conflict", |c| blocked(c) != Value::Array(Vec::new()));
    // Not in good order: its custody would be in conflict, too.
    clone.kill(Role::Uploader);
    clone.kill(Role::Agent);
    // The clone's spool is lost; its next bundles have the numbers of the lost ones.
    fs::remove_dir_all(clone.state("spool")).unwrap();
    fs::create_dir(clone.state("spool")).unwrap();
    start(&mut clone);
    for n in ["INC-NEW-1", "INC-NEW-2", "INC-NEW-3"] {
        clone.drop_document(&format!("{n}.json"), &document(n));
        clone.wait_until("the bundle", |c| has(c, n));
    }
    let sealed = clone.bundles().len();
    let reseal = ["reseal", "--all-conflicts", "--reason", "which one?"];
    let refused = clone.cli(&reseal);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("its spool was lost"), "{said}");
    assert_eq!(clone.bundles().len(), sealed, "nothing else was resealed");
}

#[test]
fn a_lost_spool_a_new_disk_and_new_keys_each_begin_a_chain_that_collides_with_none() {
    let shared = Shared::new();
    let mut host = Clinic::at(&[shared.place()]);
    start(&mut host);
    confirm(&mut host, "INC-1");
    confirm(&mut host, "INC-2");
    host.kill(Role::Uploader);
    host.kill(Role::Agent);

    // The spool is lost, the evidence folder is not.
    fs::remove_dir_all(host.state("spool")).unwrap();
    fs::create_dir(host.state("spool")).unwrap();
    start(&mut host);
    confirm(&mut host, "INC-3");
    let link = &first_of_chain(&host, "INC-3")["chain"];
    assert_eq!(
        link["predecessor"]["sequence"], 2,
        "it names where the old one ended"
    );
    stop(&mut host);

    // A new disk: everything is lost but the keys.
    let mut reimaged = Clinic::with_keys_of(&host, &[shared.place()]);
    start(&mut reimaged);
    confirm(&mut reimaged, "INC-4");
    let link = &first_of_chain(&reimaged, "INC-4")["chain"];
    assert_eq!(
        link.get("predecessor"),
        None,
        "nothing is known, and nothing is made up"
    );

    // And one with new keys.
    let mut rekeyed = Clinic::at(&[shared.place()]);
    start(&mut rekeyed);
    confirm(&mut rekeyed, "INC-5");

    let judged = shared.judge(&[&host.public, &rekeyed.public]);
    assert_eq!(judged.problems, Vec::<String>::new());
    assert_eq!(
        judged.incidents,
        incidents(&["INC-1", "INC-2", "INC-3", "INC-4", "INC-5"])
    );
    assert_eq!(judged.chains.len(), 4);
    let without = shared.judge(&[&host.public]);
    assert_eq!(
        without.problems.len(),
        1,
        "a key that is not trusted: {without:#?}"
    );
}

#[test]
fn custody_in_conflict_is_said_again_and_covers_nothing_twice() {
    let shared = Shared::new();
    let mut original = Clinic::at(&[shared.place()]);
    start(&mut original);
    confirm(&mut original, "INC-1");
    original.kill(Role::Uploader);
    original.kill(Role::Agent);
    let mut clone = Clinic::copy_of(&original, &[shared.place()]);
    start(&mut clone);
    looked(&mut clone);
    original.start(Role::Uploader);
    original.start(Role::Agent);
    await_event(&mut original, "ready", Some(Role::Agent));
    stop(&mut original);
    // Both say what their stop said at the same place of the same chain.
    clone.stop(Role::Agent);
    clone.wait_until("the conflict", |c| blocked(c) != Value::Array(Vec::new()));
    clone.start(Role::Agent);
    let reseal = ["reseal", "--all-conflicts", "--reason", "cloned by mistake"];
    let resealed = clone.cli(&reseal);
    assert!(resealed.status.success(), "{resealed:?}");
    clone.wait_until("everything", |c| {
        c.is_settled() && blocked(c) == Value::Array(Vec::new())
    });
    stop(&mut clone);
    let bundles = clone.bundles();
    let (_, again) = bundles
        .iter()
        .find(|(_, b)| b.header().reseals.is_some())
        .unwrap();
    let said = Custody::read(again).unwrap();
    assert_eq!(again.header().chain.sequence, 1, "in a chain of its own");
    assert_eq!(
        said.covers.map(|c| (c.from_sequence, c.to_sequence)),
        Some((1, 1)),
        "of the place where it was said first"
    );
    let last = bundles
        .iter()
        .map(|(_, b)| b)
        .rfind(|b| b.header().chain.chain_id == again.header().chain.chain_id)
        .unwrap();
    let after = Custody::read(last).unwrap();
    assert_eq!(after.sealed[0].sha256, again.sha256());
    assert!(
        after.confirmed.iter().all(|c| !said.confirmed.contains(c)),
        "nothing is named twice"
    );
    assert_eq!(clone.fsck(Level::Note, true), Vec::<String>::new());
    let judged = shared.judge(&[&original.public]);
    assert_eq!(judged.problems, Vec::<String>::new());
    shared.assert_audited(&original, 0);
}
