//! `config check`, `config show`, and what `doctor` does before it may ask a store.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::desk::Desk;

fn with_drop_in(name: &str, text: &str) -> Desk {
    let desk = Desk::new();
    fs::create_dir(desk.path("evidence.d")).unwrap();
    desk.file(&format!("evidence.d/{name}"), text, 0o644);
    desk
}

#[test]
fn a_good_configuration_is_checked_with_its_drop_ins_and_warnings() {
    let desk = with_drop_in(
        "10-short.toml",
        "[retention]\ndays = 30\nacknowledge_shorter_than_six_years = true\n",
    );
    desk.run(&["config", "check"]).expect(
        0,
        &[
            "ok ",
            "evidence.toml, ",
            "10-short.toml",
            "warning  destination main locks evidence for 30 days",
        ],
    );
    let checked = desk
        .run(&["config", "check", "--json"])
        .expect(0, &[])
        .json();
    assert_eq!(checked["problems"], json!([]));
    assert_eq!(checked["files"].as_array().unwrap().len(), 2);
    let warnings = checked["warnings"].as_array().unwrap();
    assert!(
        warnings
            .iter()
            .any(|w| w.as_str().unwrap().contains("30 days"))
    );
}

#[test]
fn every_problem_of_every_file_is_told_at_once_and_by_every_command() {
    let desk = with_drop_in("10-bad.toml", "[drop]\nrescan = 3\nmax_depth = 1000\n");
    desk.configure("ca_file = \"/nonexistent/ca.pem\"\nprefix = \"no-slash\"\n");
    let parts = [
        "10-bad.toml, line 2",
        "unknown field `rescan`",
        "10-bad.toml, line 3: drop.max_depth = 1000",
        "evidence.toml, line 12: destination.main.prefix",
    ];
    let said = desk.run(&["config", "check"]).expect(1, &parts);
    assert_eq!(said.out.matches("problem  ").count(), 3, "{}", said.out);
    desk.run(&["status"]).expect(1, &parts);
    let checked = desk
        .run(&["config", "check", "--json"])
        .expect(1, &[])
        .json();
    assert_eq!(checked["problems"].as_array().unwrap().len(), 3);
    // What the uploader's own start would refuse comes when the rest is right.
    desk.configure("ca_file = \"/nonexistent/ca.pem\"\n");
    fs::remove_file(desk.path("evidence.d/10-bad.toml")).unwrap();
    desk.run(&["config", "check"]).expect(
        1,
        &[
            "destination.main.ca_file",
            "it cannot be read",
            "name a PEM file",
        ],
    );
}

#[test]
fn another_file_is_checked_with_its_own_drop_ins() {
    let desk = with_drop_in("10-bad.toml", "nonsense = 1\n");
    fs::copy(desk.path("evidence.toml"), desk.path("trial.toml")).unwrap();
    let trial = desk.path("trial.toml");
    let trial = trial.to_str().unwrap();
    desk.run(&["config", "check", trial])
        .expect(0, &["ok ", "trial.toml"]);
    desk.run(&["config", "check"]).expect(1, &["`nonsense`"]);
    desk.run(&["config", "check", "/nonexistent/x.toml"])
        .expect(1, &["/nonexistent/x.toml", "No such file"]);
}

#[test]
fn every_value_is_shown_with_where_it_comes_from() {
    let desk = with_drop_in("10-log.toml", "[log]\nformat = \"json\"\n");
    let env = [("MSP_EVIDENCE_DROP__RESCAN_SECS", "77")];
    let shown = desk
        .run_with(&["config", "show", "--json"], &env, b"")
        .expect(0, &[])
        .json();
    let of = |shown: &Value, key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        settings.iter().find(|s| s["key"] == key).cloned()
    };
    let log = of(&shown, "log.format").unwrap();
    assert_eq!(
        (&log["value"], &log["origin"]["line"]),
        (&json!("json"), &json!(2))
    );
    assert!(
        log["origin"]["path"]
            .as_str()
            .unwrap()
            .ends_with("evidence.d/10-log.toml")
    );
    let rescan = of(&shown, "drop.rescan_secs").unwrap();
    assert_eq!(rescan["value"], json!(77));
    assert_eq!(
        rescan["origin"],
        json!({"from": "variable", "name": "MSP_EVIDENCE_DROP__RESCAN_SECS"})
    );
    assert_eq!(of(&shown, "log.filter"), None, "nobody set it");
    let all = desk
        .run(&["config", "show", "--effective", "--json"])
        .expect(0, &[])
        .json();
    assert_eq!(
        of(&all, "log.filter").unwrap()["origin"],
        json!({"from": "default"})
    );
    desk.run(&["config", "show", "--effective"]).expect(
        0,
        &[
            "log.filter = \"info\"",
            "# default",
            "10-log.toml, line 2",
            "signing.password_file is not set",
        ],
    );
}

#[test]
fn doctor_tells_every_problem_of_the_configuration_and_checks_nothing_else() {
    let desk = with_drop_in("10-bad.toml", "[drop]\nrescan = 3\nmax_depth = 1000\n");
    let said = desk.run(&["doctor"]).expect(
        1,
        &[
            "2 problems",
            "`rescan`",
            "drop.max_depth",
            "nothing else was checked",
        ],
    );
    assert!(!said.out.contains("permissions"), "{}", said.out);
    let report = desk.run(&["doctor", "--json"]).expect(1, &[]).json();
    assert_eq!(report["totals"]["problems"], 2);
}

#[test]
fn doctor_agrees_to_a_probe_only_in_words_and_only_when_one_is_asked_for() {
    let desk = Desk::new();
    desk.run(&["doctor", "--yes"]).expect(1, &["--write-probe"]);
    desk.run(&["doctor", "--write-probe"]).expect(
        1,
        &[
            "COMPLIANCE mode until",
            "clinic-a/host-1/write-probes/",
            "no terminal",
        ],
    );
}

/// Every file below the folder, with what changes when somebody writes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            found.insert(
                path.clone(),
                (meta.len(), meta.mode(), meta.mtime(), meta.mtime_nsec()),
            );
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn doctor_on_a_host_without_anything_finds_what_is_missing_and_makes_nothing() {
    let desk = Desk::new();
    desk.configure("endpoint = \"http://127.0.0.1:1\"\npath_style = true\n");
    let before = tree(&desk.path(""));
    let env = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
    let report = desk
        .run_with(&["doctor", "--json"], &env, b"")
        .expect(2, &[])
        .json();
    assert_eq!(tree(&desk.path("")), before);
    let checks = report["checks"].as_array().unwrap();
    let has = |family: &str, check: &str, verdict: &str| {
        let found = checks
            .iter()
            .any(|c| c["family"] == family && c["check"] == check && c["verdict"] == verdict);
        assert!(found, "no {family} {check} {verdict}: {checks:#?}");
    };
    has("configuration", "valid", "ok");
    has("keys", "private", "problem");
    has("keys", "public", "problem");
    has("drop", "mode", "problem");
    has("services", "running", "problem");
    has("endpoint", "reached", "problem");
    has("bucket", "bucket", "could_not_check");
    has("retention", "configured", "ok");
    has("screening", "active", "ok");
    has("screening", "key", "warning");
    // Every finding says what to do.
    for check in checks {
        assert_eq!(
            check["verdict"] == "ok",
            check["remedy"].is_null(),
            "{check}"
        );
    }
}
