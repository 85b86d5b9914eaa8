//! The schema's promises, migrations, and the bookkeeping that triggers keep.

use evidence::digest::Sha256;
use evidence::handover::{Order, OrderedDestination, OrderedObject, Proof, Role};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

/// An order for bundles with one artifact each, to two destinations.
fn order(id: &str, bundles: u64) -> Order {
    let object = |sequence: u64, role: Role| OrderedObject {
        bundle_id: format!("EB-20261121-{sequence:04}"),
        sequence,
        role,
        path: format!("{id}/{sequence}/{}", role.as_str()),
        size_bytes: 10,
        sha256: Sha256::of(role.as_str().as_bytes()),
    };
    let destination = |id: &str| OrderedDestination {
        destination_id: id.to_owned(),
        uri: format!("s3://{id}/"),
        object_lock_mode: "COMPLIANCE".to_owned(),
        retention_days: 10,
    };
    Order {
        order_version: 1,
        order_id: id.to_owned(),
        client_id: "c".to_owned(),
        host_id: "h".to_owned(),
        chain_id: "k".to_owned(),
        created_at: at(0),
        destinations: vec![destination("a"), destination("b")],
        objects: (1..=bundles)
            .flat_map(|n| {
                [Role::Artifact, Role::Signature, Role::Bundle].map(|role| object(n, role))
            })
            .collect(),
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    ledger: Ledger,
}

fn fixture(bundles: u64) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), at(-100)).unwrap();
    ledger.first_scan_ended(at(-99)).unwrap();
    let outcome = ledger
        .import(&order("o", bundles), Sha256::of(b"o"), at(0))
        .unwrap();
    assert_eq!(outcome, Imported::New);
    Fixture { folder, ledger }
}

fn note() -> ErrorNote {
    ErrorNote {
        class: "transient",
        code: "SlowDown".to_owned(),
        message: "slow".to_owned(),
    }
}

fn change(event: Event) -> Change {
    match event {
        Event::PutSucceeded => Change::PutSucceeded {
            version_id: "v".to_owned(),
            etag: None,
            sha256: None,
        },
        Event::Adopted => Change::Adopted {
            version_id: "v".to_owned(),
            etag: None,
            sha256: None,
            retain_until: at(100),
            overlaid: false,
        },
        Event::LockProven => Change::LockProven {
            proof: Proof::ServerSha256,
            etag: None,
            locked_until: at(200),
            server_date: at(1),
        },
        Event::Deferred => Change::Deferred {
            error: note(),
            next_attempt_at: at(5),
        },
        Event::ObjectMissing => Change::ObjectMissing {
            error: note(),
            next_attempt_at: at(5),
        },
        Event::Blocked => Change::Blocked {
            reason: BlockedReason::Conflict,
            error: note(),
        },
        Event::Released => Change::Released,
        Event::Retired => Change::Retired,
    }
}

fn parcels(ledger: &Ledger) -> Vec<Parcel> {
    let mut ids = ledger.due(1, at(1000), 1000).unwrap();
    ids.sort_unstable();
    ids.into_iter()
        .map(|id| ledger.parcel(id).unwrap())
        .collect()
}

/// Counts what the triggers keep, from the rows themselves.
fn recount(ledger: &Ledger) {
    let wrong: i64 = ledger
        .db
        .query_row(
            "SELECT count(*) FROM tallies t WHERE n <> (SELECT count(*) FROM deliveries d
               JOIN parcels p USING (parcel_rowid)
               WHERE p.destination_rowid = t.destination_rowid AND d.state = t.state)",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(wrong, 0, "tallies");
    let wrong: i64 = ledger
        .db
        .query_row(
            "SELECT count(*) FROM orders o WHERE open_deliveries <> (SELECT count(*) FROM deliveries d
               JOIN parcels p USING (parcel_rowid) WHERE p.order_rowid = o.order_rowid
               AND d.state NOT IN ('confirmed', 'retired'))",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(wrong, 0, "open deliveries");
}

