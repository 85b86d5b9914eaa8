//! Orders in, locked objects and receipts out.

use crate::clinic::*;
use evidence::handover::Proof;
use sandbox::{Action, Fault};

#[tokio::test]
async fn an_order_ends_as_locked_objects_and_receipts_that_say_what_head_says() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(3);
    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(6).await;
    running.stop().await;

    clinic.assert_stored_once(&sealed);
    let confirmations = clinic.confirmations();
    assert_eq!(confirmations.len(), 6);
    for c in &confirmations {
        let key = format!("{PREFIX}{}", c.path);
        let version = &clinic.versions(&key)[0];
        assert_eq!(c.version_id, version.version_id);
        assert_eq!(c.retain_until, version.lock.retention.unwrap().until);
        assert_eq!(c.sha256.to_string(), version.sha256);
        assert_eq!(c.size_bytes, version.size_bytes);
        assert_eq!(c.etag.as_deref(), Some(version.etag.as_str()));
        assert_eq!(c.uri, format!("s3://{BUCKET}/{key}"));
        assert_eq!(c.proof, Proof::ServerSha256);
        assert_eq!(c.object_lock_mode, "COMPLIANCE");
        let days = c.retain_until.duration_since(c.server_date).as_secs();
        let full = i64::from(RETENTION_DAYS) * 86_400;
        assert!(
            (full..=full + MARGIN_SECS as i64 + 1).contains(&days),
            "{days}"
        );
    }
    let summary = clinic.summary();
    let primary = &summary.destinations[0];
    assert_eq!((primary.counts.confirmed, primary.counts.pending), (6, 0));
    assert!(primary.last_confirmed_at.is_some() && primary.last_preflight_at.is_some());
    assert!(primary.oldest_pending_at.is_none() && primary.last_error.is_none());
    for event in ["put_succeeded", "lock_proven"] {
        for bundle in &sealed {
            assert!(
                log.has(&[event, &bundle.bundle_id, ID, "state", "attempt"]),
                "{}",
                log.text()
            );
        }
    }
    assert!(
        !log.text().contains("synthetic"),
        "no evidence content in the log"
    );
}

#[tokio::test]
async fn the_signature_is_stored_before_the_bundle_that_marks_the_commit() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(8);
    let running = clinic.start().await;
    clinic.until_confirmed(16).await;
    running.stop().await;
    for bundle in &sealed {
        let [signature, marker] =
            [0, 1].map(|index| clinic.versions(&bundle.key(index))[0].sequence);
        assert!(signature < marker);
    }
}

#[tokio::test]
async fn a_store_that_echoes_no_checksum_is_believed_by_etag_or_read_back() {
    for (content_md5, proof) in [(true, Proof::EtagMd5), (false, Proof::ReadBack)] {
        let mut clinic = Clinic::new().await;
        clinic.policy.content_md5 = content_md5;
        clinic
            .sandbox
            .faults()
            .add(Fault::always(Action::HideChecksum));
        clinic.seal(1);
        let running = clinic.start().await;
        clinic.until_confirmed(2).await;
        running.stop().await;
        assert!(clinic.confirmations().iter().all(|c| c.proof == proof));
        assert_eq!(
            clinic.sandbox.hits("GetObject") > 0,
            proof == Proof::ReadBack
        );
    }
}

#[tokio::test]
async fn orders_that_come_while_running_are_found_by_inotify_or_by_the_scan() {
    let mut clinic = Clinic::new().await;
    let running = clinic.start().await;
    for n in 1..=3 {
        clinic.seal(1);
        clinic.until_confirmed(2 * n).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn two_destinations_are_served_independently_and_each_is_confirmed() {
    let mut clinic = Clinic::new().await;
    clinic
        .sandbox
        .store()
        .create_bucket("second", true)
        .unwrap();
    clinic.seal_for(2, &[(ID, BUCKET), ("second", "second")]);
    // The second fails for as long as it takes the first to finish.
    clinic
        .sandbox
        .store()
        .create_bucket("elsewhere", true)
        .unwrap();
    let fault = clinic
        .sandbox
        .faults()
        .add(Fault::on("GetBucketVersioning", Action::answer(503, "SlowDown")).nth(1));
    let destinations = vec![
        clinic.destination(ID, BUCKET).await,
        clinic.destination("second", "second").await,
    ];
    let running = clinic.start_with(destinations);
    clinic
        .until("all four confirmed at both", |c| {
            c.summary().destinations.len() == 2
                && c.summary()
                    .destinations
                    .iter()
                    .all(|d| d.counts.confirmed == 4)
        })
        .await;
    clinic.until_confirmed(4).await;
    running.stop().await;
    assert_eq!(clinic.sandbox.faults().struck(fault), 1);
    assert_eq!(clinic.confirmations().len(), 8);
    assert_eq!(clinic.sandbox.store().all_versions("second").len(), 4);
}

#[tokio::test]
async fn retention_is_counted_from_the_stores_date_also_when_this_hosts_clock_is_hours_wrong() {
    for hours in [-5_i64, 7] {
        let mut clinic = Clinic::new().await;
        clinic.sandbox.clock().set_offset_secs(hours * 3600);
        clinic.seal(1);
        let running = clinic.start().await;
        clinic.until_confirmed(2).await;
        running.stop().await;
        for c in clinic.confirmations() {
            let store_now = clinic.sandbox.clock().now();
            let full = i64::from(RETENTION_DAYS) * 86_400;
            let left = c.retain_until.duration_since(store_now).as_secs();
            let margin = i64::try_from(MARGIN_SECS).unwrap();
            // Half a minute for the test to run; hours would be the wrong clock.
            assert!(
                (full + margin - 30..=full + margin + 1).contains(&left),
                "{hours}: {left}"
            );
        }
        let offset = clinic.primary().unwrap().clock_offset_ms.unwrap();
        assert!((offset - hours * 3_600_000).abs() < 30_000, "{offset}");
    }
}

#[tokio::test]
async fn a_second_instance_refuses_to_start() {
    let clinic = Clinic::new().await;
    let first = clinic.start().await;
    clinic
        .until_primary("the first is ready", |d| d.last_preflight_at.is_some())
        .await;
    let refusal = clinic.start().await.ended().await.unwrap_err().to_string();
    assert!(refusal.contains("another instance is running"), "{refusal}");
    first.stop().await;
}
