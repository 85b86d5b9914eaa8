//! Legal holds, against the embedded endpoint; tests/tests/e2e has them against real servers.

use destination::conformance::{Adversary as _, Attempt};
use destination::{Destination as _, LegalHold, Lock};

use crate::calls::request;
use crate::start;

#[tokio::test]
async fn a_legal_hold_is_put_on_read_back_and_taken_off() {
    let (_sandbox, store) = start().await;
    let put = store.put(&request("k", b"x")).await.unwrap();
    let version = put.version_id.unwrap();
    assert_eq!(
        store.legal_hold("k", &version).await.unwrap(),
        LegalHold::Off
    );
    store.set_legal_hold("k", &version, true).await.unwrap();
    assert_eq!(
        store.legal_hold("k", &version).await.unwrap(),
        LegalHold::On
    );
    store.set_legal_hold("k", &version, false).await.unwrap();
    assert_eq!(
        store.legal_hold("k", &version).await.unwrap(),
        LegalHold::Off
    );
}

#[tokio::test]
async fn what_is_held_outlives_its_retention() {
    let (sandbox, store) = start().await;
    let put = store.put(&request("k", b"x")).await.unwrap();
    let version = put.version_id.unwrap();
    store.set_legal_hold("k", &version, true).await.unwrap();
    let stored = store.inspect("k", &version).await.unwrap().unwrap();
    let Lock::Compliance(until) = stored.lock else {
        panic!("{stored:?}")
    };
    let past = until.as_second() - jiff::Timestamp::now().as_second() + 86_400;
    sandbox.clock().set_offset_secs(past);
    // One answer tells the store's new date; the next request bears it.
    let _ = store.inspect("k", &version).await;
    let refused = store.delete_version("k", &version).await;
    assert!(matches!(refused, Attempt::Refused(_)), "{refused:?}");
    store.set_legal_hold("k", &version, false).await.unwrap();
    assert_eq!(store.delete_version("k", &version).await, Attempt::Allowed);
}

#[tokio::test]
async fn a_hold_that_may_not_be_read_is_unknown_and_one_that_may_not_be_set_is_refused() {
    let (sandbox, store) = start().await;
    let put = store.put(&request("k", b"x")).await.unwrap();
    let version = put.version_id.unwrap();
    let denied = sandbox.credentials().clone();
    sandbox
        .identities()
        .put(denied.deny("GetObjectLegalHold").deny("PutObjectLegalHold"));
    assert_eq!(
        store.legal_hold("k", &version).await.unwrap(),
        LegalHold::Unknown
    );
    let failure = store.set_legal_hold("k", &version, true).await.unwrap_err();
    assert_eq!(failure.code, "AccessDenied");
}