#[test]
fn an_order_becomes_parcels_for_each_bundle_and_destination_in_the_order_of_upload() {
    let Fixture { ledger, .. } = fixture(3);
    assert_eq!(ledger.destinations().unwrap().len(), 2);
    let parcels = parcels(&ledger);
    assert_eq!(parcels.len(), 3);
    for parcel in &parcels {
        let roles: Vec<Role> = parcel.deliveries.iter().map(|d| d.role).collect();
        assert_eq!(roles, [Role::Artifact, Role::Signature, Role::Bundle]);
        assert!(
            parcel
                .deliveries
                .iter()
                .all(|d| !d.look_first && d.state == State::Pending)
        );
    }
    recount(&ledger);
}

#[test]
fn an_order_is_imported_once_and_never_with_other_bytes() {
    let Fixture { ledger, .. } = fixture(1);
    let again = |bytes: &[u8]| {
        ledger
            .import(&order("o", 1), Sha256::of(bytes), at(9))
            .unwrap()
    };
    assert_eq!(again(b"o"), Imported::Known);
    assert_eq!(again(b"other"), Imported::Differs);
    assert!(ledger.is_in_work("o").unwrap() && !ledger.is_in_work("p").unwrap());
    recount(&ledger);
}

#[test]
fn an_order_older_than_the_database_is_looked_at_first() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), at(1)).unwrap();
    ledger
        .import(&order("o", 1), Sha256::of(b"o"), at(2))
        .unwrap();
    assert!(parcels(&ledger)[0].deliveries.iter().all(|d| d.look_first));
}

#[test]
fn random_histories_keep_rows_tallies_and_due_times_consistent_with_the_model() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let Fixture { ledger, .. } = fixture(4);
    let ids: Vec<i64> = parcels(&ledger)
        .iter()
        .flat_map(|p| p.deliveries.iter().map(|d| d.delivery_rowid))
        .collect();
    let mut model = vec![State::Pending; ids.len()];
    let mut events = 0;
    for _ in 0..600 {
        let index = rng.usize(..ids.len());
        let event = Event::ALL[rng.usize(..Event::ALL.len())];
        if model[index] == State::Pending {
            ledger.begin(&[(ids[index], at(100))]).unwrap();
        }
        let result = ledger.transact(|l| l.apply(ids[index], &change(event), at(3)));
        match next(model[index], event) {
            Some(to) => {
                assert_eq!(result.unwrap(), to, "seed {seed}");
                model[index] = to;
                events += 1;
            }
            None => assert!(
                matches!(result, Err(DeliveryError::Illegal { .. })),
                "seed {seed}: {event:?} in {:?}",
                model[index]
            ),
        }
    }
    recount(&ledger);
    let written: i64 = ledger
        .db
        .query_row("SELECT count(*) FROM events", [], |r| r.get(0))
        .unwrap();
    assert_eq!(
        written, events,
        "seed {seed}: one event for each transition"
    );
    // Due is exactly what can be worked on: three deliveries to a parcel, the marker last.
    for (number, states) in model.chunks(3).enumerate() {
        let others_wait = states[..2]
            .iter()
            .any(|s| matches!(s, State::Pending | State::Blocked));
        let can = states[..2]
            .iter()
            .any(|s| matches!(s, State::Pending | State::Uploaded))
            || states[2] == State::Uploaded
            || (states[2] == State::Pending && !others_wait);
        let due = ledger.due(1, at(1000), 1000).unwrap();
        let parcel: i64 = ledger
            .db
            .query_row(
                "SELECT parcel_rowid FROM deliveries WHERE delivery_rowid = ?1",
                [ids[number * 3]],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(due.contains(&parcel), can, "seed {seed}: {states:?}");
    }
}

