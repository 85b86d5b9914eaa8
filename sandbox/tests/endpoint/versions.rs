//! Versions, delete markers, reads and listings.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, VersioningConfiguration,
};

use crate::client::{BUCKET, assert_refused, plain, put, refusal, start};

#[tokio::test]
async fn a_put_makes_a_version_that_head_and_get_by_version_return() {
    let (sandbox, client) = start().await;
    let put = put(&client, "a/b c+ü.json", b"{}\n")
        .content_type("application/json")
        .metadata("kind", "incident")
        .send()
        .await
        .unwrap();
    let version = put.version_id().unwrap();
    let key = "a/b c+ü.json";
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key(key)
        .version_id(version)
        .send()
        .await;
    let head = head.unwrap();
    assert_eq!(head.content_length(), Some(3));
    assert_eq!(head.content_type(), Some("application/json"));
    assert_eq!(head.metadata().unwrap()["kind"], "incident");
    assert_eq!(head.e_tag(), put.e_tag());
    assert_eq!(head.version_id(), Some(version));
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key(key)
        .version_id(version)
        .send()
        .await
        .unwrap();
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), &b"{}\n"[..]);
    let kept = sandbox.store().versions(BUCKET, key);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].sha256, sandbox::sha256_hex(b"{}\n"));
    assert_eq!(kept[0].version_id, version);
}

#[tokio::test]
async fn a_range_returns_that_part_and_an_impossible_one_is_refused() {
    let (_sandbox, client) = start().await;
    plain(&client, "r", b"0123456789").send().await.unwrap();
    let get = |range: &'static str| {
        client
            .get_object()
            .bucket(BUCKET)
            .key("r")
            .range(range)
            .send()
    };
    let middle = get("bytes=2-4").await.unwrap();
    assert_eq!(middle.content_range(), Some("bytes 2-4/10"));
    assert_eq!(
        middle.body.collect().await.unwrap().into_bytes(),
        &b"234"[..]
    );
    let tail = get("bytes=-3").await.unwrap();
    assert_eq!(tail.body.collect().await.unwrap().into_bytes(), &b"789"[..]);
    assert_refused(get("bytes=10-").await, "InvalidRange", 416);
}

#[tokio::test]
async fn a_large_body_streams_back_whole() {
    let (_sandbox, client) = start().await;
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key("large")
        .body(ByteStream::from(bytes.clone()));
    put.send().await.unwrap();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("large")
        .send()
        .await
        .unwrap();
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), bytes);
}

#[tokio::test]
async fn a_delete_without_version_only_lays_a_marker_over_the_key() {
    let (sandbox, client) = start().await;
    let first = put(&client, "k", b"one").send().await.unwrap();
    let marker = client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    let marker_id = marker.version_id().unwrap();

    assert_refused(
        client.get_object().bucket(BUCKET).key("k").send().await,
        "NoSuchKey",
        404,
    );
    let head = client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap_err();
    let raw = head.raw_response().unwrap();
    assert_eq!(raw.status().as_u16(), 404);
    assert_eq!(raw.headers().get("x-amz-delete-marker"), Some("true"));
    assert_eq!(raw.headers().get("x-amz-version-id"), Some(marker_id));
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(marker_id)
        .send()
        .await;
    assert_refused(get, "MethodNotAllowed", 405);

    let first_id = first.version_id().unwrap();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(first_id)
        .send()
        .await
        .unwrap();
    assert_eq!(get.body.collect().await.unwrap().into_bytes(), &b"one"[..]);
    let list = client
        .list_object_versions()
        .bucket(BUCKET)
        .prefix("k")
        .send()
        .await
        .unwrap();
    assert_eq!(list.versions()[0].is_latest(), Some(false));
    assert_eq!(list.delete_markers()[0].is_latest(), Some(true));
    assert_eq!(list.delete_markers()[0].version_id(), Some(marker_id));
    let objects = client
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert_eq!(objects.key_count(), Some(0));

    // A marker holds no evidence, so it can go; the key is then as before.
    let gone = client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(marker_id)
        .send()
        .await;
    assert_eq!(gone.unwrap().delete_marker(), Some(true));
    client
        .head_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(sandbox.store().versions(BUCKET, "k").len(), 1);
}

