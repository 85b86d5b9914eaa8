//! `doctor` on a host with running daemons and a store, and each of its findings there seen once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sandbox::{Action, Fault};
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place, Role};
use tests::servers::{Kind, Server};

use crate::incident::document;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// As the packages would leave it, but for the users: everything here is of one user.
fn tidy(clinic: &Clinic) {
    let root = clinic.dir.path();
    mode(root, 0o755);
    for name in [
        "drop",
        "spool",
        "evidence",
        "outbox",
        "receipts",
        "delivery",
        "quarantine",
        "requests",
    ] {
        let folder = clinic.state(name);
        fs::create_dir_all(&folder).unwrap();
        mode(&folder, 0o700);
    }
    mode(&clinic.state("drop"), 0o3770);
    mode(&root.join("keys"), 0o700);
    mode(&root.join("aws-credentials"), 0o400);
    mode(&root.join("evidence.toml"), 0o644);
}

/// A clinic with a confirmed incident, whose daemons run.
fn working() -> Clinic {
    let mut clinic = Clinic::new();
    tidy(&clinic);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("1.json", &document("INC-1"));
    clinic.wait_until("the bundle to be confirmed", Clinic::is_confirmed);
    clinic
}

struct Found {
    code: i32,
    report: Value,
}

impl Found {
    /// Checks that are not ok and not known to be so on a test's host, as `family check verdict`.
    fn findings(&self) -> Vec<String> {
        self.report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .inspect(|c| assert_eq!(c["verdict"] == "ok", c["remedy"].is_null(), "{c}"))
            .filter(|c| c["verdict"] != "ok" && !is_of_the_test_host(c))
            .map(|c| {
                let text = |name: &str| c[name].as_str().unwrap().to_owned();
                format!("{} {} {}", text("family"), text("check"), text("verdict"))
            })
            .collect()
    }

    fn of(&self, family: &str, check: &str) -> &Value {
        self.report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["family"] == family && c["check"] == check)
            .unwrap_or_else(|| panic!("no {family} {check}: {:#}", self.report))
    }
}

/// No units, no users and groups of ours, no time service; one user for all; the sandbox's bucket
/// has no default rule.
fn is_of_the_test_host(check: &Value) -> bool {
    check["verdict"] == "warning"
        && matches!(
            (
                check["family"].as_str().unwrap(),
                check["check"].as_str().unwrap()
            ),
            ("services", "unit")
                | ("permissions", "separation")
                | ("drop", "group")
                | ("clock", "service")
                | ("screening", "active")
                | ("retention", "default_rule")
                | ("configuration", "warning")
                | ("disk", "room")
        )
}

