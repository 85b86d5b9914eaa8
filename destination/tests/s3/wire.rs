//! What goes over the wire, and answers that the sandbox never gives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use destination::{Class, Destination as _, S3Destination};
use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};

use crate::calls::request;
use crate::options_for;
use crate::peer::{Peer, answer};

async fn connect(peer: &Peer) -> S3Destination {
    S3Destination::connect(options_for(peer.endpoint.clone(), "key", "secret")).await
}

fn ok() -> String {
    answer("200 OK", &["x-amz-version-id: v1", "ETag: \"e\""], "")
}

#[tokio::test]
async fn a_put_is_one_plain_request_with_both_digests_the_lock_and_the_condition() {
    let peer = Peer::answering(vec![ok()]);
    let wanted = request("a/b.json", b"evidence");
    connect(&peer).await.put(&wanted).await.unwrap();
    let seen = peer.seen();
    assert_eq!(
        seen.line(),
        "PUT /evidence/a/b.json?x-id=PutObject HTTP/1.1"
    );
    let sha256 = STANDARD.encode(wanted.sha256.as_bytes());
    let md5 = STANDARD.encode(wanted.md5.unwrap());
    for (name, value) in [
        ("x-amz-checksum-sha256", Some(sha256.as_str())),
        ("content-md5", Some(md5.as_str())),
        ("if-none-match", Some("*")),
        ("x-amz-object-lock-mode", Some("COMPLIANCE")),
        ("content-type", Some("application/json")),
        ("content-length", Some("8")),
        // An aws-chunked body is what several servers store as if it were the object.
        ("content-encoding", None),
        ("x-amz-trailer", None),
        ("transfer-encoding", None),
        ("x-amz-decoded-content-length", None),
        ("x-amz-checksum-crc32", None),
        ("x-amz-checksum-crc64nvme", None),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let until: Timestamp = seen
        .header("x-amz-object-lock-retain-until-date")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(until, wanted.retain_until);
    assert_eq!(seen.body, b"evidence");
}

#[tokio::test]
async fn without_md5_only_sha256_is_sent() {
    let peer = Peer::answering(vec![ok()]);
    let mut wanted = request("k", b"x");
    wanted.md5 = None;
    connect(&peer).await.put(&wanted).await.unwrap();
    let seen = peer.seen();
    assert_eq!(seen.header("content-md5"), None);
    assert!(seen.header("x-amz-checksum-sha256").is_some());
}

#[tokio::test]
async fn a_lock_is_compliance_by_version_with_the_digest_of_its_own_body() {
    let peer = Peer::answering(vec![ok()]);
    let until = Timestamp::now() + SignedDuration::from_hours(24);
    connect(&peer).await.lock("k", "v1", until).await.unwrap();
    let seen = peer.seen();
    assert!(seen.line().contains("versionId=v1"), "{}", seen.line());
    let digest = STANDARD.encode(Sha256::of(&seen.body).as_bytes());
    assert_eq!(seen.header("x-amz-checksum-sha256"), Some(digest.as_str()));
    let body = String::from_utf8(seen.body).unwrap();
    assert!(body.contains("<Mode>COMPLIANCE</Mode>"), "{body}");
}

#[tokio::test]
async fn nothing_is_sent_twice_by_the_sdk() {
    let slow = answer("503 Service Unavailable", &[], "");
    let peer = Peer::answering(vec![slow.clone(), slow]);
    let failure = connect(&peer)
        .await
        .put(&request("k", b"x"))
        .await
        .unwrap_err();
    assert_eq!(failure.class, Class::Transient);
    assert_eq!(peer.unseen(), 1);
}

#[tokio::test]
async fn a_composite_checksum_is_not_taken_for_the_files_even_without_its_suffix() {
    let digest = STANDARD.encode(Sha256::of(b"hash of hashes").as_bytes());
    for (checksum, kind, found) in [
        (digest.clone(), "COMPOSITE", None),
        (format!("{digest}-2"), "COMPOSITE", None),
        (
            digest.clone(),
            "FULL_OBJECT",
            Some(Sha256::of(b"hash of hashes")),
        ),
    ] {
        let peer = Peer::answering(vec![answer(
            "200 OK",
            &[
                "Content-Length: 9",
                &format!("x-amz-checksum-sha256: {checksum}"),
                &format!("x-amz-checksum-type: {kind}"),
                "x-amz-object-lock-mode: COMPLIANCE",
                "x-amz-object-lock-retain-until-date: 2032-01-01T00:00:00.000Z",
            ],
            "",
        )]);
        let stored = connect(&peer).await.inspect("k", "v1").await.unwrap();
        assert_eq!(stored.unwrap().sha256, found, "{checksum} {kind}");
        assert_eq!(peer.seen().header("x-amz-checksum-mode"), Some("ENABLED"));
    }
}

#[tokio::test]
async fn a_head_without_a_body_parks_unless_it_says_that_the_version_is_missing() {
    // S3 answers HEAD with a bare 400 for an expired token, and with a bare 403 for a denial: of
    // neither is the object to blame.
    for (status, class) in [
        ("400 Bad Request", Class::Park),
        ("401 Unauthorized", Class::Park),
        ("403 Forbidden", Class::Park),
        ("301 Moved Permanently", Class::Park),
        ("503 Service Unavailable", Class::Transient),
        ("500 Internal Server Error", Class::Transient),
    ] {
        // The first answer tells the peer's date, which is not ours.
        let peer = Peer::answering(vec![ok(), answer(status, &[], "")]);
        let store = connect(&peer).await;
        store.put(&request("k", b"x")).await.unwrap();
        let failure = store.inspect("k", "v1").await.unwrap_err();
        assert_eq!(failure.class, class, "{status}");
    }
    let peer = Peer::answering(vec![answer("404 Not Found", &[], "")]);
    assert_eq!(connect(&peer).await.inspect("k", "v1").await.unwrap(), None);
}

#[tokio::test]
async fn a_head_that_does_not_tell_the_size_is_not_taken_for_an_empty_object() {
    // No Content-Length at all: the connection's end is the body's.
    let bare =
        "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n\r\n";
    let peer = Peer::answering(vec![bare.to_owned()]);
    let failure = connect(&peer).await.inspect("k", "v1").await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Transient, "NoSize")
    );
}

