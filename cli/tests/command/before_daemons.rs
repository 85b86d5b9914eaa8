//! Status, show and blocked before any daemon ran, and as root on a daemon's files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use evidence::digest::Sha256;
use jiff::Timestamp;
use serde_json::Value;
use spool::Spool;

use crate::desk::Desk;

#[test]
fn status_before_the_first_start_says_so_and_makes_nothing() {
    let desk = Desk::new();
    desk.file("drop/waiting.json", "{}", 0o640);
    desk.file("drop/.half", "{", 0o640);
    desk.run(&["status"]).expect(
        0,
        &[
            "agent      has not run yet",
            "uploader   has not run yet",
            "1 drops",
        ],
    );
    let status = desk.run(&["status", "--json"]).expect(0, &[]).json();
    assert_eq!(
        (&status["spool"], &status["delivery"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&status["waiting_drops"], &status["in_quarantine"]),
        (&1.into(), &0.into())
    );
    for folder in ["spool", "delivery"] {
        assert_eq!(desk.names(folder), Vec::<String>::new(), "{folder}");
    }
    desk.run(&["blocked", "list"])
        .expect(0, &["nothing is blocked"]);
    desk.run(&["show", "EB-20261120-0001"])
        .expect(3, &["has not run yet"]);
}

#[test]
fn acknowledged_risks_are_shown_in_status() {
    let desk = Desk::new();
    desk.configure("[retention]\ndays = 30\nacknowledge_shorter_than_six_years = true\n");
    desk.run(&["status"]).expect(0, &["warning", "30 days"]);
}

#[test]
fn a_folder_that_may_not_be_listed_is_not_called_empty() {
    let desk = Desk::new();
    // Also root cannot list what is not a folder.
    fs::remove_dir(desk.path("drop")).unwrap();
    desk.file("drop", "", 0o600);
    let status = desk.run(&["status", "--json"]).expect(0, &[]).json();
    assert_eq!(status["waiting_drops"], Value::Null);
    desk.run(&["status"]).expect(0, &["not allowed to look"]);
}

#[test]
fn a_spool_that_is_damaged_is_3_and_named() {
    let desk = Desk::new();
    desk.file(
        "spool/spool.db",
        "not a database, and long enough to be looked at".repeat(50),
        0o640,
    );
    desk.run(&["status"])
        .expect(3, &[desk.path("spool").to_str().unwrap()]);
}

/// The outcome, whoever sees to it: the program becomes the owner (host/tests/owner.rs shows that),
/// and SQLite as root also gives the files it makes to the database's owner.
#[test]
fn root_leaves_no_file_of_its_own_beside_the_agents_database() {
    const AGENT: u32 = 4711;
    let desk = Desk::new();
    let spool = desk.path("spool");
    let db = spool.join("spool.db");
    let open = || Spool::open(&db, Sha256::of(b"machine"), Timestamp::now()).unwrap();
    drop(open());
    // Only root has anybody else to leave files for.
    let is_root = fs::metadata(&db).unwrap().uid() == 0;
    let agent = if is_root {
        AGENT
    } else {
        fs::metadata(&db).unwrap().uid()
    };
    let hand_over = || {
        if is_root {
            let root = spool.parent().unwrap();
            fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
            chown(&spool, Some(agent), Some(agent)).unwrap();
            for entry in fs::read_dir(&spool).unwrap() {
                chown(entry.unwrap().path(), Some(agent), Some(agent)).unwrap();
            }
        }
    };
    let look = || {
        desk.run(&["status"]).expect(0, &["sealed     0 bundles"]);
        desk.run(&["show", "EB-20261120-0001"])
            .expect(3, &["no bundle"]);
        for entry in fs::read_dir(&spool).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().uid(),
                agent,
                "{:?}",
                entry.file_name()
            );
        }
    };
    // The agent is down: reading makes the -wal and -shm files anew.
    hand_over();
    look();
    // The agent runs, and has them open.
    let running = open();
    hand_over();
    look();
    drop(running);
    look();
}
