//! Crashes, lost databases, lost receipts, and local files that are not what they should be.

use crate::clinic::*;
use evidence::handover::RECEIPT_SUFFIX;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault};
use uploader::daemon::Ended;
use uploader::delivery::{Reader, release, wake};

#[tokio::test]
async fn kills_at_random_moments_leave_each_object_stored_once_and_confirmed() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut clinic = Clinic::new().await;
    let mut sealed = clinic.seal(30);
    for round in 0..8 {
        sealed.extend(clinic.seal(2));
        let requests = clinic.sandbox.log().hits("PutObject") + rng.u64(0..12);
        let running = clinic.start().await;
        let reached = clinic
            .sandbox
            .log()
            .wait_until(|log| log.hits("PutObject") >= requests);
        tokio::select! {
            () = reached => {}
            () = clinic.until_confirmed(sealed.len() as u64 * 2) => {}
        }
        running.kill().await;
        eprintln!("seed {seed}, round {round}: killed after {requests} PUTs");
    }
    let running = clinic.start().await;
    clinic.until_confirmed(sealed.len() as u64 * 2).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
    let reported: std::collections::BTreeSet<_> =
        clinic.confirmations().into_iter().map(|c| c.path).collect();
    assert_eq!(reported.len(), sealed.len() * 2, "seed {seed}");
}

#[tokio::test]
async fn losing_delivery_db_midway_changes_nothing_in_the_outcome() {
    for ignores_if_none_match in [false, true] {
        let mut clinic = Clinic::new().await;
        if ignores_if_none_match {
            clinic
                .sandbox
                .faults()
                .add(Fault::on("PutObject", Action::IgnoreIfNoneMatch));
        }
        let sealed = clinic.seal(20);
        let running = clinic.start().await;
        clinic
            .until_primary("some are confirmed", |d| d.counts.confirmed >= 10)
            .await;
        running.stop().await;
        for name in ["delivery.db", "delivery.db-wal", "delivery.db-shm"] {
            let _ = std::fs::remove_file(clinic.places.delivery.join(name));
        }
        let running = clinic.start().await;
        clinic.until_confirmed(40).await;
        running.stop().await;
        clinic.assert_stored_once(&sealed);
    }
}

#[tokio::test]
async fn a_database_removed_while_in_use_is_noticed_and_rebuilt() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(3);
    let running = clinic.start().await;
    clinic.until_confirmed(6).await;
    for name in ["delivery.db", "delivery.db-wal", "delivery.db-shm"] {
        let _ = std::fs::remove_file(clinic.places.delivery.join(name));
    }
    assert_eq!(running.ended().await.unwrap(), Ended::DatabaseReplaced);
    let running = clinic.start().await;
    clinic.until_confirmed(6).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
}

#[tokio::test]
async fn a_damaged_database_is_moved_aside_and_everything_checked_again() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(2);
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    running.stop().await;
    std::fs::write(
        clinic.places.delivery.join("delivery.db"),
        "not a database, and long enough",
    )
    .unwrap();
    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
    assert!(
        log.has(&["ERROR", "damaged and moved aside"]),
        "{}",
        log.text()
    );
    let kept = std::fs::read_dir(&clinic.places.delivery)
        .unwrap()
        .any(|e| e.unwrap().file_name().to_str().unwrap().contains("damaged"));
    assert!(kept);
}

#[tokio::test]
async fn receipts_that_were_taken_and_had_no_effect_are_written_again_at_the_next_start() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(2);
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    running.stop().await;
    let before = clinic.receipts().len();

    // Still there: the agent is down, and nothing is written twice.
    let running = clinic.start().await;
    clinic.until_primary("ready", |d| d.state == "ok").await;
    running.stop().await;
    assert_eq!(clinic.receipts().len(), before);

    // Taken, and the order is still there: they were lost.
    clinic.take_receipts();
    let running = clinic.start().await;
    clinic
        .until("receipts again", |c| c.confirmations().len() == 4)
        .await;
    clinic.until_confirmed(4).await;
    running.stop().await;

    // The agent has applied them and removes the order: finished, and quiet from then on.
    clinic.take_receipts();
    std::fs::remove_file(clinic.order_file(&sealed[0].order_id)).unwrap();
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until("finished", |_| {
            log.has(&["has every receipt", &sealed[0].order_id])
        })
        .await;
    running.stop().await;
    assert!(clinic.receipts().is_empty());
    assert_eq!(
        clinic.primary().unwrap().counts.confirmed,
        4,
        "the counts stay"
    );
}

