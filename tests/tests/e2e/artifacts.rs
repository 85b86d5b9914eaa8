//! A folder drop from drop to confirmed, and proven again from the folder.

use std::fs;

use evidence::digest::Sha256;
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Role};

use crate::incident::document;

fn verify(clinic: &Clinic) -> (i32, Value) {
    let (folder, key) = (clinic.state("evidence"), clinic.public_key_file());
    let output = clinic.cli(&[
        "verify",
        folder.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "--json",
    ]);
    let code = output.status.code().unwrap();
    (code, serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn artifacts_are_stored_locked_and_proven_with_their_bundle() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    let log = vec![b'l'; 3 << 20];
    clinic.drop_folder(
        "one",
        &document("INC-1"),
        &[("backup.log", &log), ("empty", b"")],
    );
    clinic.wait_until("confirmation", |c| c.bundles().len() == 1 && c.is_settled());
    let (path, bundle) = clinic.bundles().remove(0);
    let id = &bundle.header().bundle_id;

    let shown = clinic.cli_json(&["show", id, "--json"]);
    let location = &shown["storage_locations"][0];
    assert_eq!(location["state"], "confirmed");
    let objects = location["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 4);
    let stored = clinic.sandbox.store().all_versions(BUCKET);
    for object in objects {
        let key = object["uri"]
            .as_str()
            .unwrap()
            .strip_prefix("s3://evidence/")
            .unwrap();
        let version = stored
            .iter()
            .find(|v| v.key == key && Some(v.version_id.as_str()) == object["version_id"].as_str());
        assert!(version.is_some(), "{key} is not in the store");
    }
    assert_eq!(stored.len(), 4, "each object is stored once");

    let (code, report) = verify(&clinic);
    assert_eq!(
        (code, &report["bundles"][0]["artifacts"]),
        (0, &Value::from(2))
    );
    let artifact = path
        .with_extension("")
        .join("artifacts")
        .join(Sha256::of(&log).to_string())
        .join("backup.log");
    let mut changed = log.clone();
    changed[1 << 20] ^= 1;
    fs::write(&artifact, &changed).unwrap();
    let (code, report) = verify(&clinic);
    assert_eq!((code, &report["bad"]), (2, &Value::from(1)));
    fs::remove_file(&artifact).unwrap();
    let (code, report) = verify(&clinic);
    assert_eq!((code, &report["could_not_check"]), (3, &Value::from(1)));
    clinic.stop(Role::Uploader);
    clinic.stop(Role::Agent);
}
