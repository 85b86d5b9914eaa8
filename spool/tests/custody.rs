//! What custody names, it names once, and it leaves nothing out.

use std::path::Path;

use evidence::bundle::{BundleId, ChainPosition, Kind, SealedBundle};
use evidence::chain::Head;
use evidence::custody::{ClockEvent, Covers, Totals};
use evidence::digest::Sha256;
use evidence::handover::{Confirmation, Order, OrderedDestination, Proof};
use jiff::Timestamp;
use jiff::civil::date;
use spool::reader::Reader;
use spool::{
    Duplicate, Group, IncidentSource, NewBundle, Quarantined, Spool, Statement, StatementLimits,
};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn digest(name: &str) -> Sha256 {
    Sha256::of(name.as_bytes())
}

fn open(path: &Path) -> Spool {
    let mut spool = Spool::open(path, digest("machine"), now()).unwrap();
    spool
        .use_destination("main", "s3://evidence/", now())
        .unwrap();
    spool
}

fn incident(n: u64, controls: usize) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "incident": {"incident_id": format!("INC-{n}"), "event_type": "backup_failure",
            "severity": "high", "detected_at": "2026-11-21T09:00:00Z", "hostname": "srv-1",
            "hipaa_controls": vec!["164.308(a)(7)"; controls]},
        "execution": {"timestamp_start": "2026-11-21T09:00:01Z",
            "timestamp_end": "2026-11-21T09:00:02Z", "operator": "executor", "mttr_seconds": 1,
            "sla_target_seconds": 60, "sla_met": true, "resolution_type": "auto"},
        "findings": [{"code": "mttr_mismatch", "path": "", "message": ""},
            {"code": "mttr_mismatch", "path": "", "message": ""}],
        "storage_locations": [],
    }))
    .unwrap()
}

/// The next bundle of the chain, on its way.
fn next(spool: &Spool, kind: Kind, bytes: Vec<u8>) -> Group {
    let sequence = spool.head().sequence() + 1;
    let chain_id = spool.head().chain_id().to_owned();
    let id = BundleId::new(
        date(2026, 11, 21),
        spool.last_number(date(2026, 11, 21)).unwrap() + 1,
    );
    let source = (kind == Kind::Incident).then(|| IncidentSource {
        incident_id: format!("incident of {id}"),
        source_hmac: digest(&format!("drop {sequence}")),
        taken_token: format!("{sequence:016x}"),
    });
    let new = NewBundle {
        sealed: SealedBundle {
            bundle_id: id,
            position: ChainPosition {
                chain_id: chain_id.clone(),
                sequence,
                sha256: Sha256::of(&bytes),
            },
            generated_at: now(),
            bytes,
            signature: b"signature".to_vec(),
        },
        kind,
        path: format!("c/h/{chain_id}/2026/11/21/{id}.json"),
        artifacts: Vec::new(),
        source,
    };
    Group {
        order: Some(Order {
            order_version: 1,
            order_id: format!("{chain_id}-{sequence:012}"),
            client_id: "c".to_owned(),
            host_id: "h".to_owned(),
            chain_id,
            created_at: now(),
            destinations: vec![OrderedDestination {
                destination_id: "main".to_owned(),
                uri: "s3://evidence/".to_owned(),
                object_lock_mode: "COMPLIANCE".to_owned(),
                retention_days: 2192,
            }],
            objects: new.objects(),
        }),
        bundles: vec![new],
        ..Group::default()
    }
}

fn seal_incidents(spool: &mut Spool, count: u64) -> Vec<Group> {
    (0..count)
        .map(|_| {
            let bytes = incident(spool.head().sequence() + 1, 1);
            let group = next(spool, Kind::Incident, bytes);
            spool.commit(&group).unwrap();
            group
        })
        .collect()
}

/// Seals what the statement says, as custody.
fn seal_custody(spool: &mut Spool, statement: &Statement) -> Group {
    let bytes = format!("{{\"custody\": {}}}", spool.head().sequence()).into_bytes();
    let mut group = next(spool, Kind::Custody, bytes);
    group.named = Some(statement.named.clone());
    spool.commit(&group).unwrap();
    group
}

fn confirm(spool: &mut Spool, group: &Group) -> spool::Applied {
    let order = group.order.as_ref().unwrap();
    let said: Vec<Confirmation> = order
        .objects
        .iter()
        .map(|object| Confirmation {
            order_id: order.order_id.clone(),
            bundle_id: object.bundle_id.clone(),
            path: object.path.clone(),
            sha256: object.sha256,
            size_bytes: object.size_bytes,
            destination_id: "main".to_owned(),
            uri: format!("s3://evidence/{}", object.path),
            version_id: "v1".to_owned(),
            etag: None,
            proof: Proof::ServerSha256,
            object_lock_mode: "COMPLIANCE".to_owned(),
            retain_until: "2034-01-01T00:00:00Z".parse().unwrap(),
            server_date: now(),
            confirmed_at: now(),
        })
        .collect();
    spool.confirm(&said, now()).unwrap()
}

