//! Drops made to hurt: documents that blow up, names that pass for others, folders that change.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use agent::AgentError;
use serde_json::{Value, json};

use crate::clinic::{Clinic, incident};

/// The incident, with `more` as the text of one more member.
fn with_member(id: &str, more: &str) -> Vec<u8> {
    let mut bytes = incident(id);
    assert_eq!(bytes.pop(), Some(b'}'));
    bytes.extend_from_slice(b",\"more\":");
    bytes.extend_from_slice(more.as_bytes());
    bytes.push(b'}');
    bytes
}

fn repeated(part: &str, times: usize) -> String {
    let mut text = String::from("[");
    for n in 0..times {
        if n > 0 {
            text.push(',');
        }
        text.push_str(part);
    }
    text.push(']');
    text
}

#[test]
fn documents_that_blow_up_are_sealed_or_quarantined_in_bounded_time_and_hold_up_nobody() {
    let clinic = Clinic::new();
    let mut keys = String::from("{");
    for n in 0..1_000_000_u32 {
        let comma = if n > 0 { "," } else { "" };
        write!(keys, "{comma}\"{n}\":{n}").unwrap();
    }
    keys.push('}');
    let deep = 1_000_000;
    let bombs: [(&str, String, Option<&str>); 12] = [
        (
            "arrays-deep",
            "[".repeat(deep) + &"]".repeat(deep),
            Some("too_deep"),
        ),
        ("arrays-open", "[".repeat(deep), Some("too_deep")),
        (
            "objects-deep",
            "{\"a\":".repeat(deep) + "1" + &"}".repeat(deep),
            Some("too_deep"),
        ),
        ("keys", keys, None),
        (
            "same-key",
            format!("{{{}\"a\":1}}", "\"a\":1,".repeat(1_000_000)),
            Some("duplicate_key"),
        ),
        ("digits", "9".repeat(4_000_000), None),
        (
            "decimals",
            format!("0.{}", "1234567890".repeat(400_000)),
            None,
        ),
        ("exponent", "1e999999999999999999".to_owned(), None),
        ("small-exponent", "1e-999999999999999999".to_owned(), None),
        ("numbers", repeated("18446744073709551617", 400_000), None),
        (
            "string",
            format!("\"{}\"", "\\u0000".repeat(2_000_000)),
            None,
        ),
        ("noncharacters", repeated("\"\\uffff\"", 400_000), None),
    ];
    for (name, more, _) in &bombs {
        clinic.drop_bytes(&format!("{name}.json"), &with_member(name, more));
    }
    clinic.drop_incident("HONEST");
    let mut agent = clinic.agent();
    let began = Instant::now();
    let (mut sealed, mut quarantined) = (0, 0);
    loop {
        let pass = agent.pass().unwrap();
        sealed += pass.sealed;
        quarantined += pass.quarantined;
        if !pass.did_something() {
            break;
        }
    }
    // Unoptimised and beside other tests; what must not be is minutes for one document.
    assert!(
        began.elapsed() < Duration::from_secs(300),
        "{:?}",
        began.elapsed()
    );
    let refused: Vec<&str> = bombs.iter().filter_map(|(.., code)| *code).collect();
    assert_eq!(
        (sealed, quarantined),
        (bombs.len() - refused.len() + 1, refused.len())
    );
    let mut refused = refused;
    refused.sort_unstable();
    assert_eq!(clinic.reasons(), refused);
    assert!(clinic.names("drop").is_empty());
    let bundles = clinic.bundles();
    let by_id = |id: &str| {
        let mut documents = bundles.iter().map(|bundle| bundle.document());
        documents
            .find(|d| d["incident"]["incident_id"] == id)
            .unwrap()
    };
    by_id("HONEST");
    assert_eq!(
        by_id("digits")["extra"]["more"],
        Value::from("9".repeat(4_000_000))
    );
    // A finding for each of the first hundred, and one that counts the rest.
    let findings = by_id("numbers")["findings"].as_array().unwrap().len();
    assert!((100..=110).contains(&findings), "{findings}");
}

