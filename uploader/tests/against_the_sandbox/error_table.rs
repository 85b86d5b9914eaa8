//! Each row of the table of error classes: what is shown meanwhile, what is logged, and that it
//! heals as the table says.

use crate::clinic::*;
use sandbox::{Action, Fault, Identity};
use uploader::delivery::{release, wake};

#[tokio::test]
async fn transient_errors_are_retried_for_ever_and_heal_by_themselves() {
    let rows = [
        (
            "PutObject",
            Action::answer(503, "SlowDown"),
            "SlowDown",
            "transient",
        ),
        (
            "PutObject",
            Action::answer(500, "InternalError"),
            "InternalError",
            "",
        ),
        (
            "PutObject",
            Action::answer(429, "TooManyRequests"),
            "TooManyRequests",
            "transient",
        ),
        (
            "PutObject",
            Action::answer(400, "RequestTimeout"),
            "RequestTimeout",
            "transient",
        ),
        ("PutObject", Action::DropBeforeCommit, "", ""),
        (
            "HeadObject",
            Action::answer(503, "ServiceUnavailable"),
            "ServiceUnavailable",
            "transient",
        ),
        ("HeadObject", Action::DropBeforeCommit, "", "transient"),
        (
            "ListObjectVersions",
            Action::answer(503, "SlowDown"),
            "SlowDown",
            "transient",
        ),
        (
            "HeadBucket",
            Action::answer(503, "ServiceUnavailable"),
            "ServiceUnavailable",
            "transient",
        ),
    ];
    for (operation, action, code, class) in rows {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(1);
        if operation == "ListObjectVersions" {
            // Versions are listed only after an unclear outcome.
            clinic
                .sandbox
                .faults()
                .add(Fault::on("PutObject", Action::DropBeforeCommit).nth(1));
        }
        let fault = clinic
            .sandbox
            .faults()
            .add(Fault::on(operation, action.clone()).times(5));
        let log = Log::start();
        let running = clinic.start().await;
        clinic.until_confirmed(2).await;
        running.stop().await;
        assert_eq!(
            clinic.sandbox.faults().struck(fault),
            5,
            "{operation} {action:?}"
        );
        clinic.assert_stored_once(&sealed);
        let primary = clinic.primary().unwrap();
        let error = primary.last_error.expect("kept for the operator");
        assert!(
            error.code.contains(code),
            "{operation} {action:?}: {error:?}"
        );
        assert!(
            error.class.contains(class),
            "{operation} {action:?}: {error:?}"
        );
        assert_eq!((primary.state, primary.counts.blocked), ("ok", 0));
        assert!(log.has(&["WARN", ID, code]), "{}", log.text());
    }
}

#[tokio::test]
async fn an_outage_opens_the_breaker_and_costs_probes_not_a_storm() {
    let mut clinic = Clinic::new().await;
    clinic.seal(200);
    let log = Log::start();
    let outage = clinic
        .sandbox
        .faults()
        .add(Fault::always(Action::answer(503, "SlowDown")).times(40));
    // The bucket answers at first, so that work is under way when the outage comes.
    clinic.policy.backoff_max = std::time::Duration::from_millis(3);
    let running = clinic.start().await;
    clinic
        .until_primary("failing", |d| d.state == "open" && d.reason.is_some())
        .await;
    clinic.until_confirmed(400).await;
    running.stop().await;
    assert_eq!(clinic.sandbox.faults().struck(outage), 40);
    assert!(
        log.has(&["WARN", "open", "one probe at a time"]),
        "{}",
        log.text()
    );
    assert!(
        log.has(&["INFO", "the destination is ready"]),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn once_the_breaker_is_open_nothing_is_put_until_a_probe_goes_well() {
    let mut clinic = Clinic::new().await;
    clinic.policy.backoff_min = std::time::Duration::from_millis(1);
    clinic.policy.backoff_max = std::time::Duration::from_millis(5);
    clinic.seal(100);
    let puts = clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::answer(503, "SlowDown")));
    let heads = clinic
        .sandbox
        .faults()
        .add(Fault::on("HeadBucket", Action::answer(503, "SlowDown")).times(0));
    assert_eq!(clinic.sandbox.faults().struck(heads), 0);
    let running = clinic.start().await;
    clinic.until_primary("open", |d| d.state == "open").await;
    // From here on also the look at the bucket fails: not one PUT more, however long it lasts.
    clinic
        .sandbox
        .faults()
        .add(Fault::on("HeadBucket", Action::answer(503, "SlowDown")).times(20));
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.count("HeadBucket").failed >= 3)
        .await;
    let before = clinic.sandbox.faults().struck(puts);
    clinic
        .sandbox
        .log()
        .wait_until(|log| log.count("HeadBucket").failed >= 18)
        .await;
    assert_eq!(clinic.sandbox.faults().struck(puts), before);
    assert!(before <= 60, "{before} PUTs for 100 bundles in an outage");
    clinic.sandbox.faults().clear();
    clinic.until_confirmed(200).await;
    running.stop().await;
}