fn doctor(clinic: &Clinic, more: &[&str]) -> Found {
    let output = clinic.cli(&[&["doctor", "--json"], more].concat());
    Found {
        code: output.status.code().unwrap(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")),
    }
}

#[test]
fn a_host_that_works_has_no_findings_and_the_bucket_is_not_written_to() {
    let clinic = working();
    let versions = clinic.sandbox.store().all_versions(BUCKET).len();
    let found = doctor(&clinic, &[]);
    assert_eq!(found.findings(), Vec::<String>::new());
    assert_eq!(found.code, 0, "{:#}", found.report);
    for (family, check) in [
        ("services", "running"),
        ("keys", "opens"),
        ("endpoint", "reached"),
        ("credentials", "accepted"),
        ("bucket", "object_lock"),
        ("policy", "write"),
        ("policy", "read_retention"),
    ] {
        assert_eq!(found.of(family, check)["verdict"], "ok");
    }
    assert_eq!(clinic.sandbox.store().all_versions(BUCKET).len(), versions);
    let puts = clinic.sandbox.hits("PutObject");
    let _ = doctor(&clinic, &[]);
    assert_eq!(clinic.sandbox.hits("PutObject"), puts);
}

#[test]
fn what_a_store_refuses_is_found_for_what_it_is() {
    let mut clinic = working();
    clinic.wind_down();
    let stopped = ["services running problem", "services running problem"];
    assert_eq!(doctor(&clinic, &[]).findings(), stopped);
    let with = |operation: &str, status: u16, code: &str| {
        let fault = clinic
            .sandbox
            .faults()
            .add(Fault::on(operation, Action::answer(status, code)));
        let found = doctor(&clinic, &[]);
        assert_eq!(found.code, 2);
        clinic.sandbox.faults().remove(fault);
        let mut findings = found.findings();
        findings.retain(|f| !stopped.contains(&f.as_str()));
        findings
    };
    assert_eq!(
        with("GetObjectRetention", 403, "AccessDenied"),
        Vec::<String>::new(),
        "HEAD tells the lock"
    );
    assert_eq!(
        with("ListObjectVersions", 403, "AccessDenied"),
        ["policy list problem"]
    );
    assert_eq!(
        with("HeadObject", 403, "AccessDenied"),
        ["policy read_retention problem"]
    );
    assert_eq!(
        with("GetBucketVersioning", 403, "AccessDenied"),
        ["bucket versioning could_not_check"]
    );
    assert_eq!(
        with("HeadBucket", 404, "NoSuchBucket"),
        ["bucket bucket problem"]
    );
}

#[test]
fn wrong_credentials_a_dead_store_and_a_bucket_without_locks_are_problems() {
    let mut clinic = working();
    clinic.wind_down();
    let findings = |clinic: &Clinic| -> Vec<String> {
        let found = doctor(clinic, &[]);
        assert_eq!(found.code, 2, "{:#}", found.report);
        let mut findings = found.findings();
        findings.retain(|f| f != "services running problem");
        findings
    };
    let good = Place::sandbox("main", &clinic.sandbox);
    let at = |place: Place| {
        mode(&clinic.dir.path().join("aws-credentials"), 0o600);
        clinic.configure(&[place], "");
        tidy(&clinic);
    };
    at(Place {
        secret_key: "another".to_owned(),
        ..good.clone()
    });
    assert_eq!(
        findings(&clinic),
        [
            "credentials accepted problem",
            "bucket bucket could_not_check"
        ]
    );
    at(Place {
        endpoint: "http://127.0.0.1:1".to_owned(),
        ..good.clone()
    });
    assert_eq!(
        findings(&clinic),
        [
            "endpoint reached problem",
            "credentials accepted could_not_check",
            "bucket bucket could_not_check",
        ]
    );
    at(Place {
        endpoint: "http://nowhere.invalid:9".to_owned(),
        ..good.clone()
    });
    let found = doctor(&clinic, &[]);
    assert_eq!(found.of("endpoint", "reached")["verdict"], "problem");
    assert!(
        found.of("endpoint", "reached")["found"]
            .as_str()
            .unwrap()
            .contains("not known")
    );
    clinic
        .sandbox
        .store()
        .create_bucket("plain", false)
        .unwrap();
    at(Place {
        bucket: "plain".to_owned(),
        ..good.clone()
    });
    assert_eq!(
        findings(&clinic),
        [
            "bucket versioning problem",
            "bucket object_lock problem",
            "policy read_retention could_not_check",
        ]
    );
    at(good);
    mode(&clinic.dir.path().join("aws-credentials"), 0o644);
    assert_eq!(findings(&clinic), ["credentials file problem"]);
}

#[test]
fn a_write_probe_is_stored_locked_read_back_and_known_to_fsck() {
    let mut clinic = Clinic::new();
    tidy(&clinic);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("1.json", &document("INC-1"));
    clinic.wait_until("the bundle to be confirmed", Clinic::is_confirmed);
    let before = clinic.sandbox.store().all_versions(BUCKET).len();
    let found = doctor(&clinic, &["--write-probe", "--yes"]);
    assert_eq!(found.findings(), Vec::<String>::new());
    assert_eq!(found.of("policy", "write_probe")["verdict"], "ok");
    assert_eq!(found.of("policy", "read_back")["verdict"], "ok");
    let probes: Vec<_> = clinic
        .sandbox
        .store()
        .all_versions(BUCKET)
        .into_iter()
        .filter(|v| v.key.starts_with("p/clinic-a/host-1/write-probes/"))
        .collect();
    assert_eq!(probes.len(), 1, "one small object");
    assert!(clinic.sandbox.store().all_versions(BUCKET).len() > before);
    assert!(probes[0].lock.retention.is_some());
    assert_eq!(
        clinic.fsck(fsck::Level::Repairable, true),
        Vec::<String>::new()
    );
    let notes = clinic.fsck(fsck::Level::Note, true);
    assert!(
        notes.iter().any(|note| note.contains("write_probe")),
        "{notes:?}"
    );

    let refusal = Action::answer(403, "AccessDenied");
    let fault = clinic.sandbox.faults().add(Fault {
        key_contains: Some("write-probes".to_owned()),
        ..Fault::on("PutObject", refusal)
    });
    let found = doctor(&clinic, &["--write-probe", "--yes"]);
    assert_eq!(found.findings(), ["policy write_probe problem"]);
    assert_eq!(found.code, 2);
    clinic.sandbox.faults().remove(fault);
}

#[test]
fn on_minio_a_write_probe_says_what_the_store_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let name = "on_minio_a_write_probe_says_what_the_store_does";
    let Some(server) = runtime.block_on(Server::start(Kind::Minio, name)) else {
        return;
    };
    runtime.block_on(server.make_bucket(BUCKET));
    let clinic = Clinic::at(&[Place::server("main", &server)]);
    tidy(&clinic);
    let found = doctor(&clinic, &[]);
    assert_eq!(found.of("policy", "write")["verdict"], "could_not_check");
    assert_eq!(
        found.of("policy", "read_retention")["verdict"],
        "could_not_check"
    );
    let found = doctor(&clinic, &["--write-probe", "--yes"]);
    assert_eq!(
        found.of("policy", "write_probe")["verdict"],
        "ok",
        "{:#}",
        found.report
    );
    assert_eq!(found.of("policy", "read_back")["verdict"], "ok");
    // It is there now, and nobody needs to write to see its lock.
    let found = doctor(&clinic, &[]);
    assert_eq!(found.of("policy", "read_retention")["verdict"], "ok");
}