#[test]
fn illegal_rows_are_refused_by_the_database_whoever_writes_them() {
    let Fixture { ledger, .. } = fixture(1);
    let parcel = &parcels(&ledger)[0];
    let [confirmed, other] = [0, 1].map(|n| parcel.deliveries[n].delivery_rowid);
    ledger.begin(&[(confirmed, at(100))]).unwrap();
    for event in [Event::PutSucceeded, Event::LockProven] {
        ledger.apply(confirmed, &change(event), at(3)).unwrap();
    }
    let refused = [
        format!("UPDATE deliveries SET state = 'pending' WHERE delivery_rowid = {confirmed}"),
        format!("UPDATE deliveries SET version_id = 'w' WHERE delivery_rowid = {confirmed}"),
        format!("UPDATE deliveries SET locked_until_secs = 1 WHERE delivery_rowid = {confirmed}"),
        format!("UPDATE deliveries SET proof = NULL WHERE delivery_rowid = {confirmed}"),
        format!("DELETE FROM deliveries WHERE delivery_rowid = {confirmed}"),
        format!("UPDATE deliveries SET state = 'confirmed' WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET state = 'uploaded' WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET state = 'blocked' WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET state = 'uploading' WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET version_id = 'v' WHERE delivery_rowid = {other}"),
        format!(
            "UPDATE deliveries SET state = 'confirmed', version_id = 'v', look_first = 1,
               retain_until_secs = 100, locked_until_secs = 99, proof = 'read_back',
               server_date_ms = 1, confirmed_at_ms = 1 WHERE delivery_rowid = {other}"
        ),
        format!("UPDATE deliveries SET retention_days = 0 WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET sent_bytes = 1 WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET part_bytes = 1 WHERE delivery_rowid = {other}"),
        format!("UPDATE deliveries SET upload_id = 'u' WHERE delivery_rowid = {other}"),
        format!(
            "UPDATE deliveries SET upload_id = 'u', part_bytes = 1 WHERE delivery_rowid = {other}"
        ),
        format!(
            "UPDATE deliveries SET upload_id = 'u', part_bytes = 1 WHERE delivery_rowid = {confirmed}"
        ),
        "UPDATE events SET detail = 'x'".to_owned(),
        "DELETE FROM events".to_owned(),
        "UPDATE orders SET finished_at_ms = 1".to_owned(),
        "UPDATE destinations SET uri = 's3://elsewhere/'".to_owned(),
        "UPDATE destinations SET state = 'parked'".to_owned(),
    ];
    for sql in refused {
        let error = ledger.db.execute_batch(&sql).expect_err(&sql);
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::ConstraintViolation),
            "{sql}"
        );
    }
    recount(&ledger);
}

#[test]
fn a_lock_shorter_than_asked_cannot_be_confirmed_even_by_a_faulty_caller() {
    let Fixture { ledger, .. } = fixture(1);
    let delivery = parcels(&ledger)[0].deliveries[0].delivery_rowid;
    ledger.begin(&[(delivery, at(500))]).unwrap();
    ledger
        .apply(delivery, &change(Event::PutSucceeded), at(3))
        .unwrap();
    let result = ledger.transact(|l| l.apply(delivery, &change(Event::LockProven), at(4)));
    assert!(matches!(result, Err(DeliveryError::Sql(_))));
    assert_eq!(parcels(&ledger)[0].deliveries[0].state, State::Uploaded);
}

#[test]
fn the_commit_marker_is_due_only_when_the_others_are_uploaded() {
    let Fixture { ledger, .. } = fixture(1);
    let parcel = &parcels(&ledger)[0];
    let [artifact, signature, _] = [0, 1, 2].map(|n| parcel.deliveries[n].delivery_rowid);
    let later = at(50);
    for delivery in [artifact, signature] {
        let deferred = Change::Deferred {
            error: note(),
            next_attempt_at: later,
        };
        ledger.apply(delivery, &deferred, at(3)).unwrap();
    }
    assert!(ledger.due(1, at(10), 10).unwrap().is_empty());
    assert_eq!(ledger.next_due(1, at(10)).unwrap(), Some(later));
    ledger.pull_forward(1, at(10), at(10)).unwrap();
    assert_eq!(ledger.due(1, at(10), 10).unwrap().len(), 1);
    for delivery in [artifact, signature] {
        ledger
            .apply(delivery, &change(Event::Blocked), at(3))
            .unwrap();
    }
    assert!(
        ledger.due(1, at(1000), 10).unwrap().is_empty(),
        "waits for the blocked ones"
    );
}

