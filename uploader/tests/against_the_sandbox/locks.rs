//! What is not proven to be locked is never called confirmed.

use crate::clinic::*;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, BucketOptions, Fault, Lock, Sandbox, SandboxOptions};
use uploader::delivery::{release, wake};

/// Denies an IAM action to the uploader.
fn deny(clinic: &Clinic, action: &str) {
    let identity = clinic.sandbox.credentials().clone().deny(action);
    clinic.sandbox.identities().put(identity);
}

#[tokio::test]
async fn a_lock_that_the_store_lost_is_set_once_more_and_then_proven() {
    let rows = [
        Action::LoseLock,
        Action::WeakenLock {
            to_governance: false,
            shorter_by_secs: 1,
        },
    ];
    for action in rows {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(2);
        clinic.sandbox.faults().add(Fault::on("PutObject", action));
        let running = clinic.start().await;
        clinic.until_confirmed(4).await;
        running.stop().await;
        clinic.assert_stored_once(&sealed);
        assert_eq!(clinic.sandbox.hits("PutObjectRetention"), 4);
    }
}

#[tokio::test]
async fn a_missing_lock_that_cannot_be_set_is_blocked_and_never_confirmed() {
    // S3 asks for s3:PutObjectRetention already at a PUT with lock headers, so it cannot be denied
    // by itself; but a store may lose one lock and refuse the other.
    let refuse = || Fault::on("PutObjectRetention", Action::answer(403, "AccessDenied"));
    let weaken = |to_governance, shorter_by_secs| {
        Fault::on(
            "PutObject",
            Action::WeakenLock {
                to_governance,
                shorter_by_secs,
            },
        )
    };
    let rows = [
        (vec![Fault::on("PutObject", Action::LoseLock), refuse()], ""),
        (vec![weaken(false, 60), refuse()], ""),
        (vec![weaken(true, 0)], "BypassGovernanceRetention"),
        // Locked, but nobody tells: unknown is not locked.
        (vec![], "GetObjectRetention"),
    ];
    for (faults, denied) in rows {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(2);
        for fault in faults {
            clinic.sandbox.faults().add(fault);
        }
        let identity = clinic.sandbox.credentials().clone();
        deny(&clinic, denied);
        let log = Log::start();
        let running = clinic.start().await;
        // Signature and marker are both uploaded before either is proven, so both block.
        clinic
            .until_primary("all blocked", |d| d.counts.blocked == 4)
            .await;
        let primary = clinic.primary().unwrap();
        assert_eq!(
            (primary.counts.confirmed, primary.state),
            (0, "ok"),
            "{denied}"
        );
        assert!(
            clinic
                .blocked()
                .iter()
                .all(|item| item.reason == "lock_missing")
        );
        assert!(clinic.confirmations().is_empty());
        clinic
            .until_logged(&log, &["ERROR", "blocked", "lock_missing", "hint"])
            .await;

        // With the permission given and the item released, it heals.
        clinic.sandbox.faults().clear();
        clinic.sandbox.identities().put(identity);
        let now = Timestamp::now();
        for bundle in &sealed {
            release(&clinic.places.delivery, &bundle.bundle_id, None, now).unwrap();
        }
        wake(&clinic.places.delivery, now).unwrap();
        if denied == "BypassGovernanceRetention" {
            // GOVERNANCE becomes COMPLIANCE only with a bypass, which the uploader never asks for.
            clinic
                .until_primary("blocked again", |d| {
                    d.counts.blocked == 4 && d.counts.pending == 0
                })
                .await;
            running.stop().await;
            assert!(clinic.confirmations().is_empty());
            continue;
        }
        clinic.until_confirmed(4).await;
        running.stop().await;
        clinic.assert_stored_once(&sealed);
    }
}

