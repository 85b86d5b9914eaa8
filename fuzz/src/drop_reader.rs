//! A raw drop, read, checked and sealed as the agent does it.

use std::collections::BTreeMap;

use evidence::bundle::{
    BundleId, Draft, Kind, LocationState, OBJECT_LOCK_MODE, PlannedLocation, Producer,
    SealedBundle, TimeSource, VerifiedBundle,
};
use evidence::chain::{Head, utc_day};
use evidence::controls::ControlMap;
use evidence::digest::Sha256;
use evidence::findings::consistency;
use evidence::ijson::{self, presentable};
use evidence::incident::{Incident, Limits, SealedIncident, Source};
use evidence::schema;
use jiff::Timestamp;
use serde_json::Value;

use super::signer::KEY;

/// A drop that is accepted is sealed: to bytes that verify and follow the schema, that are the
/// same the next time, and that hold every value of the drop as it was. One that is refused is
/// refused in words that quote nothing that could fool a terminal.
pub fn holds(bytes: &[u8]) {
    let limits = Limits { max_depth: 64 };
    let incident = match Incident::parse(bytes, &limits) {
        Ok(incident) => incident,
        Err(refusal) => {
            assert_eq!(presentable(&refusal.path), refusal.path);
            assert!(!refusal.message.chars().any(char::is_control));
            assert!(
                refusal
                    .code
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            );
            return;
        }
    };
    let drop = ijson::read(bytes, limits.max_depth)
        .expect("it was read before")
        .value;
    let body = serde_json::to_value(&incident.body).expect("a body serialises");
    let (mut of_drop, mut of_body) = (BTreeMap::new(), BTreeMap::new());
    count(&drop, &mut of_drop);
    count(&body, &mut of_body);
    assert_eq!(of_body, of_drop, "a value was lost, changed or added");

    let sealed = seal(bytes, &incident);
    let again = seal(bytes, &incident);
    assert_eq!(again.bytes, sealed.bytes, "the same drop, other bytes");
    let verified = VerifiedBundle::verify(&sealed.bytes, &sealed.signature, KEY.public())
        .expect("what was sealed verifies");
    schema::validate(verified.document()).expect("what was sealed follows the schema");
    let read = ijson::read(&sealed.bytes, ijson::MAX_DEPTH).expect("what was sealed is I-JSON");
    assert_eq!(&read.value, verified.document());
    assert_eq!(
        read.number_as_text.total, 0,
        "a number that no double holds"
    );
    for (section, value) in body.as_object().expect("a body is an object") {
        assert_eq!(verified.document().get(section), Some(value), "{section}");
    }
}

/// How often each scalar stands in a document.
fn count(value: &Value, counts: &mut BTreeMap<String, usize>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|e| count(e, counts)),
        Value::Object(members) => members.values().for_each(|m| count(m, counts)),
        // There is one zero: RFC 8785, section 3.2.2.3, writes -0 as 0.
        Value::Number(number) if number.as_f64() == Some(0.0) => {
            *counts.entry("0".to_owned()).or_default() += 1;
        }
        scalar => *counts.entry(scalar.to_string()).or_default() += 1,
    }
}

fn seal(bytes: &[u8], incident: &Incident) -> SealedBundle {
    let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
    let bundle_id = BundleId::new(utc_day(now), 1);
    let head = Head::Empty {
        chain_id: "01JDA0000000000000000000CH".to_owned(),
        predecessor: None,
        began: None,
    };
    let mut findings = incident.findings.clone();
    findings.extend(consistency(&incident.body, now, ControlMap::built_in()));
    Draft {
        bundle_id,
        kind: Kind::Incident,
        client_id: "clinic-fuzz",
        host_id: "host-fuzz",
        generated_at: now,
        chain: head.next(),
        producer: &Producer {
            name: "msp-evidence-agent".to_owned(),
            version: "0.0.0-fuzz".to_owned(),
            boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        },
        time: &TimeSource::unknown(),
        related_to: Vec::new(),
        reseals: None,
        body: SealedIncident {
            body: &incident.body,
            controls: &ControlMap::built_in()
                .map(incident.body.hipaa_controls(), incident.body.about()),
            source: Source {
                hmac_sha256: Sha256::of(bytes),
                size_bytes: bytes.len() as u64,
                received_at: now,
            },
            findings: &findings,
            redactions: &[],
        },
        plan: vec![PlannedLocation {
            destination_id: "primary".to_owned(),
            uri: format!("s3://bucket-fuzz/{}", bundle_id.file_name()),
            object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
            retention_days: 2192,
            state: LocationState::Planned,
        }],
    }
    .seal(&KEY)
    .expect("a drop that was accepted is sealed")
}
