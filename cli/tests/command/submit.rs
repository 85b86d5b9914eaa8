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
