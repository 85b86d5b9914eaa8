//! Object Lock: what S3 refuses, whoever asks.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object_retention::{
    PutObjectRetentionError, PutObjectRetentionOutput,
};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    ObjectLockRule,
};
use sandbox::{Mode, Retention};

use crate::client::{
    BUCKET, DAY_SECS, assert_refused, client_as, in_secs, plain, put_until, retention, start,
    timestamp,
};

type Changed = Result<PutObjectRetentionOutput, SdkError<PutObjectRetentionError>>;

async fn change(
    client: &Client,
    version: &str,
    wanted: ObjectLockRetention,
    bypass: bool,
) -> Changed {
    let change = client
        .put_object_retention()
        .bucket(BUCKET)
        .key("k")
        .version_id(version);
    change
        .retention(wanted)
        .bypass_governance_retention(bypass)
        .send()
        .await
}

async fn locked(client: &Client, mode: ObjectLockMode, until: DateTime) -> String {
    let put = put_until(client, "k", b"evidence", until).object_lock_mode(mode);
    put.send().await.unwrap().version_id.unwrap()
}

#[tokio::test]
async fn compliance_cannot_be_deleted_shortened_downgraded_removed_or_bypassed() {
    let (sandbox, client) = start().await;
    let until = in_secs(30 * DAY_SECS);
    let version = locked(&client, ObjectLockMode::Compliance, until).await;
    let compliance = ObjectLockRetentionMode::Compliance;
    for bypass in [false, true] {
        let delete = client
            .delete_object()
            .bucket(BUCKET)
            .key("k")
            .version_id(&version);
        let delete = delete.bypass_governance_retention(bypass).send().await;
        assert_refused(delete, "AccessDenied", 403);
        let shorter = retention(compliance.clone(), in_secs(29 * DAY_SECS));
        assert_refused(
            change(&client, &version, shorter, bypass).await,
            "AccessDenied",
            403,
        );
        let weaker = retention(ObjectLockRetentionMode::Governance, in_secs(60 * DAY_SECS));
        assert_refused(
            change(&client, &version, weaker, bypass).await,
            "AccessDenied",
            403,
        );
        let none = ObjectLockRetention::builder().build();
        assert_refused(
            change(&client, &version, none, bypass).await,
            "AccessDenied",
            403,
        );
    }
    let kept = &sandbox.store().versions(BUCKET, "k")[0];
    assert_eq!(
        kept.lock.retention,
        Some(Retention {
            mode: Mode::Compliance,
            until: timestamp(until)
        })
    );

    let longer = in_secs(31 * DAY_SECS);
    change(&client, &version, retention(compliance, longer), false)
        .await
        .unwrap();
    let get = client
        .get_object_retention()
        .bucket(BUCKET)
        .key("k")
        .version_id(&version)
        .send();
    let told = get.await.unwrap().retention.unwrap();
    assert_eq!(told.mode(), Some(&ObjectLockRetentionMode::Compliance));
    assert_eq!(told.retain_until_date(), Some(&longer));
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(&version)
        .send()
        .await;
    let head = head.unwrap();
    assert_eq!(head.object_lock_mode(), Some(&ObjectLockMode::Compliance));
    assert_eq!(head.object_lock_retain_until_date(), Some(&longer));
}

#[tokio::test]
async fn compliance_ends_when_the_servers_clock_has_passed_its_date() {
    let (sandbox, _) = start().await;
    // The client must follow the server's clock to be heard at all, so look from the inside.
    let client = client_as(&sandbox, sandbox.credentials());
    let version = locked(&client, ObjectLockMode::Compliance, in_secs(60)).await;
    let delete = || {
        client
            .delete_object()
            .bucket(BUCKET)
            .key("k")
            .version_id(&version)
            .send()
    };
    sandbox.clock().set_offset_secs(50);
    assert_refused(delete().await, "AccessDenied", 403);
    sandbox.clock().set_offset_secs(61);
    delete().await.unwrap();
    assert!(sandbox.store().versions(BUCKET, "k").is_empty());
}