#[tokio::test]
async fn a_bucket_without_object_lock_gets_nothing_and_is_parked() {
    let mut bucket = BucketOptions::locked(BUCKET);
    bucket.object_lock = false;
    let options = SandboxOptions {
        buckets: vec![bucket],
        ..SandboxOptions::default()
    };
    let mut clinic = Clinic::over(Sandbox::start(options).await.unwrap());
    clinic.seal(3);
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until_primary("parked", |d| {
            d.state == "parked" && d.reason.as_deref() == Some("bucket_unfit")
        })
        .await;
    clinic
        .until_logged(&log, &["ERROR", "bucket_unfit", "hint"])
        .await;
    running.stop().await;
    assert_eq!(clinic.sandbox.hits("PutObject"), 0);
}

#[tokio::test]
async fn a_suspended_bucket_gets_nothing() {
    let mut clinic = Clinic::new().await;
    clinic.seal(1);
    clinic
        .sandbox
        .faults()
        .add(Fault::always(Action::ReportSuspended));
    let running = clinic.start().await;
    clinic
        .until_primary("parked", |d| d.state == "parked")
        .await;
    assert_eq!(clinic.sandbox.hits("PutObject"), 0);
    clinic.sandbox.faults().clear();
    clinic.until_confirmed(2).await;
    running.stop().await;
}

#[tokio::test]
async fn bytes_that_the_store_damaged_are_found_and_never_confirmed() {
    let mut clinic = Clinic::new().await;
    clinic.seal(1);
    clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::CorruptBytes));
    // Without a checksum in the answer the bytes are read back.
    clinic
        .sandbox
        .faults()
        .add(Fault::always(Action::HideChecksum));
    clinic.policy.content_md5 = false;
    let running = clinic.start().await;
    clinic
        .until_primary("blocked", |d| d.counts.blocked == 2)
        .await;
    running.stop().await;
    assert!(
        clinic
            .blocked()
            .iter()
            .all(|item| item.reason == "stored_bytes_differ")
    );
    assert_eq!(
        clinic.sandbox.hits("PutObjectRetention"),
        0,
        "foreign bytes are not locked by us"
    );

    // The store tells checksums again, of the bytes that it was sent: they are not believed.
    clinic.sandbox.faults().clear();
    let now = Timestamp::now();
    let bundle_id = clinic.blocked()[0].bundle_id.clone();
    release(&clinic.places.delivery, &bundle_id, None, now).unwrap();
    let running = clinic.start().await;
    clinic
        .until_primary("blocked again", |d| d.counts.blocked == 1)
        .await;
    running.stop().await;
    assert_eq!(clinic.blocked()[0].reason, "conflict");
    assert!(clinic.confirmations().is_empty());
}

#[tokio::test]
async fn a_version_that_vanishes_before_it_is_proven_is_put_again() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(1);
    // Nothing is proven while HEAD fails, so the version can vanish behind the API.
    let fault = clinic
        .sandbox
        .faults()
        .add(Fault::on("HeadObject", Action::answer(503, "SlowDown")));
    let log = Log::start();
    let running = clinic.start().await;
    clinic
        .until_primary("uploaded", |d| d.counts.uploaded == 2)
        .await;
    for index in 0..2 {
        let key = sealed[0].key(index);
        let version = clinic.versions(&key)[0].version_id.clone();
        clinic
            .sandbox
            .store()
            .tamper_remove(BUCKET, &key, &version)
            .unwrap();
    }
    clinic.sandbox.faults().remove(fault);
    clinic.until_confirmed(2).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
    assert!(
        log.has(&["WARN", "object_missing", "NoSuchVersion"]),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_lock_lost_behind_the_api_after_an_adoption_is_noticed() {
    // Adopted, and longer locked than asked by no more than the store says.
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(1);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    let key = sealed[0].key(0);
    let version = clinic.versions(&key)[0].clone();
    clinic
        .sandbox
        .store()
        .tamper_lock(BUCKET, &key, &version.version_id, Lock::default())
        .unwrap();
    std::fs::remove_file(clinic.places.delivery.join("delivery.db")).unwrap();
    clinic.take_receipts();
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    let retention = clinic.versions(&key)[0]
        .lock
        .retention
        .expect("locked again");
    let left = retention.until.duration_since(Timestamp::now());
    assert!(left > SignedDuration::from_hours(24 * i64::from(RETENTION_DAYS) - 1));
}
