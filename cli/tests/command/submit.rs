//! Submit: what the agent would refuse is not dropped; what is dropped is whole.

use std::fs;

use crate::desk::{DOCUMENT, Desk, mode_of};

#[test]
fn a_document_from_standard_input_is_dropped_whole_and_group_readable() {
    let desk = Desk::new();
    let said = desk
        .run_with(&["submit", "-"], &[], DOCUMENT.as_bytes())
        .expect(0, &["dropped"]);
    let names = desk.names("drop");
    assert_eq!(names.len(), 1, "and no half-written file: {names:?}");
    assert!(names[0].ends_with(".json") && !names[0].starts_with('.'));
    assert!(said.out.contains(&names[0]), "{}", said.out);
    let path = desk.path("drop").join(&names[0]);
    assert_eq!(fs::read_to_string(&path).unwrap(), DOCUMENT);
    assert_eq!(mode_of(&path), 0o640);
    // The same document again is another drop: the agent decides what a duplicate is.
    desk.run_with(&["submit", "-"], &[], DOCUMENT.as_bytes())
        .expect(0, &[]);
    assert_eq!(desk.names("drop").len(), 2);
}

#[test]
fn what_the_agent_would_quarantine_is_2_and_not_dropped() {
    let desk = Desk::new();
    for (text, code) in [
        ("{", "truncated"),
        ("{\"a\": 1, \"a\": 2}", "duplicate_key"),
        ("{\"incident\": {}}", ""),
        ("", ""),
    ] {
        desk.run_with(&["submit", "-"], &[], text.as_bytes())
            .expect(2, &["would quarantine", code]);
    }
    desk.configure("[drop]\nmax_document_bytes = 1024\n");
    assert!(DOCUMENT.len() > 1024);
    desk.run_with(&["submit", "-"], &[], DOCUMENT.as_bytes())
        .expect(2, &["max_document_bytes = 1024"]);
    assert_eq!(desk.names("drop"), Vec::<String>::new());
}

#[test]
fn check_says_valid_with_findings_and_drops_nothing() {
    let desk = Desk::new();
    let inconsistent = DOCUMENT.replacen("\"exit_code\": 0", "\"exit_code\": 1", 1);
    assert_ne!(inconsistent, DOCUMENT);
    desk.run_with(&["submit", "--check", "-"], &[], inconsistent.as_bytes())
        .expect(0, &["valid", "finding"]);
    assert_eq!(desk.names("drop"), Vec::<String>::new());
}

#[test]
fn control_characters_of_a_document_do_not_reach_the_terminal() {
    let desk = Desk::new();
    let hostile = "{\"\\u001b[2Jx\": 1, \"\\u001b[2Jx\": 2}";
    let said = desk
        .run_with(&["submit", "-"], &[], hostile.as_bytes())
        .expect(2, &[]);
    assert!(!said.err.contains('\u{1b}'), "{:?}", said.err);
}

#[test]
fn a_missing_file_or_folder_is_3_and_named() {
    let desk = Desk::new();
    desk.run(&["submit", "/nonexistent/incident.json"])
        .expect(3, &["/nonexistent/incident.json"]);
    fs::remove_dir(desk.path("drop")).unwrap();
    let folder = desk.path("drop");
    desk.run_with(&["submit", "-"], &[], DOCUMENT.as_bytes())
        .expect(3, &[folder.to_str().unwrap()]);
}

#[test]
fn a_document_with_artifacts_becomes_a_folder_that_the_group_may_empty() {
    let desk = Desk::new();
    let document = desk.file("incident.json", DOCUMENT, 0o600);
    let log = desk.file("backup.log", "log", 0o600);
    let said = desk
        .run(&[
            "submit",
            document.to_str().unwrap(),
            "--artifact",
            log.to_str().unwrap(),
        ])
        .expect(0, &["dropped"]);
    let names = desk.names("drop");
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(said.out.contains(&names[0]) && !names[0].starts_with('.'));
    let folder = desk.path("drop").join(&names[0]);
    assert_eq!(
        fs::read_to_string(folder.join("incident.json")).unwrap(),
        DOCUMENT
    );
    assert_eq!(
        fs::read_to_string(folder.join("artifacts/backup.log")).unwrap(),
        "log"
    );
    assert_eq!(mode_of(&folder), 0o2770);
    assert_eq!(mode_of(&folder.join("artifacts")), 0o2770);
    assert_eq!(mode_of(&folder.join("artifacts/backup.log")), 0o640);
    // The folder itself can be submitted again, and is copied.
    desk.run(&["submit", folder.to_str().unwrap()])
        .expect(0, &["dropped"]);
    assert_eq!(desk.names("drop").len(), 2);
}

#[test]
fn artifacts_that_the_agent_would_not_take_are_2_and_leave_nothing_behind() {
    let desk = Desk::new();
    desk.configure("[drop]\nmax_artifacts = 1\nmax_artifact_bytes = 1024\n");
    let document = desk.file("incident.json", DOCUMENT, 0o600);
    let big = desk.file("big", [b'x'; 1025], 0o600);
    let one = desk.file("one", "1", 0o600);
    let submit = |artifacts: &[&std::path::Path]| {
        let mut arguments = vec!["submit", document.to_str().unwrap()];
        for artifact in artifacts {
            arguments.extend(["--artifact", artifact.to_str().unwrap()]);
        }
        desk.run(&arguments)
    };
    submit(&[&big]).expect(2, &["max_artifact_bytes = 1024"]);
    submit(&[&one, &one]).expect(2, &["max_artifacts = 1"]);
    submit(&[&desk.path("drop")]).expect(2, &["not a plain file"]);
    submit(&[&desk.path("absent")]).expect(3, &["absent"]);
    desk.run(&["submit", desk.path("").to_str().unwrap()])
        .expect(3, &["nothing else"]);
    assert_eq!(desk.names("drop"), Vec::<String>::new());
}