#[tokio::test]
async fn governance_yields_to_a_permitted_bypass_only() {
    let (sandbox, client) = start().await;
    let version = locked(&client, ObjectLockMode::Governance, in_secs(DAY_SECS)).await;
    let delete = |client: &Client, bypass| {
        let delete = client
            .delete_object()
            .bucket(BUCKET)
            .key("k")
            .version_id(&version);
        delete.bypass_governance_retention(bypass).send()
    };
    assert_refused(delete(&client, false).await, "AccessDenied", 403);
    let shorter = || retention(ObjectLockRetentionMode::Governance, in_secs(3600));
    assert_refused(
        change(&client, &version, shorter(), false).await,
        "AccessDenied",
        403,
    );

    let weak = sandbox::Identity::new("WEAK", "weak-secret").deny("BypassGovernanceRetention");
    sandbox.identities().put(weak.clone());
    let weak = client_as(&sandbox, &weak);
    assert_refused(delete(&weak, true).await, "AccessDenied", 403);
    assert_refused(
        change(&weak, &version, shorter(), true).await,
        "AccessDenied",
        403,
    );

    change(&client, &version, shorter(), true).await.unwrap();
    let stricter = retention(ObjectLockRetentionMode::Compliance, in_secs(7200));
    assert_refused(
        change(&client, &version, stricter.clone(), false).await,
        "AccessDenied",
        403,
    );
    change(&client, &version, stricter, true).await.unwrap();
    assert_refused(delete(&client, true).await, "AccessDenied", 403);
}

#[tokio::test]
async fn a_bypass_deletes_governance() {
    let (sandbox, client) = start().await;
    let version = locked(&client, ObjectLockMode::Governance, in_secs(DAY_SECS)).await;
    let delete = client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(version);
    delete
        .bypass_governance_retention(true)
        .send()
        .await
        .unwrap();
    assert!(sandbox.store().versions(BUCKET, "k").is_empty());
}

#[tokio::test]
async fn a_legal_hold_protects_until_it_is_lifted() {
    let (_sandbox, client) = start().await;
    let put = plain(&client, "k", b"evidence");
    let put = put
        .object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On)
        .send()
        .await
        .unwrap();
    let version = put.version_id().unwrap();
    let delete = || {
        let delete = client
            .delete_object()
            .bucket(BUCKET)
            .key("k")
            .version_id(version);
        delete.bypass_governance_retention(true).send()
    };
    assert_refused(delete().await, "AccessDenied", 403);
    let get = || {
        client
            .get_object_legal_hold()
            .bucket(BUCKET)
            .key("k")
            .version_id(version)
            .send()
    };
    let hold = get().await.unwrap().legal_hold.unwrap();
    assert_eq!(hold.status(), Some(&ObjectLockLegalHoldStatus::On));
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        head.object_lock_legal_hold_status(),
        Some(&ObjectLockLegalHoldStatus::On)
    );
    let off = ObjectLockLegalHold::builder()
        .status(ObjectLockLegalHoldStatus::Off)
        .build();
    let lift = client
        .put_object_legal_hold()
        .bucket(BUCKET)
        .key("k")
        .version_id(version);
    lift.legal_hold(off).send().await.unwrap();
    let hold = get().await.unwrap().legal_hold.unwrap();
    assert_eq!(hold.status(), Some(&ObjectLockLegalHoldStatus::Off));
    delete().await.unwrap();
}

#[tokio::test]
async fn what_was_never_locked_says_so() {
    let (_sandbox, client) = start().await;
    plain(&client, "k", b"evidence").send().await.unwrap();
    let get = client
        .get_object_retention()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await;
    assert_refused(get, "NoSuchObjectLockConfiguration", 404);
    let get = client
        .get_object_legal_hold()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await;
    assert_refused(get, "NoSuchObjectLockConfiguration", 404);
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.object_lock_mode(), None);

    client
        .create_bucket()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    let get = client
        .get_object_lock_configuration()
        .bucket("plain-bucket")
        .send()
        .await;
    assert_refused(get, "ObjectLockConfigurationNotFoundError", 404);
    let put = put_until(&client, "k", b"evidence", in_secs(DAY_SECS)).bucket("plain-bucket");
    assert_refused(put.send().await, "InvalidRequest", 400);
    let get = client
        .get_object_retention()
        .bucket("plain-bucket")
        .key("k")
        .send()
        .await;
    assert_refused(get, "InvalidRequest", 400);
}

#[tokio::test]
async fn a_lock_is_set_later_where_none_was() {
    let (sandbox, client) = start().await;
    let put = plain(&client, "k", b"evidence").send().await.unwrap();
    let until = in_secs(DAY_SECS);
    let wanted = retention(ObjectLockRetentionMode::Compliance, until);
    change(&client, put.version_id().unwrap(), wanted, false)
        .await
        .unwrap();
    let kept = &sandbox.store().versions(BUCKET, "k")[0];
    assert_eq!(kept.lock.retention.unwrap().until, timestamp(until));
}

