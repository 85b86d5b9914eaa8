//! `kill -9` of either daemon at random moments, and `delivery.db` deleted on the way.
//!
//! The moment is a number of log lines after the last kill, drawn from a seed that is printed, so
//! kills fall into sealing, uploading, confirming and starting alike. `MSP_TEST_SEED` repeats one.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use evidence::bundle::Kind;
use tests::clinic::{BUCKET, Clinic, Role};

use crate::incident::document;

const DROPS: usize = 1000;
const KILLS: usize = 40;
/// Every so many drops one is a folder, with two artifacts.
const WITH_ARTIFACTS: usize = 8;

fn seed() -> u64 {
    let seed = std::env::var("MSP_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MSP_TEST_SEED={seed}");
    seed
}

/// Drops, kills and restarts; then waits until everything has arrived.
fn campaign(
    clinic: &mut Clinic,
    random: &mut fastrand::Rng,
    after_kill: impl Fn(&Clinic, Role, usize),
) {
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    let mut dropped = 0;
    for kill in 0..KILLS {
        let until = DROPS * (kill + 1) / KILLS;
        while dropped < until {
            let incident = format!("INC-{dropped:04}");
            if dropped % WITH_ARTIFACTS == 0 {
                let log = incident.repeat(random.usize(1..20_000));
                let files: [(&str, &[u8]); 2] = [("run.log", log.as_bytes()), ("empty", b"")];
                clinic.drop_folder(&incident, &document(&incident), &files);
            } else {
                clinic.drop_document(&format!("{incident}.json"), &document(&incident));
            }
            dropped += 1;
        }
        for _ in 0..random.usize(1..60) {
            // A quiet moment is a moment as well.
            if clinic.next_event(Duration::from_millis(50)).is_none() {
                break;
            }
        }
        let role = if random.bool() {
            Role::Agent
        } else {
            Role::Uploader
        };
        clinic.kill(role);
        after_kill(clinic, role, kill);
        clinic.start(role);
    }
    // So many confirmations make custody due at the end.
    clinic.wait_until("everything to be confirmed", |clinic| {
        let status = clinic.cli_json(&["status", "--json"]);
        status["custody"]["last_bundle_id"].is_string() && clinic.is_confirmed()
    });
}

/// Each incident in exactly one bundle, no gap in the chain, each object stored once and locked.
fn check(clinic: &Clinic) {
    let bundles = clinic.bundles();
    let mut of_incident: BTreeMap<String, usize> = BTreeMap::new();
    let mut custody = 0;
    for (n, (_, bundle)) in bundles.iter().enumerate() {
        let chain = &bundle.header().chain;
        assert_eq!(chain.sequence, n as u64 + 1, "no gap");
        assert_eq!(
            chain.chain_id,
            bundles[0].1.header().chain.chain_id,
            "no fork"
        );
        if n > 0 {
            assert_eq!(
                chain.previous_sha256,
                Some(bundles[n - 1].1.sha256()),
                "unbroken"
            );
        }
        if bundle.header().kind == Kind::Custody {
            custody += 1;
            continue;
        }
        let id = bundle.document()["incident"]["incident_id"]
            .as_str()
            .unwrap();
        *of_incident.entry(id.to_owned()).or_default() += 1;
    }
    assert_eq!(of_incident.len(), DROPS, "nothing is lost");
    assert!(of_incident.values().all(|n| *n == 1), "nothing is doubled");

    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for version in clinic.sandbox.store().all_versions(BUCKET) {
        assert!(!version.is_delete_marker);
        assert!(
            version
                .lock
                .retention
                .is_some_and(|r| r.mode == sandbox::Mode::Compliance),
            "{} is locked",
            version.key
        );
        *versions.entry(version.key).or_default() += 1;
    }
    assert_eq!(
        versions.len(),
        2 * (DROPS + custody) + 2 * DROPS.div_ceil(WITH_ARTIFACTS),
        "a bundle and a signature each, and the artifacts"
    );
    assert!(versions.values().all(|n| *n == 1), "one version per object");
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["spool"]["confirmed_bundles"], DROPS + custody);
    assert_eq!(status["spool"]["quarantined"], 0);
    assert_eq!(
        status["spool"]["duplicates"], 0,
        "a left-over is no duplicate"
    );
    assert_eq!(status["pending"], 0);
}

#[test]
fn kills_at_random_moments_lose_nothing_and_double_nothing() {
    let mut clinic = Clinic::new();
    let mut random = fastrand::Rng::with_seed(seed());
    campaign(&mut clinic, &mut random, |_, _, _| {});
    check(&clinic);
}

#[test]
fn deleting_delivery_db_on_the_way_changes_nothing_in_the_outcome() {
    let mut clinic = Clinic::new();
    let mut random = fastrand::Rng::with_seed(seed());
    campaign(&mut clinic, &mut random, |clinic, role, kill| {
        if role == Role::Uploader && kill % 3 == 0 {
            for entry in fs::read_dir(clinic.state("delivery")).unwrap() {
                let path = entry.unwrap().path();
                if path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("delivery.db")
                {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    });
    check(&clinic);
}