#[tokio::test]
async fn a_409_is_retried_after_a_short_jitter() {
    for code in ["ConditionalRequestConflict", "OperationAborted"] {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(1);
        clinic
            .sandbox
            .faults()
            .add(Fault::on("PutObject", Action::answer(409, code)).times(3));
        let log = Log::start();
        let running = clinic.start().await;
        clinic.until_confirmed(2).await;
        running.stop().await;
        clinic.assert_stored_once(&sealed);
        let primary = clinic.primary().unwrap();
        assert_eq!(primary.last_error.unwrap().code, code);
        assert_eq!(primary.state, "ok");
        assert!(log.has(&["WARN", "deferred", code]), "{}", log.text());
    }
}

#[tokio::test]
async fn a_response_lost_after_the_commit_is_resolved_by_looking_and_nothing_is_stored_twice() {
    let rows = [
        Action::DropAfterCommit,
        Action::AnswerAfterCommit {
            status: 500,
            code: "InternalError".to_owned(),
            message: String::new(),
        },
    ];
    for action in rows {
        for ignores_if_none_match in [false, true] {
            let mut clinic = Clinic::new().await;
            if ignores_if_none_match {
                clinic
                    .sandbox
                    .faults()
                    .add(Fault::on("PutObject", Action::IgnoreIfNoneMatch));
            }
            let sealed = clinic.seal(5);
            clinic
                .sandbox
                .faults()
                .add(Fault::on("PutObject", action.clone()).times(7));
            let log = Log::start();
            let running = clinic.start().await;
            clinic.until_confirmed(10).await;
            running.stop().await;
            clinic.assert_stored_once(&sealed);
            assert!(log.has(&["INFO", "adopted", "uploaded"]), "{}", log.text());
        }
    }
}

#[tokio::test]
async fn a_412_for_what_is_ours_is_adopted() {
    let mut clinic = Clinic::new().await;
    let (order, sealed) = clinic.order(1, &[(ID, BUCKET)]);
    clinic.publish(&order);
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    // The same objects ordered again, as a backfill would: the keys are taken, by us.
    let again = evidence::handover::Order {
        order_id: format!("{}-backfill", order.order_id),
        created_at: jiff::Timestamp::now(),
        ..order
    };
    clinic.publish(&again);
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    running.stop().await;
    clinic.assert_stored_once(&sealed);
    assert!(
        clinic.sandbox.log().count("PutObject").failed == 2,
        "two refusals with 412"
    );
    let orders: std::collections::BTreeSet<_> = clinic
        .confirmations()
        .into_iter()
        .map(|c| c.order_id)
        .collect();
    assert_eq!(orders.len(), 2, "each order has its receipts");
}

