//! The way to a store: names, certificates, proxies, encryption, and how long a body may take.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use destination::{CaBundle, CaError, Class, Destination as _, MultipartRequest, PutRequest};
use destination::{S3Destination, S3Options};
use evidence::digest::Sha256;
use jiff::SignedDuration;
use sandbox::{Identity, RoleServices, Sandbox, SandboxOptions};

use crate::alone::{Alone, CA_FILE, DUAL_STACK, FIPS, Said, VIRTUAL_HOST};
use crate::authority::Authority;
use crate::calls::request;
use crate::peer::answer;
use crate::proxy::Proxy;
use crate::{BUCKET, options_for, start};

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "SANDBOXACCESSKEY0000"),
    ("AWS_SECRET_ACCESS_KEY", "sandbox-secret-key-not-for-use"),
];

fn address(sandbox: &Sandbox) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], sandbox.port()))
}

fn options(sandbox: &Sandbox) -> S3Options {
    let identity = sandbox.credentials();
    options_for(
        sandbox.endpoint(),
        &identity.access_key,
        &identity.secret_key,
    )
}

/// A store below this name, where each bucket is a host.
async fn named(domain: &str) -> Sandbox {
    Sandbox::start(SandboxOptions {
        domain: Some(domain.to_owned()),
        ..SandboxOptions::with_bucket(BUCKET)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_store_is_trusted_by_its_own_authority_alone() {
    let (sandbox, _) = start().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.serve("localhost", address(&sandbox)).await;
    let mut options = options(&sandbox);
    options.endpoint = Some(format!("https://localhost:{}", server.address.port()));
    for (key, ca, trusted) in [
        ("one", Some([other.pem(), authority.pem()].concat()), true),
        ("two", Some(authority.pem().to_vec()), true),
        ("three", Some(other.pem().to_vec()), false),
        ("four", None, false),
    ] {
        options.ca = ca.map(|pem| CaBundle::from_pem(&pem).unwrap());
        let store = S3Destination::connect(options.clone()).await;
        let put = store.put(&request(key, b"x")).await;
        let Err(failure) = put else {
            assert!(trusted, "{key}");
            continue;
        };
        assert!(!trusted, "{failure:?}");
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (Class::Transient, "Tls"),
            "nothing was sent, and the certificate may be corrected: {failure:?}"
        );
        assert!(failure.message.contains("ca_file"), "{}", failure.message);
    }
    // The name must be right too.
    options.ca = Some(CaBundle::from_pem(authority.pem()).unwrap());
    options.endpoint = Some(format!("https://127.0.0.1:{}", server.address.port()));
    let store = S3Destination::connect(options).await;
    assert_eq!(
        store.put(&request("k", b"x")).await.unwrap_err().code,
        "Tls"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_authorities_count_only_without_one_of_ones_own() {
    let (sandbox, _) = start().await;
    let (systems, own) = (Authority::new(), Authority::new());
    let server = systems.serve("localhost", address(&sandbox)).await;
    let endpoint = format!("https://localhost:{}", server.address.port());
    let (systems_file, own_file) = (systems.file(), own.file());
    let system = ("SSL_CERT_FILE", systems_file.to_str().unwrap());
    let mut environment = vec![KEYS[0], KEYS[1], system];
    assert_eq!(Alone::start(&endpoint, &environment).put("one"), Said::Done);
    environment.push((CA_FILE, own_file.to_str().unwrap()));
    let said = Alone::start(&endpoint, &environment).put("two");
    assert!(
        matches!(&said, Said::Failed(kind, _) if kind == "Transient Tls"),
        "{said:?}"
    );
}

#[test]
fn a_file_without_a_usable_certificate_is_refused() {
    let good = Authority::new();
    let broken = pem::encode(&pem::Pem::new("CERTIFICATE", b"no certificate".to_vec()));
    let key = pem::encode(&pem::Pem::new("PRIVATE KEY", b"a key".to_vec()));
    let cut = &good.pem()[..good.pem().len() / 2];
    let both = [good.pem(), broken.as_bytes()].concat();
    for (pem, error) in [
        (&b""[..], CaError::NoCertificate),
        (b"hello", CaError::NoCertificate),
        (key.as_bytes(), CaError::NoCertificate),
        (cut, CaError::NotPem),
        (broken.as_bytes(), CaError::BadCertificate(1)),
        (&both, CaError::BadCertificate(2)),
    ] {
        assert_eq!(CaBundle::from_pem(pem), Err(error));
    }
    // A bundle may carry other things.
    assert!(CaBundle::from_pem(&[key.as_bytes(), good.pem()].concat()).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_a_host_unless_it_is_to_be_in_the_path() {
    let sandbox = named("s3.clinic.test").await;
    let host = format!("{BUCKET}.s3.clinic.test");
    let proxy = Proxy::start(&[(&host, address(&sandbox))]).await;
    let url = proxy.url();
    let environment = [KEYS[0], KEYS[1], ("HTTP_PROXY", &url), (VIRTUAL_HOST, "1")];
    let mut alone = Alone::start("http://s3.clinic.test", &environment);
    assert_eq!(alone.put("a/b"), Said::Done);
    let stored = sandbox.store().versions(BUCKET, "a/b");
    assert_eq!(stored.len(), 1, "the store took it, signature and all");
    let head = proxy.heads().remove(0).to_lowercase();
    assert!(
        head.starts_with(&format!(
            "put http://{host}/a/b?x-id=putobject http/1.1\r\n"
        )),
        "{head}"
    );
    assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");

    let mut alone = Alone::start("http://s3.clinic.test", &environment[..3]);
    alone.put("a/b");
    let head = proxy.heads().pop().unwrap();
    assert!(
        head.starts_with(&format!("PUT http://s3.clinic.test/{BUCKET}/a/b?")),
        "{head}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_carries_tls_by_connect_and_is_told_who_asks() {
    let sandbox = named("s3.clinic.test").await;
    let host = format!("{BUCKET}.s3.clinic.test");
    let authority = Authority::new();
    let server = authority.serve(&host, address(&sandbox)).await;
    let proxy = Proxy::start(&[(&host, server.address)]).await;
    let with_password = format!("http://clinic:pass@{}", proxy.address);
    let ca = authority.file();
    // Small letters count as much.
    for (number, variable) in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]
        .iter()
        .enumerate()
    {
        let mut alone = Alone::start(
            "https://s3.clinic.test",
            &[
                KEYS[0],
                KEYS[1],
                (variable, &with_password),
                (CA_FILE, ca.to_str().unwrap()),
                (VIRTUAL_HOST, "1"),
            ],
        );
        assert_eq!(alone.put(&format!("k{number}")), Said::Done, "{variable}");
        let heads = proxy.heads();
        assert_eq!(heads.len(), number + 1, "{variable}: {heads:?}");
        let head = heads[number].to_lowercase();
        assert!(
            head.starts_with(&format!("connect {host}:443 http/1.1\r\n")),
            "{head}"
        );
        // clinic:pass
        assert!(
            head.contains("proxy-authorization: basic y2xpbmljonbhc3m="),
            "{head}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_proxy_names_and_what_is_on_this_host_goes_direct() {
    let (sandbox, _) = start().await;
    let proxy = Proxy::start(&[]).await;
    let url = proxy.url();
    // Any address of this host that is not called loopback.
    let elsewhere = format!("http://0.0.0.0:{}", sandbox.port());
    let proxied = [KEYS[0], KEYS[1], ("http_proxy", &url)];
    let said = Alone::start(&elsewhere, &proxied).put("one");
    assert!(matches!(said, Said::Failed(..)), "the proxy refuses");
    assert_eq!(proxy.heads().len(), 1);
    for no_proxy in ["NO_PROXY", "no_proxy"] {
        let direct = [&proxied[..], &[(no_proxy, "example.com,0.0.0.0")]].concat();
        assert_eq!(Alone::start(&elsewhere, &direct).put(no_proxy), Said::Done);
    }
    let mut alone = Alone::start(&sandbox.endpoint(), &proxied);
    assert_eq!(alone.put("three"), Said::Done);
    assert_eq!(proxy.heads().len(), 1, "only the first was proxied");
}

#[tokio::test(flavor = "multi_thread")]
async fn sts_is_asked_through_the_proxy_and_metadata_services_never() {
    let (sandbox, _) = start().await;
    let roles = RoleServices::start().await.unwrap();
    let identity = Identity::new("ASIA1", "secret").with_session("token");
    sandbox.identities().put(identity.clone());
    roles.hand_out(identity, SignedDuration::from_hours(1));
    let at: SocketAddr = roles.endpoint()["http://".len()..].parse().unwrap();
    let proxy = Proxy::start(&[("sts.clinic.test", at)]).await;
    let (url, metadata) = (proxy.url(), roles.endpoint());
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "jwt").unwrap();
    let by_token = [
        (
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            token.path().to_str().unwrap(),
        ),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r"),
        ("AWS_ENDPOINT_URL_STS", "http://sts.clinic.test"),
        ("HTTP_PROXY", &url),
    ];
    assert_eq!(
        Alone::start(&sandbox.endpoint(), &by_token).put("one"),
        Said::Done
    );
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(
        heads[0].starts_with("POST http://sts.clinic.test/ "),
        "{heads:?}"
    );
    let by_instance = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata),
        ("HTTP_PROXY", &url),
    ];
    assert_eq!(
        Alone::start(&sandbox.endpoint(), &by_instance).put("two"),
        Said::Done
    );
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn awss_own_endpoints_are_chosen_by_region_fips_and_dual_stack() {
    // It refuses them all, having seen where we wanted to go.
    let proxy = Proxy::start(&[]).await;
    let url = proxy.url();
    // Never followed: evidence goes where the configuration says.
    let elsewhere = ("AWS_ENDPOINT_URL_S3", "https://elsewhere.example.com");
    let common = [KEYS[0], KEYS[1], ("HTTPS_PROXY", &url), elsewhere];
    let fips = (FIPS, "1");
    let dual_stack = (DUAL_STACK, "1");
    let host = (VIRTUAL_HOST, "1");
    for (chosen, wanted) in [
        (&[host][..], "evidence.s3.us-east-1.amazonaws.com"),
        (&[], "s3.us-east-1.amazonaws.com"),
        (&[host, fips], "evidence.s3-fips.us-east-1.amazonaws.com"),
        (
            &[host, dual_stack],
            "evidence.s3.dualstack.us-east-1.amazonaws.com",
        ),
        (
            &[host, fips, dual_stack],
            "evidence.s3-fips.dualstack.us-east-1.amazonaws.com",
        ),
    ] {
        let said = Alone::start("", &[&common[..], chosen].concat()).put("k");
        assert!(
            matches!(&said, Said::Failed(kind, _) if kind.starts_with("Transient ")),
            "a proxy that refuses may let us through tomorrow: {said:?}"
        );
        let head = proxy.heads().pop().unwrap();
        assert!(
            head.starts_with(&format!("CONNECT {wanted}:443 ")),
            "{wanted}: {head}"
        );
    }
}

#[tokio::test]
async fn a_kms_key_encrypts_what_is_put_at_once_and_in_parts() {
    let (sandbox, plain) = start().await;
    let key_id = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let mut options = options(&sandbox);
    options.sse_kms_key_id = Some(key_id.to_owned());
    let store = S3Destination::connect(options).await;
    let key_of = |key: &str| {
        sandbox.store().versions(BUCKET, key)[0]
            .headers
            .kms_key_id
            .clone()
    };

    let version = store.put(&request("whole", b"x")).await.unwrap().version_id;
    assert_eq!(key_of("whole").as_deref(), Some(key_id));
    let stored = store.inspect("whole", &version.unwrap()).await.unwrap();
    let stored = stored.unwrap();
    assert!(!stored.etag_is_md5, "so identity is the SHA-256");
    assert_eq!(stored.sha256, Some(Sha256::of(b"x")));

    let begun = MultipartRequest {
        key: "parts".to_owned(),
        content_type: "application/octet-stream",
        retain_until: request("parts", b"x").retain_until,
    };
    store.begin_multipart(&begun).await.unwrap();
    let upload = sandbox.store().uploads(BUCKET).remove(0);
    assert_eq!(upload.headers.kms_key_id.as_deref(), Some(key_id));

    plain.put(&request("plain", b"x")).await.unwrap();
    assert_eq!(key_of("plain"), None, "otherwise as the bucket says");
}

/// A body that no kernel buffers whole.
fn large(size_bytes: usize) -> PutRequest {
    let body = Bytes::from(vec![7; size_bytes]);
    PutRequest {
        sha256: Sha256::of(&body),
        body,
        md5: None,
        ..request("large", b"")
    }
}

#[tokio::test]
async fn a_body_that_the_store_stops_taking_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 100_000]).unwrap();
        // Still there, and takes no more until we hang up.
        let _ = listener.accept();
        drop(stream);
    });
    let mut options = options_for(endpoint, "key", "secret");
    options.request_timeout = Duration::from_secs(1);
    let store = S3Destination::connect(options).await;
    // By size alone it might take 17 minutes.
    let wanted = large(32 << 20);
    let put = tokio::time::timeout(Duration::from_secs(60), store.put(&wanted));
    let failure = put.await.expect("it ends").unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::OutcomeUnknown, "Timeout"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_large_body_may_take_longer_than_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let size_bytes: usize = 1 << 20;
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut left = size_bytes;
        let mut piece = [0; 65_536];
        while left > 0 {
            left = left.saturating_sub(stream.read(&mut piece).unwrap());
        }
        // The line is slow: told to go on, or not at all.
        finished.recv().unwrap();
        let ok = answer("200 OK", &["x-amz-version-id: v1", "ETag: \"e\""], "");
        stream.write_all(ok.as_bytes()).unwrap();
    });
    let mut options = options_for(endpoint, "key", "secret");
    options.request_timeout = Duration::from_secs(1);
    let store = S3Destination::connect(options.clone()).await;
    let began = Instant::now();
    let wanted = large(size_bytes);
    let mut put = std::pin::pin!(store.put(&wanted));
    // Three times as long as a small request may take.
    let too_early = tokio::time::timeout(options.request_timeout * 3, &mut put).await;
    assert!(
        too_early.is_err(),
        "{too_early:?} after {:?}",
        began.elapsed()
    );
    finish.send(()).unwrap();
    put.await.unwrap();
}