#[tokio::test]
async fn what_does_not_exist_has_its_own_code() {
    let (_sandbox, client) = start().await;
    put(&client, "k", b"one").send().await.unwrap();
    let get = client
        .get_object()
        .bucket("no-such-bucket")
        .key("k")
        .send()
        .await;
    assert_refused(get, "NoSuchBucket", 404);
    let get = client.get_object().bucket(BUCKET).key("none").send().await;
    assert_refused(get, "NoSuchKey", 404);
    let other = "A".repeat(32);
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(&other)
        .send()
        .await;
    assert_refused(get, "NoSuchVersion", 404);
    // As S3: deleting a version that is not there succeeds.
    client
        .delete_object()
        .bucket(BUCKET)
        .key("k")
        .version_id(&other)
        .send()
        .await
        .unwrap();
    let head = client.head_bucket().bucket("no-such-bucket").send().await;
    assert_eq!(refusal(head).map(|(_, status)| status), Some(404));
    let again = client.create_bucket().bucket(BUCKET).send().await;
    assert_refused(again, "BucketAlreadyOwnedByYou", 409);
}

#[tokio::test]
async fn version_listings_page_by_key_and_version_newest_first() {
    let (sandbox, client) = start().await;
    for key in ["p/a", "p/b", "q"] {
        for bytes in [&b"1"[..], b"2", b"3"] {
            plain(&client, key, bytes).send().await.unwrap();
        }
    }
    client
        .delete_object()
        .bucket(BUCKET)
        .key("p/b")
        .send()
        .await
        .unwrap();
    let mut expected = Vec::new();
    for key in ["p/a", "p/b"] {
        let newest_first = sandbox.store().versions(BUCKET, key).into_iter().rev();
        expected.extend(newest_first.map(|version| version.version_id));
    }
    for page_size in [1, 2, 3, 7, 1000] {
        let mut seen = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = client
                .list_object_versions()
                .bucket(BUCKET)
                .prefix("p/")
                .max_keys(page_size)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .unwrap();
            let count = page.versions().len() + page.delete_markers().len();
            assert!(count <= page_size as usize);
            // The SDK parts markers from versions; within a page of one their order is plain.
            seen.extend(
                page.delete_markers()
                    .iter()
                    .map(|m| m.version_id().unwrap().to_owned()),
            );
            seen.extend(
                page.versions()
                    .iter()
                    .map(|v| v.version_id().unwrap().to_owned()),
            );
            if page.is_truncated() != Some(true) {
                break;
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            version_marker = page.next_version_id_marker().map(str::to_owned);
        }
        if page_size == 1 {
            assert_eq!(seen, expected);
        }
        seen.sort();
        let mut all = expected.clone();
        all.sort();
        assert_eq!(seen, all, "pages of {page_size}");
    }
}

