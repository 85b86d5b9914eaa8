//! The fixtures, sealed by the code that the agent seals with, into a folder that peers read.

use std::fs;
use std::path::{Path, PathBuf};

use evidence::bundle::{
    BundleId, Draft, Kind, LocationState, OBJECT_LOCK_MODE, PlannedLocation, Producer, TimeSource,
};
use evidence::chain::{Head, new_chain_id, utc_day};
use evidence::controls::ControlMap;
use evidence::digest::DigestKey;
use evidence::findings::consistency;
use evidence::incident::{Incident, Limits, SealedIncident, Source};
use evidence::keys::PrivateKey;
use jiff::Timestamp;

use crate::tools::workspace_root;

/// A bundle on disk.
#[derive(Debug, Clone)]
pub struct SealedFiles {
    /// `EB-….json`.
    pub bundle: PathBuf,
    /// `EB-….json.bundle`.
    pub signature: PathBuf,
}

/// The drops that every executor might write, well formed, sorted by name.
///
/// # Panics
/// When the fixtures cannot be listed, or there are none.
pub fn valid_drops() -> Vec<PathBuf> {
    let folder = workspace_root().join("tests/fixtures/drops/valid");
    let mut drops: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the fixtures can be listed").path())
        .collect();
    assert!(!drops.is_empty(), "no drop in {}", folder.display());
    drops.sort();
    drops
}

/// Seals every valid drop with `key` into `folder`, as one chain.
///
/// # Panics
/// When one of them cannot be sealed or written.
pub fn seal_fixtures(folder: &Path, key: &PrivateKey) -> Vec<SealedFiles> {
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
    let digest_key = DigestKey::from_bytes([7; 32]);
    let producer = Producer {
        name: "msp-evidence-agent".to_owned(),
        version: "0.0.0-test".to_owned(),
        boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
    };
    let time = TimeSource::unknown();
    let mut head = Head::Empty {
        chain_id: new_chain_id(),
        predecessor: None,
        began: None,
    };
    let mut files = Vec::new();
    for (number, drop) in (1..).zip(valid_drops()) {
        let bytes = fs::read(&drop).unwrap_or_else(|error| panic!("{}: {error}", drop.display()));
        let incident = Incident::parse(&bytes, &Limits::default())
            .unwrap_or_else(|error| panic!("{}: {error:?}", drop.display()));
        let mut findings = incident.findings.clone();
        findings.extend(consistency(&incident.body, now, ControlMap::built_in()));
        let bundle_id = BundleId::new(utc_day(now), number);
        let sealed = Draft {
            bundle_id,
            kind: Kind::Incident,
            client_id: "clinic-test",
            host_id: "host-test",
            generated_at: now,
            chain: head.next(),
            producer: &producer,
            time: &time,
            related_to: Vec::new(),
            reseals: None,
            body: SealedIncident {
                body: &incident.body,
                controls: &ControlMap::built_in()
                    .map(incident.body.hipaa_controls(), incident.body.about()),
                source: Source {
                    hmac_sha256: digest_key.hmac(&bytes),
                    size_bytes: bytes.len() as u64,
                    received_at: now,
                },
                findings: &findings,
                redactions: &[],
            },
            plan: vec![PlannedLocation {
                destination_id: "primary".to_owned(),
                uri: format!("s3://bucket-test/{}", bundle_id.file_name()),
                object_lock_mode: OBJECT_LOCK_MODE.to_owned(),
                retention_days: 2192,
                state: LocationState::Planned,
            }],
        }
        .seal(key)
        .unwrap_or_else(|error| panic!("{}: {error:?}", drop.display()));
        let written = SealedFiles {
            bundle: folder.join(bundle_id.file_name()),
            signature: folder.join(bundle_id.signature_name()),
        };
        fs::write(&written.bundle, &sealed.bytes).expect("the bundle can be written");
        fs::write(&written.signature, &sealed.signature).expect("the signature can be written");
        head = Head::At(sealed.position);
        files.push(written);
    }
    files
}
