//! Rotation: one bundle of the old key says which key signs from then on, and whatever is cut off, the
//! host signs with exactly that one.

use std::fs;
use std::path::PathBuf;

use evidence::bundle::{ChainStart, Kind, VerifiedBundle};
use evidence::handover::{Action, Answer, Request, Requester};
use evidence::keys::{HostKeys, PrivateKey, PublicKey};
use evidence::rotation::Rotation;
use jiff::Timestamp;

use crate::clinic::{Clinic, files_below};

const ID: &str = "01M7Y00000000000000000000R";

fn file(clinic: &Clinic, name: &str) -> PathBuf {
    clinic.dir.path().join("keys").join(name)
}

/// Lays the next key beside the one in use.
fn lay_next(clinic: &Clinic, password: &[u8]) -> PublicKey {
    let (next, pem) = PrivateKey::generate(password).unwrap();
    fs::write(file(clinic, "evidence.key.next"), pem.as_bytes()).unwrap();
    let public = next.public().clone();
    fs::write(file(clinic, "evidence.key.next.pub"), public.to_pem()).unwrap();
    public
}

fn ask(clinic: &Clinic, id: &str, to: &PublicKey) {
    let request = Request {
        request_version: 1,
        request_id: id.to_owned(),
        action: Action::Rotate {
            to_key_id: to.key_id(),
            reason: "yearly".to_owned(),
            by: Some("mia".to_owned()),
        },
        requested_by: Requester {
            uid: 0,
            sudo_user: None,
        },
        requested_at: Timestamp::UNIX_EPOCH,
    };
    let path = clinic.state("requests").join(format!("{id}.request.json"));
    fs::write(path, request.to_bytes()).unwrap();
}

fn answer(clinic: &Clinic, id: &str) -> Answer {
    let path = clinic.state("requests").join(format!("{id}.answer.json"));
    Answer::parse(&fs::read(path).unwrap()).unwrap()
}

/// Every bundle with whichever of the keys signed it, in the order of the chains.
fn bundles(clinic: &Clinic, keys: &HostKeys) -> Vec<VerifiedBundle> {
    let mut bundles: Vec<_> = files_below(&clinic.state("evidence"))
        .into_iter()
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".json") && !name.ends_with(".locations.json")
        })
        .map(|path| {
            let signature = fs::read(path.with_extension("json.bundle")).unwrap();
            keys.verify(&fs::read(path).unwrap(), &signature).unwrap()
        })
        .collect();
    bundles.sort_by_key(|b| (b.header().chain.chain_id.clone(), b.header().chain.sequence));
    bundles
}

fn signers(bundles: &[VerifiedBundle]) -> Vec<String> {
    bundles
        .iter()
        .map(|b| b.header().signatures[0].key_id.clone())
        .collect()
}

/// As `keys rotate` does after the answer.
fn place(clinic: &Clinic) {
    fs::rename(file(clinic, "evidence.key"), file(clinic, "old")).unwrap();
    fs::rename(
        file(clinic, "evidence.key.next"),
        file(clinic, "evidence.key"),
    )
    .unwrap();
}

#[test]
fn the_old_key_names_the_new_one_which_signs_from_the_next_bundle_on() {
    let clinic = Clinic::new();
    let old = clinic.public.clone();
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-1");
    agent.pass().unwrap();
    let new = lay_next(&clinic, b"test password");
    ask(&clinic, ID, &new);
    assert_eq!(agent.pass().unwrap().requests, 1);
    assert!(answer(&clinic, ID).ok);
    clinic.drop_incident("INC-2");
    agent.pass().unwrap();
    drop(agent);
    let keys = HostKeys::new(new.clone(), [old.clone()]);
    let all = bundles(&clinic, &keys);
    let kinds: Vec<Kind> = all.iter().map(|b| b.header().kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Incident,
            Kind::Rotation,
            Kind::Custody,
            Kind::Incident
        ]
    );
    let (old_id, new_id) = (old.key_id(), new.key_id());
    assert_eq!(
        signers(&all),
        [&old_id, &old_id, &new_id, &new_id].map(Clone::clone)
    );
    let (rotation, to) = Rotation::read(&all[1]).unwrap();
    assert_eq!((to, rotation.by.as_str()), (new.clone(), "mia"));
    assert_eq!(rotation.reason, "yearly");
    // Restarted before, between and after the renames, the chain goes on with the new key.
    for n in 0..3 {
        match n {
            0 => {}
            1 => place(&clinic),
            _ => fs::rename(
                file(&clinic, "evidence.key.next.pub"),
                file(&clinic, "evidence.pub"),
            )
            .unwrap(),
        }
        clinic.drop_incident(&format!("INC-after-{n}"));
        clinic.agent().pass().unwrap();
    }
    let all = bundles(&clinic, &keys);
    assert_eq!(all.len(), 7);
    assert!(signers(&all)[2..].iter().all(|id| *id == new_id));
    let chains: std::collections::BTreeSet<_> =
        all.iter().map(|b| &b.header().chain.chain_id).collect();
    assert_eq!(chains.len(), 1, "one chain");
}

