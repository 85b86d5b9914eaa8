//! Who is heard: signatures, clocks, permissions; and what every answer carries.

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::ObjectLockRetentionMode;
use sandbox::{Identity, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{
    BUCKET, DAY_SECS, assert_refused, client, client_as, in_secs, plain, put, refusal, retention,
    start,
};

#[tokio::test]
async fn a_wrong_secret_or_unknown_key_is_refused() {
    let (sandbox, _) = start().await;
    let known = &sandbox.credentials().access_key;
    let forged = client_as(&sandbox, &Identity::new(known, "guessed"));
    assert_refused(
        put(&forged, "k", b"x").send().await,
        "SignatureDoesNotMatch",
        403,
    );
    let unknown = client_as(&sandbox, &Identity::new("NOBODY", "secret"));
    assert_refused(
        put(&unknown, "k", b"x").send().await,
        "InvalidAccessKeyId",
        403,
    );
    assert!(sandbox.store().all_versions(BUCKET).is_empty());
    assert_eq!(sandbox.hits("PutObject"), 0);
    // A key can be taken away and given back while the endpoint runs.
    let client = client(&sandbox);
    put(&client, "k", b"x").send().await.unwrap();
    let identity = sandbox.credentials().clone();
    sandbox.identities().remove(&identity.access_key);
    assert_refused(
        put(&client, "k2", b"x").send().await,
        "InvalidAccessKeyId",
        403,
    );
    sandbox.identities().put(identity);
    put(&client, "k2", b"x").send().await.unwrap();
}

#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let (sandbox, _) = start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", sandbox.port()))
        .await
        .unwrap();
    let request = format!("GET /{BUCKET}/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
}

#[tokio::test]
async fn a_clock_more_than_15_minutes_off_is_refused_and_told_the_servers() {
    let (sandbox, _) = start().await;
    // A fresh client each time: the SDK corrects itself by the dates it was told.
    for offset_secs in [-890, 890] {
        sandbox.clock().set_offset_secs(offset_secs);
        client(&sandbox)
            .head_bucket()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap();
    }
    for offset_secs in [-1000, 1000, 365 * DAY_SECS] {
        sandbox.clock().set_offset_secs(offset_secs);
        let refused = put(&client(&sandbox), "k", b"x").send().await;
        let raw = refused.as_ref().unwrap_err().raw_response().unwrap();
        let date = raw.headers().get("date").unwrap();
        let date = jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(date)
            .unwrap();
        let ahead = date.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((ahead - offset_secs).abs() <= 5, "{date} for {offset_secs}");
        let body = std::str::from_utf8(raw.body().bytes().unwrap()).unwrap();
        assert!(
            body.contains("<MaxAllowedSkewMilliseconds>900000<"),
            "{body}"
        );
        assert_refused(refused, "RequestTimeTooSkewed", 403);
    }
    assert!(sandbox.store().all_versions(BUCKET).is_empty());
}

#[tokio::test]
async fn every_answer_carries_the_servers_date() {
    let (sandbox, client) = start().await;
    sandbox.clock().set_offset_secs(600);
    let refused = client
        .get_object()
        .bucket(BUCKET)
        .key("none")
        .send()
        .await
        .unwrap_err();
    let headers = refused.raw_response().unwrap().headers();
    let date = headers.get("date").unwrap();
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(date)
        .unwrap();
    let ahead = date.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((590..=600).contains(&ahead), "{ahead}");
    assert!(headers.get("x-amz-request-id").is_some());
}

#[tokio::test]
async fn who_may_not_read_retention_sees_no_lock_and_no_error() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"x").send().await.unwrap();
    let blind = Identity::new("BLIND", "blind-secret").deny("GetObjectRetention");
    sandbox.identities().put(blind.clone());
    let blind = client_as(&sandbox, &blind);
    let head = blind
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.object_lock_mode(), None);
    assert_eq!(head.object_lock_retain_until_date(), None);
    let get = blind
        .get_object_retention()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await;
    assert_refused(get, "AccessDenied", 403);
    let seen = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert!(seen.object_lock_mode().is_some());
}

