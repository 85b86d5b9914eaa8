//! Local copies that are old and proven are removed, and everything that reads a host knows it.

use std::time::Duration;

use ::fsck::Level;
use agent::{Agent, Clock};
use host::config::Settings;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Sandbox, SandboxOptions};
use tests::clinic::{BUCKET, Clinic, Place, Role, files_below};
use tests::incident::document;

/// What an agent does that starts so many days from now, until it is idle.
fn run_in(clinic: &Clinic, days: i64) {
    let file = clinic.dir.path().join("evidence.toml");
    let settings = Settings::load(&file, std::iter::empty()).unwrap();
    let clock = Clock::new(
        move || Timestamp::now() + SignedDuration::from_hours(24 * days),
        || Duration::from_secs(1000),
    );
    let mut agent = Agent::open(settings, clock).unwrap();
    while agent.pass().unwrap().did_something() {}
}

/// Files of incidents in the evidence folder.
fn incident_files(clinic: &Clinic) -> usize {
    clinic.incidents().len()
        + files_below(&clinic.state("evidence"))
            .iter()
            .filter(|path| path.ends_with("run.log"))
            .count()
}

#[test]
fn a_host_without_its_old_copies_is_whole_and_fetches_them_when_they_are_needed() {
    let mut clinic = Clinic::new();
    clinic.drop_document("INC-1.json", &document("INC-1"));
    clinic.drop_folder("INC-2", &document("INC-2"), &[("run.log", b"artifact")]);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until("everything to be confirmed", |clinic| {
        clinic.incidents().len() == 2 && clinic.is_confirmed()
    });
    clinic.wind_down();
    assert_eq!(incident_files(&clinic), 3);
    let first = clinic.incidents()[0].1.header().bundle_id.clone();
    run_in(&clinic, 89);
    assert_eq!(incident_files(&clinic), 3, "not old enough");
    run_in(&clinic, 92);
    assert_eq!(incident_files(&clinic), 0);
    // Nothing is missed, here and at the store.
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until(
        "custody of the future to be confirmed",
        Clinic::is_confirmed,
    );
    clinic.wind_down();
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());
    let shown = clinic.cli_json(&["show", &first, "--json"]);
    assert!(shown["pruned_at"].is_string(), "{shown:#}");
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status.pointer("/spool/sealed_incidents"), Some(&2.into()));

    // Another destination gets what can be written again, and is told what cannot.
    let offsite = clinic
        .runtime()
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    let places = [
        Place::sandbox("main", &clinic.sandbox),
        Place::sandbox("offsite", &offsite),
    ];
    clinic.configure(&places, "");
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    let answer = clinic.cli_json(&["destination", "backfill", "offsite", "--json"]);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("; 1 were left out"), "{message}");
    clinic.wait_until("the backfill", Clinic::is_confirmed);
    clinic.wind_down();
    let there = clinic.incidents();
    assert_eq!(there.len(), 1, "the one without artifacts is back");
    assert_eq!(there[0].1.document()["incident"]["incident_id"], "INC-1");
    assert_eq!(clinic.fsck(Level::Note, true), Vec::<String>::new());

    // A rebuilt spool has everything, fetched from where it is stored.
    let rebuilt = clinic.cli_json(&["fsck", "--rebuild", "--yes", "--json"]);
    assert_eq!(
        rebuilt.pointer("/rebuilt/fetched_artifacts"),
        Some(&1.into()),
        "{rebuilt:#}"
    );
    assert_eq!(incident_files(&clinic), 3);
    assert_eq!(clinic.fsck(Level::Damaged, true), Vec::<String>::new());
}
