use std::path::Path;

use serde_json::{Value, json};

use super::{BUNDLE_V1, VALIDATOR, validate};
use crate::bundle::Header;
use crate::controls::ControlMap;
use crate::digest::Sha256;
use crate::findings::consistency;
use crate::ijson;
use crate::incident::{Incident, Limits, Redaction, SealedIncident, Source};

fn header(kind: &str) -> Value {
    json!({
        "bundle_id": "EB-20251115-0001",
        "bundle_version": "1.0",
        "kind": kind,
        "client_id": "clinic-012",
        "host_id": "srv-1",
        "generated_at": "2025-11-15T12:00:00.000000Z",
        "chain": {
            "chain_id": "01K8XAMP1E0000000000000000",
            "sequence": 2,
            "previous_sha256": Sha256::of(b"previous"),
        },
        "producer": { "name": "msp-evidence-agent", "version": "0.1.0", "boot_id": "b" },
        "time": { "source": "chrony", "synchronised": true, "estimated_error_ms": 0.5 },
        "evidence_bundle_hash": Sha256::of(b"content").prefixed(),
        "signatures": [{
            "key_id": Sha256::of(b"key").prefixed(),
            "file": "EB-20251115-0001.json.bundle",
        }],
        "storage_locations": [{
            "destination_id": "main",
            "uri": "s3://bucket/EB-20251115-0001.json",
            "object_lock_mode": "COMPLIANCE",
            "retention_days": 2192,
            "state": "planned",
        }],
    })
}

fn sealed(incident: &Incident) -> Value {
    let now = "2025-11-15T12:00:00Z".parse().unwrap();
    let mut findings = incident.findings.clone();
    findings.extend(consistency(&incident.body, now, ControlMap::built_in()));
    let redactions = [Redaction {
        path: "/outputs/x".into(),
        rule: "password".into(),
        count: 2,
    }];
    let body = SealedIncident {
        body: &incident.body,
        controls: &ControlMap::built_in()
            .map(incident.body.hipaa_controls(), incident.body.about()),
        source: Source {
            hmac_sha256: Sha256::of(b"drop"),
            size_bytes: 4,
            received_at: now,
        },
        findings: &findings,
        redactions: &redactions,
    };
    let mut bundle = header("incident");
    let Value::Object(body) = serde_json::to_value(body).unwrap() else {
        panic!()
    };
    bundle.as_object_mut().unwrap().extend(body);
    bundle
}

fn valid_drops() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/drops/valid");
    let mut drops: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    drops.sort();
    assert!(drops.len() > 10);
    drops
}

/// A drop with every known field, spelt as in a bundle.
fn full_drop() -> Value {
    let (_, bytes) = valid_drops()
        .into_iter()
        .find(|d| d.0 == "service-failed-to-start.json")
        .unwrap();
    let mut drop: Value = serde_json::from_slice(&bytes).unwrap();
    let actions = drop.as_object_mut().unwrap().remove("actions").unwrap();
    drop["actions_taken"] = actions;
    drop["execution"]["dry_run"] = json!(false);
    drop
}

fn parse(drop: &Value) -> Result<Incident, crate::incident::Refusal> {
    Incident::parse(&serde_json::to_vec(drop).unwrap(), &Limits::default())
}

#[test]
fn the_schema_is_valid_by_its_own_draft_and_compiles() {
    let schema: Value = serde_json::from_str(BUNDLE_V1).unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    assert!(VALIDATOR.is_some());
}

#[test]
fn every_body_that_a_drop_gives_follows_the_schema() {
    for (name, bytes) in valid_drops() {
        let bundle = sealed(&Incident::parse(&bytes, &Limits::default()).unwrap());
        validate(&bundle).unwrap_or_else(|e| panic!("{name}: {e}"));
        serde_json::from_value::<Header>(bundle).unwrap();
    }
}

#[test]
fn a_written_bundle_reads_back_the_same_without_a_number_kept_as_text() {
    for (name, bytes) in valid_drops() {
        let bundle = sealed(&Incident::parse(&bytes, &Limits::default()).unwrap());
        let text = serde_json::to_vec_pretty(&bundle).unwrap();
        let back = ijson::read(&text, ijson::MAX_DEPTH).unwrap();
        assert_eq!(back.number_as_text.total, 0, "{name}");
        assert_eq!(back.value, bundle, "{name}");
        let canonical = serde_json_canonicalizer::to_vec(&bundle).unwrap();
        assert_eq!(
            serde_json_canonicalizer::to_vec(&back.value).unwrap(),
            canonical,
            "{name}"
        );
    }
}