#[tokio::test]
async fn object_listings_page_and_group_by_delimiter() {
    let (_sandbox, client) = start().await;
    for key in ["a/1", "a/2", "b", "c/d/1", "é"] {
        plain(&client, key, b"x").send().await.unwrap();
    }
    let page = |token: Option<String>| {
        let list = client.list_objects_v2().bucket(BUCKET).max_keys(2);
        list.set_continuation_token(token).send()
    };
    let mut keys = Vec::new();
    let mut token = None;
    loop {
        let listed = page(token).await.unwrap();
        keys.extend(
            listed
                .contents()
                .iter()
                .map(|object| object.key().unwrap().to_owned()),
        );
        token = listed.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(keys, ["a/1", "a/2", "b", "c/d/1", "é"]);
    let mut groups = Vec::new();
    let mut token = None;
    loop {
        let list = client
            .list_objects_v2()
            .bucket(BUCKET)
            .delimiter("/")
            .max_keys(1);
        let listed = list.set_continuation_token(token).send().await.unwrap();
        groups.extend(
            listed
                .common_prefixes()
                .iter()
                .map(|p| p.prefix().unwrap().to_owned()),
        );
        groups.extend(
            listed
                .contents()
                .iter()
                .map(|o| o.key().unwrap().to_owned()),
        );
        token = listed.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(groups, ["a/", "b", "c/", "é"]);
}

#[tokio::test]
async fn versioning_cannot_be_suspended_under_object_lock() {
    let (_sandbox, client) = start().await;
    let suspend = |bucket: &'static str| {
        let suspended = BucketVersioningStatus::Suspended;
        let configuration = VersioningConfiguration::builder().status(suspended).build();
        client
            .put_bucket_versioning()
            .bucket(bucket)
            .versioning_configuration(configuration)
            .send()
    };
    assert_refused(suspend(BUCKET).await, "InvalidBucketState", 409);
    let status = client
        .get_bucket_versioning()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert_eq!(status.status(), Some(&BucketVersioningStatus::Enabled));

    client
        .create_bucket()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    let status = client
        .get_bucket_versioning()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(status.status(), None);
    suspend("plain-bucket").await.unwrap();
    let status = client
        .get_bucket_versioning()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(status.status(), Some(&BucketVersioningStatus::Suspended));
}

#[tokio::test]
async fn without_versioning_objects_replace_each_other() {
    let (sandbox, client) = start().await;
    client
        .create_bucket()
        .bucket("plain-bucket")
        .send()
        .await
        .unwrap();
    for bytes in [&b"one"[..], b"two"] {
        let put = client.put_object().bucket("plain-bucket").key("k");
        let put = put
            .body(ByteStream::from_static(bytes))
            .send()
            .await
            .unwrap();
        assert_eq!(put.version_id(), None);
    }
    let kept = sandbox.store().versions("plain-bucket", "k");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].sha256, sandbox::sha256_hex(b"two"));
    client
        .delete_object()
        .bucket("plain-bucket")
        .key("k")
        .send()
        .await
        .unwrap();
    assert!(sandbox.store().versions("plain-bucket", "k").is_empty());
}

#[tokio::test]
async fn a_bulk_delete_reports_each_object() {
    let (_sandbox, client) = start().await;
    let locked = put(&client, "locked", b"1").send().await.unwrap();
    let free = plain(&client, "free", b"2").send().await.unwrap();
    let object = |key: &str, version: Option<&str>| {
        let version = version.map(str::to_owned);
        ObjectIdentifier::builder()
            .key(key)
            .set_version_id(version)
            .build()
            .unwrap()
    };
    let delete = Delete::builder()
        .objects(object("locked", locked.version_id()))
        .objects(object("free", free.version_id()))
        .objects(object("locked", None))
        .build()
        .unwrap();
    let done = client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await
        .unwrap();
    assert_eq!(done.errors().len(), 1);
    assert_eq!(done.errors()[0].code(), Some("AccessDenied"));
    assert_eq!(done.errors()[0].version_id(), locked.version_id());
    assert_eq!(done.deleted().len(), 2);
    assert_eq!(done.deleted()[1].delete_marker(), Some(true));
}

#[tokio::test]
async fn an_object_lock_bucket_can_be_created_by_the_api() {
    let (_sandbox, client) = start().await;
    let create = client.create_bucket().bucket("second-bucket");
    create
        .object_lock_enabled_for_bucket(true)
        .send()
        .await
        .unwrap();
    client
        .head_bucket()
        .bucket("second-bucket")
        .send()
        .await
        .unwrap();
    let location = client
        .get_bucket_location()
        .bucket("second-bucket")
        .send()
        .await
        .unwrap();
    assert_eq!(
        location
            .location_constraint()
            .map(|l| l.as_str())
            .unwrap_or_default(),
        ""
    );
    let lock = client
        .get_object_lock_configuration()
        .bucket("second-bucket")
        .send()
        .await;
    let lock = lock.unwrap().object_lock_configuration.unwrap();
    assert_eq!(lock.object_lock_enabled().unwrap().as_str(), "Enabled");
    assert!(lock.rule().is_none());
    let buckets = client.list_buckets().send().await.unwrap();
    let names: Vec<_> = buckets
        .buckets()
        .iter()
        .filter_map(|bucket| bucket.name())
        .collect();
    assert_eq!(names, [BUCKET, "second-bucket"]);
}
