//! The suite that every store must pass, and stores that must not pass it.

use destination::conformance::{Check, Suite};
use jiff::SignedDuration;
use sandbox::{Action, Fault};

use crate::{connect, start};

fn suite() -> Suite {
    Suite {
        prefix: "conformance/".to_owned(),
        lock_for: SignedDuration::from_hours(1),
    }
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    checks
        .iter()
        .filter(|c| c.failed.is_some())
        .map(|c| c.name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_passes_the_suite() {
    let (_sandbox, store) = start().await;
    let checks = suite().run(&store).await;
    assert_eq!(checks.len(), 14);
    assert_eq!(failed(&checks), Vec::<&str>::new(), "{checks:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_if_none_match_does_not_pass() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::IgnoreIfNoneMatch));
    assert_eq!(
        failed(&suite().run(&store).await),
        [
            "a second conditional PUT is refused as occupied",
            "of racing conditional PUTs exactly one wins"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_loses_locks_does_not_pass() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::LoseLock));
    let failed = failed(&suite().run(&store).await);
    assert!(
        failed
            .contains(&"the version is read back: size, identity, COMPLIANCE until the date asked"),
        "{failed:?}"
    );
    assert!(
        failed.contains(&"deleting the locked version is refused"),
        "{failed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_corrupts_bytes_or_is_away_does_not_pass() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::CorruptBytes));
    assert!(!failed(&suite().run(&store).await).is_empty());
    let gone = connect(&sandbox).await;
    sandbox.shutdown().await.unwrap();
    let checks = suite().run(&gone).await;
    assert_eq!(
        failed(&checks).len(),
        checks.len(),
        "nothing passes unchecked"
    );
}
