//! Single calls: what is read back, and how failures are sorted.

use bytes::Bytes;
use destination::{Class, Destination as _, Lock, PutRequest};
use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Action, Fault};

use crate::start;

pub(crate) fn request(key: &str, bytes: &'static [u8]) -> PutRequest {
    let until = Timestamp::now() + SignedDuration::from_hours(24);
    PutRequest {
        key: key.to_owned(),
        body: Bytes::from_static(bytes),
        sha256: Sha256::of(bytes),
        md5: Some(sandbox::md5_of(bytes)),
        content_type: "application/json",
        retain_until: Timestamp::from_second(until.as_second()).unwrap(),
    }
}

#[tokio::test]
async fn what_was_put_is_read_back_by_version_with_its_lock_and_digest() {
    let (_sandbox, store) = start().await;
    let wanted = request("a/b.json", b"evidence");
    let put = store.put(&wanted).await.unwrap();
    let stored = store
        .inspect("a/b.json", put.version_id.as_ref().unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.lock, Lock::Compliance(wanted.retain_until));
    assert_eq!((stored.sha256, stored.size_bytes), (Some(wanted.sha256), 8));
    let md5 = hex::encode(sandbox::md5_of(b"evidence"));
    assert_eq!(
        (stored.etag.as_deref(), stored.etag_is_md5),
        (Some(md5.as_str()), true)
    );
    let read = store
        .read_back("a/b.json", &stored.version_id)
        .await
        .unwrap();
    assert_eq!((read.sha256, read.size_bytes), (wanted.sha256, 8));
}

#[tokio::test]
async fn one_request_brings_the_bytes_of_a_version_and_what_the_store_says_of_it() {
    let (sandbox, store) = start().await;
    let wanted = request("k", b"evidence");
    let version = store.put(&wanted).await.unwrap().version_id.unwrap();
    let stored = store.inspect("k", &version).await.unwrap().unwrap();
    sandbox.log().clear();
    let fetched = store.fetch("k", &version, 8).await.unwrap().unwrap();
    assert_eq!(fetched.bytes, b"evidence");
    assert_eq!(fetched.stored.lock, Lock::Compliance(wanted.retain_until));
    let said = |s: &destination::Stored| (s.size_bytes, s.etag.clone(), s.last_modified);
    assert_eq!(said(&fetched.stored), said(&stored));
    assert_eq!(sandbox.log().requests().len(), 1);
    assert_eq!(store.fetch("k", &version, 7).await.unwrap(), None);
}

#[tokio::test]
async fn a_lock_that_a_get_hides_is_asked_for_once_and_is_unknown_when_that_is_denied() {
    let (sandbox, store) = start().await;
    let wanted = request("k", b"x");
    let version = store.put(&wanted).await.unwrap().version_id.unwrap();
    sandbox
        .faults()
        .add(Fault::on("GetObject", Action::HideLock));
    let fetched = store.fetch("k", &version, 1).await.unwrap().unwrap();
    assert_eq!(fetched.stored.lock, Lock::Compliance(wanted.retain_until));
    assert_eq!(sandbox.hits("GetObjectRetention"), 1);
    sandbox
        .identities()
        .put(sandbox.credentials().clone().deny("GetObjectRetention"));
    let fetched = store.fetch("k", &version, 1).await.unwrap().unwrap();
    assert_eq!(fetched.stored.lock, Lock::Unknown);
}

#[tokio::test]
async fn a_lock_that_head_hides_is_unknown_not_unlocked() {
    let (sandbox, store) = start().await;
    let put = store.put(&request("k", b"x")).await.unwrap();
    let version = put.version_id.unwrap();
    sandbox
        .identities()
        .put(sandbox.credentials().clone().deny("GetObjectRetention"));
    let stored = store.inspect("k", &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Unknown);
}