#[test]
fn a_request_that_was_carried_out_is_answered_again_and_rotates_nothing() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    let new = lay_next(&clinic, b"test password");
    ask(&clinic, ID, &new);
    clinic.agent().pass().unwrap();
    // As a crash between the commit and the answer leaves it.
    fs::remove_file(clinic.state("requests").join(format!("{ID}.answer.json"))).unwrap();
    ask(&clinic, ID, &new);
    clinic.agent().pass().unwrap();
    assert!(answer(&clinic, ID).ok);
    let keys = HostKeys::new(new, [clinic.public.clone()]);
    let rotations = bundles(&clinic, &keys)
        .iter()
        .filter(|b| b.header().kind == Kind::Rotation)
        .count();
    assert_eq!(rotations, 1);
}

#[test]
fn what_is_not_the_next_key_is_refused_and_nothing_is_sealed() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    let absent = PrivateKey::generate(b"").unwrap().0.public().clone();
    let refused = |n: usize, to: &PublicKey, agent: &mut agent::Agent, why: &str| {
        let id = format!("01M7Y0000000000000000000R{n}");
        ask(&clinic, &id, to);
        agent.pass().unwrap();
        let answer = answer(&clinic, &id);
        assert!(!answer.ok && answer.message.contains(why), "{answer:?}");
    };
    refused(0, &absent, &mut agent, "evidence.key.next");
    refused(1, &clinic.public, &mut agent, "the key in use");
    let other_password = lay_next(&clinic, b"another password");
    refused(2, &other_password, &mut agent, "password");
    lay_next(&clinic, b"test password");
    refused(3, &absent, &mut agent, "the next key is");
    let left = lay_next(&clinic, b"test password");
    let retired = host::signing_keys::retired(&file(&clinic, "evidence.key"), &left);
    fs::write(retired, "").unwrap();
    refused(4, &left, &mut agent, "not taken up again");
    assert_eq!(clinic.bundles().len(), 1);
}

#[test]
fn a_key_that_was_exchanged_without_a_rotation_begins_a_new_chain_and_says_so() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    let old = clinic.bundles().remove(0);
    let new = lay_next(&clinic, b"test password");
    place(&clinic);
    assert!(
        clinic.try_agent().is_err(),
        "the public key is the old one's still"
    );
    fs::rename(
        file(&clinic, "evidence.key.next.pub"),
        file(&clinic, "evidence.pub"),
    )
    .unwrap();
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-2");
    agent.pass().unwrap();
    drop(agent);
    let keys = HostKeys::new(new.clone(), [clinic.public.clone()]);
    let all = bundles(&clinic, &keys);
    let link = &all[1].header().chain;
    assert_eq!(link.began.as_ref().unwrap().because, ChainStart::KeyChanged);
    assert_eq!(link.sequence, 1);
    assert_eq!(link.predecessor.as_ref().unwrap().sha256, old.sha256());
    let alarms = host::alarm::alarms(&clinic.state("spool/agent.lock")).unwrap();
    assert!(alarms.iter().any(|alarm| alarm.code == "key_changed"));
    // It is its chain's key from now on.
    clinic.drop_incident("INC-3");
    clinic.agent().pass().unwrap();
    assert_eq!(bundles(&clinic, &keys)[2].header().chain.sequence, 2);
}

#[test]
fn with_the_next_key_in_use_and_unreadable_the_agent_does_not_start_with_the_old_one() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    let new = lay_next(&clinic, b"test password");
    ask(&clinic, ID, &new);
    clinic.agent().pass().unwrap();
    fs::write(file(&clinic, "evidence.key.next"), "damaged").unwrap();
    let Err(error) = clinic.try_agent() else {
        panic!("it started")
    };
    assert!(error.to_string().contains("evidence.key.next"), "{error}");
}