#[test]
fn finished_orders_are_purged_and_unfinished_ones_are_not() {
    let Fixture { folder, ledger } = fixture(2);
    let everything: Vec<i64> = [1, 2]
        .into_iter()
        .flat_map(|d| ledger.due(d, at(1000), 100).unwrap())
        .flat_map(|id| ledger.parcel(id).unwrap().deliveries)
        .map(|d| d.delivery_rowid)
        .collect();
    assert_eq!(everything.len(), 12);
    for delivery in &everything {
        assert!(ledger.complete_orders(0, 10).unwrap().is_empty());
        ledger.begin(&[(*delivery, at(100))]).unwrap();
        for event in [Event::PutSucceeded, Event::LockProven] {
            ledger.apply(*delivery, &change(event), at(3)).unwrap();
        }
    }
    assert_eq!(ledger.purge(at(1000), 10).unwrap(), 0, "not finished yet");
    let waiting = ledger.unreported(5).unwrap();
    assert_eq!(waiting.len(), 5);
    let ids: Vec<i64> = waiting.iter().map(|(id, _)| *id).collect();
    ledger.reported(&ids, "r1", at(5)).unwrap();
    assert_eq!(ledger.unreported(100).unwrap().len(), 7);
    assert_eq!(ledger.receipts_of(1, at(5)).unwrap(), ["r1"]);
    assert!(ledger.receipts_of(1, at(4)).unwrap().is_empty());
    assert_eq!(ledger.reissue(1).unwrap(), 5);

    ledger.finish(1, at(10)).unwrap();
    assert_eq!(ledger.purge(at(9), 10).unwrap(), 0);
    assert_eq!(ledger.purge(at(10), 10).unwrap(), 1);
    let summary = Reader::open(folder.path())
        .unwrap()
        .unwrap()
        .summary(at(11))
        .unwrap();
    assert_eq!(
        summary.destinations[0].counts.confirmed, 6,
        "the counts stay"
    );
    assert_eq!(summary.open_orders, 0);
}

#[test]
fn a_newer_schema_is_refused_by_writer_and_reader_and_left_as_it_is() {
    let Fixture { folder, ledger } = fixture(1);
    ledger
        .db
        .pragma_update(None, "user_version", SCHEMA_VERSION + 1)
        .unwrap();
    drop(ledger);
    let newer = |e: DeliveryError| matches!(e, DeliveryError::Newer { found, .. } if found == SCHEMA_VERSION + 1);
    assert!(newer(
        Ledger::open_or_rebuild(folder.path(), at(0)).err().unwrap()
    ));
    assert!(newer(Reader::open(folder.path()).err().unwrap()));
    let db = Connection::open(folder.path().join(DATABASE_NAME)).unwrap();
    let orders: i64 = db
        .query_row("SELECT count(*) FROM orders", [], |r| r.get(0))
        .unwrap();
    assert_eq!(orders, 1);
}

#[test]
fn an_empty_file_and_every_older_version_become_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(DATABASE_NAME), b"").unwrap();
    assert!(
        Reader::open(folder.path()).unwrap().is_none(),
        "no tables yet"
    );
    drop(Ledger::open(folder.path(), at(7)).unwrap());
    let ledger = Ledger::open(folder.path(), at(8)).unwrap();
    let version: i64 = ledger
        .db
        .pragma_query_value(None, "user_version", |r| r.get(0))
        .unwrap();
    assert_eq!(version, SCHEMA_VERSION);
    let born: i64 = ledger
        .db
        .query_row("SELECT created_at_ms FROM birth", [], |r| r.get(0))
        .unwrap();
    assert_eq!(born, at(7).as_millisecond(), "its birth is not dated anew");
    let mode: String = ledger
        .db
        .pragma_query_value(None, "journal_mode", |r| r.get(0))
        .unwrap();
    let sync: i64 = ledger
        .db
        .pragma_query_value(None, "synchronous", |r| r.get(0))
        .unwrap();
    let trusted: bool = ledger
        .db
        .pragma_query_value(None, "trusted_schema", |r| r.get(0))
        .unwrap();
    assert_eq!((mode.as_str(), sync, trusted), ("wal", 2, false));
}

