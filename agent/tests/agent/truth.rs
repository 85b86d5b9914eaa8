//! What the agent notices of what an executor claims, across restarts, and of its own clock.

use serde_json::{Value, json};

use crate::clinic::{Clinic, honest_receipt, incident};

/// Drops an incident with some fields changed.
fn drop_changed(clinic: &Clinic, id: &str, changes: &[(&str, Value)]) {
    let mut document: Value = serde_json::from_slice(&incident(id)).unwrap();
    for (path, value) in changes {
        *document.pointer_mut(path).unwrap() = value.clone();
    }
    let bytes = serde_json::to_vec(&document).unwrap();
    clinic.drop_bytes(&format!("{id}.json"), &bytes);
}

/// The findings of each incident, in the order of the chain.
fn findings(clinic: &Clinic) -> Vec<Vec<(String, String)>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let incidents = clinic.bundles().into_iter();
    incidents
        .filter_map(|bundle| bundle.document().get("findings")?.as_array().cloned())
        .map(|findings| {
            let codes = findings.iter();
            codes
                .map(|f| (text(&f["code"]), text(&f["message"])))
                .collect()
        })
        .collect()
}

#[test]
fn a_runbook_with_another_hash_than_before_is_found_in_its_group_and_after_a_restart() {
    let clinic = Clinic::new();
    let hash = |digit: &str| json!(format!("sha256:{}", digit.repeat(64)));
    let path = "/runbook/runbook_hash";
    // A placeholder teaches nothing.
    drop_changed(&clinic, "INC-1", &[(path, hash("0"))]);
    drop_changed(&clinic, "INC-2", &[(path, hash("a"))]);
    drop_changed(&clinic, "INC-3", &[(path, hash("b"))]);
    clinic.agent().pass().unwrap();
    drop_changed(&clinic, "INC-4", &[(path, hash("b"))]);
    drop_changed(&clinic, "INC-5", &[(path, hash("a"))]);
    let version = ("/runbook/runbook_version", json!("2"));
    drop_changed(&clinic, "INC-6", &[(path, hash("b")), version]);
    clinic.agent().pass().unwrap();

    let changed: Vec<bool> = findings(&clinic)
        .iter()
        .map(|found| {
            found
                .iter()
                .any(|(code, message)| code == "runbook_changed" && message.contains("-0002 has"))
        })
        .collect();
    assert_eq!(changed, [false, false, true, true, false, false]);
}

#[test]
fn what_is_sealed_long_after_its_end_is_labelled_by_the_configured_times() {
    let clinic = Clinic::new();
    drop_changed(&clinic, "INC-1", &[]);
    clinic.agent().pass().unwrap();
    clinic.set_clock("2026-11-21T11:00:00Z");
    drop_changed(&clinic, "INC-2", &[]);
    clinic.agent().pass().unwrap();
    clinic.set_clock("2026-12-21T11:00:00Z");
    drop_changed(&clinic, "INC-3", &[]);
    clinic.agent().pass().unwrap();
    let codes: Vec<Vec<String>> = findings(&clinic)
        .into_iter()
        .map(|found| found.into_iter().map(|(code, _)| code).collect())
        .collect();
    let expected: [&[&str]; 3] = [&[], &["sealed_late"], &["backfilled"]];
    assert_eq!(codes, expected);
}

#[test]
fn a_citation_is_sealed_in_one_spelling_with_criteria_and_what_does_not_fit_is_said() {
    let mut clinic = Clinic::new();
    let mut document: Value = serde_json::from_slice(&incident("INC-1")).unwrap();
    document["incident"]["hipaa_controls"] =
        json!(["45 CFR § 164.308 (a)(7)(ii)(A)", "164.310(d)(2)(iv)"]);
    clinic.drop_bytes("1.json", &serde_json::to_vec(&document).unwrap());
    clinic.agent().pass().unwrap();
    clinic.more_config =
        "[controls]\nevent_types = [\"backup_* = 164.310(d)(2)(iv), CC9.2\"]".to_owned();
    document["incident"]["incident_id"] = json!("INC-2");
    clinic.drop_bytes("2.json", &serde_json::to_vec(&document).unwrap());
    clinic.agent().pass().unwrap();

    let bundles = clinic.bundles();
    let hipaa = json!(["164.308(a)(7)(ii)(A)", "164.310(d)(2)(iv)"]);
    let controls = |n: usize| bundles[n].document()["controls"].clone();
    let built_in = json!({"map_version": 1, "hipaa": hipaa, "soc2": ["A1.2", "CC7.5"]});
    assert_eq!(controls(0), built_in);
    assert_eq!(controls(1)["soc2"], json!(["A1.2", "CC7.5", "CC9.2"]));
    let found = findings(&clinic);
    assert_eq!(found[0][0].0, "misapplied_control");
    assert!(
        found[0][0].1.contains("before equipment is moved"),
        "{found:?}"
    );
    assert!(found[1].is_empty(), "{found:?}");
}

#[test]
fn what_the_store_told_bounds_the_clock_until_the_date_is_set() {
    let clinic = Clinic::new();
    drop_changed(&clinic, "INC-1", &[]);
    let mut agent = clinic.agent();
    agent.pass().unwrap();
    let mut receipt = honest_receipt(&clinic.orders()[0]);
    for confirmation in &mut receipt.confirmations {
        // The store is two seconds behind.
        confirmation.server_date = "2026-11-21T10:00:03Z".parse().unwrap();
    }
    clinic.receipt("r.receipt.json", &receipt.to_bytes());
    clinic.wait(60);
    drop_changed(&clinic, "INC-2", &[]);
    agent.pass().unwrap();
    drop_changed(&clinic, "INC-3", &[]);
    agent.pass().unwrap();
    clinic.set_clock("2026-11-21T10:30:00Z");
    drop_changed(&clinic, "INC-4", &[]);
    agent.pass().unwrap();

    let bundles = clinic.bundles();
    let bounds = [0, 1, 2, 3].map(|n: usize| bundles[n].header().time.estimated_error_ms);
    // Where this machine's chronyd writes its bound down, that goes before.
    let is_told = bundles[1].header().time.source != "chrony";
    let of_store = bounds.map(|bound| bound == Some(3000.0));
    assert_eq!(of_store, [false, is_told, is_told, false]);
}
