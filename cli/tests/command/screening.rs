//! `screen`: what would be taken out, told without telling it.

use crate::desk::Desk;

const DOCUMENT: &str = r#"{"incident": {"details": {"mrn": "00482913", "note": "all is well"}},
  "call jane.roe@example.org": true}"#;

#[test]
fn a_documents_finds_are_told_by_path_rule_and_length_and_never_by_value() {
    let desk = Desk::new();
    let file = desk.file("incident.json", DOCUMENT, 0o644);
    let file = file.to_str().unwrap();
    let said = desk
        .run(&["screen", file])
        .expect(0, &["/incident/details/mrn", "8 bytes"]);
    assert!(
        !said.out.contains("00482913") && !said.out.contains("jane"),
        "{}",
        said.out
    );
    let report = desk.run(&["screen", file, "--json"]).expect(0, &[]).json();
    assert_eq!(report["kind"], "document");
    assert_eq!(report["outcome"], "redacted");
    let rules: Vec<_> = report["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| hit["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["email", "mrn"]);
}

#[test]
fn a_texts_finds_are_told_by_line_and_the_configuration_decides_what_happens() {
    let desk = Desk::new();
    let log = desk.file("a.log", "fine\nssn 219-09-9999\n", 0o644);
    let log = log.to_str().unwrap();
    desk.run(&["screen", log])
        .expect(0, &["redact", "us-ssn", "line 2, byte 5", "11 bytes"]);
    let with = [("MSP_EVIDENCE_SCREENING__QUARANTINE", "us-ssn")];
    let report = desk
        .run_with(&["screen", log, "--json"], &with, b"")
        .expect(0, &[])
        .json();
    assert_eq!(report["outcome"], "quarantined");
    let with = [("MSP_EVIDENCE_SCREENING__EXCEPTIONS", "* = 219-09-9999")];
    desk.run_with(&["screen", log], &with, b"")
        .expect(0, &["sealed as it is"]);
    let with = [("MSP_EVIDENCE_SCREENING__ENABLED", "false")];
    desk.run_with(&["screen", log], &with, b"")
        .expect(0, &["screening is off"]);
    desk.run_with(&["screen", "-"], &[], b"\x7fELF\0\0")
        .expect(0, &["not text"]);
}

#[test]
fn rules_are_listed_and_a_bad_one_is_told_by_name() {
    let desk = Desk::new();
    let list = desk
        .run(&["screen", "--rules", "--json"])
        .expect(0, &[])
        .json();
    let rules = list["rules"].as_array().unwrap();
    assert!(rules.len() > 200 && rules.iter().all(|rule| rule["action"] == "redact"));
    assert!(!list["left_out"].as_array().unwrap().is_empty());
    for (value, said) in [
        ("clinic = [", "clinic"),
        ("Clinic = a", "name of a rule"),
        ("clinic = x*", "empty text"),
    ] {
        let with = [("MSP_EVIDENCE_SCREENING__RULES", value)];
        desk.run_with(&["screen", "--rules"], &with, b"")
            .expect(1, &[said]);
        desk.run_with(&["config", "check"], &with, b"")
            .expect(1, &["[screening]"]);
    }
}
