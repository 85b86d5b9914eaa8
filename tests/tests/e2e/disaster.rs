//! A disaster drill, as docs/operations.md tells it: a host is gone, and what is left is its backup (the
//! keys and the configuration) and the bucket.

use ::fsck::Level;
use evidence::bundle::ChainStart;
use tests::clinic::{Clinic, Place, Role};
use tests::incident::document;

fn drop_and_confirm(clinic: &mut Clinic, id: &str) {
    clinic.drop_folder(
        id,
        &document(id),
        &[("run.log", format!("log of {id}").as_bytes())],
    );
    clinic.wait_until(id, |clinic| {
        clinic.is_settled()
            && clinic
                .incidents()
                .iter()
                .any(|(_, b)| b.document()["incident"]["incident_id"] == id)
            && clinic.is_confirmed()
    });
}

#[test]
fn a_destroyed_host_is_made_anew_from_its_keys_and_the_bucket_and_an_audit_passes() {
    let mut lost = Clinic::new();
    lost.start(Role::Agent);
    lost.start(Role::Uploader);
    for n in 0..3 {
        drop_and_confirm(&mut lost, &format!("INC-{n}"));
    }
    let sealed = lost.bundles();
    // No warning, and so no last custody.
    lost.kill(Role::Uploader);
    lost.kill(Role::Agent);

    let place = Place::sandbox("main", &lost.sandbox);
    let mut anew = Clinic::with_keys_of(&lost, std::slice::from_ref(&place));
    let rebuilt = anew.cli_json(&["fsck", "--rebuild", "--yes", "--json"]);
    let fetched = rebuilt
        .pointer("/rebuilt/fetched_bundles")
        .and_then(serde_json::Value::as_u64);
    assert_eq!(fetched, Some(sealed.len() as u64), "{rebuilt:#}");
    assert_eq!(
        rebuilt.pointer("/rebuilt/fetched_artifacts"),
        Some(&3.into())
    );
    anew.start(Role::Agent);
    anew.start(Role::Uploader);
    drop_and_confirm(&mut anew, "INC-after");
    anew.wind_down();
    assert_eq!(anew.fsck(Level::Note, true), Vec::<String>::new());

    let bundles = anew.bundles();
    for (_, bundle) in &sealed {
        assert!(
            bundles.iter().any(|(_, b)| b.sha256() == bundle.sha256()),
            "{:?} is back",
            bundle.header().bundle_id
        );
    }
    let began: Vec<_> = bundles
        .iter()
        .filter_map(|(_, b)| b.header().chain.began.as_ref())
        .collect();
    assert!(
        began
            .iter()
            .any(|b| b.because == ChainStart::Rebuilt && b.missing.is_empty()),
        "{began:?}"
    );

    let key = anew.public_key_file();
    let audit = anew.cli(&[
        "audit",
        "--destination",
        "main",
        "--client",
        "clinic-a",
        "--key",
        key.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(
        audit.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
}
