//! One incident from drop to confirmed, watched at each moment through the CLI.

use std::fs;
use std::time::Duration;

use destination::{Destination as _, Lock, S3Destination, S3Options};
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Role};

use crate::incident::document;

fn store(clinic: &Clinic) -> S3Destination {
    let credentials = clinic.dir.path().join("aws-credentials");
    let identity = clinic.sandbox.credentials();
    fs::write(
        &credentials,
        format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            identity.access_key, identity.secret_key
        ),
    )
    .unwrap();
    clinic.runtime().block_on(S3Destination::connect(S3Options {
        prefix: "p/".to_owned(),
        endpoint: Some(clinic.sandbox.endpoint()),
        path_style: true,
        credentials_file: Some(credentials),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        ..S3Options::new("main", BUCKET, "us-east-1")
    }))
}

#[test]
fn planned_becomes_confirmed_as_the_store_says_and_the_signed_bytes_stay() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("the bundle", |c| c.bundles().len() == 1);
    let (path, bundle) = clinic.bundles().remove(0);
    let id = bundle.header().bundle_id.clone();
    let before = fs::read(&path).unwrap();

    let planned = clinic.cli_json(&["show", &id, "--json"]);
    let location = &planned["storage_locations"][0];
    assert_eq!(location["state"], "planned");
    assert_eq!(location.get("version_id"), None);

    clinic.start(Role::Uploader);
    clinic.wait_until("confirmation", Clinic::is_settled);
    let shown = clinic.cli_json(&["show", &id, "--json"]);
    let location = &shown["storage_locations"][0];
    assert_eq!(location["state"], "confirmed");
    let version = location["version_id"].as_str().unwrap();
    let key = location["uri"]
        .as_str()
        .unwrap()
        .strip_prefix("s3://evidence/")
        .unwrap();
    let store = store(&clinic);
    let head = clinic
        .runtime()
        .block_on(store.inspect(key, version))
        .unwrap()
        .unwrap();
    let objects = location["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 2);
    let main = objects.iter().find(|o| o["role"] == "bundle").unwrap();
    let until = main["retain_until"].as_str().unwrap().parse().unwrap();
    assert_eq!(head.lock, Lock::Compliance(until));
    assert_eq!(
        head.sha256.map(|s| s.to_string()).as_deref(),
        main["sha256"].as_str()
    );
    assert_eq!(
        before,
        fs::read(&path).unwrap(),
        "the signed bytes did not change"
    );

    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["pending"], 0);
    assert_eq!(status["spool"]["confirmed_bundles"], 1);
    assert_eq!(
        status["delivery"]["destinations"][0]["counts"]["confirmed"],
        2
    );
    assert_eq!(status["blocked"], Value::Array(Vec::new()));
    clinic.stop(Role::Uploader);
    clinic.stop(Role::Agent);
    // Also while both are down, and without leaving anything behind.
    assert_eq!(
        clinic.cli_json(&["status", "--json"])["spool"]["confirmed_bundles"],
        1
    );
}

#[test]
fn verify_tells_good_bad_and_not_checkable_apart() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("the bundle", |c| c.bundles().len() == 1);
    let (path, _) = clinic.bundles().remove(0);
    let key = clinic.public_key_file();
    let verify = |path: &std::path::Path, key: &std::path::Path| {
        let output = clinic.cli(&[
            "verify",
            path.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ]);
        output.status.code().unwrap()
    };
    let evidence = clinic.state("evidence");
    assert_eq!(verify(&path, &key), 0);
    assert_eq!(verify(&evidence, &key), 0);

    let (other, _) = evidence::keys::PrivateKey::generate(b"").unwrap();
    let other_key = clinic.dir.path().join("other.pub");
    fs::write(&other_key, other.public().to_pem()).unwrap();
    assert_eq!(verify(&path, &other_key), 2, "another key");

    let copy = clinic.dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    assert_eq!(verify(&copy, &key), 3, "an empty folder");
    let file = copy.join(path.file_name().unwrap());
    let signature = file.with_extension("json.bundle");
    fs::copy(&path, &file).unwrap();
    assert_eq!(verify(&copy, &key), 2, "unsigned");
    fs::copy(path.with_extension("json.bundle"), &signature).unwrap();
    assert_eq!(verify(&copy, &key), 0);
    let mut flipped = fs::read(&file).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&file, &flipped).unwrap();
    assert_eq!(verify(&copy, &key), 2, "one flipped bit");
    fs::remove_file(&file).unwrap();
    assert_eq!(verify(&copy, &key), 2, "a signature without its bundle");
    assert_eq!(verify(&copy.join("nothing.json"), &key), 3, "no such file");
    assert_eq!(verify(&path, &copy.join("nothing.pub")), 3, "no such key");
    assert_eq!(
        clinic.cli(&["verify"]).status.code(),
        Some(1),
        "wrong usage"
    );
}

#[test]
fn what_is_malformed_is_quarantined_listed_and_can_be_retried() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.drop_document("bad.json", b"{");
    clinic.wait_until("the reason file", |c| {
        fs::read_dir(c.state("quarantine")).unwrap().count() == 2
    });
    let listed = clinic.cli_json(&["quarantine", "list", "--json"]);
    assert_eq!(listed[0]["reason_code"], "truncated");
    let name = listed[0]["name"].as_str().unwrap();
    // The operator mends it in place.
    fs::write(clinic.state("quarantine").join(name), document("INC-1")).unwrap();
    assert!(clinic.cli(&["quarantine", "retry", name]).status.success());
    clinic.wait_until("the bundle", |c| c.bundles().len() == 1);
    assert_eq!(
        clinic.cli_json(&["quarantine", "list", "--json"]),
        Value::Array(Vec::new())
    );
}

