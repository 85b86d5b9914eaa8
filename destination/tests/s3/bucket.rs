//! The look at the bucket, listings longer than a page, and bodies that end early.

use std::time::Duration;

use destination::conformance::{Adversary as _, Attempt};
use destination::{Class, Destination as _, Lock, S3Destination, S3Options};
use sandbox::{Action, BucketOptions, DefaultRule, Fault, Mode, Period, Sandbox, SandboxOptions};

use crate::calls::request;
use crate::{BUCKET, connect, options_for, start};

#[tokio::test]
async fn a_check_that_may_not_be_made_is_unknown_with_its_reason() {
    let (sandbox, store) = start().await;
    let identity = sandbox.credentials().clone();
    let denied = identity
        .deny("GetBucketVersioning")
        .deny("GetBucketObjectLockConfiguration");
    sandbox.identities().put(denied);
    let preflight = store.preflight().await.unwrap();
    assert_eq!((preflight.versioning, preflight.object_lock), (None, None));
    assert_eq!(
        preflight.unknown,
        ["versioning: AccessDenied", "Object Lock: AccessDenied"]
    );
    assert_eq!(preflight.objection(), None);
}

#[tokio::test]
async fn a_bucket_that_may_not_be_looked_at_parks() {
    let (sandbox, store) = start().await;
    let denied = sandbox
        .credentials()
        .clone()
        .deny("ListBucket")
        .deny("GetBucketVersioning");
    sandbox.identities().put(denied);
    let failure = store.preflight().await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Park, Some(403)));
}

#[tokio::test]
async fn whoever_may_not_list_the_bucket_and_may_ask_for_its_settings_reaches_it() {
    let (sandbox, store) = start().await;
    let writer = sandbox.credentials().clone().deny("ListBucket");
    sandbox.identities().put(writer);
    let preflight = store.preflight().await.unwrap();
    assert_eq!(
        (preflight.versioning, preflight.object_lock),
        (Some(true), Some(true))
    );
    assert_eq!((preflight.objection(), preflight.unknown), (None, vec![]));
    // So too when the first refusal was of a wrong clock.
    let store = connect(&sandbox).await;
    sandbox.clock().set_offset_secs(18_000);
    assert!(store.preflight().await.is_ok());
}

#[tokio::test]
async fn a_refused_look_says_why_although_a_head_has_no_body() {
    let (sandbox, store) = start().await;
    let key = sandbox.credentials().access_key.clone();
    let credentials = sandbox.credentials().clone();
    sandbox.identities().remove(&key);
    let failure = store.preflight().await.unwrap_err();
    assert_eq!(failure.class, Class::Park);
    assert_eq!(failure.code, "InvalidAccessKeyId");
    sandbox
        .identities()
        .put(sandbox::Identity::new(key, "another"));
    let failure = store.preflight().await.unwrap_err();
    assert_eq!(failure.code, "SignatureDoesNotMatch");
    let denied = credentials.deny("ListBucket").deny("GetBucketVersioning");
    sandbox.identities().put(denied);
    let failure = store.preflight().await.unwrap_err();
    assert_eq!(
        (failure.operation, failure.code.as_str()),
        ("GetBucketVersioning", "AccessDenied")
    );
}

#[tokio::test]
async fn a_wrong_clock_is_told_from_a_denial_by_the_date_of_the_refusal() {
    let (sandbox, store) = start().await;
    let put = store.put(&request("k", b"x")).await.unwrap();
    let version = put.version_id.unwrap();
    for offset_secs in [18_000, -18_000] {
        sandbox.clock().set_offset_secs(offset_secs);
        let failure = store.inspect("k", &version).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (Class::Clock, "RequestTimeTooSkewed"),
            "{failure:?}"
        );
        // That answer told the date, and the next request bears it.
        let again = store.inspect("k", &version).await;
        assert!(again.is_ok(), "{again:?} {:?}", sandbox.log().requests());
    }
    let denied = sandbox.credentials().clone().deny("GetObjectVersion");
    sandbox.identities().put(denied);
    let failure = store.inspect("k", &version).await.unwrap_err();
    assert_eq!(failure.class, Class::Park, "{failure:?}");
}

#[tokio::test]
async fn a_body_that_comes_a_byte_at_a_time_is_given_up() {
    let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
        .await
        .unwrap();
    let identity = sandbox.credentials();
    let (key, secret) = (&identity.access_key, &identity.secret_key);
    let store = S3Destination::connect(S3Options {
        request_timeout: Duration::from_secs(1),
        ..options_for(sandbox.endpoint(), key, secret)
    })
    .await;
    let put = store.put(&request("k", &[7; 1000])).await.unwrap();
    sandbox.faults().add(Fault::on(
        "GetObject",
        Action::SlowBody {
            piece_bytes: 1,
            pause_millis: 50,
        },
    ));
    let read = store.read_back("k", put.version_id.as_deref().unwrap());
    let failure = tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("it does not wait for 50 s")
        .unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Transient, "BodySlow")
    );
}

#[tokio::test]
async fn a_bucket_without_object_lock_or_with_versioning_suspended_is_objected_to() {
    let sandbox = Sandbox::start(SandboxOptions {
        buckets: vec![BucketOptions {
            object_lock: false,
            ..BucketOptions::locked(BUCKET)
        }],
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let plain = connect(&sandbox).await;
    let preflight = plain.preflight().await.unwrap();
    assert_eq!(preflight.object_lock, Some(false));
    assert!(preflight.objection().is_some());
    let failure = plain.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        failure.class,
        Class::Park,
        "the bucket is to blame, not the object: {failure:?}"
    );

    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("GetBucketVersioning", Action::ReportSuspended));
    let preflight = store.preflight().await.unwrap();
    assert_eq!(preflight.versioning, Some(false));
    assert!(preflight.objection().is_some());
}