#[tokio::test]
async fn senseless_locks_are_refused() {
    let (sandbox, client) = start().await;
    let past = put_until(&client, "k", b"evidence", in_secs(-10));
    assert_refused(past.send().await, "InvalidArgument", 400);
    let half = plain(&client, "k", b"evidence").object_lock_mode(ObjectLockMode::Compliance);
    assert_refused(half.send().await, "InvalidArgument", 400);
    let unknown = put_until(&client, "k", b"evidence", in_secs(60));
    let unknown = unknown.object_lock_mode(ObjectLockMode::from("FOREVER"));
    assert_refused(unknown.send().await, "InvalidArgument", 400);
    assert!(sandbox.store().versions(BUCKET, "k").is_empty());

    let put = plain(&client, "k", b"evidence").send().await.unwrap();
    let version = put.version_id().unwrap();
    let past = retention(ObjectLockRetentionMode::Compliance, in_secs(-10));
    assert_refused(
        change(&client, version, past, false).await,
        "InvalidArgument",
        400,
    );
    let unknown = retention(ObjectLockRetentionMode::from("FOREVER"), in_secs(60));
    assert_refused(
        change(&client, version, unknown, false).await,
        "MalformedXML",
        400,
    );
    let marker = client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    let wanted = retention(ObjectLockRetentionMode::Compliance, in_secs(60));
    let on_marker = change(&client, marker.version_id().unwrap(), wanted, false).await;
    assert_refused(on_marker, "MethodNotAllowed", 405);
}

fn rule(retention: DefaultRetention) -> ObjectLockConfiguration {
    ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(
            ObjectLockRule::builder()
                .default_retention(retention)
                .build(),
        )
        .build()
}

#[tokio::test]
async fn the_default_rule_locks_what_asks_for_nothing() {
    let (sandbox, client) = start().await;
    let set = |configuration| {
        let set = client.put_object_lock_configuration().bucket(BUCKET);
        set.object_lock_configuration(configuration).send()
    };
    let compliance = || DefaultRetention::builder().mode(ObjectLockRetentionMode::Compliance);
    set(rule(compliance().days(2192).build())).await.unwrap();
    let told = client
        .get_object_lock_configuration()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    let told = told
        .object_lock_configuration
        .unwrap()
        .rule
        .unwrap()
        .default_retention
        .unwrap();
    assert_eq!(told.days(), Some(2192));

    let put = plain(&client, "k", b"evidence").send().await.unwrap();
    let kept = sandbox.store().versions(BUCKET, "k").remove(0);
    let lock = kept.lock.retention.unwrap();
    assert_eq!(lock.mode, Mode::Compliance);
    let days = lock.until.duration_since(kept.last_modified).as_secs() / DAY_SECS;
    assert_eq!(days, 2192);
    let delete = client.delete_object().bucket(BUCKET).key("k");
    let delete = delete.version_id(put.version_id().unwrap()).send().await;
    assert_refused(delete, "AccessDenied", 403);
    // What asks for a lock of its own gets that one.
    let until = in_secs(DAY_SECS);
    put_until(&client, "own", b"evidence", until)
        .send()
        .await
        .unwrap();
    let own = sandbox.store().versions(BUCKET, "own").remove(0);
    assert_eq!(own.lock.retention.unwrap().until, timestamp(until));

    let both = rule(compliance().days(1).years(1).build());
    assert_refused(set(both).await, "MalformedXML", 400);
    let neither = rule(compliance().build());
    assert_refused(set(neither).await, "MalformedXML", 400);
    assert_refused(
        set(rule(compliance().days(0).build())).await,
        "InvalidArgument",
        400,
    );
    assert_refused(
        set(rule(compliance().years(101).build())).await,
        "InvalidArgument",
        400,
    );
    let disabled = ObjectLockConfiguration::builder().build();
    assert_refused(set(disabled).await, "MalformedXML", 400);
}

#[tokio::test]
async fn object_lock_needs_versioning() {
    let (_sandbox, client) = start().await;
    client
        .create_bucket()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    let days = DefaultRetention::builder()
        .mode(ObjectLockRetentionMode::Governance)
        .days(1)
        .build();
    let set = client
        .put_object_lock_configuration()
        .bucket("plain-bucket");
    let set = set.object_lock_configuration(rule(days)).send().await;
    assert_refused(set, "InvalidBucketState", 409);
}