#[test]
fn what_is_blocked_is_shown_with_a_remedy_and_goes_on_once_released() {
    let mut clinic = Clinic::new();
    clinic.sandbox.faults().add(
        sandbox::Fault::on("PutObject", sandbox::Action::answer(400, "EntityTooLarge"))
            .key(".json.bundle"),
    );
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    let blocked = |c: &Clinic| c.cli_json(&["blocked", "list", "--json"]);
    clinic.wait_until("the block", |c| blocked(c) != Value::Array(Vec::new()));
    let item = blocked(&clinic)[0].clone();
    assert_eq!(item["error"]["code"], "EntityTooLarge");
    assert!(!item["hint"].as_str().unwrap().is_empty());
    let id = item["bundle_id"].as_str().unwrap().to_owned();
    assert_eq!(
        clinic.cli_json(&["status", "--json"])["blocked"][0]["bundle_id"],
        id.as_str()
    );
    assert_eq!(
        clinic.cli_json(&["show", &id, "--json"])["storage_locations"][0]["state"],
        "planned"
    );

    clinic.sandbox.faults().clear();
    assert!(clinic.cli(&["blocked", "release", &id]).status.success());
    clinic.wait_until("confirmation", Clinic::is_settled);
    assert_eq!(
        clinic.cli_json(&["show", &id, "--json"])["storage_locations"][0]["state"],
        "confirmed"
    );
    assert_eq!(
        clinic.cli(&["blocked", "release", &id]).status.code(),
        Some(3),
        "nothing is left"
    );
}

#[test]
fn a_parked_destination_says_why_and_recovers_by_itself() {
    let mut clinic = Clinic::new();
    let fault = clinic
        .sandbox
        .faults()
        .add(sandbox::Fault::always(sandbox::Action::answer(
            403,
            "AccessDenied",
        )));
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    let destination =
        |c: &Clinic| c.cli_json(&["status", "--json"])["delivery"]["destinations"][0].clone();
    clinic.wait_until("the park", |c| destination(c)["state"] == "parked");
    assert!(
        destination(&clinic)["reason"]
            .as_str()
            .unwrap()
            .contains("AccessDenied")
    );
    clinic.sandbox.faults().remove(fault);
    clinic.wait_until("confirmation", Clinic::is_settled);
    assert_eq!(destination(&clinic)["state"], "ok");
}

#[test]
fn submit_checks_before_it_drops() {
    let mut clinic = Clinic::new();
    let good = clinic.dir.path().join("good.json");
    let bad = clinic.dir.path().join("bad.json");
    fs::write(&good, document("INC-1")).unwrap();
    fs::write(&bad, b"{\"incident\": 1}").unwrap();
    let code = |clinic: &Clinic, arguments: &[&str]| clinic.cli(arguments).status.code();
    assert_eq!(
        code(&clinic, &["submit", "--check", good.to_str().unwrap()]),
        Some(0)
    );
    assert_eq!(fs::read_dir(clinic.state("drop")).unwrap().count(), 0);
    assert_eq!(code(&clinic, &["submit", bad.to_str().unwrap()]), Some(2));
    assert_eq!(fs::read_dir(clinic.state("drop")).unwrap().count(), 0);
    assert_eq!(code(&clinic, &["submit", good.to_str().unwrap()]), Some(0));
    clinic.start(Role::Agent);
    clinic.wait_until("the bundle", |c| c.bundles().len() == 1);
}

#[test]
fn keys_are_never_overwritten_and_have_the_modes_of_the_contract() {
    use std::os::unix::fs::PermissionsExt as _;
    let clinic = Clinic::new();
    let keys = clinic.dir.path().join("keys");
    let mode = |name: &str| fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (
            mode("evidence.key"),
            mode("evidence.pub"),
            mode("digest.key")
        ),
        (0o400, 0o644, 0o400)
    );
    let before = fs::read(keys.join("evidence.key")).unwrap();
    assert!(!clinic.cli(&["keys", "generate"]).status.success());
    assert_eq!(before, fs::read(keys.join("evidence.key")).unwrap());
    let shown = clinic.cli_json(&["keys", "show", "--json"]);
    assert_eq!(
        shown["key_id"].as_str(),
        Some(clinic.public.key_id().as_str())
    );
}

#[test]
fn bucket_check_prints_the_preflight_and_judges_it() {
    let clinic = Clinic::new();
    let report = clinic.cli_json(&["bucket", "check", "--json"]);
    assert_eq!(report[0]["result"], "ok");
    assert_eq!(
        (&report[0]["versioning"], &report[0]["object_lock"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    clinic.sandbox.faults().add(sandbox::Fault::on(
        "GetBucketVersioning",
        sandbox::Action::ReportSuspended,
    ));
    assert_eq!(clinic.cli(&["bucket", "check"]).status.code(), Some(2));
    clinic.sandbox.faults().clear();
    // A writer need not be allowed to list the bucket, as long as it may ask about it.
    for operation in ["HeadBucket", "GetBucketVersioning"] {
        let code = clinic.cli(&["bucket", "check"]).status.code();
        assert_eq!(code, Some(0), "before {operation} is denied, too");
        let denied = sandbox::Action::answer(403, "AccessDenied");
        clinic
            .sandbox
            .faults()
            .add(sandbox::Fault::on(operation, denied));
    }
    assert_eq!(clinic.cli(&["bucket", "check"]).status.code(), Some(3));
}
