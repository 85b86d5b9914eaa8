//! Conditional writes.

use tokio::task::JoinSet;

use crate::client::{BUCKET, assert_refused, plain, put, refusal, start};

#[tokio::test]
async fn if_none_match_refuses_a_second_version() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"one").send().await.unwrap();
    assert_refused(
        put(&client, "k", b"two").send().await,
        "PreconditionFailed",
        412,
    );
    assert_refused(
        put(&client, "k", b"one").send().await,
        "PreconditionFailed",
        412,
    );
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
    // Without the condition a newer version can always be laid over a locked one.
    plain(&client, "k", b"two").send().await.unwrap();
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 2);
}

#[tokio::test]
async fn if_none_match_succeeds_under_a_delete_marker_as_on_s3() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"one").send().await.unwrap();
    client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    put(&client, "k", b"two").send().await.unwrap();
    let kept = sandbox.store().versions(BUCKET, "k");
    let markers: Vec<bool> = kept
        .iter()
        .map(|version| version.is_delete_marker)
        .collect();
    assert_eq!(markers, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_conditional_puts_exactly_one_wins() {
    let (sandbox, client) = start().await;
    for round in 0..10 {
        let key = format!("race-{round}");
        let mut racers = JoinSet::new();
        for _ in 0..16 {
            let put = put(&client, &key, b"same key").send();
            racers.spawn(async move { refusal(put.await) });
        }
        let outcomes = racers.join_all().await;
        let losers: Vec<_> = outcomes.into_iter().flatten().collect();
        assert_eq!(losers.len(), 15, "round {round}");
        assert!(
            losers
                .iter()
                .all(|loser| *loser == ("PreconditionFailed".to_owned(), 412))
        );
        assert_eq!(sandbox.store().versions(BUCKET, &key).len(), 1);
    }
}

#[tokio::test]
async fn if_match_wants_the_current_etag() {
    let (_sandbox, client) = start().await;
    let missing = plain(&client, "k", b"two").if_match("abc").send().await;
    assert_refused(missing, "NoSuchKey", 404);
    let first = plain(&client, "k", b"one").send().await.unwrap();
    let etag = first.e_tag().unwrap();
    plain(&client, "k", b"two")
        .if_match(etag)
        .send()
        .await
        .unwrap();
    let stale = plain(&client, "k", b"three").if_match(etag).send().await;
    assert_refused(stale, "PreconditionFailed", 412);
    // S3 takes no ETag in If-None-Match of a write.
    let other = plain(&client, "k", b"three")
        .if_none_match(etag)
        .send()
        .await;
    assert_refused(other, "NotImplemented", 501);
}

#[tokio::test]
async fn reads_are_conditional_too() {
    let (_sandbox, client) = start().await;
    let put = put(&client, "k", b"one").send().await.unwrap();
    let etag = put.e_tag().unwrap();
    let head = || client.head_object().bucket(BUCKET).key("k");
    head().if_match(etag).send().await.unwrap();
    let unchanged = head().if_none_match(etag).send().await;
    assert_eq!(refusal(unchanged).map(|(_, status)| status), Some(304));
    let other = head().if_match("\"0123\"").send().await;
    assert_eq!(refusal(other).map(|(_, status)| status), Some(412));
}
