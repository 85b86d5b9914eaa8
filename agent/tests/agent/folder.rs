//! The drop contract.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::clinic::{Clinic, incident};

/// Older than the time that producers are given to settle.
fn long_ago(clinic: &Clinic) {
    // File times are the machine's; the agent's clock is the test's and is set far ahead instead.
    clinic.set_clock("2099-01-01T00:00:00Z");
}

#[test]
fn an_incident_becomes_one_signed_bundle_and_its_drop_goes() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    let pass = clinic.agent().pass().unwrap();
    assert_eq!((pass.sealed, pass.quarantined, pass.duplicates), (1, 0, 0));
    let bundles = clinic.bundles();
    assert_eq!(bundles.len(), 1);
    let document = bundles[0].document();
    assert_eq!(document["bundle_id"], "EB-20261121-0001");
    assert_eq!(document["actions_taken"][0]["action"], "run_backup");
    assert_eq!(document["findings"], serde_json::json!([]));
    let location = &document["storage_locations"][0];
    assert_eq!(location["state"], "planned");
    let chain = &bundles[0].header().chain.chain_id;
    assert_eq!(
        location["uri"],
        format!("s3://evidence/p/clinic-a/host-1/{chain}/2026/11/21/EB-20261121-0001.json")
    );
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn a_folder_that_already_holds_ten_thousand_drops_is_sealed_whole_in_one_chain() {
    let clinic = Clinic::new();
    for n in 0..10_000 {
        clinic.drop_incident(&format!("INC-{n:05}"));
    }
    let pass = clinic.agent().pass().unwrap();
    assert_eq!(pass.sealed, 10_000);
    let sequences: Vec<u64> = clinic
        .bundles()
        .iter()
        .map(|b| b.header().chain.sequence)
        .collect();
    assert_eq!(sequences, (1..=10_000).collect::<Vec<_>>());
    let objects: usize = clinic.orders().iter().map(|o| o.objects.len()).sum();
    assert_eq!(objects, 20_000);
    assert_eq!(
        clinic.orders().len(),
        10_000_usize.div_ceil(64),
        "one order covers a group"
    );
}

#[test]
fn names_that_producers_still_write_under_are_left_alone() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    for name in [
        ".half.json",
        "half.json.tmp",
        "half.json.part",
        ".half.json.part",
    ] {
        fs::write(clinic.state("drop").join(name), incident("INC-1")).unwrap();
    }
    long_ago(&clinic);
    assert_eq!(agent.pass().unwrap(), agent::Pass::default());
    assert_eq!(clinic.names("drop").len(), 4);
}

#[test]
fn a_malformed_drop_is_kept_with_its_reason_and_keeps_nobody_out() {
    let clinic = Clinic::new();
    clinic.drop_bytes("a.json", b"{\"incident\": ");
    clinic.drop_incident("INC-2");
    clinic.drop_bytes("z.json", b"{\"a\": 1, \"a\": 2}");
    let pass = clinic.agent().pass().unwrap();
    assert_eq!((pass.sealed, pass.quarantined), (1, 2));
    assert_eq!(clinic.reasons(), ["duplicate_key", "truncated"]);
    let kept = clinic.names("quarantine");
    let kept: Vec<_> = kept.iter().filter(|n| n.ends_with("a.json")).collect();
    assert_eq!(
        fs::read(clinic.state("quarantine").join(kept[0])).unwrap(),
        b"{\"incident\": "
    );
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn a_symlink_a_fifo_and_a_folder_are_moved_aside_and_hang_nothing() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let secret = clinic.dir.path().join("secret.json");
    fs::write(&secret, incident("INC-SECRET")).unwrap();
    let drop_folder = clinic.state("drop");
    symlink(&secret, drop_folder.join("link.json")).unwrap();
    nix::unistd::mkfifo(
        &drop_folder.join("fifo.json"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    fs::create_dir(drop_folder.join("folder")).unwrap();
    long_ago(&clinic);
    let pass = agent.pass().unwrap();
    assert_eq!((pass.sealed, pass.quarantined), (0, 3));
    assert_eq!(
        clinic.reasons(),
        ["no_document", "not_a_regular_file", "not_a_regular_file"]
    );
    assert!(
        secret.exists(),
        "what the symlink points to was not touched"
    );
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn a_hard_link_to_a_file_elsewhere_does_not_get_in() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let elsewhere = clinic.dir.path().join("elsewhere.json");
    fs::write(&elsewhere, incident("INC-1")).unwrap();
    fs::hard_link(&elsewhere, clinic.state("drop").join("linked.json")).unwrap();
    long_ago(&clinic);
    assert_eq!(agent.pass().unwrap().quarantined, 1);
    assert_eq!(clinic.reasons(), ["hard_linked"]);
}

#[test]
fn a_drop_of_a_user_who_is_not_listed_does_not_get_in() {
    let mut clinic = Clinic::new();
    clinic.more_config = "[drop]\nallowed_owners = [4242]".to_owned();
    clinic.drop_incident("INC-1");
    assert_eq!(clinic.agent().pass().unwrap().quarantined, 1);
    assert_eq!(clinic.reasons(), ["foreign_owner"]);
}

#[test]
fn a_drop_over_the_size_limit_is_quarantined_unread() {
    let mut clinic = Clinic::new();
    clinic.more_config = "[drop]\nmax_document_bytes = 65536".to_owned();
    clinic.drop_bytes("big.json", &vec![b' '; 65537]);
    assert_eq!(clinic.agent().pass().unwrap().quarantined, 1);
    assert_eq!(clinic.reasons(), ["too_large"]);
}

#[test]
fn a_name_of_255_odd_bytes_is_sealed_like_any_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let mut name = vec![0xfe; 250];
    name.extend_from_slice(b".json");
    let path = clinic
        .state("drop")
        .join(std::ffi::OsStr::from_bytes(&name));
    fs::write(path, incident("INC-1")).unwrap();
    clinic.drop_bytes("line\nbreak\u{202e}.json", &incident("INC-2"));
    long_ago(&clinic);
    let pass = agent.pass().unwrap();
    assert_eq!(
        (pass.sealed, pass.quarantined),
        (2, 0),
        "{:?}",
        clinic.reasons()
    );
}

#[test]
fn the_same_bytes_again_are_counted_and_not_sealed_again() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    clinic.drop_bytes("again.json", &incident("INC-1"));
    let pass = agent.pass().unwrap();
    assert_eq!((pass.sealed, pass.duplicates), (0, 1));
    drop(agent);
    clinic.drop_bytes("and-again.json", &incident("INC-1"));
    assert_eq!(
        clinic.agent().pass().unwrap().duplicates,
        1,
        "also after a restart"
    );
    assert_eq!(clinic.bundles().len(), 1);
}