#[tokio::test]
async fn an_identity_stays_within_its_prefix_and_permissions() {
    let (sandbox, client) = start().await;
    let writer = Identity::new("WRITER", "writer-secret")
        .below("host-1/")
        .deny("DeleteObject")
        .deny("DeleteObjectVersion")
        .deny("PutObjectRetention")
        .deny("ListBucket");
    sandbox.identities().put(writer.clone());
    let writer = client_as(&sandbox, &writer);
    assert_refused(
        plain(&writer, "host-2/k", b"x").send().await,
        "AccessDenied",
        403,
    );
    assert_refused(
        put(&writer, "host-1/k", b"x").send().await,
        "AccessDenied",
        403,
    );
    plain(&writer, "host-1/k", b"x").send().await.unwrap();
    let delete = writer
        .delete_object()
        .bucket(BUCKET)
        .key("host-1/k")
        .send()
        .await;
    assert_refused(delete, "AccessDenied", 403);
    let lock = writer.put_object_retention().bucket(BUCKET).key("host-1/k");
    let lock = lock.retention(retention(
        ObjectLockRetentionMode::Compliance,
        in_secs(DAY_SECS),
    ));
    assert_refused(lock.send().await, "AccessDenied", 403);
    // Without ListBucket, S3 does not tell that a key is missing.
    let get = writer
        .get_object()
        .bucket(BUCKET)
        .key("host-1/none")
        .send()
        .await;
    assert_refused(get, "AccessDenied", 403);
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("host-1/none")
        .send()
        .await;
    assert_refused(get, "NoSuchKey", 404);
}

/// Changes the body after it was signed.
#[derive(Debug)]
struct Tamper;

impl Intercept for Tamper {
    fn name(&self) -> &'static str {
        "Tamper"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *context.request_mut().body_mut() = SdkBody::from("tampered");
        Ok(())
    }
}

#[tokio::test]
async fn a_body_changed_after_signing_is_refused() {
    let (sandbox, client) = start().await;
    let put = client.put_object().bucket(BUCKET).key("k");
    let put = put.body(ByteStream::from_static(b"original"));
    let changed = put.customize().interceptor(Tamper).send().await;
    assert_refused(changed, "XAmzContentSHA256Mismatch", 400);
    assert!(sandbox.store().all_versions(BUCKET).is_empty());
}

#[tokio::test]
async fn requests_that_change_locks_need_a_digest_and_a_true_one() {
    let (_sandbox, client) = start().await;
    let put = plain(&client, "k", b"x").send().await.unwrap();
    let lock = || {
        let lock = client.put_object_retention().bucket(BUCKET).key("k");
        let lock = lock.version_id(put.version_id().unwrap());
        lock.retention(retention(
            ObjectLockRetentionMode::Governance,
            in_secs(DAY_SECS),
        ))
    };
    let wrong = crate::client::md5(b"something else");
    assert_refused(lock().content_md5(wrong).send().await, "BadDigest", 400);
    let bare = lock()
        .content_md5("")
        .customize()
        .mutate_request(|request| {
            let digests: Vec<String> = request
                .headers()
                .iter()
                .map(|(name, _)| name.to_owned())
                .filter(|name| name.starts_with("x-amz-checksum") || name == "content-md5")
                .collect();
            for name in digests {
                request.headers_mut().remove(name);
            }
        });
    assert_eq!(
        refusal(bare.send().await).map(|(code, _)| code).as_deref(),
        Some("InvalidRequest")
    );
    lock().send().await.unwrap();
}

#[tokio::test]
async fn the_log_has_every_request_and_how_it_ended() {
    let (sandbox, client) = start().await;
    put(&client, "k", b"x").send().await.unwrap();
    put(&client, "k", b"x").send().await.unwrap_err();
    let log = sandbox.log();
    log.wait_until(|log| log.count("PutObject").failed == 1)
        .await;
    let count = log.count("PutObject");
    assert_eq!(
        (count.arrived, count.succeeded, count.failed, count.dropped),
        (2, 1, 1, 0)
    );
    let last = log.requests().pop().unwrap();
    assert_eq!(last.operation, "PutObject");
    assert_eq!(last.key.as_deref(), Some("k"));
    assert_eq!(
        last.access_key.as_deref(),
        Some(sandbox.credentials().access_key.as_str())
    );
    let refused = Outcome::Answered {
        status: 412,
        code: Some("PreconditionFailed".to_owned()),
    };
    assert_eq!(last.outcome, refused);
    log.clear();
    assert!(log.requests().is_empty());
    assert_eq!(sandbox.hits("PutObject"), 0);
}
