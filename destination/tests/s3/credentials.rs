//! Where credentials come from, how they are replaced without a restart, and what happens without.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use destination::{Class, Destination as _, S3Destination};
use jiff::SignedDuration;
use sandbox::{CONTAINER_PATH, Identity, ROLE, RoleServices, Sandbox};

use crate::alone::{Alone, PROCESS_SECS, PROFILE, Said};
use crate::calls::request;
use crate::{credentials, options_for, start};

const ARN: &str = "arn:aws:iam::111122223333:role/evidence-uploader";
/// Shorter than what the SDK's cache keeps in reserve, so each request asks anew; longer than the
/// way from the answer to its use.
const SHORT: SignedDuration = SignedDuration::from_secs(4);
const LONG: SignedDuration = SignedDuration::from_hours(1);
const NO_METADATA: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

fn session(number: u8) -> Identity {
    Identity::new(format!("ASIASESSION{number}"), format!("secret-{number}"))
        .with_session(format!("session-token-{number}"))
}

/// Hands this session out for so long, and lets only it in.
fn rotate(sandbox: &Sandbox, roles: &RoleServices, number: u8, lifetime: SignedDuration) {
    for known in 0..=9 {
        sandbox.identities().remove(&session(known).access_key);
    }
    sandbox.identities().put(session(number));
    roles.hand_out(session(number), lifetime);
}

/// A store that knows no one but who is handed out.
async fn with_roles() -> (Sandbox, RoleServices) {
    let (sandbox, _) = start().await;
    sandbox
        .identities()
        .remove(&sandbox.credentials().access_key);
    let roles = RoleServices::start().await.unwrap();
    (sandbox, roles)
}

/// Who put this key.
fn who_put(sandbox: &Sandbox, key: &str) -> String {
    let requests = sandbox.log().requests();
    let found = requests.iter().rfind(|r| r.key.as_deref() == Some(key));
    found.unwrap().access_key.clone().unwrap()
}

fn folder() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_is_exchanged_at_sts_and_exchanged_again_before_it_ends() {
    let (sandbox, roles) = with_roles().await;
    let token = folder().join("token");
    fs::write(&token, "jwt-one").unwrap();
    rotate(&sandbox, &roles, 1, SHORT);
    let mut alone = Alone::start(
        &sandbox.endpoint(),
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
            ("AWS_ROLE_ARN", ARN),
            ("AWS_ENDPOINT_URL_STS", &roles.endpoint()),
        ],
    );
    assert_eq!(alone.put("one"), Said::Done);
    // The platform replaces the token; STS hands out another session.
    fs::write(&token, "jwt-two").unwrap();
    rotate(&sandbox, &roles, 2, LONG);
    assert_eq!(alone.put("two"), Said::Done);
    assert_eq!(alone.put("three"), Said::Done);
    let asked = roles.asked();
    let tokens: Vec<_> = asked
        .iter()
        .map(|a| a.form("WebIdentityToken").unwrap())
        .collect();
    assert_eq!(tokens, ["jwt-one", "jwt-two"], "a long one is kept");
    let first = &asked[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/"));
    let action = first.form("Action");
    assert_eq!(action.as_deref(), Some("AssumeRoleWithWebIdentity"));
    assert_eq!(first.form("RoleArn").as_deref(), Some(ARN));
    assert!(first.form("RoleSessionName").is_some());
    assert_eq!(
        first.header("authorization"),
        None,
        "the token is the proof"
    );
    assert_eq!(who_put(&sandbox, "two"), "ASIASESSION2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_asks_its_endpoint_with_the_token_of_the_file() {
    let (sandbox, roles) = with_roles().await;
    let token = folder().join("token");
    fs::write(&token, "Bearer-one").unwrap();
    roles.require_authorization("Bearer-one");
    rotate(&sandbox, &roles, 1, SHORT);
    let uri = format!("{}{CONTAINER_PATH}", roles.endpoint());
    let mut alone = Alone::start(
        &sandbox.endpoint(),
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", text(&token)),
        ],
    );
    assert_eq!(alone.put("one"), Said::Done);
    fs::write(&token, "Bearer-two").unwrap();
    roles.require_authorization("Bearer-two");
    rotate(&sandbox, &roles, 2, LONG);
    assert_eq!(alone.put("two"), Said::Done);
    let asked = roles.asked();
    let shown: Vec<_> = asked.iter().map(|a| a.header("authorization")).collect();
    assert_eq!(shown, [Some("Bearer-one"), Some("Bearer-two")]);
    assert_eq!(asked[0].path, CONTAINER_PATH);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_asks_its_metadata_service_by_version_2() {
    let (sandbox, roles) = with_roles().await;
    rotate(&sandbox, &roles, 1, SHORT);
    let at = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*roles.endpoint());
    let mut alone = Alone::start(&sandbox.endpoint(), &[at]);
    assert_eq!(alone.put("one"), Said::Done);
    rotate(&sandbox, &roles, 2, LONG);
    assert_eq!(alone.put("two"), Said::Done);
    let asked = roles.asked();
    let path = "/latest/meta-data/iam/security-credentials/";
    let of_role = format!("{path}{ROLE}");
    let paths: Vec<_> = asked.iter().map(|a| a.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/latest/api/token", path, &of_role, path, &of_role],
        "a token serves for many questions"
    );
    assert_eq!(asked[0].method, "PUT");
    assert!(
        asked[1..]
            .iter()
            .all(|a| a.header("x-aws-ec2-metadata-token").is_some())
    );

    let mut alone = Alone::start(&sandbox.endpoint(), &[at, NO_METADATA]);
    let words = alone.put("three").no_credentials();
    assert!(words.contains("AWS_EC2_METADATA_DISABLED"), "{words}");
    assert_eq!(roles.asked().len(), 5, "nobody was asked");
}