#[tokio::test]
async fn errors_that_need_an_operator_park_the_destination_and_keep_everything() {
    let rows = [
        (403, "AccessDenied"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (404, "NoSuchBucket"),
        (400, "KMS.DisabledException"),
    ];
    for (status, code) in rows {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(20);
        clinic
            .sandbox
            .faults()
            .add(Fault::on("PutObject", Action::answer(status, code)));
        let log = Log::start();
        let running = clinic.start().await;
        clinic
            .until_primary("parked", |d| {
                d.state == "parked" && d.reason.as_deref() == Some(code)
            })
            .await;
        let primary = clinic.primary().unwrap();
        assert_eq!(
            (primary.counts.pending, primary.counts.blocked),
            (40, 0),
            "{code}"
        );
        let error = primary.last_error.unwrap();
        assert_eq!((error.class.as_str(), error.code.as_str()), ("park", code));
        clinic
            .until_logged(
                &log,
                &["ERROR", "parked", code, "hint", "everything is kept"],
            )
            .await;
        clinic.sandbox.faults().clear();
        clinic.until_confirmed(40).await;
        clinic
            .until_primary("ok again", |d| d.state == "ok" && d.reason.is_none())
            .await;
        running.stop().await;
        clinic.assert_stored_once(&sealed);
    }
}

#[tokio::test]
async fn credentials_that_are_taken_away_park_and_new_ones_are_picked_up_by_the_probe() {
    let mut clinic = Clinic::new().await;
    let identity = clinic.sandbox.credentials().clone();
    clinic.sandbox.identities().remove(&identity.access_key);
    clinic.seal(1);
    let running = clinic.start().await;
    clinic
        .until_primary("parked", |d| d.state == "parked")
        .await;
    // The operator makes a new key and writes it where the uploader reads it.
    clinic
        .sandbox
        .identities()
        .put(Identity::new("NEWACCESSKEY00000000", "another-secret"));
    std::fs::write(
        clinic.options(BUCKET).credentials_file.unwrap(),
        "[default]\naws_access_key_id=NEWACCESSKEY00000000\naws_secret_access_key=another-secret\n",
    )
    .unwrap();
    clinic.until_confirmed(2).await;
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_clock_is_derived_again_and_does_not_park() {
    let mut clinic = Clinic::new().await;
    clinic.seal(2);
    let skew = clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::answer(403, "RequestTimeTooSkewed")).times(2));
    let log = Log::start();
    let running = clinic.start().await;
    clinic.until_confirmed(4).await;
    let looks = clinic.sandbox.log().count("HeadBucket").succeeded;
    running.stop().await;
    assert_eq!(clinic.sandbox.faults().struck(skew), 2);
    assert!(looks >= 2, "the bucket's date was looked at again");
    assert_eq!(clinic.primary().unwrap().last_error.unwrap().class, "clock");
    assert!(
        log.has(&["WARN", "deferred", "RequestTimeTooSkewed"]),
        "{}",
        log.text()
    );
    assert!(!log.has(&["parked"]), "{}", log.text());
}

#[tokio::test]
async fn an_object_that_the_store_refuses_is_isolated_and_others_go_on_until_it_is_released() {
    let rows = [
        ("BadDigest", "refused", 2),
        ("InvalidRequest", "refused", 1),
        ("EntityTooLarge", "too_large", 1),
    ];
    for (code, reason, tries) in rows {
        let mut clinic = Clinic::new().await;
        let sealed = clinic.seal(3);
        let bad = &sealed[1];
        let fault = clinic
            .sandbox
            .faults()
            .add(Fault::on("PutObject", Action::answer(400, code)).key(&bad.paths[0]));
        let log = Log::start();
        let running = clinic.start().await;
        clinic
            .until_primary("one blocked", |d| {
                d.counts.blocked == 1 && d.counts.confirmed == 4
            })
            .await;
        assert_eq!(clinic.sandbox.faults().struck(fault), tries, "{code}");
        let blocked = &clinic.blocked()[0];
        assert_eq!(
            (blocked.bundle_id.as_str(), blocked.reason),
            (bad.bundle_id.as_str(), reason)
        );
        assert_eq!(blocked.error.as_ref().unwrap().code, code);
        clinic
            .until_logged(
                &log,
                &["ERROR", "blocked", reason, code, "hint", &bad.bundle_id],
            )
            .await;
        assert_eq!(clinic.primary().unwrap().state, "ok");
        assert!(
            clinic.versions(&bad.key(1)).is_empty(),
            "no commit marker without its signature"
        );

        clinic.sandbox.faults().clear();
        let now = jiff::Timestamp::now();
        assert_eq!(
            release(&clinic.places.delivery, &bad.bundle_id, Some(ID), now).unwrap(),
            1
        );
        wake(&clinic.places.delivery, now).unwrap();
        clinic.until_confirmed(6).await;
        running.stop().await;
        clinic.assert_stored_once(&sealed);
    }
}

#[tokio::test]
async fn one_bad_digest_is_damage_on_the_way_and_is_sent_again() {
    let mut clinic = Clinic::new().await;
    clinic.seal(1);
    clinic
        .sandbox
        .faults()
        .add(Fault::on("PutObject", Action::answer(400, "BadDigest")).nth(1));
    let running = clinic.start().await;
    clinic.until_confirmed(2).await;
    running.stop().await;
    assert_eq!(clinic.primary().unwrap().counts.blocked, 0);
}