#[tokio::test]
async fn a_lock_that_was_lost_is_seen_and_can_be_set_afterwards() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::LoseLock));
    let wanted = request("k", b"x");
    let version = store.put(&wanted).await.unwrap().version_id.unwrap();
    assert_eq!(
        store.inspect("k", &version).await.unwrap().unwrap().lock,
        Lock::Unlocked
    );
    store
        .lock("k", &version, wanted.retain_until)
        .await
        .unwrap();
    let stored = store.inspect("k", &version).await.unwrap().unwrap();
    assert_eq!(stored.lock, Lock::Compliance(wanted.retain_until));
}

#[tokio::test]
async fn versions_lists_exactly_this_key_newest_first() {
    let (_sandbox, store) = start().await;
    store.put(&request("k.json", b"x")).await.unwrap();
    store.put(&request("k.json.bundle", b"y")).await.unwrap();
    let versions = store.versions("k.json").await.unwrap();
    assert_eq!(versions.len(), 1);
    assert!(versions[0].is_latest && !versions[0].is_delete_marker);
    assert_eq!(store.versions("k").await.unwrap(), []);
}

#[tokio::test]
async fn a_lost_answer_to_a_put_is_unknown_and_to_a_head_is_transient() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::DropAfterCommit).nth(1));
    let lost = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(lost.class, Class::OutcomeUnknown, "{lost:?}");
    assert_eq!(
        store.versions("k").await.unwrap().len(),
        1,
        "it had been stored"
    );
    let version = store.versions("k").await.unwrap()[0].version_id.clone();
    sandbox
        .faults()
        .add(Fault::on("HeadObject", Action::DropBeforeCommit).nth(1));
    let lost = store.inspect("k", &version).await.unwrap_err();
    assert_eq!(lost.class, Class::Transient, "{lost:?}");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_transient_because_nothing_was_sent() {
    let (sandbox, store) = start().await;
    sandbox.shutdown().await.unwrap();
    let refused = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(refused.class, Class::Transient, "{refused:?}");
    assert_eq!(refused.code, "ConnectionRefused");
}

#[tokio::test]
async fn a_store_that_never_answers_is_given_up_in_time() {
    let (sandbox, store) = start().await;
    sandbox.faults().add(Fault::on(
        "PutObject",
        Action::StallResponse { millis: 60_000 },
    ));
    let late = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (late.class, late.code.as_str()),
        (Class::OutcomeUnknown, "Timeout")
    );
}

#[tokio::test]
async fn refusals_carry_code_status_and_the_stores_date() {
    let (sandbox, store) = start().await;
    for (status, code, class) in [
        (503, "SlowDown", Class::Transient),
        (403, "AccessDenied", Class::Park),
        (404, "NoSuchBucket", Class::Park),
        (400, "ExpiredToken", Class::Park),
        (409, "OperationAborted", Class::ConflictRetry),
        (400, "InvalidRequest", Class::BlockItem),
        (403, "RequestTimeTooSkewed", Class::Clock),
    ] {
        let id = sandbox
            .faults()
            .add(Fault::on("PutObject", Action::answer(status, code)));
        let failure = store.put(&request("k", b"x")).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (class, code));
        assert_eq!(failure.status, Some(status));
        assert!(failure.server_date.is_some(), "{code}");
        sandbox.faults().remove(id);
    }
}

#[tokio::test]
async fn the_servers_clock_is_kept_and_preflight_reports_the_offset() {
    let (sandbox, store) = start().await;
    assert_eq!(store.server_now(), None);
    sandbox.clock().set_offset_secs(7200);
    let preflight = store.preflight().await;
    // The first signature is refused for skew; the SDK then corrects itself, and so it is tried
    // once more, as the uploader does.
    let preflight = match preflight {
        Ok(preflight) => preflight,
        Err(_) => store.preflight().await.unwrap(),
    };
    assert_eq!(
        (preflight.versioning, preflight.object_lock),
        (Some(true), Some(true))
    );
    assert!(
        (preflight.clock_offset_ms - 7_200_000).abs() < 60_000,
        "{preflight:?}"
    );
    let now = store.server_now().unwrap();
    assert!(now > Timestamp::now() + SignedDuration::from_secs(7100));
}
