//! Multipart uploads.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    ObjectLockMode,
};
use sandbox::{Algorithm, Mode, checksum_of};

use crate::client::{
    BUCKET, DAY_SECS, assert_refused, in_secs, put, refusal, sha256, start, timestamp,
};

const PART_BYTES: usize = 5 * 1024 * 1024;

fn whole() -> Vec<u8> {
    (0..2 * PART_BYTES + 17).map(|n| (n % 253) as u8).collect()
}

async fn begin(client: &Client, algorithm: Option<ChecksumAlgorithm>) -> String {
    let create = client.create_multipart_upload().bucket(BUCKET).key("k");
    let created = create
        .set_checksum_algorithm(algorithm)
        .send()
        .await
        .unwrap();
    created.upload_id.unwrap()
}

/// Uploads a part with CRC64NVME or, by its upload's agreement, SHA-256.
async fn part(client: &Client, id: &str, number: i32, bytes: &[u8], sha: bool) -> CompletedPart {
    let upload = client
        .upload_part()
        .bucket(BUCKET)
        .key("k")
        .upload_id(id)
        .part_number(number);
    let upload = upload.body(ByteStream::from(bytes.to_vec()));
    let completed = CompletedPart::builder().part_number(number);
    if sha {
        let done = upload.checksum_sha256(sha256(bytes)).send().await.unwrap();
        completed
            .e_tag(done.e_tag().unwrap())
            .checksum_sha256(sha256(bytes))
            .build()
    } else {
        let crc = checksum_of(Algorithm::Crc64Nvme, bytes);
        let done = upload.checksum_crc64_nvme(&crc).send().await.unwrap();
        completed
            .e_tag(done.e_tag().unwrap())
            .checksum_crc64_nvme(crc)
            .build()
    }
}

fn named(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build()
}

async fn three_parts(client: &Client, id: &str, sha: bool) -> Vec<CompletedPart> {
    let whole = whole();
    let mut parts = Vec::new();
    for (index, bytes) in whole.chunks(PART_BYTES).enumerate() {
        parts.push(part(client, id, index as i32 + 1, bytes, sha).await);
    }
    parts
}

#[tokio::test]
async fn a_locked_upload_with_a_full_object_crc_becomes_one_version() {
    let (sandbox, client) = start().await;
    let until = in_secs(DAY_SECS);
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("k")
        .content_type("application/gzip")
        .object_lock_mode(ObjectLockMode::Compliance)
        .object_lock_retain_until_date(until)
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject)
        .send()
        .await
        .unwrap();
    let id = created.upload_id().unwrap();
    let parts = three_parts(&client, id, false).await;
    assert!(sandbox.store().versions(BUCKET, "k").is_empty());

    let crc = checksum_of(Algorithm::Crc64Nvme, &whole());
    let complete = |crc: String, size: i64| {
        let complete = client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(id);
        let complete = complete
            .multipart_upload(named(parts.clone()))
            .if_none_match("*");
        complete
            .checksum_crc64_nvme(crc)
            .mpu_object_size(size)
            .send()
    };
    let wrong = checksum_of(Algorithm::Crc64Nvme, b"other");
    let size = whole().len() as i64;
    assert_refused(complete(wrong, size).await, "BadDigest", 400);
    assert_refused(complete(crc.clone(), size + 1).await, "InvalidRequest", 400);
    let done = complete(crc.clone(), size).await.unwrap();
    assert_eq!(done.checksum_crc64_nvme(), Some(crc.as_str()));

    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(done.version_id().unwrap());
    let head = head
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(head.checksum_crc64_nvme(), Some(crc.as_str()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    assert_eq!(head.content_type(), Some("application/gzip"));
    assert_eq!(head.object_lock_retain_until_date(), Some(&until));
    assert!(head.e_tag().unwrap().ends_with("-3\""));
    let kept = sandbox.store().versions(BUCKET, "k").remove(0);
    assert_eq!(kept.sha256, sandbox::sha256_hex(&whole()));
    assert_eq!(kept.lock.retention.unwrap().mode, Mode::Compliance);
    assert_eq!(kept.lock.retention.unwrap().until, timestamp(until));
    assert!(sandbox.store().uploads(BUCKET).is_empty());
    assert_refused(complete(crc, size).await, "NoSuchUpload", 404);
}

#[tokio::test]
async fn a_sha256_upload_is_composite_and_never_the_files_own() {
    let (_sandbox, client) = start().await;
    let id = begin(&client, Some(ChecksumAlgorithm::Sha256)).await;
    let parts = three_parts(&client, &id, true).await;
    let complete = |parts: Vec<CompletedPart>| {
        let complete = client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id);
        complete.multipart_upload(named(parts)).send()
    };
    let mut bare = parts.clone();
    bare[1].checksum_sha256 = None;
    assert_refused(complete(bare).await, "InvalidRequest", 400);
    complete(parts).await.unwrap();
    let head = client.head_object().bucket(BUCKET).key("k");
    let head = head
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    let told = head.checksum_sha256().unwrap();
    assert!(told.ends_with("-3"));
    assert_ne!(told.trim_end_matches("-3"), sha256(&whole()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::Composite));

    let full = client.create_multipart_upload().bucket(BUCKET).key("k");
    let full = full.checksum_algorithm(ChecksumAlgorithm::Sha256);
    let full = full.checksum_type(ChecksumType::FullObject).send().await;
    assert_refused(full, "InvalidRequest", 400);
}

