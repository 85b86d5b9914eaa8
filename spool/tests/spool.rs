//! What spool.db never allows, whoever asks.

use std::path::Path;

use evidence::bundle::{BundleId, ChainPosition, Kind, SealedBundle};
use evidence::chain::Head;
use evidence::digest::Sha256;
use evidence::handover::{Notice, Order, OrderedDestination, OrderedObject, Role};
use jiff::Timestamp;
use jiff::civil::date;
use spool::reader::Reader;
use spool::{
    AppliedRequest, Artifact, ChainStart, DestinationUse, Group, IncidentSource, NewBundle, Spool,
    SpoolError,
};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn machine(name: &str) -> Sha256 {
    Sha256::of(name.as_bytes())
}

fn open(path: &Path) -> Spool {
    let mut spool = Spool::open(path, machine("one"), now()).unwrap();
    spool
        .use_destination("main", "s3://evidence/", now())
        .unwrap();
    spool
}

fn group(chain_id: &str, sequence: u64) -> Group {
    let bytes = format!(
        "{{\"n\": {sequence}, \"storage_locations\": [{{\"destination_id\": \"main\", \"uri\": \"u\", \
         \"object_lock_mode\": \"COMPLIANCE\", \"retention_days\": 1, \"state\": \"planned\"}}]}}"
    )
    .into_bytes();
    let id = BundleId::new(date(2026, 11, 21), sequence);
    let path = format!("c/h/{chain_id}/2026/11/21/{id}.json");
    let object = |role, path: String, bytes: &[u8]| OrderedObject {
        bundle_id: id.to_string(),
        sequence,
        role,
        path,
        size_bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    };
    Group {
        order: Some(Order {
            order_version: 1,
            order_id: format!("{chain_id}-{sequence:012}"),
            client_id: "c".to_owned(),
            host_id: "h".to_owned(),
            chain_id: chain_id.to_owned(),
            created_at: now(),
            destinations: vec![OrderedDestination {
                destination_id: "main".to_owned(),
                uri: "s3://evidence/".to_owned(),
                object_lock_mode: "COMPLIANCE".to_owned(),
                retention_days: 2192,
            }],
            objects: vec![
                object(Role::Signature, format!("{path}.bundle"), b"signature"),
                object(Role::Bundle, path.clone(), &bytes),
            ],
        }),
        bundles: vec![NewBundle {
            sealed: SealedBundle {
                bundle_id: id,
                position: ChainPosition {
                    chain_id: chain_id.to_owned(),
                    sequence,
                    sha256: Sha256::of(&bytes),
                },
                generated_at: now(),
                bytes,
                signature: b"signature".to_vec(),
            },
            kind: Kind::Incident,
            path,
            artifacts: Vec::new(),
            source: Some(IncidentSource {
                incident_id: format!("INC-{sequence}"),
                source_hmac: machine(&format!("drop {sequence}")),
                taken_token: format!("{sequence:016x}"),
            }),
        }],
        ..Group::default()
    }
}

fn committed(path: &Path) -> Spool {
    let mut spool = open(path);
    let chain_id = spool.head().chain_id().to_owned();
    spool.commit(&group(&chain_id, 1)).unwrap();
    spool
}

#[test]
fn what_was_committed_is_there_after_opening_again_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let spool = committed(&path);
    assert_eq!(spool.chain_started(), Some(ChainStart::First));
    let head = spool.head().clone();
    drop(spool);
    let again = open(&path);
    assert_eq!(again.head(), &head);
    assert_eq!(again.chain_started(), None);
    assert_eq!(again.last_number(date(2026, 11, 21)).unwrap(), 1);
    assert_eq!(again.seen("INC-1").unwrap().len(), 1);
    assert_eq!(
        Reader::open(&path)
            .unwrap()
            .counts()
            .unwrap()
            .sealed_incidents,
        1
    );
}

#[test]
fn a_group_that_does_not_attach_to_the_head_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut spool = committed(&path);
    let chain_id = spool.head().chain_id().to_owned();
    for wrong in [
        group(&chain_id, 1),
        group(&chain_id, 3),
        group(&"0".repeat(26), 2),
    ] {
        assert!(spool.commit(&wrong).is_err());
    }
    assert_eq!(spool.head().sequence(), 1);
    assert_eq!(
        Reader::open(&path)
            .unwrap()
            .counts()
            .unwrap()
            .sealed_bundles,
        1
    );
    spool.commit(&group(&chain_id, 2)).unwrap();
}