#[tokio::test]
async fn lost_receipts_are_also_written_again_while_running() {
    let mut clinic = Clinic::new().await;
    clinic.policy.reissue_after = std::time::Duration::from_millis(20);
    clinic.policy.rescan_every = std::time::Duration::from_millis(20);
    clinic.seal(1);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    clinic.take_receipts();
    clinic
        .until("receipts again", |c| c.confirmations().len() >= 2)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_finished_order_that_comes_back_gets_its_receipts_again_without_another_upload() {
    let mut clinic = Clinic::new().await;
    let (order, sealed) = clinic.order(1, &[(ID, BUCKET)]);
    clinic.publish(&order);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    clinic.take_receipts();
    std::fs::remove_file(clinic.order_file(&order.order_id)).unwrap();
    let log = Log::start();
    clinic
        .until("finished", |_| log.has(&["has every receipt"]))
        .await;
    let puts = clinic.sandbox.hits("PutObject");
    clinic.publish(&order);
    clinic
        .until("receipts again", |c| c.confirmations().len() == 2)
        .await;
    running.stop().await;
    assert_eq!(clinic.sandbox.hits("PutObject"), puts);
    clinic.assert_stored_once(&sealed);
}

#[tokio::test]
async fn the_rows_of_orders_finished_long_ago_are_removed_and_the_counts_stay() {
    let mut clinic = Clinic::new().await;
    clinic.policy.keep_finished = std::time::Duration::ZERO;
    let sealed = clinic.seal(2);
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    std::fs::remove_file(clinic.order_file(&sealed[0].order_id)).unwrap();
    clinic
        .until("purged", |c| {
            c.reader()
                .unwrap()
                .confirmations(&sealed[0].bundle_id)
                .unwrap()
                .is_empty()
        })
        .await;
    running.stop().await;
    assert_eq!(clinic.primary().unwrap().counts.confirmed, 4);
}

#[tokio::test]
async fn a_missing_file_waits_for_the_agent_and_changed_bytes_are_blocked() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(3);
    let file = |n: usize| clinic.places.evidence.join(&sealed[n].paths[0]);
    let (missing, changed) = (file(0), file(1));
    let bytes = std::fs::read(&missing).unwrap();
    std::fs::remove_file(&missing).unwrap();
    let original = std::fs::read_to_string(&changed).unwrap();
    std::fs::write(&changed, original.replace('s', "S")).unwrap();
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until_primary("one good, one blocked, one waiting", |d| {
            d.counts.confirmed == 2
                && d.counts.blocked == 1
                && d.last_error
                    .as_ref()
                    .is_some_and(|e| e.code == "file_missing")
        })
        .await;
    assert_eq!(clinic.blocked()[0].reason, "local_bytes_differ");
    clinic
        .until_logged(&log, &["ERROR", "file_missing", &sealed[0].bundle_id])
        .await;
    assert!(
        clinic.versions(&sealed[1].key(0)).is_empty(),
        "bytes that differ are never sent"
    );
    assert_eq!(clinic.primary().unwrap().state, "ok");

    // The agent publishes both again.
    std::fs::write(&missing, bytes).unwrap();
    std::fs::write(&changed, original).unwrap();
    let now = Timestamp::now();
    release(&clinic.places.delivery, &sealed[1].bundle_id, None, now).unwrap();
    wake(&clinic.places.delivery, now).unwrap();
    clinic.until_confirmed(6).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
}