/// A database as an older version left it, in this folder.
fn thaw(folder: &std::path::Path, frozen: &str) -> Connection {
    let db = Connection::open(folder.join(DATABASE_NAME)).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    // A dump lists tables by name, not by what refers to what.
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute_batch(frozen).unwrap();
    db
}

#[test]
fn every_earlier_version_becomes_the_newest_with_its_rows_promises_and_triggers_intact() {
    for (version, dump) in [
        (1, include_str!("frozen/delivery-v1.sql")),
        (2, include_str!("frozen/delivery-v2.sql")),
        (3, include_str!("frozen/delivery-v3.sql")),
    ] {
        becomes_the_newest(version, dump);
    }
}

fn becomes_the_newest(version: i64, dump: &str) {
    let folder = tempfile::tempdir().unwrap();
    let old = thaw(folder.path(), dump);
    let states = |db: &Connection| -> Vec<(String, i64)> {
        db.prepare("SELECT state, count(*) FROM deliveries GROUP BY state ORDER BY state")
            .unwrap()
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let before = states(&old);
    assert_eq!(before.len(), 5, "every state is in the fixture: {before:?}");
    drop(old);
    let looked = Reader::open(folder.path()).err().unwrap();
    assert!(matches!(looked, DeliveryError::Older { found, .. } if found == version));

    let ledger = Ledger::open(folder.path(), at(9)).unwrap();
    assert_eq!(states(&ledger.db), before);
    recount(&ledger);
    let integrity: String = ledger
        .db
        .query_row("PRAGMA integrity_check", [], |r| r.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
    // Work goes on where it was.
    for parcel in ledger.due(1, at(1000), 100).unwrap() {
        for delivery in ledger.parcel(parcel).unwrap().deliveries {
            assert_eq!(delivery.upload, None);
            if delivery.state == State::Pending {
                ledger.begin(&[(delivery.delivery_rowid, at(100))]).unwrap();
                let change = change(Event::PutSucceeded);
                ledger
                    .apply(delivery.delivery_rowid, &change, at(3))
                    .unwrap();
            }
            if matches!(delivery.state, State::Pending | State::Uploaded) {
                let change = change(Event::LockProven);
                ledger
                    .apply(delivery.delivery_rowid, &change, at(3))
                    .unwrap();
            }
        }
    }
    recount(&ledger);
    let taken_back = "UPDATE deliveries SET state = 'pending' WHERE state = 'confirmed'";
    assert!(ledger.db.execute_batch(taken_back).is_err());
}

fn upload(id: &str) -> Upload {
    Upload {
        upload_id: id.to_owned(),
        part_bytes: 8 << 20,
    }
}

#[test]
fn an_upload_is_known_only_while_its_object_is_on_its_way_and_is_aborted_when_given_up() {
    for event in [
        Event::PutSucceeded,
        Event::Adopted,
        Event::Blocked,
        Event::Retired,
    ] {
        let Fixture { folder, ledger } = fixture(1);
        let parcel = parcels(&ledger).remove(0).parcel_rowid;
        let delivery = || ledger.parcel(parcel).unwrap().deliveries.remove(0);
        let rowid = delivery().delivery_rowid;
        assert!(
            ledger.begin_upload(rowid, &upload("u")).is_err(),
            "not before the key is marked to be looked at"
        );
        ledger.begin(&[(rowid, at(100))]).unwrap();
        ledger.begin_upload(rowid, &upload("u")).unwrap();
        ledger
            .apply(rowid, &change(Event::Deferred), at(3))
            .unwrap();
        assert_eq!(delivery().attempts, 1);
        ledger.upload_progressed(rowid, 7).unwrap();
        assert_eq!(
            delivery().attempts,
            0,
            "parts that arrive end a row of failures"
        );
        assert_eq!(
            delivery().upload,
            Some(upload("u")),
            "also after a deferral"
        );
        let summary = || {
            Reader::open(folder.path())
                .unwrap()
                .unwrap()
                .summary(at(9))
                .unwrap()
        };
        let shown = &summary().destinations[0].uploads;
        assert_eq!((shown[0].sent_bytes, shown[0].size_bytes), (7, 10));
        assert!(summary().destinations[1].uploads.is_empty());

        ledger.apply(rowid, &change(event), at(4)).unwrap();
        assert_eq!(delivery().upload, None, "{event:?}");
        assert!(summary().destinations[0].uploads.is_empty());
        let abandoned = ledger.abandoned_uploads(1, 10).unwrap();
        assert!(ledger.abandoned_uploads(2, 10).unwrap().is_empty());
        if event == Event::PutSucceeded {
            assert!(abandoned.is_empty(), "the store made the object of it");
        } else {
            let [left] = &abandoned[..] else {
                panic!("{event:?}: {abandoned:?}");
            };
            assert_eq!(
                (left.upload_id.as_str(), &left.path),
                ("u", &delivery().path)
            );
            ledger.forget_abandoned(left.upload_rowid).unwrap();
            assert!(ledger.abandoned_uploads(1, 10).unwrap().is_empty());
        }
    }
}

#[test]
fn an_upload_that_ended_or_was_given_up_makes_room_for_another() {
    let Fixture { ledger, .. } = fixture(1);
    let rowid = parcels(&ledger)[0].deliveries[0].delivery_rowid;
    ledger.begin(&[(rowid, at(100))]).unwrap();
    for (id, given_up) in [("u1", false), ("u2", true), ("u3", true)] {
        ledger.begin_upload(rowid, &upload(id)).unwrap();
        ledger.upload_progressed(rowid, 1).unwrap();
        if given_up {
            ledger.abandon_upload(rowid).unwrap();
        } else {
            ledger.upload_ended(rowid).unwrap();
        }
        assert_eq!(parcels(&ledger)[0].deliveries[0].upload, None);
    }
    let left = ledger.abandoned_uploads(1, 10).unwrap();
    let ids: Vec<&str> = left.iter().map(|u| u.upload_id.as_str()).collect();
    assert_eq!(ids, ["u2", "u3"]);
    ledger.abandon_upload(rowid).unwrap();
    assert_eq!(
        ledger.abandoned_uploads(1, 10).unwrap().len(),
        2,
        "none is open"
    );
}

#[test]
fn releasing_sends_blocked_items_back_and_nothing_else() {
    let Fixture { folder, ledger } = fixture(2);
    let parcel = &parcels(&ledger)[0];
    let blocked = parcel.deliveries[0].delivery_rowid;
    ledger
        .apply(blocked, &change(Event::Blocked), at(3))
        .unwrap();
    let list = |limit| {
        Reader::open(folder.path())
            .unwrap()
            .unwrap()
            .blocked(limit)
            .unwrap()
    };
    assert_eq!(list(10)[0].reason, "conflict");
    assert_eq!(
        release(folder.path(), "EB-20261121-0002", None, at(4)).unwrap(),
        0
    );
    assert_eq!(
        release(folder.path(), &parcel.bundle_id, Some("b"), at(4)).unwrap(),
        0
    );
    assert_eq!(
        release(folder.path(), &parcel.bundle_id, Some("a"), at(4)).unwrap(),
        1
    );
    assert!(list(10).is_empty());
    let delivery = &ledger.parcel(parcel.parcel_rowid).unwrap().deliveries[0];
    assert!(
        delivery.look_first,
        "what is at the key is looked at before anything is put"
    );
    assert_eq!((delivery.state, delivery.attempts), (State::Pending, 0));
}

#[tokio::test]
async fn writes_that_wait_together_are_committed_together_and_one_that_fails_takes_no_other_with_it()
 {
    let Fixture { folder, ledger } = fixture(4);
    let ids: Vec<i64> = parcels(&ledger)
        .iter()
        .flat_map(|p| p.deliveries.iter().map(|d| d.delivery_rowid))
        .collect();
    let (writer, thread) = Writer::start(ledger).unwrap();
    let commits = writer.changes();
    // Holds the thread, so that the others queue up behind it.
    let (go, wait) = std::sync::mpsc::channel();
    let first = writer.call(move |_| wait.recv().map_err(|_| DeliveryError::WriterGone));
    let rest = async {
        let mut calls = tokio::task::JoinSet::new();
        for (index, id) in ids.iter().copied().enumerate() {
            let writer = writer.clone();
            calls.spawn(async move {
                let event = if index == 3 {
                    Event::LockProven
                } else {
                    Event::Blocked
                };
                (
                    index,
                    writer
                        .call(move |l| l.apply(id, &change(event), at(3)))
                        .await,
                )
            });
        }
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        calls.join_all().await
    };
    let (first, results) = tokio::join!(first, rest);
    first.unwrap();
    for (index, result) in results {
        assert_eq!(result.is_err(), index == 3, "{index}: {result:?}");
    }
    assert!(
        *commits.borrow() <= 2,
        "twelve writes in at most two transactions"
    );
    drop(writer);
    thread.join().unwrap();
    let blocked = Reader::open(folder.path())
        .unwrap()
        .unwrap()
        .blocked(100)
        .unwrap();
    assert_eq!(blocked.len(), 11);
}

#[test]
fn times_far_ahead_are_pulled_back_when_the_clock_was_set_back() {
    let Fixture { ledger, .. } = fixture(1);
    let delivery = parcels(&ledger)[0].deliveries[0].delivery_rowid;
    let year = at(0)
        .checked_add(SignedDuration::from_hours(24 * 365))
        .unwrap();
    let deferred = Change::Deferred {
        error: note(),
        next_attempt_at: year,
    };
    ledger.apply(delivery, &deferred, at(3)).unwrap();
    ledger.pull_forward(1, at(1800), at(4)).unwrap();
    assert!(
        ledger
            .parcel(1)
            .unwrap()
            .deliveries
            .iter()
            .all(|d| d.next_attempt_at <= at(4))
    );
}

#[test]
fn the_history_tells_of_bytes_that_differed_and_of_parts_that_were_refused() {
    let Fixture { ledger, .. } = fixture(1);
    let rowid = parcels(&ledger)[0].deliveries[0].delivery_rowid;
    let told = || {
        let parcels = parcels(&ledger);
        let find = |d: &&Delivery| d.delivery_rowid == rowid;
        let delivery = parcels[0].deliveries.iter().find(find).unwrap();
        (delivery.bytes_differed, delivery.refused_completions)
    };
    assert_eq!(told(), (false, 0));
    for code in ["InvalidPart", "SlowDown", "InvalidPartOrder"] {
        let error = ErrorNote {
            code: code.to_owned(),
            ..note()
        };
        let deferred = Change::Deferred {
            error,
            next_attempt_at: at(0),
        };
        ledger.apply(rowid, &deferred, at(3)).unwrap();
    }
    assert_eq!(told(), (false, 2));
    let blocked = Change::Blocked {
        reason: BlockedReason::StoredBytesDiffer,
        error: note(),
    };
    ledger.apply(rowid, &blocked, at(4)).unwrap();
    ledger.apply(rowid, &Change::Released, at(5)).unwrap();
    assert_eq!(told(), (true, 2));
}