#[test]
fn a_group_whose_second_bundle_fails_is_not_there_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut spool = committed(&path);
    let chain_id = spool.head().chain_id().to_owned();
    let mut both = group(&chain_id, 2);
    both.bundles.extend(group(&chain_id, 4).bundles);
    assert!(spool.commit(&both).is_err());
    assert_eq!(spool.last_bundle_rowid().unwrap(), 1);
    assert_eq!(spool.last_number(date(2026, 11, 21)).unwrap(), 1);
}

#[test]
fn a_sealed_bundle_cannot_be_changed_or_removed_by_sql_either() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    drop(committed(&path));
    let db = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "DELETE FROM bundle",
        "UPDATE bundle SET bytes = x'00'",
        "UPDATE bundle SET sequence = 9",
        "UPDATE destination SET uri = 's3://other/'",
    ] {
        let error = db.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("never"), "{sql}: {error}");
    }
}

#[test]
fn rows_that_cannot_be_true_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    drop(committed(&path));
    let db = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "UPDATE work_order SET outstanding = 0",
        "UPDATE work_order SET completed_at = 'now'",
        "UPDATE work_order SET body = NULL",
        "INSERT INTO day_number VALUES ('2026-11-21', 0)",
        "INSERT INTO duplicate VALUES ('t', 1, NULL)",
        "UPDATE chain SET started_because = 'whim'",
    ] {
        assert!(db.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn a_spool_on_another_machine_starts_a_chain_that_names_the_old_head() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let old = committed(&path).head().clone();
    let moved = Spool::open(&path, machine("two"), now()).unwrap();
    assert_eq!(moved.chain_started(), Some(ChainStart::MachineChanged));
    let Head::At(position) = old else {
        panic!("the old chain has a bundle")
    };
    assert_ne!(moved.head().chain_id(), position.chain_id);
    let link = moved.head().next();
    assert_eq!((link.sequence, link.previous_sha256), (1, None));
    assert_eq!(link.predecessor, Some(position));
}

#[test]
fn a_database_of_a_newer_version_is_refused_in_clear_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    drop(committed(&path));
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let Err(error) = Spool::open(&path, machine("one"), now()) else {
        panic!("it opened")
    };
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(matches!(
        Reader::open(&path),
        Err(SpoolError::Newer { found: 99, .. })
    ));
}

#[test]
fn a_destination_never_changes_its_meaning() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&dir.path().join("spool.db"));
    let error = spool
        .use_destination("main", "s3://other/", now())
        .unwrap_err();
    assert!(matches!(error, SpoolError::DestinationChanged { .. }));
}

/// The database that an earlier version of the schema left, as it would be on disk.
fn frozen(path: &Path, dump: &str) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(dump).unwrap();
}

#[test]
fn a_spool_of_every_earlier_version_opens_with_everything_it_held_and_goes_on() {
    for (version, dump) in [
        (1, include_str!("fixtures/spool-v1.sql")),
        (2, include_str!("fixtures/spool-v2.sql")),
        (3, include_str!("fixtures/spool-v3.sql")),
        (4, include_str!("fixtures/spool-v4.sql")),
        (5, include_str!("fixtures/spool-v5.sql")),
        (6, include_str!("fixtures/spool-v6.sql")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.db");
        frozen(&path, dump);
        let older = Reader::open(&path).err().unwrap();
        assert!(matches!(older, SpoolError::Older { found, .. } if found == version));
        let mut spool = open(&path);
        assert_eq!(spool.chain_started(), None);
        assert_eq!(spool.head().sequence(), 1);
        assert_eq!(spool.seen("INC-1").unwrap().len(), 1);
        // Artifacts came with version 2, requests and notices with version 3.
        assert_eq!(spool.artifacts(1).unwrap().len(), usize::from(version >= 2));
        assert_eq!(spool.answer("R").unwrap().is_some(), version >= 3);
        assert_eq!(spool.notices().unwrap().len(), usize::from(version >= 3));
        // Only the bundle of the newest is an incident's document in full.
        let hash = format!("sha256:{}", "a".repeat(64));
        let runbook = spool.runbook_seen("RB-1", "1").unwrap();
        let learnt = (version >= 6).then(|| ("EB-20261121-0001".to_owned(), hash));
        assert_eq!(runbook.map(|seen| (seen.bundle_id, seen.hash)), learnt);
        let chain = spool.head().chain_id().to_owned();
        spool.commit(&group(&chain, 2)).unwrap();
        drop(spool);
        let findings = Reader::open(&path).unwrap().findings().unwrap();
        let tallied = (version >= 6).then(|| ("zero_hash".to_owned(), 1));
        assert_eq!(findings.into_iter().next(), tallied);
        assert_eq!(open(&path).head().sequence(), 2);
        assert_eq!(
            Reader::open(&path)
                .unwrap()
                .counts()
                .unwrap()
                .sealed_bundles,
            2
        );
    }
}

#[test]
fn artifacts_are_committed_with_their_bundle_and_count_as_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut spool = open(&path);
    let mut group = group(spool.head().chain_id(), 1);
    let artifact = |name: &str, bytes: &[u8]| Artifact {
        path: format!("c/h/x/{name}"),
        size_bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    };
    let artifacts = vec![artifact("a", b"one"), artifact("b", b"")];
    group.bundles[0].artifacts = artifacts.clone();
    spool.commit(&group).unwrap();
    assert_eq!(spool.artifacts(1).unwrap(), artifacts);
    assert_eq!(spool.bundle(1).unwrap().unwrap().object_count, 4);
    drop(spool);
    let db = rusqlite::Connection::open(&path).unwrap();
    for sql in ["DELETE FROM artifact", "UPDATE artifact SET size_bytes = 9"] {
        assert!(db.execute(sql, []).is_err(), "{sql}");
    }
}

