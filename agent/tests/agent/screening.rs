//! Nothing that a rule knows gets past the agent: not in bytes, not in names, not beside a drop.

use std::fs;

use serde_json::{Value, json};

use crate::artifacts::{Awake, drop_folder, stored};
use crate::clinic::{Clinic, files_below, incident};

const SSN: &str = "219-09-9999";
const MRN: &str = "00482913";

/// An incident with identifiers in its id, a name, a number and a log line.
fn telling(id: &str) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&incident(id)).unwrap();
    document["incident"]["details"] = json!({
        "mrn": 482_913, "call 212-555-0147": "x", "size_bytes": 482_913
    });
    document["actions"][0]["stdout_excerpt"] = json!(format!("row {SSN} failed"));
    serde_json::to_vec(&document).unwrap()
}

fn holds(clinic: &Clinic, what: &str) -> Vec<String> {
    let state = clinic.dir.path().join("state");
    files_below(&state)
        .into_iter()
        .filter(|path| {
            let bytes = fs::read(path).unwrap();
            path.to_string_lossy().contains(what)
                || bytes.windows(what.len()).any(|w| w == what.as_bytes())
        })
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn what_is_sealed_kept_and_published_holds_nothing_that_was_taken_out() {
    let clinic = Clinic::new();
    clinic.drop_bytes(&format!("MRN-{MRN}.json"), &telling("INC-1"));
    let mut agent = clinic.agent();
    assert_eq!(agent.pass().unwrap().sealed, 1);
    drop(agent);
    for what in [SSN, MRN, "212-555-0147"] {
        assert_eq!(holds(&clinic, what), Vec::<String>::new());
    }
    let bundle = &clinic.bundles()[0];
    let document = bundle.document();
    assert_eq!(document["incident"]["details"]["size_bytes"], 482_913);
    let rules: Vec<_> = document["redactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["us-ssn", "phone", "mrn"]);
    assert_eq!(
        document["redactions"][0]["path"],
        "/actions_taken/0/stdout_excerpt"
    );
}

#[test]
fn a_drop_is_recognised_by_its_raw_bytes_and_related_by_an_id_that_was_taken_out() {
    let clinic = Clinic::new();
    let id = format!("INC MRN {MRN}");
    let mut agent = clinic.agent();
    clinic.drop_bytes("a.json", &telling(&id));
    assert_eq!(agent.pass().unwrap().sealed, 1);
    clinic.drop_bytes("b.json", &telling(&id));
    assert_eq!(agent.pass().unwrap().duplicates, 1);
    let mut other: Value = serde_json::from_slice(&telling(&id)).unwrap();
    other["incident"]["details"]["more"] = json!(1);
    clinic.drop_bytes("c.json", &serde_json::to_vec(&other).unwrap());
    assert_eq!(agent.pass().unwrap().sealed, 1);
    let bundles = clinic.bundles();
    let related = &bundles[1].document()["related_to"];
    assert_eq!(related.as_array().unwrap().len(), 1);
    let ids = clinic.incident_ids();
    assert!(ids[0] == ids[1] && ids[0].starts_with("INC MRN [redacted:mrn:"));
}

#[test]
fn a_text_artifact_is_screened_and_what_is_no_text_is_as_it_was() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    let log = format!("{}ssn {SSN}\nend\n", "an ordinary line\n".repeat(40_000));
    let binary = b"\x7fELF\0\0 219-09-9999".repeat(3);
    let files = [
        (&*format!("MRN-{MRN}.log"), log.as_bytes()),
        ("core", &binary),
    ];
    drop_folder(&clinic, "one", &incident("INC-1"), &files);
    assert_eq!(awake.pass().sealed, 1);
    let stored = stored(&clinic);
    assert_eq!(stored.len(), 2);
    let (name, text) = stored
        .iter()
        .find(|(name, _)| name.ends_with(".log"))
        .unwrap();
    let text = String::from_utf8(text.clone()).unwrap();
    assert!(!name.contains(MRN) && !text.contains(SSN));
    assert!(text.ends_with("]\nend\n") && text.len() > log.len());
    assert!(stored.iter().any(|(_, bytes)| *bytes == binary));
    let document = clinic.bundles()[0].document().clone();
    let paths: Vec<_> = document["redactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, ["/artifacts/files/0/name", "/artifacts/files/0"]);
    // The same again is a duplicate, though other bytes are stored than were dropped.
    drop_folder(&clinic, "two", &incident("INC-1"), &files);
    assert_eq!(awake.pass().duplicates, 1);
}

#[test]
fn a_rule_that_asks_for_quarantine_keeps_the_whole_drop_out_and_says_only_which() {
    let mut clinic = Clinic::new();
    clinic.more_config =
        "[screening]\nquarantine = [\"us-ssn\"]\nbinary = \"quarantine\"\n".to_owned();
    let mut awake = Awake::new(&clinic);
    clinic.drop_bytes("a.json", &telling("INC-1"));
    drop_folder(
        &clinic,
        "b",
        &incident("INC-2"),
        &[("a.log", format!("ssn {SSN}").as_bytes())],
    );
    drop_folder(&clinic, "c", &incident("INC-3"), &[("core", b"\x7fELF\0")]);
    let mut quarantined = 0;
    while quarantined < 3 {
        quarantined += awake.pass().quarantined;
    }
    assert_eq!(
        clinic.reasons(),
        ["binary_artifact", "screened", "screened"]
    );
    assert!(clinic.incident_ids().is_empty());
    let reasons = files_below(&clinic.state("quarantine"))
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".reason.json"));
    for reason in reasons {
        assert!(!fs::read_to_string(reason).unwrap().contains(SSN));
    }
}
