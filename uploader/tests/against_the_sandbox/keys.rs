//! What else may be found at a key.

use crate::clinic::*;

async fn put_foreign(clinic: &Clinic, key: &str, body: &str) {
    clinic
        .foreign()
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(body.to_owned().into_bytes().into())
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn foreign_bytes_at_a_key_are_a_conflict_and_are_never_overwritten() {
    for same_size in [true, false] {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(3);
        let key = sealed[1].key(1);
        let ours =
            std::fs::read_to_string(clinic.places.evidence.join(&sealed[1].paths[1])).unwrap();
        let foreign = if same_size {
            ours.replace("synthetic", "SYNTHETIC")
        } else {
            "foreign".to_owned()
        };
        put_foreign(&clinic, &key, &foreign).await;
        let log = Log::start();
        let running = clinic.start().await;
        clinic
            .until_primary("conflict", |d| {
                d.counts.blocked == 1 && d.counts.confirmed == 5
            })
            .await;
        running.stop().await;
        let blocked = &clinic.blocked()[0];
        assert_eq!(
            (blocked.reason, &blocked.path),
            ("conflict", &sealed[1].paths[1])
        );
        let versions = clinic.versions(&key);
        assert_eq!(versions.len(), 1);
        assert_eq!(
            clinic
                .sandbox
                .store()
                .bytes(BUCKET, &key, &versions[0].version_id)
                .unwrap(),
            foreign.as_bytes()
        );
        assert!(
            versions[0].lock.retention.is_none(),
            "foreign bytes are not locked by us"
        );
        assert!(
            log.has(&["ERROR", "blocked", "conflict", "hint"]),
            "{}",
            log.text()
        );
    }
}

#[tokio::test]
async fn ours_beneath_a_delete_marker_is_adopted_with_a_warning_and_not_stored_again() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(1);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    let key = sealed[0].key(1);
    let ours = clinic.versions(&key)[0].version_id.clone();
    clinic
        .foreign()
        .delete_object()
        .bucket(BUCKET)
        .key(&key)
        .send()
        .await
        .unwrap();
    std::fs::remove_file(clinic.places.delivery.join("delivery.db")).unwrap();
    clinic.take_receipts();

    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    let versions = clinic.versions(&key);
    assert_eq!(versions.iter().filter(|v| !v.is_delete_marker).count(), 1);
    let confirmation = clinic
        .confirmations()
        .into_iter()
        .find(|c| c.path == sealed[0].paths[1])
        .unwrap();
    assert_eq!(confirmation.version_id, ours);
    assert!(
        log.has(&["WARN", "a delete marker lies over ours", &ours]),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_foreign_version_over_ours_does_not_hide_ours() {
    let mut clinic = Clinic::new().await;
    let sealed = clinic.seal(1);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    let key = sealed[0].key(0);
    put_foreign(&clinic, &key, "foreign").await;
    std::fs::remove_file(clinic.places.delivery.join("delivery.db")).unwrap();
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    assert_eq!(clinic.versions(&key).len(), 2);
    assert!(clinic.blocked().is_empty());
}
