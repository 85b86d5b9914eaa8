//! The report of a real audit says what the audit said: of every hostile kit, laid into a bucket of the
//! sandbox, and of some in a folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use audit::{Ledger, Origin};
use sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;
use tempfile::TempDir;
use tests::kit::{self, Kit, Shelf};
use tests::servers;
use tests::tools::ours;

const BUCKET: &str = "evidence";
const PREFIX: &str = "below/";

fn msp_evidence(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(ours("msp-evidence"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("our program starts")
}

fn file(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Audits what `place` names, with a report, then makes the report again from the working file.
fn audited(dir: &Path, place: &[&str], environment: &[(&str, &str)]) -> (Value, i32) {
    let (state, report) = (dir.join("state"), dir.join("report"));
    let (state, report) = (state.to_str().unwrap(), report.to_str().unwrap());
    let key = dir.join("first.pub");
    let mut arguments = vec!["audit", "--json", "--key", key.to_str().unwrap()];
    arguments.extend(["--state", state, "--report", report]);
    arguments.extend(place);
    let audit = msp_evidence(&arguments, environment);
    let code = audit.status.code().unwrap_or(-1);
    let said = serde_json::from_slice(&audit.stdout).unwrap_or_else(|error| {
        let errors = String::from_utf8_lossy(&audit.stderr);
        panic!("{code}: {error}: {errors}")
    });
    let again = dir.join("again");
    let made = msp_evidence(
        &["report", "--state", state, "--out", again.to_str().unwrap()],
        &[],
    );
    let errors = String::from_utf8_lossy(&made.stderr);
    assert_eq!(made.status.code(), Some(0), "{errors}");
    for name in ["report.html", "report.json", "bundles.csv", "findings.csv"] {
        assert!(
            file(&dir.join("report"), name) == file(&again, name),
            "{name} differs when it is made again"
        );
    }
    (said, code)
}

/// Without what only the report has.
fn plain(finding: &Value) -> Value {
    let mut finding = finding.clone();
    let fields = finding.as_object_mut().unwrap();
    fields.remove("about");
    fields.remove("bundle");
    finding
}

fn sorted(findings: impl Iterator<Item = Value>) -> Vec<String> {
    let mut texts: Vec<String> = findings.map(|finding| finding.to_string()).collect();
    texts.sort();
    texts
}

/// Holds the report against what the audit printed.
fn compare(kit: &Kit, dir: &Path, said: &Value, code: i32) {
    let name = &kit.name;
    let report: Value = serde_json::from_str(&file(&dir.join("report"), "report.json")).unwrap();
    let html = file(&dir.join("report"), "report.html");
    for (check, shown) in said["checks"]
        .as_array()
        .unwrap()
        .iter()
        .zip(report["audit"]["checks"].as_array().unwrap())
    {
        for field in ["check", "passed", "failed", "could_not_check"] {
            assert_eq!(check[field], shown[field], "{name}: {check}");
        }
    }
    assert_eq!(
        sorted(said["findings"].as_array().unwrap().iter().cloned()),
        sorted(report["findings"].as_array().unwrap().iter().map(plain)),
        "{name}"
    );
    let words = match code {
        0 => "Everything that was looked at is in order",
        2 => "This evidence is not in order",
        3 => "not everything is proven",
        _ => panic!("{name}: exit code {code}"),
    };
    assert!(
        html.contains(words) || (code == 3 && html.contains("Nothing was checked")),
        "{name}: {code}, and the report does not say: {words}"
    );
    // Nothing that is not proven passes, and nothing that failed is left without its reason.
    for bundle in report["bundles"].as_array().unwrap() {
        let findings = bundle["findings"].as_array().unwrap();
        if bundle["proven"].is_null() {
            assert!(
                findings.iter().any(|finding| finding["level"] != "note"),
                "{name}: {} is not proven, and nothing says why",
                bundle["object"]
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_what_the_audit_said_of_every_kit_in_a_bucket() {
    let mut count = 0;
    for kit in kit::all() {
        let sandbox = Sandbox::start(SandboxOptions::with_bucket(BUCKET))
            .await
            .unwrap();
        let endpoint = sandbox.endpoint();
        let owner = sandbox.credentials();
        let shelf = Shelf::Bucket {
            client: servers::client(&endpoint, &owner.access_key, &owner.secret_key),
            bucket: BUCKET.to_owned(),
            prefix: PREFIX.to_owned(),
        };
        let uri = format!("s3://{BUCKET}/{PREFIX}");
        let mut played = kit::play(&kit.header, &shelf, &uri).await;
        let dir = TempDir::new().unwrap();
        let first = played.first_key.clone();
        fs::write(dir.path().join("first.pub"), played.public_pem(&first)).unwrap();
        let environment = [
            ("AWS_ACCESS_KEY_ID", owner.access_key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", owner.secret_key.as_str()),
        ];
        let place = [
            "--bucket",
            BUCKET,
            "--prefix",
            PREFIX,
            "--endpoint",
            &endpoint,
            "--path-style",
        ];
        let (said, code) =
            tokio::task::block_in_place(|| audited(dir.path(), &place, &environment));
        compare(&kit, dir.path(), &said, code);
        count += 1;
    }
    assert!(count > 40, "only {count} kits");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_folder_shows_what_an_incident_says_and_nothing_of_one_that_was_edited() {
    for (name, severity) in [("clean-artifacts", Some("high")), ("edited", None)] {
        let kit = kit::all().into_iter().find(|kit| kit.name == name).unwrap();
        let dir = TempDir::new().unwrap();
        let evidence = dir.path().join("evidence");
        let shelf = Shelf::Folder(evidence.clone());
        let mut played = kit::play(&kit.header, &shelf, "s3://evidence/").await;
        let first = played.first_key.clone();
        fs::write(dir.path().join("first.pub"), played.public_pem(&first)).unwrap();
        let place = ["--folder", evidence.to_str().unwrap()];
        let (said, code) = audited(dir.path(), &place, &[]);
        compare(&kit, dir.path(), &said, code);
        let report: Value =
            serde_json::from_str(&file(&dir.path().join("report"), "report.json")).unwrap();
        let bundles = report["bundles"].as_array().unwrap();
        let of = |id: &str| {
            bundles
                .iter()
                .find(|bundle| bundle["proven"]["body"]["incident"]["incident_id"] == id)
        };
        let shown = of("INC-1").map(|bundle| &bundle["proven"]["body"]["incident"]["severity"]);
        assert_eq!(shown.and_then(Value::as_str), severity, "{name}");
        let second = of("INC-2").expect("the second incident is proven");
        let detail = &second["proven"]["body"]["incident"]["detail"];
        assert!(
            !detail["actions"].as_array().unwrap().is_empty(),
            "{second}"
        );
        let covered_by = second["covered_by"].as_str().unwrap_or_default();
        assert!(covered_by.starts_with("EB-"), "{second}");
    }
}

#[test]
fn no_report_is_made_of_what_is_no_finished_audit() {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let notes = dir.path().join("notes");
    fs::write(&notes, "no database").unwrap();
    // An audit that was interrupted before it judged.
    let begun = dir.path().join("begun");
    let origin = Origin {
        source: "file:/evidence".to_owned(),
        keyring: "none".to_owned(),
        scope: String::new(),
    };
    drop(Ledger::open(Some(&begun), &origin).unwrap());
    let output = msp_evidence(
        &["report", "--state", begun.to_str().unwrap(), "--out", out],
        &[],
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("did not come to its end"), "{errors}");
    for state in [notes.to_str().unwrap(), "/nonexistent"] {
        let output = msp_evidence(&["report", "--state", state, "--out", out], &[]);
        let code = output.status.code();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(code, Some(1 | 3)), "{code:?}: {errors}");
        assert!(!Path::new(out).exists(), "{state}");
    }
}
