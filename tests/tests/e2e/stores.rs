//! Real S3 servers: what they do with a lock, and what we then say of it.

use std::time::Duration;

use destination::conformance::Suite;
use destination::{S3Destination, S3Options};
use jiff::SignedDuration;
use tests::servers::{Kind, REGION, Server};

const BUCKET: &str = "evidence";

async fn store(server: &Server) -> S3Destination {
    S3Destination::connect(S3Options {
        destination_id: "main".to_owned(),
        bucket: BUCKET.to_owned(),
        prefix: String::new(),
        region: REGION.to_owned(),
        endpoint: Some(server.endpoint.clone()),
        path_style: true,
        profile: None,
        credentials_file: Some(server.credentials_file()),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
    })
    .await
}

/// The checks that do not hold there, each with what was found instead.
async fn failures(kind: Kind, test: &str) -> Option<Vec<(&'static str, String)>> {
    let server = Server::start(kind, test).await?;
    server.make_bucket(BUCKET).await;
    let suite = Suite {
        prefix: "conformance/1/".to_owned(),
        lock_for: SignedDuration::from_mins(10),
    };
    let checks = suite.run(&store(&server).await).await;
    Some(
        checks
            .into_iter()
            .filter_map(|check| Some((check.name, check.failed?)))
            .collect(),
    )
}

#[tokio::test]
async fn minio_passes_the_conformance_suite() {
    let Some(failed) = failures(Kind::Minio, "minio_passes_the_conformance_suite").await else {
        return;
    };
    assert_eq!(failed, []);
}

/// Under a delete marker its HEAD by version leaves the lock out, and its GetObjectRetention
/// answers with `<ObjectLockRetention>` where S3 has `<Retention>`: the lock is there and cannot be
/// read, so such a version is never confirmed.
#[tokio::test]
async fn versitygw_passes_but_for_a_lock_under_a_delete_marker() {
    let test = "versitygw_passes_but_for_a_lock_under_a_delete_marker";
    let Some(failed) = failures(Kind::Versitygw, test).await else {
        return;
    };
    let names: Vec<_> = failed.iter().map(|(name, _)| *name).collect();
    let expected = [
        "a delete marker hides nothing from a listing of versions",
        "what is laid over a locked version leaves that version as it was",
    ];
    assert_eq!(names, expected, "{failed:#?}");
}