fn all(spool: &Spool) -> Statement {
    spool.statement(&StatementLimits::default()).unwrap()
}

fn covers(from_sequence: u64, to_sequence: u64) -> Option<Covers> {
    Some(Covers {
        from_sequence,
        to_sequence,
    })
}

#[test]
fn custody_covers_each_place_once_the_custody_bundle_before_it_included() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&dir.path().join("spool.db"));
    let nothing = all(&spool);
    assert_eq!((nothing.covers, nothing.previous.clone()), (None, None));
    seal_custody(&mut spool, &nothing);
    seal_incidents(&mut spool, 2);
    let second = all(&spool);
    assert_eq!(second.covers, covers(1, 3));
    assert_eq!(second.previous.as_ref().unwrap().sequence, 1);
    let kinds: Vec<Kind> = second.sealed.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Custody, Kind::Incident, Kind::Incident]);
    assert_eq!(second.sealed[0].incident, None);
    let named = second.sealed[2].incident.as_ref().unwrap();
    assert_eq!(
        (named.incident_id.as_str(), named.findings.as_slice()),
        ("INC-3", ["mttr_mismatch".to_owned()].as_slice())
    );
    seal_custody(&mut spool, &second);
    let third = all(&spool);
    assert_eq!(third.covers, covers(4, 4), "the custody bundle alone");
    assert!(!third.more);
}

#[test]
fn what_is_too_much_for_one_is_said_by_several_that_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&dir.path().join("spool.db"));
    let sealed = seal_incidents(&mut spool, 5);
    for group in &sealed {
        confirm(&mut spool, group);
    }
    let limits = StatementLimits {
        sealed: 2,
        confirmed: 3,
        others: 1,
    };
    let mut ranges = Vec::new();
    let mut named = Vec::new();
    loop {
        let statement = spool.statement(&limits).unwrap();
        seal_custody(&mut spool, &statement);
        ranges.push(statement.covers.unwrap());
        named.extend(statement.confirmed.into_iter().map(|c| c.object));
        if !statement.more {
            break;
        }
    }
    let expected = [covers(1, 2), covers(3, 4), covers(5, 6), covers(7, 8)];
    assert_eq!(
        ranges.into_iter().map(Some).collect::<Vec<_>>(),
        expected,
        "each covers its part"
    );
    let once = named
        .iter()
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    assert_eq!(
        (named.len(), once),
        (10, 10),
        "two objects of each incident, each once"
    );
}

#[test]
fn what_custody_named_is_not_named_again_and_its_own_confirmations_come_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut spool = open(&path);
    let sealed = seal_incidents(&mut spool, 1);
    assert_eq!(confirm(&mut spool, &sealed[0]).incidents, 1);
    assert_eq!(confirm(&mut spool, &sealed[0]).incidents, 0, "known");
    let more = Group {
        quarantined: vec![Quarantined {
            taken_token: "q".to_owned(),
            name: "a patient's name.json".to_owned(),
            reason: "not_json".to_owned(),
            source_hmac: Some(digest("raw")),
            at: now(),
        }],
        duplicates: ["d1", "d2"]
            .map(|token| Duplicate {
                taken_token: token.to_owned(),
                bundle_rowid: 1,
                received_at: now(),
            })
            .into(),
        ..Group::default()
    };
    spool.commit(&more).unwrap();
    let event = ClockEvent {
        at: now(),
        jumped_ms: -7000,
    };
    spool.clock_jumped(&event).unwrap();
    let first = all(&spool);
    assert_eq!(first.confirmed.len(), 2);
    assert_eq!(first.confirmed[0].sequence, 1);
    assert_eq!(first.quarantined[0].hmac_sha256, Some(digest("raw")));
    assert_eq!(first.duplicates.len(), 1);
    assert_eq!(first.duplicates[0].count, 2);
    assert_eq!(first.clock_events, [event]);
    assert_eq!(spool.unattested_incidents(10).unwrap(), 1);
    let custody = seal_custody(&mut spool, &first);
    assert_eq!(spool.unattested_incidents(10).unwrap(), 0);
    assert_eq!(confirm(&mut spool, &custody).incidents, 0);
    assert_eq!(
        spool.unattested_incidents(10).unwrap(),
        0,
        "it triggers no other"
    );
    let second = all(&spool);
    assert_eq!(second.confirmed.len(), 2, "custody's own objects");
    assert!(second.confirmed.iter().all(|entry| entry.sequence == 2));
    assert!(second.quarantined.is_empty() && second.duplicates.is_empty());
    assert!(second.clock_events.is_empty());
    let state = spool.custody_state().unwrap();
    assert_eq!(
        (state.unattested_confirmations, state.uncovered_bundles),
        (2, 1)
    );
    let db = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "UPDATE confirmation SET attested_by = NULL WHERE attested_by IS NOT NULL",
        "UPDATE custody SET to_sequence = 9",
        "DELETE FROM custody",
    ] {
        let refused = db.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("never"), "{sql}: {refused}");
    }
}