#[test]
fn the_schema_and_the_reader_require_the_same_fields() {
    // What a drop may leave out, because reading it writes an empty one.
    const FILLED_IN: [&str; 8] = [
        "/incident/details",
        "/incident/hipaa_controls",
        "/artifacts",
        "/artifacts/log_excerpts",
        "/artifacts/checksums",
        "/artifacts/outputs",
        "/artifacts/files",
        "/extra",
    ];
    let schema: Value = serde_json::from_str(BUNDLE_V1).unwrap();
    let drop = full_drop();
    let bundle = sealed(&parse(&drop).unwrap());
    let mut fields: Vec<(String, String)> = schema["allOf"][0]["then"]["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| (String::new(), name.as_str().unwrap().to_owned()))
        .filter(|(_, name)| !["source", "findings", "redactions"].contains(&name.as_str()))
        .collect();
    for (definition, path) in [
        ("incident", "/incident"),
        ("runbook", "/runbook"),
        ("execution", "/execution"),
        ("action", "/actions_taken/1"),
        ("artifacts", "/artifacts"),
        ("outputs", "/outputs"),
    ] {
        for name in schema["$defs"][definition]["required"].as_array().unwrap() {
            fields.push((path.to_owned(), name.as_str().unwrap().to_owned()));
        }
    }
    assert!(fields.len() > 35, "{}", fields.len());
    for (parent, name) in fields {
        let path = format!("{parent}/{name}");
        let without = |document: &Value| {
            let mut document = document.clone();
            document
                .pointer_mut(&parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(&name);
            document
        };
        let departure = validate(&without(&bundle)).expect_err(&path);
        assert_eq!(departure.path, parent, "{path}");
        match parse(&without(&drop)) {
            Ok(_) => assert!(
                FILLED_IN.contains(&path.as_str()),
                "{path} is required by the schema only"
            ),
            Err(refusal) => {
                assert!(!FILLED_IN.contains(&path.as_str()), "{path}: {refusal}");
                assert_eq!(refusal.code, "missing_field");
                assert!(
                    refusal.path == path || path == "/actions_taken",
                    "{path}: {refusal}"
                );
            }
        }
    }
}

/// Puts each of many values into each known field: the reader takes it exactly if the schema does.
#[test]
fn the_schema_and_the_reader_agree_on_every_value_of_every_field() {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(-0.0),
        json!(4.0),
        json!(1.5),
        json!(1e300),
        json!(-1e300),
        json!(9_007_199_254_740_991_u64),
        json!(9_007_199_254_740_992.0),
        json!(""),
        json!("x"),
        json!("x".repeat(256)),
        json!("語".repeat(257)),
        json!("a\nb"),
        json!("a\u{7f}"),
        json!("a\u{85}"),
        json!("a\u{a0}"),
        json!("\0"),
        json!("2025-11-01T00:00:00Z"),
        json!("2025-11-01T00:00:00.123456789-23:59"),
        json!("2025-11-01T00:00:60Z"),
        json!("2025-11-01T24:00:00Z"),
        json!("2025-11-01T00:00:00"),
        json!("2025-00-01T00:00:00Z"),
        json!("2025-11-01T00:00:00Z\n"),
        json!("2025-11-32T00:00:00Z"),
        json!("2025-11-01T00:00:00.1234567890Z"),
        json!("٢025-11-01T00:00:00Z"),
        json!([]),
        json!({}),
        json!([1]),
        json!(["x"]),
        json!([{}]),
        json!({"x": [null]}),
    ];
    let schema: Value = serde_json::from_str(BUNDLE_V1).unwrap();
    let drop = full_drop();
    let bundle = sealed(&parse(&drop).unwrap());
    let mut fields = vec![
        "/incident",
        "/runbook",
        "/execution",
        "/actions_taken",
        "/artifacts",
        "/outputs",
        "/actions_taken/1",
        "/incident/hipaa_controls/0",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    for (definition, path) in [
        ("incident", "/incident"),
        ("runbook", "/runbook"),
        ("execution", "/execution"),
        ("action", "/actions_taken/1"),
        ("artifacts", "/artifacts"),
        ("outputs", "/outputs"),
    ] {
        let known = schema["$defs"][definition]["properties"]
            .as_object()
            .unwrap();
        // The reader takes nothing as `files`: they are the agent's.
        fields.extend(
            known
                .keys()
                .filter(|name| *name != "files")
                .map(|name| format!("{path}/{name}")),
        );
    }
    let (mut taken, mut refused) = (0, 0);
    for field in fields {
        let (parent, name) = field.rsplit_once('/').unwrap();
        for value in &values {
            if field == "/artifacts" && value.as_object().is_some_and(|v| !v.contains_key("files"))
            {
                // The reader fills in what the schema asks for.
                continue;
            }
            let put = |document: &Value| {
                let mut document = document.clone();
                match document.pointer_mut(parent).unwrap() {
                    Value::Array(elements) => {
                        elements[name.parse::<usize>().unwrap()] = value.clone()
                    }
                    Value::Object(fields) => {
                        fields.insert(name.to_owned(), value.clone());
                    }
                    _ => panic!("{parent}"),
                }
                document
            };
            let by_schema = validate(&put(&bundle));
            match parse(&put(&drop)) {
                Ok(incident) => {
                    taken += 1;
                    assert!(by_schema.is_ok(), "{field} = {value}: {by_schema:?}");
                    validate(&sealed(&incident))
                        .unwrap_or_else(|e| panic!("{field} = {value}: {e}"));
                }
                Err(refusal) => {
                    refused += 1;
                    assert!(by_schema.is_err(), "{field} = {value}: {refusal}");
                }
            }
        }
    }
    assert!(
        taken > 200 && refused > 500,
        "{taken} taken, {refused} refused"
    );
}

#[test]
fn a_header_that_departs_in_anything_is_refused() {
    let bundle = sealed(&parse(&full_drop()).unwrap());
    validate(&bundle).unwrap();
    let hex = "0".repeat(64);
    for (path, value) in [
        ("/bundle_id", json!("EB-2025115-0001")),
        ("/bundle_id", json!("EB-20251115-001")),
        ("/bundle_id", json!("EB-20251115-0001\n")),
        ("/bundle_id", json!("EB-२०२५1115-0001")),
        ("/bundle_version", json!("1.1")),
        ("/bundle_version", json!(1.0)),
        ("/kind", json!("review")),
        ("/kind", json!("custody")),
        ("/client_id", json!("")),
        ("/client_id", json!("a/b")),
        ("/client_id", json!("..")),
        ("/host_id", json!("a b")),
        ("/generated_at", json!("2025-11-15T12:00:00Z")),
        ("/generated_at", json!("2025-11-15T12:00:00.000Z")),
        ("/generated_at", json!("2025-11-15T12:00:00.000000+00:00")),
        ("/chain/chain_id", json!("01k8xamp1e0000000000000000")),
        ("/chain/chain_id", json!("81K8XAMP1E0000000000000000")),
        ("/chain/sequence", json!(0)),
        ("/chain/sequence", json!(1)),
        ("/chain/sequence", json!(2.5)),
        ("/chain/previous_sha256", json!(null)),
        ("/chain/previous_sha256", json!(format!("sha256:{hex}"))),
        (
            "/chain/predecessor",
            json!({"chain_id": "01K8XAMP1E0000000000000000", "sequence": 1, "sha256": hex}),
        ),
        ("/chain/x", json!(1)),
        ("/producer/name", json!("")),
        ("/producer/x", json!(1)),
        ("/time/source", json!(null)),
        ("/time/synchronised", json!("yes")),
        ("/time/estimated_error_ms", json!("1")),
        ("/time/x", json!(1)),
        (
            "/related_to",
            json!([{"bundle_id": "EB-20251115-0001", "sha256": hex}]),
        ),
        ("/related_to", json!({})),
        ("/evidence_bundle_hash", json!(hex)),
        (
            "/evidence_bundle_hash",
            json!(format!("sha256:{}", "A".repeat(64))),
        ),
        ("/signatures", json!([])),
        ("/signatures/0/key_id", json!(hex)),
        (
            "/signatures/0/file",
            json!("../EB-20251115-0001.json.bundle"),
        ),
        ("/signatures/0/x", json!(1)),
        ("/storage_locations/0/destination_id", json!("a/b")),
        ("/storage_locations/0/uri", json!("/tmp/x")),
        ("/storage_locations/0/object_lock_mode", json!("GOVERNANCE")),
        ("/storage_locations/0/retention_days", json!(0)),
        ("/storage_locations/0/state", json!("confirmed")),
        (
            "/storage_locations/0/retain_until",
            json!("2031-11-15T12:00:00Z"),
        ),
        ("/source/hmac_sha256", json!("x")),
        ("/source/size_bytes", json!(-1)),
        ("/source/received_at", json!("2025-11-15T12:00:00Z")),
        ("/source/x", json!(1)),
        ("/artifacts/files", json!([{"name": "a", "size_bytes": 1}])),
        (
            "/artifacts/files",
            json!([{"name": "a", "size_bytes": 1, "sha256": hex, "x": 1}]),
        ),
        ("/findings", json!([{"code": "x", "path": ""}])),
        (
            "/findings",
            json!([{"code": "With Spaces", "path": "", "message": ""}]),
        ),
        ("/redactions/0/count", json!(0)),
        ("/redactions/0/x", json!(1)),
        ("/extra", json!([])),
        ("/custody", json!({})),
        ("/probe", json!({})),
        ("/unknown", json!(1)),
    ] {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let mut changed = bundle.clone();
        changed
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value.clone());
        assert!(validate(&changed).is_err(), "{path} = {value}");
    }
    for name in header("incident").as_object().unwrap().keys() {
        let mut changed = bundle.clone();
        changed.as_object_mut().unwrap().remove(name);
        assert!(validate(&changed).is_err(), "without {name}");
    }
}

#[test]
fn the_first_bundle_of_a_chain_has_no_previous_one_and_may_name_a_predecessor() {
    let mut bundle = sealed(&parse(&full_drop()).unwrap());
    bundle["chain"]["sequence"] = json!(1);
    bundle["chain"]["previous_sha256"] = json!(null);
    validate(&bundle).unwrap();
    bundle["chain"]["predecessor"] =
        json!({"chain_id": "01K8XAMP1E0000000000000000", "sequence": 7, "sha256": "0".repeat(64)});
    validate(&bundle).unwrap();
    bundle["time"] = json!({"source": "unknown", "synchronised": null, "estimated_error_ms": null});
    bundle["related_to"] = json!([{"bundle_id": "EB-20251114-12345", "sha256": "0".repeat(64), "relation": "incident_id_reused"}]);
    bundle["storage_locations"] = json!([]);
    validate(&bundle).unwrap();
    bundle["reseals"] = json!({"bundle_id": "EB-20251114-12345", "sha256": "0".repeat(64)});
    validate(&bundle).unwrap();
    bundle["reseals"] = json!({"bundle_id": "EB-20251114-12345"});
    assert!(validate(&bundle).is_err(), "without the digest");
}

#[test]
fn each_kind_has_its_own_body_and_no_other() {
    let bodies = [
        ("custody", smallest_custody()),
        ("probe", json!({"anything": 1})),
        (
            "rotation",
            json!({
                "from_key_id": Sha256::of(b"old").prefixed(),
                "to_key_id": Sha256::of(b"new").prefixed(),
                "to_public_key": "-----BEGIN PUBLIC KEY-----",
                "reason": "yearly",
                "by": "an engineer",
            }),
        ),
    ];
    for (kind, body) in &bodies {
        let mut bundle = header(kind);
        assert!(validate(&bundle).is_err(), "{kind} without a body");
        bundle[*kind] = body.clone();
        validate(&bundle).unwrap();
        for (other, body) in bodies.iter().filter(|(other, _)| other != kind) {
            bundle[*other] = body.clone();
            assert!(
                validate(&bundle).is_err(),
                "{kind} with the body of {other}"
            );
            bundle.as_object_mut().unwrap().remove(*other);
        }
        bundle["findings"] = json!([]);
        assert!(
            validate(&bundle).is_err(),
            "{kind} with a part of an incident's body"
        );
    }
}

fn smallest_custody() -> Value {
    json!({
        "because": "stop",
        "covers": null,
        "previous_custody": null,
        "sealed": [],
        "confirmed": [],
        "quarantined": [],
        "duplicates": [],
        "totals": {
            "bundles": 0, "incidents": 0, "custody": 0, "probes": 0, "rotations": 0,
            "confirmed_objects": 0, "unconfirmed_objects": 0, "quarantined": 0, "duplicates": 0,
        },
        "agent": {
            "version": "0.1.0",
            "started_at": "2025-11-15T11:00:00.000000Z",
            "config_sha256": Sha256::of(b"config"),
            "key_ids": [Sha256::of(b"key").prefixed()],
        },
        "clock_events": [],
        "destinations": [],
    })
}

#[test]
fn a_departure_names_its_place_and_rule_and_quotes_no_value() {
    let mut bundle = sealed(&parse(&full_drop()).unwrap());
    bundle["execution"]["operator"] = json!("hunter2\n");
    let departure = validate(&bundle).unwrap_err();
    assert_eq!(departure.path, "/execution/operator");
    assert!(departure.message.contains("pattern"), "{departure}");
    assert!(!format!("{departure} {departure:?}").contains("hunter2"));
    let mut bundle = sealed(&parse(&full_drop()).unwrap());
    bundle["hunter2"] = json!("hunter2");
    let departure = validate(&bundle).unwrap_err();
    assert!(!format!("{departure} {departure:?}").contains("hunter2"));
}
