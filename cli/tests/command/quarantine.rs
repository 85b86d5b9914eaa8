//! Quarantine: listed with reasons, put back without ever replacing anything.

use std::fs;

use serde_json::json;

use crate::desk::Desk;

/// A drop in quarantine with its reason, as the agent leaves them.
fn refused(desk: &Desk, name: &str, message: &str) {
    desk.file(&format!("quarantine/{name}"), "{", 0o640);
    let reason = json!({
        "name": name, "drop_name": name, "reason_code": "truncated", "path": "", "message": message,
        "at": "2026-11-20T12:00:00Z", "hmac_sha256": null, "size_bytes": 1, "owner_uid": 0,
    });
    desk.file(
        &format!("quarantine/{name}.reason.json"),
        reason.to_string(),
        0o640,
    );
}

#[test]
fn an_empty_quarantine_is_said_in_words_and_in_json() {
    let desk = Desk::new();
    desk.run(&["quarantine", "list"]).expect(0, &["empty"]);
    assert_eq!(
        desk.run(&["quarantine", "list", "--json"]).json(),
        json!([])
    );
    desk.run(&["quarantine", "retry", "--all"]).expect(0, &[]);
}

#[test]
fn the_list_shows_reasons_and_paints_nothing_on_the_terminal() {
    let desk = Desk::new();
    refused(&desk, "b.json", "ends \u{1b}[2J early");
    refused(&desk, "a.json", "ends early");
    let said = desk
        .run(&["quarantine", "list"])
        .expect(0, &["a.json", "truncated", "early"]);
    assert!(!said.out.contains('\u{1b}'), "{:?}", said.out);
    assert!(said.out.find("a.json") < said.out.find("b.json"), "sorted");
    let listed = desk.run(&["quarantine", "list", "--json"]).json();
    assert_eq!(listed[0]["name"], "a.json");
    assert_eq!(listed[1]["reason_code"], "truncated");
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn retry_moves_the_drop_back_and_removes_only_its_reason() {
    let desk = Desk::new();
    refused(&desk, "a.json", "m");
    refused(&desk, "b.json", "m");
    desk.run(&["quarantine", "retry", "a.json"])
        .expect(0, &["dropped again"]);
    assert_eq!(desk.names("quarantine"), ["b.json", "b.json.reason.json"]);
    let dropped = desk.names("drop");
    assert_eq!(dropped.len(), 1);
    assert!(
        dropped[0].ends_with(".json") && !dropped[0].starts_with('.'),
        "{dropped:?}"
    );
    assert_eq!(
        fs::read_to_string(desk.path("drop").join(&dropped[0])).unwrap(),
        "{"
    );
    desk.run(&["quarantine", "retry", "--all"]).expect(0, &[]);
    assert_eq!(desk.names("quarantine"), Vec::<String>::new());
    assert_eq!(desk.names("drop").len(), 2);
}

#[test]
fn retry_never_replaces_a_drop_that_waits() {
    let desk = Desk::new();
    refused(&desk, "a.json", "m");
    desk.file("drop/retry-a.json", "another", 0o640);
    desk.run(&["quarantine", "retry", "a.json"])
        .expect(3, &["retry-a.json"]);
    assert_eq!(desk.names("quarantine"), ["a.json", "a.json.reason.json"]);
    assert_eq!(
        fs::read_to_string(desk.path("drop/retry-a.json")).unwrap(),
        "another"
    );
}

#[test]
fn a_name_cannot_leave_the_quarantine() {
    let desk = Desk::new();
    desk.file("precious", "x", 0o600);
    for name in ["../precious", "/etc/passwd", "a/b", "..", "."] {
        let said = desk.run(&["quarantine", "retry", name]);
        assert!(
            said.code == 1 || said.code == 3,
            "{name}: {} {}",
            said.code,
            said.err
        );
    }
    assert!(desk.path("precious").exists());
    assert_eq!(desk.names("drop"), Vec::<String>::new());
    desk.run(&["quarantine", "retry", "absent"])
        .expect(3, &["absent", "does not exist"]);
}

#[test]
fn a_folder_goes_back_as_a_folder_and_one_that_is_stuck_keeps_no_other_here() {
    let desk = Desk::new();
    refused(&desk, "a.json", "m");
    desk.file("drop/retry-a.json", "another", 0o640);
    refused(&desk, "b", "m");
    fs::remove_file(desk.path("quarantine/b")).unwrap();
    fs::create_dir(desk.path("quarantine/b")).unwrap();
    desk.file("quarantine/b/incident.json", "{", 0o640);
    desk.run(&["quarantine", "retry", "--all"]).expect(
        3,
        &["retry-a.json", "1 of 2 stay", "dropped again  retry-b\n"],
    );
    assert_eq!(desk.names("quarantine"), ["a.json", "a.json.reason.json"]);
    assert!(desk.path("drop/retry-b/incident.json").exists());
}