#[test]
fn custody_that_is_not_committed_has_named_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&dir.path().join("spool.db"));
    let sealed = seal_incidents(&mut spool, 2);
    confirm(&mut spool, &sealed[0]);
    let before = all(&spool);
    let claims = |covers: Option<Covers>| {
        let mut named = before.named.clone();
        named.covers = covers;
        named
    };
    for wrong in [covers(2, 2), covers(1, 3), None] {
        let mut group = next(&spool, Kind::Custody, b"{}".to_vec());
        group.named = Some(claims(wrong));
        assert!(spool.commit(&group).is_err(), "{wrong:?}");
        assert_eq!(all(&spool), before, "{wrong:?}");
    }
    let mut group = next(&spool, Kind::Custody, b"{}".to_vec());
    group.named = Some(claims(covers(1, 2)));
    group.bundles[0].sealed.position.sequence = 9;
    assert!(spool.commit(&group).is_err());
    assert_eq!(all(&spool), before);
}

#[test]
fn another_chain_is_covered_from_its_own_beginning_and_names_custody_of_the_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(&dir.path().join("spool.db"));
    seal_incidents(&mut spool, 1);
    let first = all(&spool);
    seal_custody(&mut spool, &first);
    let Head::At(end) = spool.head().clone() else {
        panic!("it has a head")
    };
    spool
        .restart_chain(spool::ChainStart::KeyChanged, digest("machine"), now())
        .unwrap();
    let begins = all(&spool);
    assert_eq!((begins.covers, begins.previous.clone()), (None, Some(end)));
    seal_incidents(&mut spool, 1);
    assert_eq!(all(&spool).covers, covers(1, 1));
}

#[test]
fn totals_are_those_of_the_tables_and_an_old_spool_is_tallied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(include_str!("fixtures/spool-v4.sql"))
        .unwrap();
    drop(db);
    let mut spool = Spool::open(&path, digest("one"), now()).unwrap();
    let old = spool.statement(&StatementLimits::default());
    assert!(old.is_err(), "the frozen bytes are of no incident");
    let mut group = next(&spool, Kind::Rotation, b"{}".to_vec());
    spool.commit(&group).unwrap();
    group = next(&spool, Kind::Probe, b"{}".to_vec());
    spool.commit(&group).unwrap();
    let totals = spool.totals().unwrap();
    let expected = Totals {
        bundles: 3,
        incidents: 1,
        custody: 0,
        probes: 1,
        rotations: 1,
        confirmed_objects: 1,
        unconfirmed_objects: 4,
        quarantined: 1,
        duplicates: 1,
    };
    assert_eq!(totals, expected);
    let db = rusqlite::Connection::open(&path).unwrap();
    let other_kind = db.execute(
        "INSERT INTO bundle SELECT 99, chain_rowid, 99, 'EB-20261121-0099', 'gossip', generated_at,
           sha256, path, bytes, signature, object_count, order_rowid, NULL FROM bundle LIMIT 1",
        [],
    );
    assert!(other_kind.unwrap_err().to_string().contains("CHECK"));
    let ok: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(ok, "ok");
}

#[test]
fn what_was_named_long_ago_is_not_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    drop(open(&path));
    let db = rusqlite::Connection::open(&path).unwrap();
    for (table, index) in [
        ("confirmation", "confirmation_unattested"),
        ("quarantined", "quarantined_unattested"),
        ("duplicate", "duplicate_unattested"),
        ("clock_event", "clock_event_unattested"),
    ] {
        let plan: String = db
            .query_row(
                &format!("EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE attested_by IS NULL"),
                [],
                |row| row.get("detail"),
            )
            .unwrap();
        assert!(plan.contains(index), "{table}: {plan}");
    }
}

#[test]
fn an_incident_that_cites_without_end_does_not_make_custody_too_large_to_seal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.db");
    let mut spool = open(&path);
    let group = next(&spool, Kind::Incident, incident(1, 100_000));
    spool.commit(&group).unwrap();
    let statement = all(&spool);
    let entry = statement.sealed[0].incident.as_ref().unwrap();
    let written = serde_json::to_vec_pretty(entry).unwrap().len();
    assert!(written < 20_000, "{written}");
    assert!(entry.findings.contains(&"controls_cut".to_owned()));
    drop(spool);
    assert!(
        Reader::open(&path)
            .unwrap()
            .last_custody()
            .unwrap()
            .is_none()
    );
}
