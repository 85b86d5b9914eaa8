//! Numbers, the chain, restarts, clocks, and what a crash may leave.

use std::fs;

use agent::AgentError;

use crate::clinic::{Clinic, files_below};

#[test]
fn every_bundle_names_the_bytes_of_the_one_before_also_across_restarts() {
    let clinic = Clinic::new();
    for n in 0..5 {
        clinic.drop_incident(&format!("INC-{n}"));
        clinic.agent().pass().unwrap();
    }
    let bundles = clinic.bundles();
    assert_eq!(bundles.len(), 5);
    assert_eq!(bundles[0].header().chain.previous_sha256, None);
    for pair in bundles.windows(2) {
        assert_eq!(
            pair[1].header().chain.previous_sha256,
            Some(pair[0].sha256())
        );
        assert_eq!(
            pair[1].header().chain.sequence,
            pair[0].header().chain.sequence + 1
        );
        assert_eq!(
            pair[1].header().chain.chain_id,
            pair[0].header().chain.chain_id
        );
    }
}

#[test]
fn numbers_are_never_given_twice_when_the_clock_is_set_back() {
    let clinic = Clinic::new();
    for (time, id) in [
        ("2026-11-21T23:59:59Z", "INC-1"),
        ("2026-11-22T00:00:01Z", "INC-2"),
        ("2026-11-21T10:00:00Z", "INC-3"),
        ("2026-11-22T10:00:00Z", "INC-4"),
        ("2025-01-01T00:00:00Z", "INC-5"),
    ] {
        clinic.set_clock(time);
        clinic.drop_incident(id);
        clinic.agent().pass().unwrap();
    }
    let ids: Vec<_> = clinic
        .bundles()
        .iter()
        .map(|b| b.header().bundle_id.clone())
        .collect();
    // A start that finds the hour over, or the date set back, seals custody after the incident.
    assert_eq!(
        ids,
        [
            "EB-20261121-0001",
            "EB-20261122-0001",
            "EB-20261121-0002",
            "EB-20261121-0003",
            "EB-20261122-0002",
            "EB-20261122-0003",
            "EB-20250101-0001",
            "EB-20250101-0002",
        ]
    );
    assert_eq!(
        clinic.incident_ids(),
        ["INC-1", "INC-2", "INC-3", "INC-4", "INC-5"]
    );
}

#[test]
fn a_drop_that_outlived_its_commit_is_removed_and_not_counted_as_a_duplicate() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    // As a crash between commit and removal leaves it: held under its token, sealed already.
    let copy = clinic.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let taken = clinic
        .state("drop")
        .join(".taken-0123456789abcdef-INC-1.json");
    fs::rename(clinic.state("drop").join("INC-1.json"), &taken).unwrap();
    fs::copy(&taken, copy.join("kept")).unwrap();
    assert_eq!(clinic.agent().pass().unwrap().sealed, 1);
    fs::copy(copy.join("kept"), &taken).unwrap();
    let pass = clinic.agent().pass().unwrap();
    assert_eq!((pass.sealed, pass.duplicates), (0, 0));
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn what_a_crash_tore_or_lost_is_published_again_byte_for_byte() {
    let clinic = Clinic::new();
    for n in 0..3 {
        clinic.drop_incident(&format!("INC-{n}"));
    }
    clinic.agent().pass().unwrap();
    let files = files_below(&clinic.state("evidence"));
    let before: Vec<_> = files.iter().map(|f| fs::read(f).unwrap()).collect();
    let orders = clinic.orders();
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[1], b"").unwrap();
    fs::write(&files[2], &before[2][..100]).unwrap();
    for name in clinic.names("outbox") {
        fs::write(clinic.state("outbox").join(name), b"{").unwrap();
    }
    drop(clinic.agent());
    let after: Vec<_> = files.iter().map(|f| fs::read(f).unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(clinic.orders(), orders);
}

#[test]
fn a_spool_restored_from_an_older_snapshot_starts_a_chain_that_names_the_old_one() {
    restored_snapshot("2026-11-21T11:00:00Z");
}

#[test]
fn a_restored_snapshot_is_noticed_also_when_the_clock_was_set_back_a_day() {
    restored_snapshot("2026-11-20T10:00:00Z");
}

/// Seals, snapshots, seals again at `second_seal`, restores, seals once more.
fn restored_snapshot(second_seal: &str) {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    clinic.agent().pass().unwrap();
    let snapshot = clinic.dir.path().join("snapshot");
    copy_folder(&clinic.state("spool"), &snapshot);
    clinic.set_clock(second_seal);
    clinic.drop_incident("INC-2");
    clinic.agent().pass().unwrap();
    let old = clinic.bundles();

    fs::remove_dir_all(clinic.state("spool")).unwrap();
    copy_folder(&snapshot, &clinic.state("spool"));
    clinic.drop_incident("INC-3");
    clinic.agent().pass().unwrap();
    let all = clinic.bundles();
    for bundle in &old {
        let is_there = all.iter().any(|b| b.sha256() == bundle.sha256());
        assert!(is_there, "nothing was overwritten");
    }
    let new = all
        .iter()
        .find(|b| b.document()["incident"]["incident_id"] == "INC-3")
        .unwrap();
    assert_ne!(new.header().chain.chain_id, old[0].header().chain.chain_id);
    let predecessor = new.header().chain.predecessor.as_ref().unwrap();
    assert_eq!(predecessor.chain_id, old[0].header().chain.chain_id);
    assert_eq!(
        (predecessor.sequence, predecessor.sha256),
        (1, old[0].sha256())
    );
}

#[test]
fn a_second_agent_on_the_same_spool_refuses_to_start() {
    let clinic = Clinic::new();
    let _running = clinic.agent();
    assert!(matches!(clinic.try_agent(), Err(AgentError::Instance(_))));
}

#[test]
fn a_public_key_that_is_not_the_private_ones_stops_the_start() {
    let clinic = Clinic::new();
    let (other, _) = evidence::keys::PrivateKey::generate(b"").unwrap();
    fs::write(
        clinic.dir.path().join("keys/evidence.pub"),
        other.public().to_pem(),
    )
    .unwrap();
    assert!(matches!(
        clinic.try_agent(),
        Err(AgentError::KeysDiffer { .. })
    ));
}

#[test]
fn too_little_room_stops_sealing_and_leaves_drops_where_they_are() {
    let clinic = Clinic::new();
    clinic.drop_incident("INC-1");
    let mut settings = clinic.settings();
    settings.agent.min_free_bytes = u64::MAX;
    let mut agent = agent::Agent::open(settings, agent::system_clock()).unwrap();
    let error = agent.pass().unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(clinic.names("drop"), ["INC-1.json"]);
    drop(agent);
    assert_eq!(clinic.agent().pass().unwrap().sealed, 1);
}

#[test]
fn a_destination_whose_bucket_changed_stops_the_start() {
    let clinic = Clinic::new();
    drop(clinic.agent());
    let mut settings = clinic.settings();
    settings.destinations[0].bucket = "another".to_owned();
    let Err(error) = agent::Agent::open(settings, agent::system_clock()) else {
        panic!("it started");
    };
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(
        text.contains("s3://evidence/p/") && text.contains("s3://another/p/"),
        "{text}"
    );
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
