use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::controls::ControlMap;
use crate::incident::{Incident, Limits};

const NOW: &str = "2025-11-15T12:00:00Z";

fn consistent() -> Value {
    let path = "../tests/fixtures/drops/valid/backup-failure.json";
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// The codes and paths found after `changes` to a consistent drop.
fn found(changes: &[(&str, Value)]) -> Vec<(String, String)> {
    let mut drop = consistent();
    for (path, value) in changes {
        let (parent, name) = path.rsplit_once('/').unwrap();
        match drop.pointer_mut(parent).unwrap() {
            Value::Object(fields) => {
                fields.insert(name.to_owned(), value.clone());
            }
            Value::Array(elements) => elements[name.parse::<usize>().unwrap()] = value.clone(),
            _ => panic!("{path}"),
        }
    }
    let incident =
        Incident::parse(&serde_json::to_vec(&drop).unwrap(), &Limits::default()).unwrap();
    assert!(incident.findings.is_empty());
    consistency(&incident.body, NOW.parse().unwrap(), ControlMap::built_in())
        .into_iter()
        .map(|f| (f.code.into_owned(), f.path))
        .collect()
}

#[track_caller]
fn finds(changes: &[(&str, Value)], expected: &[(&str, &str)]) {
    let found = found(changes);
    let found: Vec<_> = found
        .iter()
        .map(|(code, path)| (code.as_str(), path.as_str()))
        .collect();
    assert_eq!(found, expected, "{changes:?}");
}

#[test]
fn a_consistent_incident_gives_no_finding() {
    finds(&[], &[]);
}

#[test]
fn mttr_may_count_from_start_or_detection_within_a_second() {
    let mttr = "/execution/mttr_seconds";
    for good in [json!(321), json!(322.9), json!(323)] {
        finds(&[(mttr, good)], &[]);
    }
    for bad in [json!(320), json!(323.5), json!(0)] {
        finds(&[(mttr, bad)], &[(code::MTTR_MISMATCH, mttr)]);
    }
    let detected = ("/incident/detected_at", json!("2025-10-31T14:30:01Z"));
    finds(&[detected.clone(), (mttr, json!(442))], &[]);
    finds(&[detected.clone(), (mttr, json!(322))], &[]);
    finds(
        &[detected, (mttr, json!(400))],
        &[(code::MTTR_MISMATCH, mttr)],
    );
}

#[test]
fn sla_met_must_follow_from_mttr_and_target() {
    let (met, target) = ("/execution/sla_met", "/execution/sla_target_seconds");
    finds(&[(target, json!(322))], &[]);
    finds(&[(target, json!(321.9))], &[(code::SLA_MISMATCH, met)]);
    finds(&[(target, json!(321.9)), (met, json!(false))], &[]);
    finds(&[(met, json!(false))], &[(code::SLA_MISMATCH, met)]);
}

#[test]
fn sla_met_must_also_follow_from_the_times_whatever_the_mttr_claims() {
    let mttr = "/execution/mttr_seconds";
    let (met, target) = ("/execution/sla_met", "/execution/sla_target_seconds");
    // It took 322 seconds.
    let claimed = [(mttr, json!(9)), (target, json!(100))];
    let both = [(code::MTTR_MISMATCH, mttr), (code::SLA_MISMATCH, met)];
    finds(&claimed, &both);
    let missed = [
        (mttr, json!(900)),
        (target, json!(600)),
        (met, json!(false)),
    ];
    finds(&missed, &both);
    finds(&[(mttr, json!(300)), (target, json!(321))], &both[..1]);
}

#[test]
fn a_runbook_of_the_same_id_and_version_has_the_same_hash() {
    let mut drop = consistent();
    let hash = |digit: &str| format!("sha256:{}", digit.repeat(64));
    for (now, first, changed) in [
        (hash("a"), hash("a"), false),
        (hash("a"), hash("b"), true),
        (hash("0"), hash("b"), false),
        ("unknown".to_owned(), hash("b"), false),
    ] {
        *drop.pointer_mut("/runbook/runbook_hash").unwrap() = json!(now);
        let bytes = serde_json::to_vec(&drop).unwrap();
        let incident = Incident::parse(&bytes, &Limits::default()).unwrap();
        let found = runbook_changed(&incident.body, &first, "EB-20261121-0007");
        assert_eq!(found.is_some(), changed, "{now} after {first}");
        assert!(found.is_none_or(|f| f.message.contains("EB-20261121-0007")));
    }
    assert!(!is_real_sha256(&hash("0")) && is_real_sha256(&hash("1")));
}

#[test]
fn step_counts_and_numbers_must_agree() {
    let executed = "/runbook/steps_executed";
    finds(&[(executed, json!(3))], &[(code::STEPS_MISMATCH, executed)]);
    let exceeding = [
        (code::STEPS_EXCEED_TOTAL, executed),
        (code::STEPS_MISMATCH, executed),
    ];
    finds(&[(executed, json!(5))], &exceeding);
    finds(&[("/runbook/steps_total", json!(3))], &exceeding[..1]);
    let skipped = ("/actions/3/result", json!("skipped"));
    finds(std::slice::from_ref(&skipped), &[]);
    finds(&[skipped.clone(), (executed, json!(3))], &[]);
    finds(
        &[skipped, (executed, json!(2))],
        &[(code::STEPS_MISMATCH, executed)],
    );
    let misnumbered = [(code::STEP_NUMBERING, "/actions_taken/1/step")];
    finds(&[("/actions/1/step", json!(1))], &misnumbered);
    finds(
        &[("/actions/1/step", json!(3)), ("/actions/2/step", json!(2))],
        &misnumbered,
    );
    finds(
        &[("/actions/0/step", json!(0))],
        &[(code::STEP_NUMBERING, "/actions_taken/0/step")],
    );
}

#[test]
fn times_must_follow_each_other_within_a_second() {
    finds(
        &[("/incident/detected_at", json!("2025-10-31T14:32:02Z"))],
        &[],
    );
    finds(
        &[("/incident/detected_at", json!("2025-10-31T14:32:03Z"))],
        &[(code::TIME_ORDER, "/execution/timestamp_start")],
    );
    finds(
        &[("/actions/3/timestamp", json!("2025-10-31T16:37:24+02:00"))],
        &[],
    );
    finds(
        &[("/actions/3/timestamp", json!("2025-10-31T14:37:25Z"))],
        &[(code::TIME_ORDER, "/execution/timestamp_end")],
    );
    finds(
        &[("/actions/1/timestamp", json!("2025-10-31T14:32:13Z"))],
        &[(code::TIME_ORDER, "/actions_taken/1/timestamp")],
    );
}

#[test]
fn times_that_creep_backwards_are_measured_from_the_latest() {
    finds(
        &[
            ("/actions/1/timestamp", json!("2025-10-31T14:32:14.2Z")),
            ("/actions/2/timestamp", json!("2025-10-31T14:32:13.4Z")),
        ],
        &[(code::TIME_ORDER, "/actions_taken/2/timestamp")],
    );
}

#[test]
fn times_may_be_five_minutes_ahead_and_no_more() {
    let ahead = |end: &str, mttr: f64| {
        found(&[
            ("/execution/timestamp_end", json!(end)),
            ("/execution/mttr_seconds", json!(mttr)),
            ("/execution/sla_target_seconds", json!(1e9)),
        ])
    };
    let start: jiff::Timestamp = "2025-10-31T14:32:01Z".parse().unwrap();
    let mttr = |end: &str| {
        end.parse::<jiff::Timestamp>()
            .unwrap()
            .duration_since(start)
            .as_secs_f64()
    };
    let (good, bad) = ("2025-11-15T12:05:00Z", "2025-11-15T12:05:00.001Z");
    assert_eq!(ahead(good, mttr(good)), []);
    let expected = [(
        code::TIME_IN_FUTURE.to_owned(),
        "/execution/timestamp_end".to_owned(),
    )];
    assert_eq!(ahead(bad, mttr(bad)), expected);
}

#[test]
fn exit_codes_must_fit_results() {
    let mismatch = [(code::EXIT_CODE_MISMATCH, "/actions_taken/0/exit_code")];
    for (result, exit_code, fits) in [
        ("ok", json!(0), true),
        ("success", json!(1), false),
        ("ok", json!(-9), false),
        ("ok", json!(null), true),
        ("failed", json!(0), false),
        ("failed", json!(1), true),
        ("timeout", json!(0), false),
        ("error", json!(null), true),
    ] {
        let changes = [
            ("/actions/0/result", json!(result)),
            ("/actions/0/exit_code", exit_code),
        ];
        finds(&changes, if fits { &[] } else { &mismatch });
    }
}

#[test]
fn digests_must_be_well_formed_and_no_placeholders() {
    let hex = "a".repeat(64);
    for (path, in_bundle) in [
        ("/runbook/runbook_hash", "/runbook/runbook_hash"),
        ("/actions/2/script_hash", "/actions_taken/2/script_hash"),
    ] {
        finds(&[(path, json!(format!("sha256:{hex}")))], &[]);
        for bad in [
            "",
            "sha256:",
            &hex,
            &format!("sha256:{}", hex.to_uppercase()),
            "md5:d41d8cd98f00b204e9800998ecf8427e",
        ] {
            finds(&[(path, json!(bad))], &[(code::MALFORMED_HASH, in_bundle)]);
        }
        finds(
            &[(path, json!(format!("sha256:{}", "0".repeat(64))))],
            &[(code::ZERO_HASH, in_bundle)],
        );
    }
    let checksums = "/artifacts/checksums";
    finds(
        &[(
            checksums,
            json!({"a": hex, "b": format!("sha256:{hex}"), "c": format!("md5:{}", "1".repeat(32))}),
        )],
        &[],
    );
    finds(
        &[(
            checksums,
            json!({"a/b": "0".repeat(64), "n": 7, "s": "crc32:ffff", "t": ""}),
        )],
        &[
            (code::ZERO_HASH, "/artifacts/checksums/a~1b"),
            (code::MALFORMED_HASH, "/artifacts/checksums/n"),
            (code::MALFORMED_HASH, "/artifacts/checksums/s"),
            (code::MALFORMED_HASH, "/artifacts/checksums/t"),
        ],
    );
}

#[test]
fn success_needs_a_step_that_was_really_taken() {
    let status = "/outputs/resolution_status";
    finds(
        &[("/execution/dry_run", json!(true))],
        &[(code::DRY_RUN_SUCCESS, status)],
    );
    finds(
        &[
            ("/execution/dry_run", json!(true)),
            (status, json!("simulated")),
        ],
        &[],
    );
    let in_part = [
        ("/execution/dry_run", json!(true)),
        (status, json!("partial")),
    ];
    finds(&in_part, &[(code::DRY_RUN_SUCCESS, status)]);
    finds(&[("/execution/dry_run", json!(false))], &[]);
    let nothing = [
        ("/actions", json!([])),
        ("/runbook/steps_executed", json!(0)),
    ];
    finds(&nothing, &[(code::SUCCESS_WITHOUT_STEPS, status)]);
    finds(
        &[
            nothing[0].clone(),
            nothing[1].clone(),
            (status, json!("failed")),
        ],
        &[],
    );
    let mut skipped: Vec<_> = ["0", "1", "2", "3"]
        .map(|i| format!("/actions/{i}/result"))
        .to_vec();
    let changes: Vec<_> = skipped
        .iter_mut()
        .map(|path| (path.as_str(), json!("skipped")))
        .collect();
    finds(&changes, &[(code::SUCCESS_WITHOUT_STEPS, status)]);
}

#[test]
fn unknown_values_are_found_and_known_ones_are_not() {
    for severity in SEVERITIES {
        finds(&[("/incident/severity", json!(severity))], &[]);
    }
    for kind in RESOLUTION_TYPES {
        finds(&[("/execution/resolution_type", json!(kind))], &[]);
    }
    for status in RESOLUTION_STATUSES {
        finds(&[("/outputs/resolution_status", json!(status))], &[]);
    }
    for path in [
        "/incident/severity",
        "/execution/resolution_type",
        "/outputs/resolution_status",
    ] {
        finds(&[(path, json!("Success!"))], &[(code::UNKNOWN_VALUE, path)]);
    }
    finds(
        &[("/actions/0/result", json!("fine"))],
        &[(code::UNKNOWN_VALUE, "/actions_taken/0/result")],
    );
}

#[test]
fn a_finding_quotes_no_free_text() {
    let secret = "hunter2";
    let mut drop = consistent();
    for path in [
        "/incident/severity",
        "/runbook/runbook_hash",
        "/execution/resolution_type",
        "/actions/0/result",
        "/outputs/resolution_status",
    ] {
        *drop.pointer_mut(path).unwrap() = json!(secret);
    }
    drop["incident"]["hipaa_controls"] = json!([secret]);
    drop["artifacts"]["checksums"] = json!({"a": secret});
    let incident =
        Incident::parse(&serde_json::to_vec(&drop).unwrap(), &Limits::default()).unwrap();
    let findings = consistency(&incident.body, NOW.parse().unwrap(), ControlMap::built_in());
    assert_eq!(findings.len(), 7);
    assert!(!serde_json::to_string(&findings).unwrap().contains(secret));
}

#[test]
fn only_a_hundred_findings_of_a_code_are_listed_and_the_rest_counted() {
    let mut findings = Findings::default();
    for i in 0..250 {
        findings.add(code::ZERO_HASH, format!("/{i}"), "zeros");
    }
    findings.add(code::TIME_ORDER, "/t", "order");
    findings.add_unlisted(code::ZERO_HASH, 7);
    findings.add_unlisted(code::NONCHARACTER, 0);
    let all = findings.into_vec();
    assert_eq!(all.len(), MAX_PER_CODE + 2);
    let last = all.last().unwrap();
    assert_eq!(
        (last.code.as_ref(), last.message.as_ref()),
        (code::ZERO_HASH, "and 157 more like these")
    );
}
