//! Records of what operators did to locks.

use std::collections::BTreeMap;

use evidence::record::{Action, Intended, Record, RecordedObject, Stage};

use super::*;

fn record(id: &str, intended: Option<Intended>, store: &str) -> Record {
    let lock = evidence::record::LockState {
        mode: "COMPLIANCE".to_owned(),
        retain_until: None,
        legal_hold: Some(false),
    };
    Record {
        record_version: 1,
        record_id: id.to_owned(),
        action: Action::Hold,
        stage: match intended {
            Some(_) => Stage::Done,
            None => Stage::Intended,
        },
        intended,
        at: "2026-10-01T01:00:00Z".parse().unwrap(),
        by: "an engineer".to_owned(),
        reason: "a dispute".to_owned(),
        store: store.to_owned(),
        selection: BTreeMap::new(),
        retain_until: None,
        objects: vec![RecordedObject {
            object: "c/h/x".to_owned(),
            version_id: "v1".to_owned(),
            before: lock,
            after: None,
            refused: None,
        }],
        key_id: other_key().public().key_id(),
    }
}

const INTENDED: &str = "01K8XAMP1E0000000000000000";
const DONE: &str = "01K8XAMP1E0000000000000001";

/// Good evidence with a record of an intention and of what was done.
fn recorded(store: &str) -> Shelf {
    let (_, mut shelf) = good();
    let first = record(INTENDED, None, store);
    let signed = first.sign(other_key()).unwrap();
    let done = record(
        DONE,
        Some(Intended {
            record_id: INTENDED.to_owned(),
            sha256: signed.sha256,
        }),
        store,
    );
    for record in [first, done] {
        let signed = record.sign(other_key()).unwrap();
        let stored = "2026-10-01T01:00:01Z".parse().unwrap();
        let path = record.path();
        shelf.lay(&format!("{path}.bundle"), &signed.signature, stored, 2193);
        shelf.lay(&path, &signed.bytes, stored, 2193);
    }
    shelf
}

fn with_the_operator() -> Keyring {
    trusting(&[key(), other_key()])
}

#[test]
fn a_record_of_an_operator_whom_the_auditor_knows_is_a_note() {
    let shelf = recorded("s3://bucket/");
    let said = judged_by(&shelf, &with_the_operator(), &by_default());
    said.passes_with("record/recorded");
    assert!(
        said.message("recorded")
            .contains("hold of 1 objects by an engineer (a dispute)")
    );
    assert_eq!(said.ledger.tally(Check::Record).unwrap().passed, 2);
}

#[test]
fn an_operator_whom_the_auditor_does_not_know_could_be_anybody() {
    let shelf = recorded("s3://bucket/");
    judged(&shelf).is(Verdict::CouldNotCheck, &[], &["record/unknown_key"]);
    let revoked = Keyring::of([
        PinnedKey::new(key().public().clone()),
        PinnedKey {
            revoked_at: Some("2026-10-01T01:00:00Z".parse().unwrap()),
            ..PinnedKey::new(other_key().public().clone())
        },
    ]);
    let said = judged_by(&shelf, &revoked, &by_default());
    said.is(Verdict::Failed, &["record/key_revoked"], &[]);
}

#[test]
fn a_record_that_was_edited_moved_or_left_without_its_intention_fails() {
    type Damage = (fn(&mut Shelf), &'static str);
    let damages: [Damage; 4] = [
        (
            |shelf| {
                for laid in shelf.of("0001.json") {
                    if laid.listed.path.starts_with("records") {
                        let at = laid.bytes.len() - 3;
                        laid.bytes[at] = b' ';
                    }
                }
            },
            "record/bytes_changed",
        ),
        (
            |shelf| {
                for laid in &mut shelf.laid {
                    laid.listed.path = laid.listed.path.replace(DONE, "01K8XAMP1E0000000000000007");
                }
            },
            "record/misplaced",
        ),
        (|shelf| shelf.remove(INTENDED), "record/record_broken"),
        (
            |shelf| {
                let path = format!("records/REC-{DONE}.json");
                shelf.laid.retain(|laid| laid.listed.path != path);
            },
            "record/signature_alone",
        ),
    ];
    for (damage, failed) in damages {
        let mut shelf = recorded("s3://bucket/");
        damage(&mut shelf);
        let said = judged_by(&shelf, &with_the_operator(), &by_default());
        said.is(Verdict::Failed, &[failed], &[]);
    }
    let said = judged_by(
        &recorded("s3://other/"),
        &with_the_operator(),
        &by_default(),
    );
    said.is(Verdict::Failed, &["record/record_of_another_store"], &[]);
}

#[test]
fn an_intention_that_nothing_came_of_is_named() {
    let mut shelf = recorded("s3://bucket/");
    shelf.remove(DONE);
    let said = judged_by(&shelf, &with_the_operator(), &by_default());
    said.passes_with("record/record_unfinished");
}