fn confirmations(group: &Group) -> Vec<evidence::handover::Confirmation> {
    let order = group.order.as_ref().unwrap();
    let mut said = Vec::new();
    for destination in &order.destinations {
        for object in &order.objects {
            said.push(evidence::handover::Confirmation {
                order_id: order.order_id.clone(),
                bundle_id: object.bundle_id.clone(),
                path: object.path.clone(),
                sha256: object.sha256,
                size_bytes: object.size_bytes,
                destination_id: destination.destination_id.clone(),
                uri: format!("{}{}", destination.uri, object.path),
                version_id: "v".to_owned(),
                etag: None,
                proof: evidence::handover::Proof::ServerSha256,
                object_lock_mode: "COMPLIANCE".to_owned(),
                retain_until: "2034-01-01T00:00:00Z".parse().unwrap(),
                server_date: now(),
                confirmed_at: now(),
            });
        }
    }
    said
}

#[test]
fn what_is_retired_is_waited_for_no_more_and_a_late_confirmation_completes_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut spool = open(&path);
    spool
        .use_destination("offsite", "s3://offsite/", now())
        .unwrap();
    let mut first = group(spool.head().chain_id(), 1);
    let offsite = OrderedDestination {
        destination_id: "offsite".to_owned(),
        uri: "s3://offsite/".to_owned(),
        object_lock_mode: "COMPLIANCE".to_owned(),
        retention_days: 2192,
    };
    first.order.as_mut().unwrap().destinations.push(offsite);
    spool.commit(&first).unwrap();
    let said = confirmations(&first);
    // Main has the signature, offsite has the bundle; two are missing.
    spool
        .confirm(&[said[0].clone(), said[3].clone()], now())
        .unwrap();
    let notice = Notice {
        notice_version: 1,
        notice_id: "retired-offsite".to_owned(),
        client_id: "c".to_owned(),
        host_id: "h".to_owned(),
        created_at: now(),
        destination_id: "offsite".to_owned(),
        uri: "s3://offsite/".to_owned(),
        bundle: None,
        reason: "moved".to_owned(),
    };
    let applied = |_: &spool::Ended| AppliedRequest {
        request_id: "01M7Y00000000000000000000R".to_owned(),
        answer: b"done".to_vec(),
    };
    let ended = spool.retire(&notice, "uid 0", applied, now()).unwrap();
    assert_eq!((ended.objects, ended.completed.len()), (1, 0));
    assert_eq!(
        spool.answer("01M7Y00000000000000000000R").unwrap().unwrap(),
        b"done"
    );
    assert_eq!(spool.notices().unwrap().len(), 1);
    assert!(
        matches!(
            spool.retire(&notice, "uid 0", applied, now()),
            Err(SpoolError::NoSuchDestination(_))
        ),
        "once"
    );
    // What was on its way there is recorded, and counts for nothing.
    let late = spool.confirm(&[said[2].clone()], now()).unwrap();
    assert_eq!((late.accepted, late.completed.len()), (1, 0));
    let counts = |path: &Path| Reader::open(path).unwrap().counts().unwrap();
    assert_eq!(counts(&path).confirmed_bundles, 0);
    let last = spool.confirm(&[said[1].clone()], now()).unwrap();
    assert_eq!(last.completed.len(), 1);
    assert_eq!(counts(&path).confirmed_bundles, 1);
    assert_eq!(
        spool
            .use_destination("offsite", "s3://offsite/", now())
            .unwrap(),
        DestinationUse::Retired("moved".to_owned())
    );
    drop(spool);
    let db = rusqlite::Connection::open(&path).unwrap();
    let back = db.execute(
        "UPDATE destination SET retired_at = NULL, retired_reason = NULL, retired_by = NULL",
        [],
    );
    assert!(back.is_err(), "a retired destination never comes back");
}