#[tokio::test]
async fn parts_are_checked() {
    let (_sandbox, client) = start().await;
    let id = begin(&client, Some(ChecksumAlgorithm::Crc64Nvme)).await;
    let upload = |number| {
        let upload = client.upload_part().bucket(BUCKET).key("k").upload_id(&id);
        upload
            .part_number(number)
            .body(ByteStream::from_static(b"part"))
    };
    let wrong = checksum_of(Algorithm::Crc64Nvme, b"other");
    assert_refused(
        upload(1).checksum_crc64_nvme(wrong).send().await,
        "BadDigest",
        400,
    );
    let other = upload(1).checksum_sha256(sha256(b"part"));
    assert_refused(other.send().await, "InvalidRequest", 400);
    assert_refused(upload(10_001).send().await, "InvalidArgument", 400);
    let stray = client
        .upload_part()
        .bucket(BUCKET)
        .key("k")
        .upload_id("none")
        .part_number(1);
    assert_refused(
        stray.body(ByteStream::from_static(b"x")).send().await,
        "NoSuchUpload",
        404,
    );

    let one = part(&client, &id, 1, b"small", false).await;
    let two = part(&client, &id, 2, b"small too", false).await;
    let complete = |parts: Vec<CompletedPart>| {
        let complete = client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id);
        complete.multipart_upload(named(parts)).send()
    };
    assert_refused(complete(vec![]).await, "MalformedXML", 400);
    let backwards = vec![two.clone(), one.clone()];
    assert_refused(complete(backwards).await, "InvalidPartOrder", 400);
    assert_refused(
        complete(vec![one.clone(), two]).await,
        "EntityTooSmall",
        400,
    );
    let mut forged = one.clone();
    forged.e_tag = Some("0123".to_owned());
    assert_refused(complete(vec![forged]).await, "InvalidPart", 400);
    // A part alone may be small, and parts that are not named are left out.
    complete(vec![one]).await.unwrap();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(
        get.body.collect().await.unwrap().into_bytes(),
        &b"small"[..]
    );
}

#[tokio::test]
async fn a_part_of_a_locked_upload_needs_a_checksum() {
    let (_sandbox, client) = start().await;
    let create = client.create_multipart_upload().bucket(BUCKET).key("k");
    let create = create.object_lock_mode(ObjectLockMode::Compliance);
    let create = create
        .object_lock_retain_until_date(in_secs(DAY_SECS))
        .send()
        .await
        .unwrap();
    let upload = client.upload_part().bucket(BUCKET).key("k").part_number(1);
    let upload = upload.upload_id(create.upload_id().unwrap());
    let bare = upload.body(ByteStream::from_static(b"part")).send().await;
    assert_refused(bare, "InvalidRequest", 400);
}

#[tokio::test]
async fn a_conditional_complete_refuses_a_taken_key_and_keeps_the_upload() {
    let (sandbox, client) = start().await;
    let id = begin(&client, None).await;
    let only = part(&client, &id, 1, b"late", false).await;
    put(&client, "k", b"first").send().await.unwrap();
    let complete = || {
        let complete = client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id);
        complete
            .multipart_upload(named(vec![only.clone()]))
            .if_none_match("*")
            .send()
    };
    assert_refused(complete().await, "PreconditionFailed", 412);
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
    assert_eq!(sandbox.store().uploads(BUCKET).len(), 1);
    let abort = || {
        client
            .abort_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id)
            .send()
    };
    abort().await.unwrap();
    assert_refused(abort().await, "NoSuchUpload", 404);
    assert!(sandbox.store().uploads(BUCKET).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_completions_of_one_upload_exactly_one_wins() {
    let (sandbox, client) = start().await;
    let id = begin(&client, None).await;
    let only = part(&client, &id, 1, b"part", false).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let complete = client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id);
        let complete = complete.multipart_upload(named(vec![only.clone()])).send();
        racers.spawn(async move { refusal(complete.await) });
    }
    let losers: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(losers.len(), 7);
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
}

#[tokio::test]
async fn parts_and_uploads_are_listed_by_pages() {
    let (_sandbox, client) = start().await;
    let id = begin(&client, Some(ChecksumAlgorithm::Crc64Nvme)).await;
    for number in [3, 1, 2] {
        part(&client, &id, number, b"part", false).await;
    }
    let list = |marker: Option<String>| {
        let list = client
            .list_parts()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id)
            .max_parts(2);
        list.set_part_number_marker(marker).send()
    };
    let first = list(None).await.unwrap();
    let numbers: Vec<_> = first
        .parts()
        .iter()
        .filter_map(|part| part.part_number())
        .collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(first.is_truncated(), Some(true));
    let crc = checksum_of(Algorithm::Crc64Nvme, b"part");
    assert_eq!(first.parts()[0].checksum_crc64_nvme(), Some(crc.as_str()));
    let rest = list(first.next_part_number_marker().map(str::to_owned))
        .await
        .unwrap();
    assert_eq!(rest.parts()[0].part_number(), Some(3));
    assert_eq!(rest.is_truncated(), Some(false));

    let second = begin(&client, None).await;
    let uploads = client
        .list_multipart_uploads()
        .bucket(BUCKET)
        .max_uploads(1)
        .send()
        .await;
    let uploads = uploads.unwrap();
    assert_eq!(uploads.uploads()[0].upload_id(), Some(id.as_str()));
    let next = client.list_multipart_uploads().bucket(BUCKET);
    let next = next.set_key_marker(uploads.next_key_marker().map(str::to_owned));
    let next = next.set_upload_id_marker(uploads.next_upload_id_marker().map(str::to_owned));
    let next = next.send().await.unwrap();
    assert_eq!(next.uploads().len(), 1);
    assert_eq!(next.uploads()[0].upload_id(), Some(second.as_str()));
}