#[tokio::test]
async fn orders_for_unknown_or_changed_destinations_wait_and_are_shown() {
    let mut clinic = Clinic::new().await;
    clinic.seal_for(
        1,
        &[
            (ID, BUCKET),
            ("gone", "old-bucket"),
            ("second", "old-bucket"),
        ],
    );
    clinic
        .sandbox
        .store()
        .create_bucket("new-bucket", true)
        .unwrap();
    let log = Log::start();
    let destinations = vec![
        clinic.destination(ID, BUCKET).await,
        clinic.destination("second", "new-bucket").await,
    ];
    let running = clinic.start_with(destinations);
    clinic.until_confirmed(2).await;
    clinic
        .until("both are shown", |c| {
            c.summary()
                .destinations
                .iter()
                .filter(|d| d.state == "parked")
                .count()
                == 2
        })
        .await;
    clinic
        .until_logged(&log, &["ERROR", "destination_changed_meaning", "hint"])
        .await;
    clinic
        .until_logged(&log, &["ERROR", "destination_changed_meaning", "hint"])
        .await;
    running.stop().await;
    let summary = clinic.summary();
    let reason = |id: &str, bucket: &str| {
        let found = summary
            .destinations
            .iter()
            .find(|d| d.destination_id == id && d.uri == uri(bucket));
        found.map(|d| (d.reason.clone(), d.counts.pending)).unwrap()
    };
    assert_eq!(
        reason("gone", "old-bucket"),
        (Some("destination_not_configured".to_owned()), 2)
    );
    assert_eq!(
        reason("second", "old-bucket"),
        (Some("destination_changed_meaning".to_owned()), 2)
    );
    assert_eq!(reason("second", "new-bucket"), (None, 0));
    assert!(clinic.sandbox.store().all_versions("new-bucket").is_empty());

    // Configured again as it was: delivered.
    clinic
        .sandbox
        .store()
        .create_bucket("old-bucket", true)
        .unwrap();
    let mut destinations = vec![clinic.destination(ID, BUCKET).await];
    for id in ["gone", "second"] {
        destinations.push(clinic.destination(id, "old-bucket").await);
    }
    let running = clinic.start_with(destinations);
    clinic
        .until("all delivered", |c| {
            c.summary()
                .destinations
                .iter()
                .map(|d| d.counts.confirmed)
                .sum::<u64>()
                >= 4
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn files_that_are_not_orders_are_shown_left_alone_and_forgotten_when_mended() {
    let mut clinic = Clinic::new().await;
    let (order, _) = clinic.order(1, &[(ID, BUCKET)]);
    let bytes = order.to_bytes();
    let torn = clinic.order_file(&order.order_id);
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(clinic.order_file("misnamed"), &bytes).unwrap();
    std::fs::write(clinic.places.outbox.join("notes.txt"), "not ours to judge").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", clinic.order_file("link")).unwrap();
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until("three are shown", |c| {
            c.summary().unreadable_orders.len() == 3
        })
        .await;
    clinic
        .until_logged(&log, &["ERROR", "cannot be acted on", "hint"])
        .await;
    clinic.publish(&order);
    std::fs::remove_file(clinic.order_file("misnamed")).unwrap();
    std::fs::remove_file(clinic.order_file("link")).unwrap();
    clinic.until_confirmed(2).await;
    clinic
        .until("forgotten", |c| c.summary().unreadable_orders.is_empty())
        .await;
    running.stop().await;
}

#[tokio::test]
async fn an_operator_wakes_what_waits_for_a_far_retry() {
    let mut clinic = Clinic::new().await;
    let hour = std::time::Duration::from_hours(1);
    clinic.policy.backoff_min = hour;
    clinic.policy.backoff_max = hour;
    clinic.policy.park_probe = hour;
    clinic.seal(1);
    clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::answer(403, "AccessDenied")));
    let running = clinic.start().await;
    clinic
        .until_primary("parked for an hour", |d| d.state == "parked")
        .await;
    clinic.sandbox.faults().clear();
    wake(&clinic.places.delivery, Timestamp::now()).unwrap();
    clinic.until_confirmed(2).await;
    running.stop().await;
}

#[tokio::test]
async fn the_reader_tells_the_confirmations_of_a_bundle_also_while_the_daemon_is_down() {
    let mut clinic = Clinic::new().await;
    let nothing_yet = Reader::open(&clinic.places.outbox).unwrap();
    assert!(nothing_yet.is_none());
    let sealed = clinic.seal(2);
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    running.stop().await;
    let reader = clinic.reader().unwrap();
    let confirmations = reader.confirmations(&sealed[1].bundle_id).unwrap();
    assert_eq!(confirmations.len(), 2);
    let mut reported = clinic.confirmations();
    reported.retain(|c| c.bundle_id == sealed[1].bundle_id);
    reported.sort_by(|a, b| a.path.cmp(&b.path));
    let mut read = confirmations;
    read.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(read, reported);
}

#[tokio::test]
async fn a_retry_asks_for_the_same_date_until_a_long_park_has_eaten_the_margin() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(1);
    let fault = clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::answer(503, "SlowDown")));
    let running = clinic.start().await;
    let began = clinic.sandbox.clock().now();
    clinic
        .until_primary("tried", |d| d.last_error.is_some())
        .await;
    running.stop().await;
    // A week passes at the store.
    let week = SignedDuration::from_hours(24 * 7);
    clinic.sandbox.clock().set_offset_secs(week.as_secs());
    clinic.sandbox.faults().remove(fault);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    let retention = clinic.versions(&sealed[0].key(0))[0]
        .lock
        .retention
        .unwrap();
    let full = SignedDuration::from_hours(24 * i64::from(RETENTION_DAYS));
    assert!(retention.until.duration_since(began) >= week + full);
}