#[tokio::test]
async fn the_default_rule_is_told_in_words_and_a_missing_bucket_parks() {
    let sandbox = Sandbox::start(SandboxOptions {
        buckets: vec![BucketOptions {
            default_rule: Some(DefaultRule {
                mode: Mode::Compliance,
                period: Period::Days(2192),
            }),
            ..BucketOptions::locked(BUCKET)
        }],
        ..SandboxOptions::default()
    })
    .await
    .unwrap();
    let preflight = connect(&sandbox).await.preflight().await.unwrap();
    assert_eq!(
        preflight.default_rule.as_deref(),
        Some("COMPLIANCE 2192 days")
    );

    let empty = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let store = connect(&empty).await;
    let failure = store.preflight().await.unwrap_err();
    assert_eq!((failure.class, failure.status), (Class::Park, Some(404)));
}

#[tokio::test]
async fn a_listing_of_more_than_one_page_is_whole_and_ours_is_found_below_the_overlays() {
    let (_sandbox, store) = start().await;
    let ours = store.put(&request("k", b"ours")).await.unwrap();
    store.put(&request("k.json", b"another key")).await.unwrap();
    // S3 lists 1,000 entries a page.
    for _ in 0..1005 {
        assert_eq!(store.put_unlocked("k", b"x").await, Attempt::Allowed);
    }
    let versions = store.versions("k").await.unwrap();
    assert_eq!(versions.len(), 1006);
    assert!(versions[0].is_latest);
    assert_eq!(versions.iter().filter(|v| v.is_latest).count(), 1);
    assert_eq!(
        versions.last().map(|v| &v.version_id),
        ours.version_id.as_ref()
    );
}

#[tokio::test]
async fn a_body_that_ends_early_is_transient_and_a_missing_version_is_not_the_stores_fault() {
    let (sandbox, store) = start().await;
    let body: &'static [u8] = &[7; 300_000];
    let put = store.put(&request("k", body)).await.unwrap();
    let version = put.version_id.unwrap();
    sandbox
        .faults()
        .add(Fault::on("GetObject", Action::CutBody { after_bytes: 1000 }).nth(1));
    let failure = store.read_back("k", &version).await.unwrap_err();
    assert_eq!(failure.class, Class::Transient, "{failure:?}");
    let read = store.read_back("k", &version).await.unwrap();
    assert_eq!(read.size_bytes, 300_000);

    sandbox
        .store()
        .tamper_remove(BUCKET, "k", &version)
        .unwrap();
    assert_eq!(store.inspect("k", &version).await.unwrap(), None);
    for failure in [
        store.read_back("k", &version).await.unwrap_err(),
        store
            .lock(
                "k",
                &version,
                jiff::Timestamp::now() + jiff::Span::new().hours(1),
            )
            .await
            .unwrap_err(),
    ] {
        assert_eq!(failure.class, Class::Transient, "{failure:?}");
        assert_eq!(failure.status, Some(404), "{failure:?}");
    }
}

#[tokio::test]
async fn a_weaker_lock_is_told_as_it_is() {
    let (sandbox, store) = start().await;
    sandbox.faults().add(Fault::on(
        "PutObject",
        Action::WeakenLock {
            to_governance: true,
            shorter_by_secs: 0,
        },
    ));
    let wanted = request("k", b"x");
    let version = store.put(&wanted).await.unwrap().version_id.unwrap();
    let stored = store.inspect("k", &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Governance(wanted.retain_until));
}

#[tokio::test]
async fn a_lock_date_in_the_past_is_the_clocks_fault() {
    let (_sandbox, store) = start().await;
    let mut late = request("k", b"x");
    late.retain_until = "2020-01-01T00:00:00Z".parse().unwrap();
    let failure = store.put(&late).await.unwrap_err();
    assert_eq!(failure.class, Class::Clock, "{failure:?}");
}

#[tokio::test]
async fn an_outage_is_never_taken_for_a_refusal() {
    let (sandbox, store) = start().await;
    let put = store.put(&request("k", b"x")).await.unwrap();
    let version = put.version_id.unwrap();
    assert_eq!(
        store.delete_version("k", &version).await,
        Attempt::Refused("AccessDenied".to_owned())
    );
    for (status, code) in [
        (503, "SlowDown"),
        (500, "InternalError"),
        (403, "InvalidAccessKeyId"),
        (403, "RequestTimeTooSkewed"),
        (400, "ExpiredToken"),
        (404, "NoSuchBucket"),
        (404, "NoSuchVersion"),
    ] {
        let id = sandbox
            .faults()
            .add(Fault::on("DeleteObject", Action::answer(status, code)));
        assert_eq!(
            store.delete_version("k", &version).await,
            Attempt::NoAnswer,
            "{code}"
        );
        sandbox.faults().remove(id);
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let (sandbox, store) = start().await;
    let body: &'static [u8] = &[7; 300_000];
    let version = store
        .put(&request("k", body))
        .await
        .unwrap()
        .version_id
        .unwrap();
    sandbox.faults().add(Fault::on(
        "GetObject",
        Action::SlowBody {
            piece_bytes: 100_000,
            pause_millis: 600_000,
        },
    ));
    let given_up = store.read_back("k", &version);
    let given_up = tokio::time::timeout(std::time::Duration::from_secs(60), given_up);
    let failure = given_up.await.expect("it ends").unwrap_err();
    assert_eq!(failure.class, Class::Transient, "{failure:?}");
}
