//! Whether a body agrees with itself.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{Finding, Findings, RESOLUTION_STATUSES, RESOLUTION_TYPES, RESULTS, SEVERITIES, code};
use crate::controls::{Citation, ControlMap};
use crate::ijson::presentable;
use crate::incident::{Action, IncidentBody};

/// A time may lie so far ahead of this host's clock before it counts as in the future.
const FUTURE_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);
/// Times may disagree by so much, because many executors cut them to whole seconds.
const TIME_TOLERANCE: SignedDuration = SignedDuration::from_secs(1);
/// The same for durations, and for sums of binary fractions.
const TIME_TOLERANCE_SECS: f64 = 1.0 + 1e-6;

/// Checks `body` against itself, its times against `now`, and what it cites against `map`. Paths are
/// pointers into the body.
#[must_use]
pub fn consistency(body: &IncidentBody, now: Timestamp, map: &ControlMap) -> Vec<Finding> {
    let mut findings = Findings::default();
    values(body, &mut findings);
    durations(body, &mut findings);
    steps(body, &mut findings);
    times(body, now, &mut findings);
    hashes(body, &mut findings);
    outcome(body, &mut findings);
    controls(body, map, &mut findings);
    findings.into_vec()
}

fn values(body: &IncidentBody, findings: &mut Findings) {
    let mut check = |known: &[&str], value: &str, path: String| {
        if !known.contains(&value) {
            findings.add(
                code::UNKNOWN_VALUE,
                path,
                format!("not one of {}", known.join(", ")),
            );
        }
    };
    check(&SEVERITIES, body.severity(), "/incident/severity".into());
    check(
        &RESOLUTION_TYPES,
        body.resolution_type(),
        "/execution/resolution_type".into(),
    );
    check(
        &RESOLUTION_STATUSES,
        body.resolution_status(),
        "/outputs/resolution_status".into(),
    );
    for (index, action) in body.actions_taken.iter().enumerate() {
        check(
            &RESULTS,
            &action.result,
            format!("/actions_taken/{index}/result"),
        );
    }
}

/// Repair is counted from the start of the treatment or from detection; both are in use.
fn durations(body: &IncidentBody, findings: &mut Findings) {
    let execution = &body.execution;
    // Finite by construction: the reader keeps no other numbers.
    let mttr = execution.mttr_seconds.as_f64().unwrap_or(f64::NAN);
    let target = execution.sla_target_seconds.as_f64().unwrap_or(f64::NAN);
    let end = execution.timestamp_end.at();
    let measured = [execution.timestamp_start.at(), body.detected_at().at()]
        .map(|start| end.duration_since(start).as_secs_f64());
    let agrees = measured
        .iter()
        .any(|seconds| (mttr - seconds).abs() <= TIME_TOLERANCE_SECS);
    if !agrees {
        findings.add(
            code::MTTR_MISMATCH,
            "/execution/mttr_seconds",
            "neither the time from start to end nor that from detection to end",
        );
    }
    let follows = |seconds: f64, slack: f64| {
        if execution.sla_met {
            seconds <= target + slack
        } else {
            seconds > target - slack
        }
    };
    if !follows(mttr, 0.0) {
        findings.add(
            code::SLA_MISMATCH,
            "/execution/sla_met",
            "does not follow from mttr_seconds and sla_target_seconds",
        );
    } else if !measured
        .iter()
        .any(|seconds| follows(*seconds, TIME_TOLERANCE_SECS))
    {
        findings.add(
            code::SLA_MISMATCH,
            "/execution/sla_met",
            "follows from mttr_seconds, but not from the times themselves and sla_target_seconds",
        );
    }
}

fn steps(body: &IncidentBody, findings: &mut Findings) {
    let runbook = &body.runbook;
    if runbook.steps_executed > runbook.steps_total {
        findings.add(
            code::STEPS_EXCEED_TOTAL,
            "/runbook/steps_executed",
            "more steps executed than the runbook has",
        );
    }
    // A skipped step may be listed without being counted.
    let listed = body.actions_taken.len() as u64;
    let executed = body.executed_actions() as u64;
    if !(executed..=listed).contains(&runbook.steps_executed) {
        findings.add(
            code::STEPS_MISMATCH,
            "/runbook/steps_executed",
            format!("{listed} actions are listed, {executed} of them executed"),
        );
    }
    let misnumbered = body
        .actions_taken
        .iter()
        .enumerate()
        .find(|(i, action)| action.step != *i as u64 + 1);
    if let Some((index, _)) = misnumbered {
        findings.add(
            code::STEP_NUMBERING,
            format!("/actions_taken/{index}/step"),
            "steps are not numbered 1, 2, 3 … in the order given",
        );
    }
}