/// A program that prints these credentials, and counts its runs in a file beside it.
fn write_process(file: &Path, number: u8, expires: Option<SignedDuration>) {
    let identity = session(number);
    let mut shown = serde_json::json!({
        "Version": 1, "AccessKeyId": identity.access_key,
        "SecretAccessKey": identity.secret_key, "SessionToken": identity.session_token,
    });
    if let Some(lifetime) = expires {
        let at = jiff::Timestamp::now() + lifetime;
        shown["Expiration"] = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    let runs = file.with_extension("runs");
    let script = format!(
        "#!/bin/sh\necho run >>\"{}\"\necho '{shown}'\n",
        runs.display()
    );
    // A program that is being written cannot be started: it is renamed into its place.
    let temporary = file.with_extension("part");
    fs::write(&temporary, script).unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&temporary, file).unwrap();
}

fn runs(file: &Path) -> usize {
    fs::read_to_string(file.with_extension("runs"))
        .unwrap()
        .lines()
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_process_runs_again_before_its_credentials_end_and_not_before() {
    let (sandbox, roles) = with_roles().await;
    let folder = folder();
    // As a program's name may be, with what a shell would take apart.
    let program = folder.join("give 'em.sh");
    let config = folder.join("config");
    let quoted = text(&program).replace('\'', r"'\''");
    fs::write(
        &config,
        format!("[profile clinic]\ncredential_process = '{quoted}' --for clinic\n"),
    )
    .unwrap();
    write_process(&program, 1, Some(SHORT));
    rotate(&sandbox, &roles, 1, LONG);
    let environment = [
        ("AWS_CONFIG_FILE", text(&config)),
        (PROFILE, "clinic"),
        // Never looked at: a configured profile is used alone.
        ("AWS_ACCESS_KEY_ID", "of-another-store"),
        ("AWS_SECRET_ACCESS_KEY", "of-another-store"),
    ];
    let mut alone = Alone::start(&sandbox.endpoint(), &environment);
    assert_eq!(alone.put("one"), Said::Done);
    write_process(&program, 2, Some(LONG));
    rotate(&sandbox, &roles, 2, LONG);
    assert_eq!(alone.put("two"), Said::Done);
    assert_eq!(alone.put("three"), Said::Done);
    assert_eq!(runs(&program), 2);

    // Without an end they are kept for as long as they serve: no run is repeated in vain.
    write_process(&program, 3, None);
    rotate(&sandbox, &roles, 3, LONG);
    let mut alone = Alone::start(&sandbox.endpoint(), &environment);
    assert_eq!(alone.put("four"), Said::Done);
    sandbox.clock().set_offset_secs(120);
    assert_eq!(alone.put("five"), Said::Done, "tells the time");
    assert_eq!(alone.put("six"), Said::Done);
    assert_eq!(runs(&program), 3);
    // Refused, the destination parks, and the client is built anew.
    write_process(&program, 4, None);
    rotate(&sandbox, &roles, 4, LONG);
    let refused = alone.put("seven");
    assert!(
        matches!(&refused, Said::Failed(kind, _) if kind == "Park InvalidAccessKeyId"),
        "{refused:?}"
    );
    alone.rebuild();
    assert_eq!(alone.put("seven"), Said::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_process_that_hangs_is_ended_and_parks() {
    let (sandbox, _) = start().await;
    let folder = folder();
    let (program, config) = (folder.join("hang.sh"), folder.join("config"));
    let pid = folder.join("pid");
    fs::write(
        &program,
        format!(
            "trap '' TERM\necho $$ >'{}'\nwhile :; do sleep 600; done\n",
            pid.display()
        ),
    )
    .unwrap();
    let process = format!("[default]\ncredential_process = sh {}\n", program.display());
    fs::write(&config, process).unwrap();
    let environment = [
        ("AWS_CONFIG_FILE", text(&config)),
        (PROCESS_SECS, "1"),
        NO_METADATA,
    ];
    let mut alone = Alone::start(&sandbox.endpoint(), &environment);
    let asked = Instant::now();
    let words = alone.put("k").no_credentials();
    assert!(asked.elapsed() < Duration::from_secs(15), "{words}");
    assert!(
        words.contains("default profile: no answer within 1 s"),
        "{words}"
    );
    // It ignores TERM, so it was killed; what is left is at most an entry that init has to clear.
    let pid = fs::read_to_string(pid).unwrap();
    let is_gone = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    let until = Instant::now() + Duration::from_secs(10);
    while !is_gone() {
        assert!(Instant::now() < until, "{pid} goes on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_with_the_credentials_of_another_profile() {
    let (sandbox, roles) = with_roles().await;
    rotate(&sandbox, &roles, 1, LONG);
    let folder = folder();
    let (config, keys) = (folder.join("config"), folder.join("credentials"));
    fs::write(
        &config,
        format!(
            "[default]\nrole_arn = {ARN}\nsource_profile = base\nexternal_id = clinic-7\n\
             [profile instance]\nrole_arn = {ARN}\ncredential_source = Ec2InstanceMetadata\n\
             [profile token]\nrole_arn = {ARN}\nweb_identity_token_file = {}\n",
            folder.join("token").display()
        ),
    )
    .unwrap();
    fs::write(folder.join("token"), "jwt-of-a-profile").unwrap();
    let base = credentials("AKIABASE", "base-secret").replace("default", "base");
    fs::write(&keys, base).unwrap();
    let environment = |profile| {
        [
            ("AWS_CONFIG_FILE", text(&config)),
            ("AWS_SHARED_CREDENTIALS_FILE", text(&keys)),
            (PROFILE, profile),
        ]
    };
    let (sts, metadata) = (roles.endpoint(), roles.endpoint());
    let services = [
        ("AWS_ENDPOINT_URL_STS", sts.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str()),
    ];
    for (profile, action, signed_by) in [
        ("default", "AssumeRole", Some("Credential=AKIABASE/")),
        ("instance", "AssumeRole", Some("Credential=ASIASESSION1/")),
        ("token", "AssumeRoleWithWebIdentity", None),
    ] {
        let all = [&environment(profile)[..], &services[..]].concat();
        let mut alone = Alone::start(&sandbox.endpoint(), &all);
        assert_eq!(alone.put(profile), Said::Done, "{profile}");
        let asked = roles.asked().pop().unwrap();
        assert_eq!(asked.form("Action").as_deref(), Some(action), "{profile}");
        assert_eq!(asked.form("RoleArn").as_deref(), Some(ARN));
        let proof = asked.header("authorization");
        assert_eq!(proof.is_some(), signed_by.is_some(), "{profile}");
        assert!(
            signed_by.is_none_or(|by| proof.unwrap().contains(by)),
            "{proof:?}"
        );
    }
    let of_default = roles.asked().remove(0);
    assert_eq!(of_default.form("ExternalId").as_deref(), Some("clinic-7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_source_in_awss_order_is_used() {
    let (sandbox, roles) = with_roles().await;
    let folder = folder();
    let (keys, token) = (folder.join("credentials"), folder.join("token"));
    fs::write(&keys, credentials("of-the-profile", "secret")).unwrap();
    fs::write(&token, "jwt").unwrap();
    rotate(&sandbox, &roles, 1, LONG);
    for key in ["of-the-environment", "of-the-profile"] {
        sandbox.identities().put(Identity::new(key, "secret"));
    }
    let container = format!("{}{CONTAINER_PATH}", roles.endpoint());
    let endpoint = roles.endpoint();
    // Each source with what it needs, in order; one after the other is taken away.
    let sources: [&[(&str, &str)]; 5] = [
        &[
            ("AWS_ACCESS_KEY_ID", "of-the-environment"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ],
        &[("AWS_SHARED_CREDENTIALS_FILE", text(&keys))],
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
            ("AWS_ROLE_ARN", ARN),
            ("AWS_ENDPOINT_URL_STS", &endpoint),
        ],
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)],
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint)],
    ];
    let of_roles = ["/", CONTAINER_PATH, "/latest/api/token"];
    for from in 0..sources.len() {
        let before = roles.asked().len();
        let mut alone = Alone::start(&sandbox.endpoint(), &sources[from..].concat());
        let key = format!("from-{from}");
        assert_eq!(alone.put(&key), Said::Done, "{key}");
        let first = roles.asked().get(before).map(|asked| asked.path.clone());
        match from {
            0 => assert_eq!(who_put(&sandbox, &key), "of-the-environment"),
            1 => assert_eq!(who_put(&sandbox, &key), "of-the-profile"),
            _ => assert_eq!(first.as_deref(), Some(of_roles[from - 2])),
        }
        assert_eq!(first.is_some(), from >= 2, "none is asked in vain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_a_put_parks_within_seconds_and_says_what_was_tried() {
    let (sandbox, _) = start().await;
    // An instance metadata service that takes connections and never answers, or is not there.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone_address = gone.local_addr().unwrap();
    drop(gone);
    for address in [silent.local_addr().unwrap(), gone_address] {
        let metadata = format!("http://{address}");
        let at = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.as_str());
        let mut alone = Alone::start(&sandbox.endpoint(), &[at]);
        let asked = Instant::now();
        let words = alone.put("k").no_credentials();
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let mut rest = words.as_str();
        for source in [
            "environment (AWS_ACCESS_KEY_ID): ",
            "default profile: ",
            "web identity (AWS_WEB_IDENTITY_TOKEN_FILE): ",
            "container (AWS_CONTAINER_CREDENTIALS_*): ",
            "instance metadata: ",
        ] {
            let at = rest.find(source);
            let at = at.unwrap_or_else(|| panic!("no {source:?} in its place: {words}"));
            rest = &rest[at + source.len()..];
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_profile_is_used_alone() {
    let (sandbox, _) = start().await;
    let identity = sandbox.credentials();
    let mut alone = Alone::start(
        &sandbox.endpoint(),
        &[
            ("AWS_ACCESS_KEY_ID", &identity.access_key),
            ("AWS_SECRET_ACCESS_KEY", &identity.secret_key),
            (PROFILE, "missing"),
        ],
    );
    let words = alone.put("k").no_credentials();
    assert!(
        words.contains("profile missing: ") && !words.contains("environment"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_there_and_fails_is_not_passed_over() {
    let (sandbox, roles) = with_roles().await;
    let token = folder().join("token");
    fs::write(&token, "jwt-secret").unwrap();
    // Nothing was handed out, so STS refuses.
    let metadata = roles.endpoint();
    let mut alone = Alone::start(
        &sandbox.endpoint(),
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
            ("AWS_ROLE_ARN", ARN),
            ("AWS_ENDPOINT_URL_STS", &metadata),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata),
        ],
    );
    let words = alone.put("k").no_credentials();
    assert!(words.contains("web identity"), "{words}");
    assert!(!words.contains("instance metadata"), "{words}");
    assert!(!words.contains("jwt-secret"), "{words}");
    assert!(roles.asked().iter().all(|asked| asked.path == "/"));
    // Once it answers, the next attempt succeeds.
    rotate(&sandbox, &roles, 1, LONG);
    assert_eq!(alone.put("k"), Said::Done);
}

#[tokio::test]
async fn a_key_that_was_rotated_in_its_file_is_used_without_a_restart() {
    let (sandbox, _) = start().await;
    let folder = folder();
    let file = folder.join("credentials");
    fs::write(&file, credentials("old", "old secret")).unwrap();
    sandbox.identities().put(Identity::new("old", "old secret"));
    let mut options = options_for(sandbox.endpoint(), "", "");
    options.credentials_file = Some(file.clone());
    let store = S3Destination::connect(options).await;
    store.put(&request("one", b"x")).await.unwrap();
    sandbox.identities().put(Identity::new("new", "new secret"));
    fs::write(&file, credentials("new", "new secret")).unwrap();
    store.put(&request("two", b"x")).await.unwrap();
    assert_eq!(
        who_put(&sandbox, "two"),
        "old",
        "not looked at all the time"
    );
    // Two minutes later by the store's clock, which this answer tells.
    sandbox.clock().set_offset_secs(120);
    store.put(&request("three", b"x")).await.unwrap();
    store.put(&request("four", b"x")).await.unwrap();
    assert_eq!(who_put(&sandbox, "four"), "new");
}

#[tokio::test]
async fn rebuild_reads_credentials_that_were_rotated() {
    let (sandbox, _) = start().await;
    let file = folder().join("credentials");
    let mut options = options_for(sandbox.endpoint(), "", "");
    fs::write(&file, credentials("old", "old secret")).unwrap();
    options.credentials_file = Some(file.clone());
    let store = S3Destination::connect(options).await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "InvalidAccessKeyId")
    );
    sandbox.identities().put(Identity::new("new", "new secret"));
    fs::write(&file, credentials("new", "new secret")).unwrap();
    assert_eq!(
        store.put(&request("k", b"x")).await.unwrap_err().code,
        "InvalidAccessKeyId",
        "they are kept for a while, or until the client is built anew"
    );
    store.rebuild().await.unwrap();
    store.put(&request("k", b"x")).await.unwrap();
    assert!(store.server_now().is_some(), "the store's clock is kept");
}

#[tokio::test]
async fn a_wrong_secret_parks() {
    let (sandbox, _) = start().await;
    let key = &sandbox.credentials().access_key;
    let store = S3Destination::connect(options_for(sandbox.endpoint(), key, "wrong")).await;
    let failure = store.put(&request("k", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "SignatureDoesNotMatch")
    );
    assert!(
        !format!("{failure:?}").contains("wrong"),
        "a failure never tells a secret"
    );
}

#[tokio::test]
async fn a_named_profile_is_used() {
    let (sandbox, _) = start().await;
    let identity = sandbox.credentials();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = credentials("nobody", "nothing")
        + &credentials(&identity.access_key, &identity.secret_key).replace("default", "clinic");
    fs::write(file.path(), text).unwrap();
    let mut options = options_for(sandbox.endpoint(), "", "");
    options.credentials_file = Some(file.path().to_owned());
    options.profile = Some("clinic".to_owned());
    let store = S3Destination::connect(options.clone()).await;
    store.put(&request("k", b"x")).await.unwrap();
    options.profile = Some("missing".to_owned());
    let store = S3Destination::connect(options).await;
    let failure = store.put(&request("k2", b"x")).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (Class::Park, "NoCredentials"),
        "{failure:?}"
    );
}
