//! Checksums: checked, kept, echoed, and required where a lock is asked for.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumMode, ChecksumType, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetentionMode, ObjectLockRule,
};
use sandbox::{Algorithm, checksum_of};

use crate::client::{
    BUCKET, DAY_SECS, assert_refused, client, config, in_secs, md5, plain, put, sha256, start,
};

const NEEDS_DIGEST: &str = "InvalidRequest";

async fn head(client: &Client, key: &str) -> HeadObjectOutput {
    let head = client.head_object().bucket(BUCKET).key(key);
    head.checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn each_checksum_is_checked_kept_and_echoed_when_asked_for() {
    let (sandbox, client) = start().await;
    let right = |algorithm| checksum_of(algorithm, b"bytes");
    let wrong = |algorithm| checksum_of(algorithm, b"other");
    for algorithm in Algorithm::ALL {
        let key = algorithm.as_str();
        let put = |value: String| {
            let put = client.put_object().bucket(BUCKET).key(key);
            let put = put.body(ByteStream::from_static(b"bytes"));
            match algorithm {
                Algorithm::Crc32 => put.checksum_crc32(value),
                Algorithm::Crc32c => put.checksum_crc32_c(value),
                Algorithm::Crc64Nvme => put.checksum_crc64_nvme(value),
                Algorithm::Sha1 => put.checksum_sha1(value),
                Algorithm::Sha256 => put.checksum_sha256(value),
            }
            .send()
        };
        assert_refused(put(wrong(algorithm)).await, "BadDigest", 400);
        assert_refused(put("AAAA".to_owned()).await, "InvalidRequest", 400);
        assert!(sandbox.store().versions(BUCKET, key).is_empty());
        put(right(algorithm)).await.unwrap();
        let head = head(&client, key).await;
        let echoed = match algorithm {
            Algorithm::Crc32 => head.checksum_crc32(),
            Algorithm::Crc32c => head.checksum_crc32_c(),
            Algorithm::Crc64Nvme => head.checksum_crc64_nvme(),
            Algorithm::Sha1 => head.checksum_sha1(),
            Algorithm::Sha256 => head.checksum_sha256(),
        };
        assert_eq!(echoed, Some(right(algorithm).as_str()), "{key}");
        assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
        assert_eq!(
            head.e_tag().unwrap().trim_matches('"'),
            "4b3a6218bb3e3a7303e8a171a60fcf92"
        );
    }
}

#[tokio::test]
async fn head_without_checksum_mode_tells_none() {
    let (_sandbox, client) = start().await;
    let put = put(&client, "k", b"bytes").send().await.unwrap();
    assert_eq!(put.checksum_sha256(), Some(sha256(b"bytes").as_str()));
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.checksum_sha256(), None);
    assert_eq!(head.checksum_type(), None);
}

#[tokio::test]
async fn content_md5_is_checked() {
    let (sandbox, client) = start().await;
    let put = |value: String| {
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("k")
            .content_md5(value);
        put.body(ByteStream::from_static(b"bytes")).send()
    };
    assert_refused(put(md5(b"other")).await, "BadDigest", 400);
    assert_refused(put("no md5".to_owned()).await, "InvalidDigest", 400);
    assert!(sandbox.store().versions(BUCKET, "k").is_empty());
    put(md5(b"bytes")).await.unwrap();
    // Without a checksum of the client's, S3 computes CRC64NVME itself.
    let crc = checksum_of(Algorithm::Crc64Nvme, b"bytes");
    assert_eq!(
        head(&client, "k").await.checksum_crc64_nvme(),
        Some(crc.as_str())
    );
}

#[tokio::test]
async fn two_checksums_are_refused() {
    let (_sandbox, client) = start().await;
    let both =
        plain(&client, "k", b"bytes").checksum_crc32(checksum_of(Algorithm::Crc32, b"bytes"));
    assert_refused(both.send().await, "InvalidRequest", 400);
}

#[tokio::test]
async fn a_trailing_checksum_as_the_sdk_sends_by_default_is_checked_and_kept() {
    let (sandbox, _) = start().await;
    let trailing = config(&sandbox, sandbox.credentials())
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
    let client = Client::from_conf(trailing.build());
    let bytes = vec![7_u8; 200_000];
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key("k")
        .body(ByteStream::from(bytes.clone()));
    put.send().await.unwrap();
    let kept = &sandbox.store().versions(BUCKET, "k")[0];
    assert_eq!(kept.sha256, sandbox::sha256_hex(&bytes));
    let checksum = kept.checksum.as_ref().unwrap();
    assert_eq!(checksum.value, checksum_of(checksum.algorithm, &bytes));
}

#[tokio::test]
async fn a_lock_without_any_checksum_is_refused() {
    let (sandbox, client) = start().await;
    let bare = || {
        let put = client.put_object().bucket(BUCKET).key("k");
        put.body(ByteStream::from_static(b"bytes"))
    };
    let locked = || {
        let until = in_secs(DAY_SECS);
        bare()
            .object_lock_mode(ObjectLockMode::Compliance)
            .object_lock_retain_until_date(until)
    };
    assert_refused(locked().send().await, NEEDS_DIGEST, 400);
    let held = bare().object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    assert_refused(held.send().await, NEEDS_DIGEST, 400);
    bare().send().await.unwrap();
    locked().content_md5(md5(b"bytes")).send().await.unwrap();
    locked()
        .checksum_sha256(sha256(b"bytes"))
        .send()
        .await
        .unwrap();

    let rule = DefaultRetention::builder()
        .mode(ObjectLockRetentionMode::Compliance)
        .days(1)
        .build();
    let configuration = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(rule).build())
        .build();
    let set = client.put_object_lock_configuration().bucket(BUCKET);
    set.object_lock_configuration(configuration)
        .send()
        .await
        .unwrap();
    assert_refused(bare().send().await, NEEDS_DIGEST, 400);
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 3);
}

#[tokio::test]
async fn under_kms_the_etag_is_not_the_md5() {
    let (_sandbox, client) = start().await;
    let encrypted = put(&client, "k", b"bytes")
        .server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms)
        .ssekms_key_id("key-1");
    let put = encrypted.send().await.unwrap();
    assert_ne!(
        put.e_tag().unwrap().trim_matches('"'),
        "4b3a6218bb3e3a7303e8a171a60fcf92"
    );
    let head = head(&client, "k").await;
    assert_eq!(head.server_side_encryption().unwrap().as_str(), "aws:kms");
    assert_eq!(head.checksum_sha256(), Some(sha256(b"bytes").as_str()));
}

#[tokio::test]
async fn an_unversioned_head_of_a_plain_bucket_has_no_version_id() {
    let (sandbox, _) = start().await;
    let client = client(&sandbox);
    client
        .create_bucket()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    let put = client.put_object().bucket("plain-bucket").key("k");
    put.body(ByteStream::from_static(b"bytes"))
        .send()
        .await
        .unwrap();
    let head = client
        .head_object()
        .bucket("plain-bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(head.version_id(), None);
}