#[test]
fn the_same_bytes_twice_in_one_group_are_one_bundle_and_one_duplicate() {
    let clinic = Clinic::new();
    clinic.drop_bytes("a.json", &incident("INC-1"));
    clinic.drop_bytes("b.json", &incident("INC-1"));
    let mut agent = clinic.agent();
    let first = agent.pass().unwrap();
    let second = agent.pass().unwrap();
    assert_eq!((first.sealed, first.duplicates), (1, 0));
    assert_eq!((second.sealed, second.duplicates), (0, 1));
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn a_reused_incident_id_is_sealed_and_related_to_the_earlier_bundle() {
    let clinic = Clinic::new();
    clinic.drop_bytes("a.json", &incident("INC-1"));
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    let mut other = incident("INC-1");
    other.push(b'\n');
    clinic.drop_bytes("b.json", &other);
    assert_eq!(agent.pass().unwrap().sealed, 1);
    let bundles = clinic.bundles();
    let related = &bundles[1].header().related_to;
    assert_eq!(related.len(), 1);
    assert_eq!(related[0].bundle_id, bundles[0].header().bundle_id);
    assert_eq!(related[0].sha256, bundles[0].sha256());
    assert_eq!(
        bundles[1].document()["findings"][0]["code"],
        "incident_id_reused"
    );
}

#[test]
fn a_drop_that_cannot_be_read_is_quarantined_and_alarmed() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let path = clinic.drop_bytes("a.json", &incident("INC-1"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let pass = agent.pass().unwrap();
    // Root reads everything; any other user is refused. Either way the drop is gone from the
    // folder and is somewhere.
    assert_eq!(pass.sealed + pass.quarantined, 1);
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn archived_drops_are_kept_as_they_came() {
    let mut clinic = Clinic::new();
    let archive = clinic.dir.path().join("archive");
    fs::create_dir(&archive).unwrap();
    clinic.more_config = format!(
        "[drop]\non_sealed = \"archive\"\narchive_dir = \"{}\"",
        archive.display()
    );
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    let kept: Vec<_> = fs::read_dir(&archive)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(&kept[0]).unwrap(), incident("INC-1"));
}

#[test]
fn a_small_drop_that_would_become_a_huge_bundle_is_quarantined() {
    let mut clinic = Clinic::new();
    clinic.more_config = "[drop]\nmax_document_bytes = 16777216".to_owned();
    let mut document: serde_json::Value = serde_json::from_slice(&incident("INC-1")).unwrap();
    let mut list = serde_json::Value::from(vec![1; 1_000_000]);
    for _ in 0..40 {
        list = serde_json::json!([list]);
    }
    document["incident"]["details"] = serde_json::json!({"list": list});
    clinic.drop_bytes("wide.json", &serde_json::to_vec(&document).unwrap());
    clinic.drop_incident("INC-2");
    let pass = clinic.agent().pass().unwrap();
    assert_eq!((pass.sealed, pass.quarantined), (1, 1));
    assert_eq!(clinic.reasons(), ["not_sealable"]);
}

#[test]
fn what_cannot_be_quarantined_or_archived_stays_and_does_not_look_like_progress() {
    let mut clinic = Clinic::new();
    let archive = clinic.dir.path().join("archive");
    fs::create_dir(&archive).unwrap();
    clinic.more_config = format!(
        "[drop]\non_sealed = \"archive\"\narchive_dir = \"{}\"",
        archive.display()
    );
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-1");
    agent.pass().unwrap();
    fs::remove_dir_all(&archive).unwrap();
    fs::remove_dir(clinic.state("quarantine")).unwrap();
    clinic.drop_bytes("bad.json", b"{");
    clinic.drop_bytes("again.json", &incident("INC-1"));
    for _ in 0..2 {
        let pass = agent.pass().unwrap();
        assert!(!pass.did_something(), "{pass:?}");
        assert_eq!(pass.later, 2);
        assert_eq!(clinic.names("drop").len(), 2, "nothing is lost");
    }
    drop(agent);
    fs::create_dir(&archive).unwrap();
    let pass = clinic.agent().pass().unwrap();
    assert_eq!(
        (pass.quarantined, pass.duplicates),
        (1, 1),
        "it heals by itself"
    );
    assert!(clinic.names("drop").is_empty());
}
