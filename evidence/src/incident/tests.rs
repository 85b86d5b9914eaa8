use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{HEADER_FIELDS, Incident, IncidentBody, Limits, MAX_DOCUMENT_DEPTH, MAX_NAME_CHARS};
use crate::controls::ControlMap;
use crate::findings::{MAX_PER_CODE, consistency};
use crate::ijson;

/// A little after all synthetic incidents but the one that lies about it.
const NOW: &str = "2025-11-15T12:00:00Z";

fn drops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/drops")
}

/// The expectations for the folder `kind`, which must name exactly the files there are.
fn expected(kind: &str) -> BTreeMap<String, Value> {
    let index = std::fs::read(drops().join("expect.json")).unwrap();
    let mut index: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_slice(&index).unwrap();
    let expected = index.remove(kind).unwrap();
    let mut files: Vec<String> = std::fs::read_dir(drops().join(kind))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        expected.keys().cloned().collect::<Vec<_>>(),
        "expect.json and {kind}/"
    );
    expected
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(drops().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn parse(bytes: &[u8]) -> Incident {
    Incident::parse(bytes, &Limits::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn parse_value(value: &Value) -> Incident {
    parse(&serde_json::to_vec(value).unwrap())
}

fn backup_failure() -> Value {
    serde_json::from_slice(&fixture("valid/backup-failure.json")).unwrap()
}

#[test]
fn every_valid_fixture_is_read_with_exactly_the_findings_expected() {
    let now: Timestamp = NOW.parse().unwrap();
    for (name, expectation) in expected("valid") {
        let incident = parse(&fixture(&format!("valid/{name}")));
        let mut findings = incident.findings;
        findings.extend(consistency(&incident.body, now, ControlMap::built_in()));
        let mut found: Vec<_> = findings
            .iter()
            .map(|f| (f.code.as_ref(), f.path.as_str()))
            .collect();
        let listed = expectation["findings"].as_array().unwrap();
        let mut wanted: Vec<_> = listed
            .iter()
            .map(|f| (f["code"].as_str().unwrap(), f["path"].as_str().unwrap()))
            .collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn every_malformed_fixture_is_refused_with_the_code_and_path_expected() {
    for (name, expectation) in expected("malformed") {
        let bytes = fixture(&format!("malformed/{name}"));
        let refusal = Incident::parse(&bytes, &Limits::default())
            .expect_err(&format!("{name} should have been refused"));
        let wanted = (&expectation["code"], &expectation["path"]);
        assert_eq!(
            (&json!(refusal.code), &json!(refusal.path)),
            wanted,
            "{name}: {refusal}"
        );
        assert!(!refusal.message.is_empty(), "{name}");
    }
}

/// What the bundle should hold, worked out from the drop's JSON alone.
fn rearranged(drop: &Value) -> Value {
    let mut rest = drop.as_object().unwrap().clone();
    let mut body = Map::new();
    for name in ["incident", "runbook", "execution", "outputs"] {
        body.insert(name.into(), rest.remove(name).unwrap());
    }
    let actions = rest
        .remove("actions")
        .or_else(|| rest.remove("actions_taken"))
        .unwrap();
    body.insert("actions_taken".into(), actions);
    let mut artifacts = rest.remove("artifacts").unwrap_or_else(|| json!({}));
    if let Some(files) = artifacts.as_object_mut().unwrap().remove("files") {
        rest.insert("artifacts".into(), json!({ "files": files }));
    }
    for (name, empty) in [
        ("log_excerpts", json!({})),
        ("checksums", json!({})),
        ("outputs", json!({})),
        ("files", json!([])),
    ] {
        artifacts
            .as_object_mut()
            .unwrap()
            .entry(name)
            .or_insert(empty);
    }
    body.insert("artifacts".into(), artifacts);
    let incident = body["incident"].as_object_mut().unwrap();
    incident.entry("details").or_insert(json!({}));
    incident.entry("hipaa_controls").or_insert(json!([]));
    body.insert("extra".into(), Value::Object(rest));
    Value::Object(body)
}

#[test]
fn nothing_of_a_drop_is_lost_or_changed() {
    for name in expected("valid").keys() {
        let bytes = fixture(&format!("valid/{name}"));
        let drop = ijson::read(&bytes, ijson::MAX_DEPTH).unwrap().value;
        let body = parse(&bytes).body;
        assert_eq!(
            serde_json::to_value(&body).unwrap(),
            rearranged(&drop),
            "{name}"
        );
    }
}

#[test]
fn the_body_is_written_in_the_order_of_the_format() {
    let text = serde_json::to_string(&parse(&fixture("valid/unknown-fields.json")).body).unwrap();
    let names = [
        "incident",
        "runbook",
        "execution",
        "actions_taken",
        "artifacts",
        "outputs",
        "extra",
    ];
    let mut at = 0;
    for name in names {
        let found = text[at..]
            .find(&format!("\"{name}\":{{"))
            .or_else(|| text[at..].find(&format!("\"{name}\":[")));
        at += found.unwrap_or_else(|| panic!("{name} is not where it should be"));
    }
    assert!(text.starts_with("{\"incident\":{\"incident_id\":"));
}

#[test]
fn a_body_reads_back_from_its_own_json() {
    for name in expected("valid").keys() {
        let body = parse(&fixture(&format!("valid/{name}"))).body;
        let text = serde_json::to_string_pretty(&body).unwrap();
        let back: IncidentBody = serde_json::from_str(&text).unwrap();
        let (back, body) = (serde_json::to_value(back), serde_json::to_value(body));
        if name == "unknown-fields.json" {
            // A null error_message reads back as no error_message; all else is the same.
            assert!(
                back.unwrap()["actions_taken"][0]
                    .get("error_message")
                    .is_none()
            );
        } else {
            assert_eq!(back.unwrap(), body.unwrap(), "{name}");
        }
    }
}

#[test]
fn a_finished_bundle_as_a_drop_sets_no_header_field() {
    let drop: Value = serde_json::from_slice(&fixture("valid/header-spoofing.json")).unwrap();
    let incident = parse(&fixture("valid/header-spoofing.json"));
    let written = serde_json::to_value(&incident.body).unwrap();
    for name in HEADER_FIELDS {
        assert!(written.get(name).is_none(), "{name}");
        assert_eq!(incident.body.extra.get(name), drop.get(name), "{name}");
    }
    assert!(
        incident.body.artifacts.files.is_empty(),
        "only the agent lists stored files"
    );
    assert_eq!(
        incident.body.extra["artifacts"]["files"],
        drop["artifacts"]["files"]
    );
    assert_eq!(incident.body.extra["extra"], drop["extra"]);
}

#[test]
fn numbers_stay_what_they_were() {
    let body = parse(&fixture("valid/extreme-numbers.json")).body;
    let details = &body.incident.details;
    assert_eq!(details["big_integer"], json!("9007199254740993"));
    assert_eq!(details["huge"], json!("1e400"));
    assert_eq!(
        details["list"],
        json!([1, "1E400", {"deep/er~": "3.14159265358979323846"}])
    );
    assert_eq!(details["trailing_zero"], json!(1.5));
    assert_eq!(details["max_exact"], json!(9_007_199_254_740_991_u64));
    assert_eq!(body.runbook.steps_total, 9_007_199_254_740_991);
    let service = parse(&fixture("valid/service-failed-to-start.json")).body;
    assert_eq!(service.execution.mttr_seconds.to_string(), "980.5");
    let backup = parse(&fixture("valid/backup-failure.json")).body;
    assert_eq!(backup.execution.mttr_seconds.to_string(), "322");
}

#[test]
fn escaped_and_plain_unicode_read_the_same() {
    let plain = parse(&fixture("valid/unicode.json")).body;
    let mut escaped = parse(&fixture("valid/unicode-escaped.json")).body;
    assert_ne!(plain.incident_id(), escaped.incident_id());
    escaped.incident.incident_id = plain.incident.incident_id.clone();
    assert_eq!(plain, escaped);
}

#[test]
fn a_whole_number_may_be_written_with_decimals() {
    let mut drop = backup_failure();
    drop["runbook"]["steps_total"] = json!(4.0);
    drop["actions"][0]["exit_code"] = json!(-0.0);
    let body = parse_value(&drop).body;
    assert_eq!(
        (body.runbook.steps_total, body.actions_taken[0].exit_code),
        (4, Some(0))
    );
}

#[test]
fn a_name_may_have_256_characters_of_any_script() {
    let mut drop = backup_failure();
    drop["incident"]["incident_id"] = json!("語".repeat(MAX_NAME_CHARS));
    assert_eq!(
        parse_value(&drop).incident_id().chars().count(),
        MAX_NAME_CHARS
    );
}

#[test]
fn outputs_of_megabytes_are_kept_whole() {
    let long = "0123456789 äöü 語 \u{1b}[0m\n".repeat(80_000);
    assert!(long.len() > 2 << 20);
    let mut drop = backup_failure();
    drop["actions"][0]["stdout_excerpt"] = json!(long);
    drop["artifacts"]["log_excerpts"]["backup.log"] = json!(long);
    let body = parse_value(&drop).body;
    assert_eq!(
        body.actions_taken[0].stdout_excerpt.as_deref(),
        Some(long.as_str())
    );
    assert_eq!(body.artifacts.log_excerpts["backup.log"], json!(long));
}

#[test]
fn a_document_deeper_than_the_limit_is_refused_however_deep() {
    for levels in [33, 1_000, 1_000_000] {
        let bomb = format!("{}{}", "{\"a\":[".repeat(levels), "]}".repeat(levels));
        let refusal = Incident::parse(bomb.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(refusal.code, "too_deep");
        assert!(refusal.path.chars().count() <= 200);
        let limits = Limits {
            max_depth: usize::MAX,
        };
        assert!(Incident::parse(bomb.as_bytes(), &limits).is_err());
    }
}

#[test]
fn findings_are_bounded_however_many_there_are_to_make() {
    let mut drop = serde_json::to_string(&backup_failure()).unwrap();
    let numbers = "1e400,".repeat(100_000);
    drop.insert_str(1, &format!("\"numbers\":[{numbers}1],"));
    let incident = parse(drop.as_bytes());
    assert_eq!(incident.findings.len(), MAX_PER_CODE + 1);
    assert_eq!(incident.findings[3].path, "/extra/numbers/3");
    assert_eq!(
        incident.findings[MAX_PER_CODE].message,
        "and 99900 more like these"
    );

    let mut drop = backup_failure();
    drop["incident"]["hipaa_controls"] = json!(vec!["made up"; 5_000]);
    let found = consistency(
        &parse_value(&drop).body,
        NOW.parse().unwrap(),
        ControlMap::built_in(),
    );
    assert_eq!(found.len(), MAX_PER_CODE + 1);
}

#[test]
fn paths_of_findings_point_into_the_bundle() {
    let mut drop = serde_json::to_string(&backup_failure()).unwrap();
    drop = drop.replacen("\"action\":", "\"x\":1e400,\"action\":", 1);
    drop = drop.replacen(
        "\"checksums\":",
        "\"filesize\":2e400,\"files\":[3e400],\"checksums\":",
        1,
    );
    drop.insert_str(1, "\"actions \":4e400,\"a/b\":5e400,");
    let incident = parse(drop.as_bytes());
    let written = serde_json::to_value(&incident.body).unwrap();
    for finding in incident
        .findings
        .iter()
        .filter(|f| f.code == "number_as_text")
    {
        let value = written.pointer(&finding.path);
        assert!(
            value.is_some_and(|v| v.as_str().is_some_and(|t| t.ends_with("e400"))),
            "{finding:?}"
        );
    }
    assert_eq!(incident.findings.len(), 6);
}

#[test]
fn a_refusal_quotes_no_value() {
    let secret = "hunter2";
    let mut refused = 0;
    let whole = backup_failure();
    for section in ["incident", "runbook", "execution", "outputs"] {
        for field in whole[section].as_object().unwrap().keys() {
            for value in [json!([secret]), json!(format!("{secret}\n"))] {
                let mut drop = whole.clone();
                drop[section][field] = value;
                let bytes = serde_json::to_vec(&drop).unwrap();
                if let Err(refusal) = Incident::parse(&bytes, &Limits::default()) {
                    refused += 1;
                    let said = format!("{refusal} {refusal:?} {}", json!(refusal));
                    assert!(!said.contains(secret), "{said}");
                }
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn only_an_object_is_a_document() {
    for (text, code) in [
        ("1e400", "not_an_object"),
        ("\"\u{FFFE}\"", "not_an_object"),
        ("", "truncated"),
    ] {
        assert_eq!(
            Incident::parse(text.as_bytes(), &Limits::default())
                .unwrap_err()
                .code,
            code
        );
    }
}

#[test]
fn a_document_may_be_as_deep_as_a_bundle_can_hold_and_no_deeper() {
    let limits = Limits {
        max_depth: usize::MAX,
    };
    let nested = |depth: usize| {
        // The document is the first, and what it does not know the second.
        let mut drop = serde_json::to_string(&backup_failure()).unwrap();
        let deep = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        drop.insert_str(1, &format!("\"deep\":{deep},"));
        Incident::parse(drop.as_bytes(), &limits)
    };
    let deepest = nested(MAX_DOCUMENT_DEPTH).unwrap();
    let sealed = serde_json::to_vec(&deepest.body).unwrap();
    assert!(ijson::read(&sealed, ijson::MAX_DEPTH).is_ok());
    assert_eq!(nested(MAX_DOCUMENT_DEPTH + 1).unwrap_err().code, "too_deep");
}

#[test]
fn a_list_of_files_that_is_none_is_kept_under_extra_and_found_there() {
    let mut drop = serde_json::to_string(&backup_failure()).unwrap();
    drop = drop.replacen("\"checksums\":", "\"files\":1e400,\"checksums\":", 1);
    let incident = parse(drop.as_bytes());
    let paths: Vec<_> = incident.findings.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["/extra/artifacts/files", "/extra/artifacts/files"]);
    assert_eq!(incident.body.extra["artifacts"]["files"], "1e400");
}

#[test]
fn a_body_answers_what_custody_lists_of_it() {
    let drop = backup_failure();
    let body = parse_value(&drop).body;
    let (incident, execution) = (&drop["incident"], &drop["execution"]);
    assert_eq!(incident["incident_id"], body.incident_id());
    assert_eq!(incident["event_type"], body.event_type());
    assert_eq!(incident["severity"], body.severity());
    assert_eq!(incident["detected_at"], body.detected_at().as_str());
    assert_eq!(incident["hipaa_controls"], json!(body.hipaa_controls()));
    assert_eq!(execution["resolution_type"], body.resolution_type());
    assert_eq!(
        drop["outputs"]["resolution_status"],
        body.resolution_status()
    );
    assert!(body.sla_met());
    let mut late = drop;
    late["execution"]["sla_met"] = json!(false);
    assert!(!parse_value(&late).body.sla_met());
}
