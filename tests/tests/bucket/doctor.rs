//! What `doctor` says of a writer of least privilege, on a real MinIO: nothing of its own prefix, and
//! the missing permission of another one's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use aws_sdk_s3::config::Credentials;
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place};
use tests::servers::{Kind, Server};
use tests::sts::{self, writer_policy};

/// What the daemon's credentials file then has.
fn use_credentials(clinic: &Clinic, credentials: &Credentials) {
    let file = clinic.dir.path().join("aws-credentials");
    let text = format!(
        "[main]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        credentials.access_key_id(),
        credentials.secret_access_key(),
        credentials.session_token().unwrap(),
    );
    let _ = fs::remove_file(&file);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
}

/// What it finds of the store, as `family check verdict`, but for what is good.
fn findings(clinic: &Clinic) -> Vec<String> {
    let output = clinic.cli(&["doctor", "--json", "--write-probe", "--yes"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["verdict"] != "ok")
        .map(|c| {
            let text = |name: &str| c[name].as_str().unwrap().to_owned();
            format!("{} {} {}", text("family"), text("check"), text("verdict"))
        })
        .filter(|found| {
            ["endpoint ", "credentials ", "bucket ", "policy "]
                .iter()
                .any(|family| found.starts_with(family))
        })
        .collect()
}

#[test]
fn doctor_finds_nothing_missing_for_the_shipped_writer_policy_and_names_what_is_for_another() {
    let test =
        "doctor_finds_nothing_missing_for_the_shipped_writer_policy_and_names_what_is_for_another";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(Server::start(Kind::Minio, test)) else {
        return;
    };
    runtime.block_on(server.make_bucket(BUCKET));
    let clinic = Clinic::at(&[Place::server("main", &server)]);
    // The clinic's prefix is part of what the policy calls the client.
    let of = |host: &str| sts::session(&server, &writer_policy(BUCKET, "p/clinic-a", host));
    use_credentials(&clinic, &of("host-1"));
    assert_eq!(findings(&clinic), Vec::<String>::new());
    use_credentials(&clinic, &of("host-2"));
    assert_eq!(
        findings(&clinic),
        ["policy list problem", "policy write_probe problem"]
    );
}