#[tokio::test]
async fn an_answer_that_is_not_of_a_store_never_blames_the_object() {
    for status in [
        "302 Found",
        "400 Bad Request",
        "407 Proxy Authentication Required",
    ] {
        let page = answer(
            status,
            &["Content-Type: text/html", "Location: http://127.0.0.1:1/"],
            "<!doctype html><html><br>Sign in to the guest network &nbsp; <p>",
        );
        let peer = Peer::answering(vec![page]);
        let failure = connect(&peer)
            .await
            .put(&request("k", b"x"))
            .await
            .unwrap_err();
        assert_eq!(failure.class, Class::Park, "{status}: {failure:?}");
    }
}

fn listing(extra: &str) -> String {
    answer(
        "200 OK",
        &["Content-Type: application/xml"],
        &format!(
            "<?xml version=\"1.0\"?><ListVersionsResult><Name>evidence</Name>{extra}\
             <Version><Key>k</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>\
             <LastModified>2026-11-21T10:00:00.000Z</LastModified><Size>1</Size></Version>\
             </ListVersionsResult>"
        ),
    )
}

#[tokio::test]
async fn a_listing_that_never_advances_is_a_failure_not_a_loop() {
    let endless = "<IsTruncated>true</IsTruncated>";
    let stuck = "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
                 <NextVersionIdMarker>v1</NextVersionIdMarker>";
    for page in [endless, stuck] {
        let peer = Peer::answering(vec![listing(page); 20]);
        let failure = connect(&peer).await.versions("k").await.unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (Class::Transient, "ListingStuck"),
            "{page}"
        );
        assert!(peer.unseen() <= 2, "{page}");
    }
}

#[tokio::test]
async fn a_plain_store_behind_https_is_a_tls_failure_before_anything_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let peer = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        stream
    });
    let store = S3Destination::connect(options_for(endpoint, "key", "secret")).await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Transient, "Tls"),
        "{failure:?}"
    );
    drop(peer.join().unwrap());
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_transient_because_nothing_was_sent() {
    let store = S3Destination::connect(options_for(
        "http://store.invalid:9".to_owned(),
        "key",
        "secret",
    ))
    .await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Transient, "Dns"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_is_transient_because_nothing_was_sent() {
    // A queue of one that nobody serves: once it is full, further handshakes are not answered.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let _queued: Vec<_> = (0..4)
        .map(|_| {
            std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200))
        })
        .collect();
    let mut options = options_for(format!("http://{address}"), "key", "secret");
    options.connect_timeout = std::time::Duration::from_secs(1);
    options.request_timeout = std::time::Duration::from_secs(20);
    let store = S3Destination::connect(options).await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Transient, "Timeout"),
        "{failure:?}"
    );
}