#[tokio::test]
async fn receipt_names_are_safe_and_no_half_written_file_is_left() {
    let mut clinic = Clinic::new().await;
    clinic.seal(1);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    for entry in std::fs::read_dir(&clinic.places.receipts).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let id = name.strip_suffix(RECEIPT_SUFFIX).expect("only receipts");
        assert!(evidence::handover::is_safe_name(id), "{name}");
    }
}

#[tokio::test]
async fn a_new_database_looks_first_whatever_the_dates_of_orders_say() {
    let mut clinic = Clinic::new().await;
    // The host's clock was ahead when these were sealed, and the store ignores the condition.
    let (mut order, sealed) = clinic.order(3, &[(ID, BUCKET)]);
    order.created_at = Timestamp::now() + jiff::SignedDuration::from_hours(30);
    clinic.publish(&order);
    clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::IgnoreIfNoneMatch));
    let running = clinic.start().await;
    clinic.until_confirmed(6).await;
    running.stop().await;
    for name in ["delivery.db", "delivery.db-wal", "delivery.db-shm"] {
        // What a clean stop has checkpointed is gone already.
        let _ = std::fs::remove_file(clinic.places.delivery.join(name));
    }
    let running = clinic.start().await;
    clinic.until_confirmed(6).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_in_flight_and_begins_nothing_new() {
    let mut clinic = Clinic::new().await;
    clinic.policy.in_flight = 2;
    let sealed = clinic.seal(20);
    let slow = clinic.sandbox.faults().add(Fault::on(
        "PutObject",
        Action::StallResponse { millis: 300 },
    ));
    let running = clinic.start().await;
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.hits("PutObject") >= 2)
        .await;
    running.stop().await;
    let stored: usize = sealed
        .iter()
        .flat_map(|bundle| [bundle.key(0), bundle.key(1)])
        .map(|key| clinic.versions(&key).len())
        .sum();
    let counts = clinic.primary().unwrap().counts;
    assert_eq!(
        counts.uploaded + counts.confirmed,
        stored as u64,
        "what was sent is known: {counts:?}"
    );
    assert!(counts.pending > 30, "it went on to work: {counts:?}");
    clinic.sandbox.faults().remove(slow);
    let running = clinic.start().await;
    clinic.until_confirmed(40).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_store_beyond_its_limit_and_nothing_is_sent_twice() {
    let mut clinic = Clinic::new().await;
    clinic.policy.drain = std::time::Duration::from_millis(20);
    let sealed = clinic.seal(3);
    let silent = clinic.sandbox.faults().add(Fault::on(
        "PutObject",
        Action::StallResponse { millis: 9000 },
    ));
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.hits("PutObject") >= 1)
        .await;
    running.stop().await;
    assert!(
        log.has(&["stopped with requests in flight"]),
        "{}",
        log.text()
    );
    clinic.sandbox.faults().remove(silent);
    let running = clinic.start().await;
    clinic.until_confirmed(6).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
}
