//! What our own daemons stored, audited: from the bucket everything passes, from a folder all that needs
//! no store does.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::clinic::{Clinic, Role};

use crate::incident::document;

/// A host that ran twice, with incidents and artifacts, all of it confirmed.
fn settled() -> Clinic {
    let mut clinic = Clinic::new();
    for run in 0..2 {
        clinic.drop_document(&format!("{run}.json"), &document(&format!("INC-{run}")));
        clinic.drop_folder(
            &format!("folder-{run}"),
            &document(&format!("INC-F{run}")),
            &[("run log.txt", b"artifact bytes")],
        );
        clinic.start(Role::Agent);
        clinic.start(Role::Uploader);
        clinic.wait_until("everything to be confirmed", Clinic::is_confirmed);
        clinic.wind_down();
    }
    clinic
}

fn audit(clinic: &Clinic, arguments: &[&str]) -> (Option<i32>, Value, Vec<u8>) {
    let key = clinic.public_key_file();
    let key = key.to_str().unwrap();
    let output = clinic.cli(&[&["audit", "--key", key, "--json"], arguments].concat());
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    (output.status.code(), said, output.stdout)
}

/// `check/code` of each finding of a level.
fn findings(said: &Value, level: &str) -> BTreeSet<String> {
    let findings = said["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["level"] == level)
        .map(|finding| {
            let word = |name: &str| finding[name].as_str().unwrap().to_owned();
            format!("{}/{}", word("check"), word("code"))
        })
        .collect()
}

#[test]
fn what_the_daemons_stored_passes_and_is_said_in_the_same_words_each_time() {
    let clinic = settled();
    let state = clinic.dir.path().join("audit.db");
    let state = state.to_str().unwrap();
    let bucket = [
        "--destination",
        "main",
        "--client",
        "clinic-a",
        "--host",
        "host-1",
    ];
    let (code, said, first) = audit(&clinic, &[&bucket[..], &["--state", state]].concat());
    assert_eq!(
        (code, &said["result"]),
        (Some(0), &"passed".into()),
        "{said:#}"
    );
    for check in said["checks"].as_array().unwrap() {
        let n = |name: &str| check[name].as_u64().unwrap();
        // No operator changed a lock.
        let looked = check["check"] == "record" || n("passed") > 0;
        assert!(looked, "it looked at something: {check}");
        assert_eq!(n("passed"), n("total"), "{check}");
    }
    // Everything that was put was read once, and nothing else was asked.
    let puts = clinic.sandbox.hits("PutObject");
    assert_eq!(clinic.sandbox.hits("GetObject"), puts);
    assert_eq!(clinic.sandbox.hits("GetObjectRetention"), 0);

    let (_, _, again) = audit(&clinic, &[&bucket[..], &["--state", state]].concat());
    assert_eq!(first, again, "the working file says the same");
    assert_eq!(
        clinic.sandbox.hits("GetObject"),
        puts,
        "and nothing was read"
    );
    let (_, _, anew) = audit(&clinic, &bucket);
    assert_eq!(first, anew, "so does the bucket");
    let (code, ..) = audit(&clinic, &["--destination", "main", "--host", "host-2"]);
    assert_eq!(code, Some(2));
}

#[test]
fn a_folder_shows_all_but_what_only_a_store_knows() {
    let clinic = settled();
    let folder = clinic.state("evidence");
    let (code, said, _) = audit(&clinic, &["--folder", folder.to_str().unwrap()]);
    assert_eq!(code, Some(3), "{said:#}");
    assert_eq!(findings(&said, "failed"), BTreeSet::new());
    let unchecked = ["confirmed", "lock", "retention", "time", "version"];
    assert_eq!(
        findings(&said, "could_not_check"),
        unchecked
            .iter()
            .map(|check| format!("{check}/no_store_metadata"))
            .collect()
    );
}

#[test]
fn a_state_of_another_bucket_or_key_is_refused() {
    let clinic = settled();
    let state = clinic.dir.path().join("audit.db");
    let state = state.to_str().unwrap();
    let (code, ..) = audit(&clinic, &["--destination", "main", "--state", state]);
    assert_eq!(code, Some(0));
    let key = clinic.public_key_file();
    let folder = clinic.state("evidence");
    let other = clinic.cli(&[
        "audit",
        "--folder",
        folder.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "--state",
        state,
    ]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    let words = String::from_utf8(other.stderr).unwrap();
    assert!(words.contains("another audit"), "{words}");
}
