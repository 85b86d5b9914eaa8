//! The suite that every store must pass, and stores that must not pass it.

use destination::conformance::{Check, Difference, Outcome, Suite, Verdict};
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
        .filter(|c| c.outcome != Outcome::Passed)
        .map(|c| c.name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_passes_the_suite() {
    let (_sandbox, store) = start().await;
    let checks = suite().run(&store, |_| {}).await;
    assert_eq!(checks.len(), 27);
    assert_eq!(failed(&checks), Vec::<&str>::new(), "{checks:#?}");
    assert_eq!(Verdict::of(&checks), Verdict::Qualified);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tolerated_difference_is_found_and_named() {
    use Action::{HideChecksum, IgnoreIfNoneMatch, LoseLock};
    for (operation, action, difference) in [
        ("PutObject", IgnoreIfNoneMatch, Difference::ConditionIgnored),
        ("HeadObject", HideChecksum, Difference::NoSha256),
        (
            "CompleteMultipartUpload",
            IgnoreIfNoneMatch,
            Difference::MultipartConditionIgnored,
        ),
        (
            "CompleteMultipartUpload",
            LoseLock,
            Difference::MultipartLockDropped,
        ),
    ] {
        let (sandbox, store) = start().await;
        sandbox.faults().add(Fault::on(operation, action.clone()));
        let checks = suite().run(&store, |_| {}).await;
        assert_eq!(
            Verdict::of(&checks),
            Verdict::UsableWith(vec![difference]),
            "{operation} {action:?}: {checks:#?}"
        );
        assert_eq!(failed(&checks), difference.checks(), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_if_none_match_does_not_pass() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::IgnoreIfNoneMatch));
    assert_eq!(
        failed(&suite().run(&store, |_| {}).await),
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
    let checks = suite().run(&store, |_| {}).await;
    let failed = failed(&checks);
    assert!(
        failed
            .contains(&"the version is read back: size, identity, COMPLIANCE until the date asked"),
        "{failed:?}"
    );
    assert!(
        failed.contains(&"deleting the locked version is refused"),
        "{failed:?}"
    );
    assert!(matches!(Verdict::of(&checks), Verdict::NotUsable(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_corrupts_bytes_or_is_away_does_not_pass() {
    let (sandbox, store) = start().await;
    sandbox
        .faults()
        .add(Fault::on("PutObject", Action::CorruptBytes));
    assert!(!failed(&suite().run(&store, |_| {}).await).is_empty());
    let gone = connect(&sandbox).await;
    sandbox.shutdown().await.unwrap();
    let checks = suite().run(&gone, |_| {}).await;
    assert_eq!(
        failed(&checks).len(),
        checks.len(),
        "nothing passes unchecked"
    );
    assert!(matches!(Verdict::of(&checks), Verdict::CouldNotCheck(_)));
}
