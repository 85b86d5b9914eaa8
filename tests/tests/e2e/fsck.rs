//! Damage, place by place: what fsck calls it, and that a restart or a repair leaves nothing of what
//! can be mended.

use std::fs;
use std::path::{Path, PathBuf};

use ::fsck::Level;
use evidence::bundle::Kind;
use evidence::custody::Custody;
use tests::clinic::{Clinic, Role, files_below};
use tests::incident::document;

/// A host with three incidents, one of them with an artifact, and the custody of a stop, confirmed;
/// both daemons stopped.
fn settled() -> Clinic {
    let mut clinic = Clinic::new();
    for n in 0..2 {
        let id = format!("INC-{n}");
        clinic.drop_document(&format!("{id}.json"), &document(&id));
    }
    clinic.drop_folder(
        "INC-2",
        &document("INC-2"),
        &[("run.log", b"artifact bytes")],
    );
    run_until_settled(&mut clinic);
    clinic
}

fn run_until_settled(clinic: &mut Clinic) {
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until("everything to be confirmed", Clinic::is_confirmed);
    clinic.wind_down();
}

fn sql(file: &Path, statement: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                  db.executescript(sys.argv[2]); db.commit()";
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .arg(statement)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn a_file(clinic: &Clinic, ends_with: &str) -> PathBuf {
    files_below(&clinic.state("evidence"))
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(ends_with))
        .unwrap()
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

/// Code of each finding at least as bad as `level`.
fn codes(clinic: &Clinic, level: Level, asks_bucket: bool) -> Vec<String> {
    let mut codes: Vec<String> = clinic
        .fsck(level, asks_bucket)
        .iter()
        .map(|line| line.split('"').nth(3).unwrap().to_owned())
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

#[test]
fn a_healthy_host_has_nothing_to_find_and_looking_changes_nothing() {
    let clinic = settled();
    let before: Vec<_> = files_below(&clinic.state(""))
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .collect();
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
    let output = clinic.cli(&["fsck", "--bucket"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (bytes, path) in before {
        assert!(fs::read(&path).unwrap() == bytes, "{}", path.display());
    }
}

#[test]
fn what_the_services_can_write_again_is_repairable_and_repair_writes_it() {
    let clinic = settled();
    fs::remove_file(a_file(&clinic, "-0001.json")).unwrap();
    flip(&a_file(&clinic, "-0002.json"));
    fs::write(clinic.state("receipts").join("x.receipt.json"), "{").unwrap();
    assert_eq!(
        codes(&clinic, Level::Repairable, false),
        ["file_changed", "file_missing", "receipt_damaged"]
    );
    assert_eq!(clinic.cli(&["fsck"]).status.code(), Some(2));
    fs::remove_file(clinic.state("receipts").join("x.receipt.json")).unwrap();
    let repaired = clinic.cli(&["fsck", "--repair"]);
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
}

#[test]
fn repair_is_refused_while_a_service_runs() {
    let mut clinic = settled();
    clinic.start(Role::Agent);
    clinic.wait_until("the agent to hold its lock", |clinic| {
        host::instance::is_running(&clinic.state("spool/agent.lock"))
    });
    let refused = clinic.cli(&["fsck", "--repair"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(
        words.contains("msp-evidence-agent runs: stop it first"),
        "{words}"
    );
}

#[test]
fn a_changed_or_missing_artifact_is_damage_and_fsck_says_where_it_is_still_whole() {
    let clinic = settled();
    let artifact = a_file(&clinic, "run.log");
    flip(&artifact);
    let found = clinic.fsck(Level::Damaged, false);
    assert!(
        found.len() == 1 && found[0].contains("artifact_changed") && found[0].contains("at main"),
        "{found:?}"
    );
    fs::remove_file(&artifact).unwrap();
    assert_eq!(codes(&clinic, Level::Damaged, false), ["artifact_missing"]);
}

#[test]
fn a_changed_row_of_the_spool_is_found_by_what_was_signed() {
    let clinic = settled();
    let spool = clinic.state("spool/spool.db");
    sql(
        &spool,
        "DROP TRIGGER bundle_is_never_changed;
         UPDATE bundle SET bytes = CAST(replace(CAST(bytes AS TEXT), 'INC-1', 'INC-9') AS BLOB)
         WHERE sequence = 2",
    );
    let found = codes(&clinic, Level::Damaged, false);
    assert!(found.contains(&"bundle_changed".to_owned()), "{found:?}");
    assert!(
        found.contains(&"bundle_not_verified".to_owned()),
        "{found:?}"
    );
}

#[test]
fn a_bundle_that_is_gone_from_the_spool_is_a_gap_and_a_head_that_is_gone_is_a_restored_snapshot() {
    let clinic = settled();
    let spool = clinic.state("spool/spool.db");
    let forget = |sequence| {
        format!(
            "DROP TRIGGER IF EXISTS bundle_is_never_removed; PRAGMA foreign_keys = off;
             DELETE FROM bundle WHERE sequence = {sequence}"
        )
    };
    let copy = fs::read(&spool).unwrap();
    sql(&spool, &forget(2));
    let found = codes(&clinic, Level::Damaged, true);
    for code in [
        "chain_gap",
        "spool_behind",
        "bucket_ahead",
        "reference_to_nothing",
    ] {
        assert!(found.contains(&code.to_owned()), "{code}: {found:?}");
    }
    fs::write(&spool, copy).unwrap();
    sql(&spool, &forget(4));
    let found = codes(&clinic, Level::Damaged, true);
    assert!(!found.contains(&"chain_gap".to_owned()), "{found:?}");
    for code in ["spool_behind", "bucket_ahead"] {
        assert!(found.contains(&code.to_owned()), "{code}: {found:?}");
    }
}

#[test]
fn a_damaged_page_of_either_database_is_found_and_delivery_db_is_made_anew() {
    let mut clinic = settled();
    for name in ["spool/spool.db", "delivery/delivery.db"] {
        let file = clinic.state(name);
        let mut bytes = fs::read(&file).unwrap();
        let copy = bytes.clone();
        // The second page belongs to a table; what is in its header is now nonsense.
        for byte in &mut bytes[4096..4160] {
            *byte ^= 0xff;
        }
        fs::write(&file, bytes).unwrap();
        let found = clinic.fsck(Level::Repairable, false);
        let expected = name.split('/').next().unwrap();
        assert!(
            found
                .iter()
                .any(|line| line.starts_with(&format!("\"{expected}\""))
                    && (line.contains("damaged") || line.contains("unreadable"))),
            "{name}: {found:?}"
        );
        if name.starts_with("spool") {
            fs::write(&file, copy).unwrap();
        }
    }
    let repaired = clinic.cli(&["fsck", "--repair"]);
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    // Something to wait for.
    clinic.drop_document("later.json", &document("INC-later"));
    run_until_settled(&mut clinic);
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
}

#[test]
fn a_wrong_count_in_delivery_db_is_found() {
    let clinic = settled();
    let file = clinic.state("delivery/delivery.db");
    sql(
        &file,
        "UPDATE tallies SET n = n + 1 WHERE state = 'pending'",
    );
    let found = clinic.fsck(Level::Repairable, false);
    assert!(
        found.len() == 1 && found[0].contains("tally_wrong"),
        "{found:?}"
    );
}

#[test]
fn an_order_that_was_changed_is_found() {
    let mut clinic = Clinic::new();
    clinic.drop_document("a.json", &document("INC-1"));
    clinic.start(Role::Agent);
    clinic.wait_until("an order", |clinic| {
        fs::read_dir(clinic.state("outbox")).unwrap().any(|e| {
            e.unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(".order.json")
        })
    });
    clinic.stop(Role::Agent);
    let order = fs::read_dir(clinic.state("outbox"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|path| path.to_string_lossy().ends_with(".order.json"))
        .unwrap();
    flip(&order);
    assert_eq!(codes(&clinic, Level::Repairable, false), ["order_changed"]);
    fs::remove_file(&order).unwrap();
    assert_eq!(codes(&clinic, Level::Repairable, false), ["order_missing"]);
}

/// Removes spool.db as a broken disk would.
fn destroy_spool(clinic: &Clinic) {
    for name in ["spool.db", "spool.db-wal", "spool.db-shm"] {
        let path = clinic.state("spool").join(name);
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Every object and version that a custody bundle says is confirmed.
fn named_by_custody(clinic: &Clinic) -> Vec<String> {
    clinic
        .bundles()
        .iter()
        .filter(|(_, bundle)| bundle.header().kind == Kind::Custody)
        .flat_map(|(_, bundle)| Custody::read(bundle).unwrap().confirmed)
        .map(|entry| format!("{} {}", entry.uri, entry.version_id))
        .collect()
}

#[test]
fn custody_that_does_not_cover_or_name_what_the_spool_has_is_found() {
    for (change, code) in [
        (
            "DROP TRIGGER custody_is_never_changed; UPDATE custody SET to_sequence = 2",
            "custody_differs",
        ),
        (
            "DROP TRIGGER custody_is_never_changed; UPDATE custody SET from_sequence = 2",
            "custody_gap",
        ),
        (
            "DROP TRIGGER confirmation_is_attested_once;
             UPDATE confirmation SET attested_by = NULL WHERE role = 'bundle'",
            "custody_of_nothing",
        ),
        (
            "DROP TRIGGER custody_is_never_removed; PRAGMA foreign_keys = OFF; DELETE FROM custody",
            "custody_not_listed",
        ),
        (
            "UPDATE tally SET n = n + 1 WHERE name = 'confirmed'",
            "tally_differs",
        ),
    ] {
        let clinic = settled();
        sql(&clinic.state("spool/spool.db"), change);
        let found = codes(&clinic, Level::Damaged, false);
        assert!(found.contains(&code.to_owned()), "{change}: {found:?}");
    }
}

#[test]
fn a_destroyed_spool_is_rebuilt_from_the_folder_and_the_bucket_and_the_next_bundle_says_so() {
    let mut clinic = settled();
    let before = clinic.bundles();
    destroy_spool(&clinic);
    assert_eq!(
        codes(&clinic, Level::Damaged, false),
        ["database_unreadable"]
    );
    // One bundle and the artifact are in the bucket only.
    let first = a_file(&clinic, "-0001.json");
    fs::remove_file(&first).unwrap();
    fs::remove_file(first.with_extension("json.bundle")).unwrap();
    fs::remove_file(a_file(&clinic, "run.log")).unwrap();
    let rebuilt = clinic.cli_json(&["fsck", "--rebuild", "--yes", "--json"]);
    for (pointer, expected) in [
        ("/rebuilt/bundles", 4),
        ("/rebuilt/fetched_bundles", 1),
        ("/rebuilt/fetched_artifacts", 1),
        ("/damaged", 0),
    ] {
        assert_eq!(
            rebuilt.pointer(pointer),
            Some(&expected.into()),
            "{pointer}: {rebuilt:#}"
        );
    }
    assert!(rebuilt["rebuilt"]["missing"].as_array().unwrap().is_empty());
    let said = named_by_custody(&clinic);
    assert!(!said.is_empty());
    // What was sealed before is known: the same drop again is a duplicate.
    clinic.drop_document("again.json", &document("INC-1"));
    // So is the hash that the runbook had.
    let changed = String::from_utf8(document("INC-later")).unwrap();
    let changed = changed.replace(&"5a".repeat(32), &"a5".repeat(32));
    clinic.drop_document("later.json", changed.as_bytes());
    run_until_settled(&mut clinic);
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
    let status = clinic.cli_json(&["status", "--json"]);
    let with = |code: &str| status.pointer(&format!("/findings/{code}"));
    assert_eq!(with("runbook_changed"), Some(&1.into()));
    assert_eq!(with("backfilled"), Some(&4.into()));
    assert_eq!(status.pointer("/spool/duplicates"), Some(&1.into()));
    assert_eq!(status.pointer("/spool/sealed_incidents"), Some(&4.into()));
    // Everything was confirmed again, and what custody had named is not named again.
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until("the receipt for custody", Clinic::is_confirmed);
    clinic.wind_down();
    let named = named_by_custody(&clinic);
    let once: std::collections::BTreeSet<_> = named.iter().collect();
    assert_eq!(named.len(), once.len(), "{named:#?}");
    let first = named.iter().filter(|object| said.contains(object)).count();
    assert_eq!(first, said.len());
    // All but the two objects of the newest custody, which nothing can have named yet.
    let status = clinic.cli_json(&["status", "--json"]);
    let bundles = status["spool"]["sealed_bundles"].as_u64().unwrap();
    let objects = usize::try_from(2 * bundles).unwrap() + 1;
    assert_eq!(named.len(), objects - 2, "{named:#?}");
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
    let after = clinic.bundles();
    let (_, newest) = after
        .iter()
        .find(|(_, b)| b.document()["incident"]["incident_id"] == "INC-later")
        .unwrap();
    let link = &newest.header().chain;
    assert_eq!(link.sequence, 1);
    let began = link.began.as_ref().unwrap();
    assert_eq!(began.because, evidence::bundle::ChainStart::Rebuilt);
    assert!(began.missing.is_empty());
    let end = link.predecessor.as_ref().unwrap();
    assert_eq!(end.sha256, before.last().unwrap().1.sha256());
}

#[test]
fn what_a_rebuild_finds_nowhere_is_named_in_the_chain_that_begins() {
    let mut clinic = Clinic::new();
    clinic.configure(
        &[tests::clinic::Place::sandbox("main", &clinic.sandbox)],
        "",
    );
    for n in 0..3 {
        clinic.drop_document(&format!("{n}.json"), &document(&format!("INC-{n}")));
    }
    // Sealed, and never uploaded.
    clinic.start(Role::Agent);
    clinic.wait_until("three bundles", |clinic| {
        fs::read_dir(clinic.state("drop")).unwrap().next().is_none()
    });
    clinic.stop(Role::Agent);
    let lost = a_file(&clinic, "-0002.json");
    fs::remove_file(&lost).unwrap();
    fs::remove_file(lost.with_extension("json.bundle")).unwrap();
    fs::write(
        clinic.state("spool/spool.db"),
        "not a database at all, but long enough",
    )
    .unwrap();
    let rebuilt = clinic.cli_json(&["fsck", "--rebuild", "--yes", "--json"]);
    let missing = &rebuilt["rebuilt"]["missing"];
    assert_eq!(missing[0]["from_sequence"], 2, "{rebuilt:#}");
    assert_eq!(missing[0]["to_sequence"], 2);
    assert_eq!(missing.as_array().unwrap().len(), 1);
    let kept = rebuilt["rebuilt"]["set_aside"][0].as_str().unwrap();
    assert_eq!(
        fs::read_to_string(kept).unwrap(),
        "not a database at all, but long enough"
    );
    clinic.drop_document("later.json", &document("INC-later"));
    run_until_settled(&mut clinic);
    let bundles = clinic.bundles();
    let (_, newest) = bundles
        .iter()
        .find(|(_, b)| b.document()["incident"]["incident_id"] == "INC-later")
        .unwrap();
    let began = newest.header().chain.began.as_ref().unwrap();
    assert_eq!(began.missing.len(), 1);
    assert_eq!(
        (began.missing[0].from_sequence, began.missing[0].to_sequence),
        (2, 2)
    );
    // The gap is there for ever, and sealed evidence says so.
    assert_eq!(codes(&clinic, Level::Note, true), ["chain_gap_stated"]);
}

#[test]
fn a_host_restored_from_an_old_snapshot_learns_it_from_the_bucket_and_begins_a_new_chain() {
    let mut clinic = settled();
    let snapshot = Clinic::copy_of(&clinic, &[]);
    for n in 3..5 {
        clinic.drop_document(&format!("{n}.json"), &document(&format!("INC-{n}")));
    }
    run_until_settled(&mut clinic);
    let last = clinic.bundles().pop().unwrap().1;
    // Everything on the host is as it was; only the bucket remembers.
    fs::remove_dir_all(clinic.state("")).unwrap();
    fs::rename(snapshot.state(""), clinic.state("")).unwrap();
    clinic.start(Role::Uploader);
    clinic.start(Role::Agent);
    clinic.wait_until("the agent to heed what was seen", |clinic| {
        spool::reader::Reader::open(&clinic.state("spool/spool.db"))
            .and_then(|reader| reader.counts())
            .is_ok_and(|counts| counts.head_sequence == 0)
    });
    clinic.drop_document("later.json", &document("INC-later"));
    clinic.wait_until("everything to be confirmed", Clinic::is_confirmed);
    clinic.wind_down();
    let bundles = clinic.bundles();
    let (_, newest) = bundles
        .iter()
        .find(|(_, b)| b.document()["incident"]["incident_id"] == "INC-later")
        .unwrap();
    let link = &newest.header().chain;
    assert_eq!(link.sequence, 1);
    assert_eq!(
        link.began.as_ref().unwrap().because,
        evidence::bundle::ChainStart::RolledBack
    );
    assert_eq!(link.predecessor.as_ref().unwrap().sha256, last.sha256());
    // What was forgotten is still there, once, and can be brought back.
    let judged = clinic.runtime().block_on(tests::bucket::judge(
        &tests::clinic::Place::sandbox("main", &clinic.sandbox).client(),
        tests::clinic::BUCKET,
        std::slice::from_ref(&clinic.public),
    ));
    assert_eq!(judged.problems, Vec::<String>::new());
    assert_eq!(judged.incidents.len(), 6);
    assert_eq!(codes(&clinic, Level::Damaged, true), ["bucket_ahead"]);
    let rebuilt = clinic.cli_json(&["fsck", "--rebuild", "--yes", "--json"]);
    // Two incidents, and the custody of the stop after them.
    assert_eq!(rebuilt.pointer("/rebuilt/fetched_bundles"), Some(&3.into()));
    clinic.drop_document("last.json", &document("INC-last"));
    run_until_settled(&mut clinic);
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
}
