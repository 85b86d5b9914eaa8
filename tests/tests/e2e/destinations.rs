//! Several destinations: each on its own, added, brought up to date, retired.

use std::fs;
use std::path::Path;

use sandbox::{Action, Fault, Sandbox, SandboxOptions};
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place, Role};

use crate::incident::document;

/// A store that can go away and come back with everything it had.
struct Offsite {
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
    port: u16,
    sandbox: Option<Sandbox>,
}

impl Offsite {
    fn new() -> Self {
        let mut offsite = Self {
            runtime: tokio::runtime::Runtime::new().unwrap(),
            dir: tempfile::tempdir().unwrap(),
            port: 0,
            sandbox: None,
        };
        offsite.come_back();
        let endpoint = offsite.sandbox().endpoint();
        offsite.port = endpoint.rsplit(':').next().unwrap().parse().unwrap();
        offsite
    }

    fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }

    fn go_away(&mut self) {
        let sandbox = self.sandbox.take().unwrap();
        self.runtime.block_on(sandbox.shutdown()).unwrap();
    }

    fn come_back(&mut self) {
        let options = SandboxOptions {
            dir: Some(self.dir.path().to_owned()),
            port: self.port,
            ..SandboxOptions::with_bucket(BUCKET)
        };
        self.sandbox = Some(self.runtime.block_on(Sandbox::start(options)).unwrap());
    }

    fn place(&self) -> Place {
        Place::sandbox("offsite", self.sandbox())
    }
}

fn main_place(clinic: &Clinic) -> Place {
    Place::sandbox("main", &clinic.sandbox)
}