#[test]
fn a_drop_under_a_taken_name_that_is_not_ours_is_one_of_its_own() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    let folder = |name: &str, id: &str, log: &[u8]| {
        let temporary = clinic.state("drop").join(".new.part");
        fs::create_dir_all(temporary.join("artifacts")).unwrap();
        fs::write(temporary.join("incident.json"), incident(id)).unwrap();
        fs::write(temporary.join("artifacts/a.log"), log).unwrap();
        fs::rename(&temporary, clinic.state("drop").join(name)).unwrap();
    };
    folder("honest", "HONEST", b"honest bytes");
    // Taken, and being staged.
    assert_eq!(agent.pass().unwrap().sealed, 0);
    let taken = clinic.names("drop").remove(0);
    let token = &taken[..".taken-0123456789abcdef-".len()];
    folder(&format!("{token}forged"), "FORGED", b"forged bytes");
    clinic.drop_bytes(&format!("{token}file.json"), &incident("FORGED-FILE"));
    let began = Instant::now();
    while clinic.bundles().len() < 3 {
        agent.pass().unwrap();
        std::thread::yield_now();
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            clinic.names("drop")
        );
    }
    for bundle in clinic.bundles() {
        let document = bundle.document();
        let files = document["artifacts"]["files"].as_array().unwrap();
        let of = |bytes: &[u8]| evidence::digest::Sha256::of(bytes).to_string();
        match document["incident"]["incident_id"].as_str().unwrap() {
            "HONEST" => assert_eq!(files[0]["sha256"], of(b"honest bytes")),
            "FORGED" => assert_eq!(files[0]["sha256"], of(b"forged bytes")),
            _ => assert!(files.is_empty()),
        }
        assert_eq!(document["findings"], json!([]));
    }
    while !clinic.names("drop").is_empty() {
        agent.pass().unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            clinic.names("drop")
        );
    }
}

#[test]
fn what_is_written_into_a_document_after_it_was_read_is_sealed_too() {
    let mut clinic = Clinic::new();
    // The archive cannot be reached, so what was sealed stays for a moment under its taken name.
    let archive = clinic.dir.path().join("archive");
    clinic.more_config = format!(
        "[drop]\non_sealed = \"archive\"\narchive_dir = \"{}\"",
        archive.display()
    );
    let mut agent = clinic.agent();
    clinic.drop_incident("INC-1");
    assert_eq!(agent.pass().unwrap().sealed, 1);
    let taken = clinic.state("drop").join(clinic.names("drop").remove(0));
    let mut other = incident("INC-1");
    other.push(b'\n');
    fs::write(&taken, &other).unwrap();
    assert_eq!(agent.pass().unwrap().sealed, 1);
    assert_eq!(clinic.bundles().len(), 2);
    assert_eq!(
        clinic.bundles()[1].document()["findings"][0]["code"],
        "incident_id_reused"
    );
}

#[test]
fn a_drop_folder_that_was_replaced_is_noticed_and_opened_again_and_nothing_in_either_is_lost() {
    let clinic = Clinic::new();
    let mut agent = clinic.agent();
    clinic.drop_incident("BEFORE");
    let old = clinic.dir.path().join("old-drop");
    fs::rename(clinic.state("drop"), &old).unwrap();
    clinic.drop_incident("AFTER");
    let replaced = agent.pass();
    assert!(
        matches!(&replaced, Err(AgentError::Replaced { path }) if *path == clinic.state("drop")),
        "{replaced:?}"
    );
    drop(agent);
    let mut agent = clinic.agent();
    assert_eq!(agent.pass().unwrap().sealed, 1);
    assert!(old.join("BEFORE.json").exists(), "left where it is");
    fs::rename(
        old.join("BEFORE.json"),
        clinic.state("drop").join("BEFORE.json"),
    )
    .unwrap();
    assert_eq!(agent.pass().unwrap().sealed, 1);
    assert_eq!(clinic.incident_ids(), ["AFTER", "BEFORE"]);
    // Gone altogether, or a link to somewhere else.
    fs::remove_dir(clinic.state("drop")).unwrap();
    assert!(matches!(agent.pass(), Err(AgentError::Replaced { .. })));
    std::os::unix::fs::symlink(&old, clinic.state("drop")).unwrap();
    assert!(matches!(agent.pass(), Err(AgentError::Replaced { .. })));
    drop(agent);
    assert!(clinic.try_agent().is_err(), "a link is no drop folder");
}
