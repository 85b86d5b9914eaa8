//! `doctor` on a host with running daemons and a store, and each of its findings there seen once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sandbox::{Action, Fault};
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place, Role, program_file};
use tests::guest::{Guest, Release};
use tests::servers::{Kind, Server};
use tests::tls::{Face, TlsFront};

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
                | ("screening", "key")
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
fn a_certificate_that_cannot_be_trusted_is_a_problem_of_the_endpoint_and_nothing_else() {
    let mut clinic = working();
    clinic.wind_down();
    let behind = clinic.sandbox.endpoint();
    let behind = behind.strip_prefix("http://").unwrap().parse().unwrap();
    let front = TlsFront::start(clinic.runtime().handle(), behind);
    let ca = front.ca_file(clinic.dir.path());
    mode(&clinic.dir.path().join("aws-credentials"), 0o600);
    let place = Place {
        endpoint: format!("https://{}", front.address()),
        ..Place::sandbox("main", &clinic.sandbox)
    };
    clinic.configure(&[place], "");
    clinic.edit_configuration(
        "path_style = true",
        &format!("path_style = true\nca_file = \"{}\"", ca.display()),
    );
    tidy(&clinic);
    let findings = || {
        let mut findings = doctor(&clinic, &[]).findings();
        findings.retain(|f| f != "services running problem");
        findings
    };
    assert_eq!(findings(), Vec::<String>::new());
    for face in [Face::WrongAuthority, Face::Expired, Face::OtherHost] {
        front.show(face);
        assert_eq!(
            findings(),
            [
                "endpoint tls problem",
                "credentials accepted could_not_check",
                "bucket bucket could_not_check",
            ],
            "{face:?}"
        );
    }
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

/// Users, folders and services as the design has them, on a Debian that boots.
const INSTALL: &str = r#"
groupadd msp-drop; groupadd msp-handover
useradd --system --user-group --groups msp-drop,msp-handover msp-agent
useradd --system --user-group --groups msp-handover msp-uploader
useradd --system --user-group --groups msp-drop executor
cd /var/lib/msp
install -d -o msp-agent -g msp-drop -m 3770 drop
install -d -o msp-agent -g msp-agent -m 0700 spool quarantine requests
install -d -o msp-agent -g msp-handover -m 2750 evidence outbox
install -d -o msp-agent -g msp-handover -m 3770 receipts
install -d -o msp-uploader -g msp-uploader -m 0700 delivery
install -d -o msp-agent -m 0700 /etc/msp/signing-keys
(umask 0377; echo only-for-tests >/etc/msp/signing-keys/password)
msp-evidence keys generate >/dev/null
chown -R msp-agent /etc/msp/signing-keys
(umask 0377; printf '[default]\naws_access_key_id = x\naws_secret_access_key = y\n' >/etc/msp/aws)
chown msp-uploader /etc/msp/aws
systemctl daemon-reload
systemctl enable --now --quiet msp-evidence-agent msp-evidence-uploader
for of in spool/agent.lock delivery/uploader.lock spool/spool.db; do
    for try in $(seq 200); do [ -s /var/lib/msp/$of ] && break; sleep 0.05; done
done
"#;

/// What it finds of the host itself; the guest reaches no store.
fn of_guest(guest: &Guest) -> Vec<String> {
    let output = guest.run(&["msp-evidence", "doctor", "--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let mut findings = Found { code: 0, report }.findings();
    let of_stores = [
        "endpoint",
        "bucket",
        "policy",
        "credentials accepted",
        "services deliveries",
    ];
    findings.retain(|f| !of_stores.iter().any(|store| f.starts_with(store)));
    findings
}

#[test]
fn on_a_host_with_its_users_nothing_is_wrong_and_every_slip_of_a_hand_is_found() {
    let test = "on_a_host_with_its_users_nothing_is_wrong_and_every_slip_of_a_hand_is_found";
    let Some(guest) = Guest::boot(Release::Bookworm, test) else {
        return;
    };
    for name in [
        "msp-evidence",
        "msp-evidence-agent",
        "msp-evidence-uploader",
    ] {
        fs::copy(program_file(name), guest.path().join("usr/bin").join(name)).unwrap();
    }
    for name in [
        "msp-evidence-agent.service",
        "msp-evidence-uploader.service",
    ] {
        let unit = tests::tools::workspace_root().join("systemd").join(name);
        let to = guest.path().join("usr/lib/systemd/system").join(name);
        fs::copy(unit, to).unwrap();
    }
    fs::create_dir_all(guest.path().join("etc/msp")).unwrap();
    fs::create_dir_all(guest.path().join("var/lib/msp")).unwrap();
    fs::write(
        guest.path().join("etc/msp/evidence.toml"),
        "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n\
         [signing]\npassword_file = \"/etc/msp/signing-keys/password\"\n\
         [agent]\nmin_free_bytes = 0\n[[destination]]\nid = \"main\"\nbucket = \"evidence\"\n\
         region = \"us-east-1\"\nendpoint = \"http://127.0.0.1:9\"\npath_style = true\n\
         credentials_file = \"/etc/msp/aws\"\n",
    )
    .unwrap();
    // Some authority must be there: a build for tests insists on one.
    let authority = rcgen::generate_simple_self_signed(["authority.example".to_owned()]).unwrap();
    fs::create_dir_all(guest.path().join("etc/ssl/certs")).unwrap();
    fs::write(
        guest.path().join("etc/ssl/certs/ca-certificates.crt"),
        pem::encode(&pem::Pem::new("CERTIFICATE", authority.cert.der().to_vec())),
    )
    .unwrap();
    let installed = guest.run(&["bash", "-euc", INSTALL]);
    assert!(installed.status.success(), "{installed:?}");
    assert_eq!(of_guest(&guest), Vec::<String>::new());

    for (harm, mending, findings) in [
        (
            "chmod 0755 /etc/msp/signing-keys; chmod 0444 /etc/msp/signing-keys/evidence.key",
            "chmod 0700 /etc/msp/signing-keys; chmod 0400 /etc/msp/signing-keys/evidence.key",
            vec![
                "keys folder problem",
                "keys private problem",
                "keys out_of_reach problem",
            ],
        ),
        (
            "chown root /var/lib/msp/spool/spool.db",
            "chown msp-agent /var/lib/msp/spool/spool.db",
            vec!["permissions database problem"],
        ),
        (
            "chmod 2770 /var/lib/msp/outbox",
            "chmod 2750 /var/lib/msp/outbox",
            vec!["permissions folder problem"],
        ),
        (
            "chmod 0700 /var/lib/msp",
            "chmod 0755 /var/lib/msp",
            vec!["permissions way problem"; 8],
        ),
        (
            "chgrp msp-agent /var/lib/msp/drop; chmod 3770 /var/lib/msp/drop",
            "chgrp msp-drop /var/lib/msp/drop; chmod 3770 /var/lib/msp/drop",
            vec!["drop group problem"],
        ),
        (
            "ln -s /etc/passwd /var/lib/msp/drop/x.json; chown -h executor /var/lib/msp/drop/x.json; \
             systemctl kill -s STOP msp-evidence-agent",
            "rm -f /var/lib/msp/drop/* /var/lib/msp/quarantine/*; \
             systemctl kill -s CONT msp-evidence-agent",
            vec!["drop foreign problem"],
        ),
        (
            "chmod 0644 /etc/msp/aws",
            "chmod 0400 /etc/msp/aws",
            vec!["credentials file problem"],
        ),
        (
            "chmod 0600 /etc/msp/evidence.toml",
            "chmod 0644 /etc/msp/evidence.toml",
            vec!["permissions configuration problem"],
        ),
        (
            "mkdir /etc/systemd/system/msp-evidence-agent.service.d; printf '[Service]\nPrivateNetwork=no\n' \
             >/etc/systemd/system/msp-evidence-agent.service.d/x.conf; systemctl daemon-reload",
            "rm -r /etc/systemd/system/msp-evidence-agent.service.d; systemctl daemon-reload",
            vec!["services sandbox problem"],
        ),
        (
            "systemctl stop msp-evidence-uploader",
            "systemctl start msp-evidence-uploader",
            vec!["services running problem"],
        ),
    ] {
        let run = |script: &str| {
            let output = guest.run(&["bash", "-euc", script]);
            assert!(output.status.success(), "{script}: {output:?}");
        };
        run(harm);
        assert_eq!(of_guest(&guest), findings, "{harm}");
        run(mending);
    }
}