/// The state of each location of the bundle of `incident`, by destination.
fn states(clinic: &Clinic, incident: &str) -> Vec<(String, String)> {
    let id = bundle_of(clinic, incident);
    let shown = clinic.cli_json(&["show", &id, "--json"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    shown["storage_locations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| (text(&l["destination_id"]), text(&l["state"])))
        .collect()
}

fn bundle_of(clinic: &Clinic, incident: &str) -> String {
    let bundles = clinic.bundles();
    let found = bundles
        .iter()
        .find(|(_, b)| b.document()["incident"]["incident_id"] == incident);
    found
        .unwrap_or_else(|| panic!("no bundle of {incident}"))
        .1
        .header()
        .bundle_id
        .clone()
}

fn is(main: &str, offsite: &str) -> Vec<(String, String)> {
    vec![
        ("main".to_owned(), main.to_owned()),
        ("offsite".to_owned(), offsite.to_owned()),
    ]
}

fn destination(clinic: &Clinic, id: &str) -> Value {
    let listed = clinic.cli_json(&["destination", "list", "--json"]);
    let all = listed.as_array().unwrap();
    let found = all.iter().find(|d| d["destination_id"] == id);
    found.unwrap_or_else(|| panic!("{listed:#}")).clone()
}

fn stored(sandbox: &Sandbox) -> usize {
    sandbox.store().all_versions(BUCKET).len()
}

fn has_bundle_of(clinic: &Clinic, incident: &str) -> bool {
    clinic
        .bundles()
        .iter()
        .any(|(_, b)| b.document()["incident"]["incident_id"] == incident)
}

#[test]
fn one_is_down_for_a_while_and_the_other_proceeds_and_in_the_end_both_have_everything() {
    let mut offsite = Offsite::new();
    let place = offsite.place();
    let mut clinic = Clinic::new();
    clinic.configure(&[main_place(&clinic), place], "");
    offsite.go_away();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("confirmation at main", |c| {
        has_bundle_of(c, "INC-1") && states(c, "INC-1") == is("confirmed", "planned")
    });
    clinic.wait_until("the breaker of offsite", |c| {
        destination(c, "offsite")["state"] == "open"
    });
    assert_eq!(destination(&clinic, "main")["state"], "ok");
    assert_eq!(destination(&clinic, "offsite")["counts"]["pending"], 2);
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(
        (&status["pending"], &status["spool"]["confirmed_bundles"]),
        (&2.into(), &0.into()),
        "confirmed means everywhere"
    );

    // It answers again, and only to say that it cannot.
    offsite.come_back();
    let fault = offsite
        .sandbox()
        .faults()
        .add(Fault::always(Action::answer(503, "SlowDown")));
    clinic.drop_document("two.json", &document("INC-2"));
    clinic.wait_until("confirmation of the second at main", |c| {
        has_bundle_of(c, "INC-2") && states(c, "INC-2") == is("confirmed", "planned")
    });
    assert_eq!(stored(offsite.sandbox()), 0);
    assert!(!clinic.is_settled(), "the orders wait");

    offsite.sandbox().faults().remove(fault);
    clinic.wait_until("both", Clinic::is_settled);
    for incident in ["INC-1", "INC-2"] {
        assert_eq!(states(&clinic, incident), is("confirmed", "confirmed"));
    }
    assert_eq!((stored(&clinic.sandbox), stored(offsite.sandbox())), (4, 4));
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(status["pending"], 0);
    assert_eq!(status["spool"]["confirmed_bundles"], 2);
    assert_eq!(destination(&clinic, "offsite")["state"], "ok");
}

#[test]
fn one_that_is_added_serves_later_bundles_and_earlier_ones_only_when_backfilled() {
    let offsite = Offsite::new();
    let mut clinic = Clinic::new();
    let main = main_place(&clinic);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_folder("one", &document("INC-1"), &[("a.log", b"bytes")]);
    clinic.wait_until("confirmation", |c| {
        has_bundle_of(c, "INC-1") && c.is_settled()
    });
    clinic.wind_down();
    clinic.configure(&[main, offsite.place()], "");
    for role in [Role::Agent, Role::Uploader] {
        clinic.start(role);
    }
    clinic.drop_document("two.json", &document("INC-2"));
    clinic.wait_until("confirmation of the second", |c| {
        has_bundle_of(c, "INC-2") && c.is_settled()
    });
    assert_eq!(states(&clinic, "INC-2"), is("confirmed", "confirmed"));
    assert_eq!(states(&clinic, "INC-1").len(), 1, "planned for main alone");
    assert_eq!(stored(offsite.sandbox()), 2);

    let answer = clinic.cli_json(&["destination", "backfill", "offsite", "--json"]);
    assert_eq!(
        (&answer["ok"], &answer["details"]["bundles"]),
        (&true.into(), &2.into()),
        "the incident, and the custody of the stop"
    );
    clinic.wait_until("the backfill", |c| {
        c.is_settled() && states(c, "INC-1") == is("confirmed", "confirmed")
    });
    assert_eq!(stored(offsite.sandbox()), 7, "with its artifact");
    let id = bundle_of(&clinic, "INC-1");
    let shown = clinic.cli_json(&["show", &id, "--json"]);
    assert_eq!(shown["storage_locations"][1]["backfilled"], true);
    assert_eq!(shown["storage_locations"][0].get("backfilled"), None);
    let again = clinic.cli_json(&["destination", "backfill", "offsite", "--json"]);
    assert_eq!(again["details"]["bundles"], 0, "nothing is ordered twice");
    let nowhere = clinic.cli(&["destination", "backfill", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1), "{nowhere:?}");
}

#[test]
fn one_that_is_retired_is_waited_for_no_more_also_when_delivery_db_is_lost() {
    let mut offsite = Offsite::new();
    let place = offsite.place();
    let mut clinic = Clinic::new();
    let main = main_place(&clinic);
    clinic.configure(&[main.clone(), place], "");
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("the first everywhere", |c| {
        has_bundle_of(c, "INC-1") && c.is_settled()
    });
    offsite.go_away();
    clinic.drop_document("two.json", &document("INC-2"));
    clinic.wait_until("the second at main", |c| {
        has_bundle_of(c, "INC-2") && states(c, "INC-2") == is("confirmed", "planned")
    });
    let retire = [
        "destination",
        "retire",
        "offsite",
        "--reason",
        "contract ended",
    ];
    let asked = clinic.cli(&retire);
    assert_eq!(asked.status.code(), Some(1), "nobody agreed: {asked:?}");
    let answer = clinic.cli_json(&[&retire[..], &["--yes", "--json"]].concat());
    assert_eq!(
        (&answer["ok"], &answer["details"]["objects"]),
        (&true.into(), &2.into())
    );
    clinic.wait_until("the end of waiting", |c| {
        c.is_settled() && destination(c, "offsite")["counts"]["retired"] == 2
    });
    assert_eq!(states(&clinic, "INC-1"), is("confirmed", "confirmed"));
    assert_eq!(states(&clinic, "INC-2"), is("confirmed", "retired"));
    let listed = destination(&clinic, "offsite");
    assert_eq!(listed["state"], "retired");
    assert_eq!(listed["retired"]["reason"], "contract ended");
    let status = clinic.cli_json(&["status", "--json"]);
    assert_eq!(
        (&status["pending"], &status["blocked"]),
        (&0.into(), &Value::Array(vec![]))
    );
    assert_eq!(
        status["spool"]["confirmed_bundles"], 2,
        "confirmed at what is left"
    );

    // It is still configured: left out, and said.
    clinic.drop_document("three.json", &document("INC-3"));
    clinic.wait_until("the third", |c| has_bundle_of(c, "INC-3") && c.is_settled());
    assert_eq!(states(&clinic, "INC-3").len(), 1);
    let last = clinic.cli(&["destination", "retire", "main", "--reason", "x", "--yes"]);
    assert_eq!(last.status.code(), Some(1), "the last one stays: {last:?}");

    // After a restart, without its configuration and with a new delivery.db, it is as before.
    for role in [Role::Agent, Role::Uploader] {
        clinic.stop(role);
    }
    fs::remove_dir_all(clinic.state("delivery")).unwrap();
    fs::create_dir(clinic.state("delivery")).unwrap();
    clinic.configure(&[main], "");
    for role in [Role::Agent, Role::Uploader] {
        clinic.start(role);
    }
    clinic.drop_document("four.json", &document("INC-4"));
    clinic.wait_until("the fourth", |c| {
        has_bundle_of(c, "INC-4") && c.is_settled()
    });
    let listed = destination(&clinic, "offsite");
    assert_eq!(
        (&listed["state"], &listed["configured"]),
        (&"retired".into(), &false.into())
    );
}

#[test]
fn a_request_is_carried_out_when_the_agent_runs_and_only_once() {
    let offsite = Offsite::new();
    let mut clinic = Clinic::new();
    clinic.configure(&[main_place(&clinic), offsite.place()], "");
    clinic.start(Role::Agent);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("the bundle", |c| has_bundle_of(c, "INC-1"));
    clinic.kill(Role::Agent);
    let retire = [
        "destination",
        "retire",
        "offsite",
        "--reason",
        "moved",
        "--yes",
    ];
    let recorded = clinic.cli(&retire);
    assert_eq!(recorded.status.code(), Some(3), "{recorded:?}");
    let requests = clinic.state("requests");
    let request = one_file(&requests);
    let bytes = fs::read(&request).unwrap();
    clinic.start(Role::Agent);
    clinic.wait_until("the retirement", |c| {
        destination(c, "offsite")["state"] == "retired" && !request.exists()
    });
    let answer = fs::read(one_file(&requests)).unwrap();
    // As if the agent had been killed after its commit: the same request is met again.
    clinic.kill(Role::Agent);
    fs::write(&request, &bytes).unwrap();
    fs::remove_file(requests.join(file_name(&request).replace(".request.", ".answer."))).unwrap();
    clinic.start(Role::Agent);
    clinic.wait_until("the same answer", |_| !request.exists());
    assert_eq!(fs::read(one_file(&requests)).unwrap(), answer);
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The only file in a folder that is no dot file.
fn one_file(folder: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !file_name(path).starts_with('.'))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn an_id_that_would_change_its_meaning_is_refused_by_both_daemons() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("the bundle", |c| has_bundle_of(c, "INC-1"));
    clinic.stop(Role::Agent);
    let moved = Place {
        prefix: "elsewhere/".to_owned(),
        ..main_place(&clinic)
    };
    clinic.configure(&[moved], "");
    let said = clinic.start_that_fails(Role::Agent);
    assert!(
        said.contains("\\\"main\\\"") && said.contains("an id never changes meaning"),
        "{said}"
    );
    clinic.start(Role::Uploader);
    clinic.wait_until("the alarm", |c| {
        c.cli_json(&["status", "--json"])["delivery"]["destinations"]
            .as_array()
            .is_some_and(|all| {
                all.iter()
                    .any(|d| d["reason"] == "destination_changed_meaning")
            })
    });
    assert_eq!(stored(&clinic.sandbox), 0, "nothing went to the new place");
}