fn times(body: &IncidentBody, now: Timestamp, findings: &mut Findings) {
    let execution = &body.execution;
    let mut ordered = vec![
        ("/incident/detected_at".to_owned(), body.detected_at()),
        (
            "/execution/timestamp_start".to_owned(),
            &execution.timestamp_start,
        ),
    ];
    for (index, action) in body.actions_taken.iter().enumerate() {
        ordered.push((
            format!("/actions_taken/{index}/timestamp"),
            &action.timestamp,
        ));
    }
    ordered.push((
        "/execution/timestamp_end".to_owned(),
        &execution.timestamp_end,
    ));

    let mut latest: Option<Timestamp> = None;
    for (path, time) in ordered {
        let at = time.at();
        if at.duration_since(now) > FUTURE_TOLERANCE {
            findings.add(
                code::TIME_IN_FUTURE,
                path.clone(),
                "later than this host's clock",
            );
        }
        if latest.is_some_and(|before| before.duration_since(at) > TIME_TOLERANCE) {
            findings.add(code::TIME_ORDER, path, "earlier than what it should follow");
        }
        latest = latest.max(Some(at));
    }
}

fn hashes(body: &IncidentBody, findings: &mut Findings) {
    let mut check = |path: String, text: &str, well_formed: bool| {
        if !well_formed {
            findings.add(
                code::MALFORMED_HASH,
                path,
                "not a digest of a form that is known here",
            );
        } else if text
            .rsplit(':')
            .next()
            .is_some_and(|hex| hex.bytes().all(|b| b == b'0'))
        {
            findings.add(code::ZERO_HASH, path, "all zeros, so a placeholder");
        }
    };
    let runbook_hash = &body.runbook.runbook_hash;
    check(
        "/runbook/runbook_hash".into(),
        runbook_hash,
        is_sha256(runbook_hash),
    );
    for (index, action) in body.actions_taken.iter().enumerate() {
        let path = format!("/actions_taken/{index}/script_hash");
        check(path, &action.script_hash, is_sha256(&action.script_hash));
    }
    for (name, text) in checksums(&body.artifacts.checksums) {
        let name = name.replace('~', "~0").replace('/', "~1");
        let path = presentable(&format!("/artifacts/checksums/{name}"));
        check(path, text, is_checksum(text));
    }
}

fn is_sha256(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| is_hex(hex, 64))
}

/// `sha256:` and 64 digits, and no placeholder of zeros: something that can be compared.
#[must_use]
pub fn is_real_sha256(text: &str) -> bool {
    is_sha256(text) && text.bytes().skip("sha256:".len()).any(|b| b != b'0')
}

/// What there is to say of a runbook whose id and version had `first` as its hash in the bundle
/// `bundle_id`: a runbook that changes has another version, or nobody knows which one was run.
#[must_use]
pub fn runbook_changed(body: &IncidentBody, first: &str, bundle_id: &str) -> Option<Finding> {
    let hash = &body.runbook.runbook_hash;
    (is_real_sha256(hash) && hash != first).then(|| {
        Finding::new(
            code::RUNBOOK_CHANGED,
            "/runbook/runbook_hash",
            format!("another hash than {bundle_id} has for the same runbook id and version"),
        )
    })
}

/// The checksums by name; one that is no string is malformed, and so is the empty string.
fn checksums(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &str)> {
    map.iter()
        .map(|(name, value)| (name, value.as_str().unwrap_or("")))
}

/// `algorithm:hex`, or the bare digits of a SHA-256.
fn is_checksum(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha384", hex)) => is_hex(hex, 96),
        Some(("sha512", hex)) => is_hex(hex, 128),
        Some(("sha1", hex)) => is_hex(hex, 40),
        Some(("md5", hex)) => is_hex(hex, 32),
        Some(_) => false,
        None => is_hex(text, 64),
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn outcome(body: &IncidentBody, findings: &mut Findings) {
    for (index, action) in body.actions_taken.iter().enumerate() {
        if contradicts_exit_code(action) {
            findings.add(
                code::EXIT_CODE_MISMATCH,
                format!("/actions_taken/{index}/exit_code"),
                "contradicts the result of this step",
            );
        }
    }
    let status = body.resolution_status();
    if body.execution.dry_run == Some(true) && matches!(status, "success" | "partial") {
        findings.add(
            code::DRY_RUN_SUCCESS,
            "/outputs/resolution_status",
            "a dry run changes nothing, so it cannot succeed, not even in part",
        );
    }
    if status != "success" {
        return;
    }
    if body.runbook.steps_executed == 0 || body.executed_actions() == 0 {
        findings.add(
            code::SUCCESS_WITHOUT_STEPS,
            "/outputs/resolution_status",
            "success is claimed, but no step was executed",
        );
    }
}

/// An exit code of zero is success (POSIX); a step without one, or with an unknown result, says
/// nothing.
fn contradicts_exit_code(action: &Action) -> bool {
    match (action.result.as_str(), action.exit_code) {
        ("ok" | "success", Some(exit_code)) => exit_code != 0,
        ("failed" | "error" | "timeout", Some(exit_code)) => exit_code == 0,
        _ => false,
    }
}

fn controls(body: &IncidentBody, map: &ControlMap, findings: &mut Findings) {
    let about = body.about();
    for (index, control) in body.hipaa_controls().iter().enumerate() {
        let path = format!("/incident/hipaa_controls/{index}");
        match control.parse::<Citation>() {
            Err(_) => findings.add(
                code::UNKNOWN_CITATION,
                path,
                "not a citation of 45 CFR 164.308, .310, .312, .314 or .316 that this version knows",
            ),
            Ok(citation) => {
                if let Err(why) = map.fits(&citation, about) {
                    findings.add(code::MISAPPLIED_CONTROL, path, why);
                }
            }
        }
    }
}
