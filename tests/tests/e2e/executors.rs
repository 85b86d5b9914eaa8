//! The examples of docs/executors, run by the very commands that the documents show: a real
//! ansible-runner, a real systemd-run with a real journal, and cosign as the judge of the bundles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use evidence::digest::Sha256;
use jiff::Timestamp;
use serde_json::Value;
use tests::clinic::{Clinic, Role};
use tests::cosign::{Cosign, Verdict};
use tests::guest::{Guest, Release};
use tests::tools::{self, Tool, workspace_root};

/// The shell that a document shows below the heading "Run it".
fn shown_commands(document: &str) -> String {
    let path = workspace_root().join("docs/executors").join(document);
    let text = fs::read_to_string(&path).unwrap();
    let section = text.split("\n## Run it\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut shell = String::new();
    for block in section.split("```sh\n").skip(1) {
        shell.push_str(block.split("```").next().unwrap());
    }
    assert!(!shell.is_empty(), "{} shows no command", path.display());
    shell
}

/// A copy of docs/executors, as the documents tell users to make.
fn copy_to(folder: &Path) -> PathBuf {
    let copied = Command::new("cp")
        .arg("-r")
        .arg(workspace_root().join("docs/executors"))
        .arg(folder)
        .status()
        .unwrap();
    assert!(copied.success());
    folder.join("executors")
}

/// Runs the shown commands in a folder; `first` is looked for in before the PATH.
fn run_shown(clinic: &Clinic, document: &str, folder: &Path, first: &Path) -> Output {
    let path = std::env::var("PATH").unwrap();
    Command::new("bash")
        .args(["-euc", &shown_commands(document)])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", first.display()))
        .env("HOME", clinic.dir.path())
        .env("TMPDIR", clinic.dir.path())
        .env("MSP_EVIDENCE_PATHS__DROP", clinic.state("drop"))
        .output()
        .unwrap()
}

fn one_bundle(clinic: &mut Clinic) -> (PathBuf, Value) {
    clinic.wait_until("the bundle", |c| {
        c.bundles().len() == 1 && fs::read_dir(c.state("drop")).unwrap().count() == 0
    });
    let (path, _) = clinic.bundles().remove(0);
    let document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (path, document)
}

/// What an auditor does: cosign, and our own `verify` of bundle and artifacts.
fn assert_proven(clinic: &Clinic, bundle: &Path, test: &str) {
    for cosign in Cosign::all(test) {
        let signature = bundle.with_extension("json.bundle");
        let verdict = cosign.verify(&clinic.public_key_file(), &signature, bundle);
        if let Some(verdict) = verdict {
            assert_eq!(verdict, Verdict::Verified, "{:?}", cosign.tool);
        }
    }
    let verified = clinic.cli(&[
        "verify",
        clinic.state("evidence").to_str().unwrap(),
        "--key",
        clinic.public_key_file().to_str().unwrap(),
        "--json",
    ]);
    assert!(verified.status.success(), "{verified:?}");
}

/// What is true of every run of the example service's runbook that repaired it.
fn assert_repaired(bundle: &Value, runbook: &Path) {
    let hash = Sha256::of(&fs::read(runbook).unwrap()).prefixed();
    assert_eq!(bundle["runbook"]["runbook_hash"], hash.as_str());
    assert_eq!(bundle["runbook"]["runbook_id"], "RB-SERVICE-001");
    assert_eq!(bundle["runbook"]["runbook_version"], "1.0.0");
    assert_eq!(bundle["runbook"]["steps_total"], 3);
    assert_eq!(bundle["runbook"]["steps_executed"], 3);
    let steps: Vec<_> = bundle["actions_taken"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            (
                step["action"].as_str().unwrap(),
                step["result"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("check_service", "failed"),
            ("start_service", "ok"),
            ("check_service_again", "ok")
        ]
    );
    assert_eq!(bundle["actions_taken"][0]["exit_code"], 1);
    assert_eq!(bundle["actions_taken"][2]["exit_code"], 0);
    assert_eq!(bundle["actions_taken"][2]["stdout_excerpt"], "4711");
    for step in bundle["actions_taken"].as_array().unwrap() {
        assert_eq!(step["script_hash"], hash.as_str());
    }
    let execution = &bundle["execution"];
    let time = |name: &str| -> Timestamp { execution[name].as_str().unwrap().parse().unwrap() };
    let took = time("timestamp_end").duration_since(time("timestamp_start"));
    let mttr = execution["mttr_seconds"].as_f64().unwrap();
    assert!((took.as_secs_f64() - mttr).abs() < 1e-9, "{took:?} {mttr}");
    assert_eq!(execution["sla_target_seconds"], 900.0);
    assert_eq!(execution["sla_met"], true);
    assert_eq!(execution["resolution_type"], "auto");
    assert_eq!(bundle["outputs"]["resolution_status"], "success");
    assert_eq!(bundle["incident"]["hostname"], "host-1.example");
    assert_eq!(bundle["findings"], Value::Array(Vec::new()));
}

/// An artifact's bytes as they are stored beside the bundle.
fn artifact(bundle: &Path, document: &Value, name: &str) -> Vec<u8> {
    let files = document["artifacts"]["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["name"] == name);
    let file = file.unwrap_or_else(|| panic!("no artifact {name} in {files:?}"));
    let folder = bundle.with_extension("").join("artifacts");
    let sha256 = file["sha256"].as_str().unwrap();
    let bytes = fs::read(folder.join(sha256).join(name)).unwrap();
    assert_eq!(Sha256::of(&bytes).to_string(), sha256);
    bytes
}

#[test]
fn what_the_producers_drop_as_their_document_shows_is_sealed() {
    let test = "what_the_producers_drop_as_their_document_shows_is_sealed";
    let Some(python) = tools::find(Tool::Python, test) else {
        return;
    };
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let folder = copy_to(clinic.dir.path());
    let output = run_shown(&clinic, "README.md", &folder, python.parent().unwrap());
    assert!(output.status.success(), "{output:?}");
    clinic.wait_until("two bundles", |c| c.bundles().len() == 2);
    for (path, bundle) in clinic.bundles() {
        // The example is of a day long past, and says so.
        let findings = bundle.document()["findings"].as_array().unwrap();
        let codes: Vec<&Value> = findings.iter().map(|finding| &finding["code"]).collect();
        assert_eq!(codes, ["backfilled"]);
        assert_proven(&clinic, &path, test);
    }
    let (path, bundle) = clinic.bundles().remove(1);
    assert_eq!(
        artifact(&path, bundle.document(), "backup.log"),
        b"backup finished\n"
    );
    clinic.stop(Role::Agent);
}

/// `ansible_drop.py` beside the example, with the incident that the shown commands wrote.
fn ansible_drop(clinic: &Clinic, folder: &Path, tools: &Path, more: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap();
    Command::new(tools.join("python3"))
        .args([
            "ansible_drop.py",
            "--incident",
            "incident.json",
            "--sla",
            "900",
        ])
        .args([
            "--runbook-id",
            "RB-SERVICE-001",
            "--runbook-version",
            "1.0.0",
        ])
        .args(more)
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("HOME", clinic.dir.path())
        .env("TMPDIR", clinic.dir.path())
        .output()
        .unwrap()
}

#[test]
fn a_playbook_that_ansible_runner_ran_becomes_a_bundle_that_cosign_verifies() {
    let test = "a_playbook_that_ansible_runner_ran_becomes_a_bundle_that_cosign_verifies";
    let Some(runner) = tools::find(Tool::AnsibleRunner, test) else {
        return;
    };
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let folder = copy_to(clinic.dir.path()).join("ansible");
    let output = run_shown(
        &clinic,
        "ansible/README.md",
        &folder,
        runner.parent().unwrap(),
    );
    assert!(output.status.success(), "{output:?}");
    let (path, bundle) = one_bundle(&mut clinic);
    let playbook = folder.join("project/restart-service.yml");
    assert_repaired(&bundle, &playbook);
    let steps = &bundle["actions_taken"];
    assert_eq!(steps[1]["exit_code"], Value::Null, "it ran no command");
    assert!(
        steps[0]["stderr_excerpt"]
            .as_str()
            .unwrap()
            .contains("No such file or directory")
    );
    let stats = &bundle["artifacts"]["outputs"]["stats"];
    assert_eq!(stats["rescued"]["host-1.example"], 1);
    assert_eq!(
        artifact(&path, &bundle, "restart-service.yml"),
        fs::read(&playbook).unwrap()
    );
    let printed = artifact(&path, &bundle, "runner-stdout.txt");
    assert!(String::from_utf8(printed).unwrap().contains("PLAY RECAP"));
    let events = String::from_utf8(artifact(&path, &bundle, "job_events.jsonl")).unwrap();
    let events: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |name: &str| events.iter().filter(|e| e["event"] == name).count();
    assert_eq!((count("runner_on_failed"), count("runner_on_ok")), (1, 2));
    assert_eq!(count("playbook_on_stats"), 1);
    assert_proven(&clinic, &path, test);
    clinic.stop(Role::Agent);
}

#[test]
fn a_playbook_that_fails_is_evidence_too_and_can_be_handed_over_later() {
    let test = "a_playbook_that_fails_is_evidence_too_and_can_be_handed_over_later";
    let Some(runner) = tools::find(Tool::AnsibleRunner, test) else {
        return;
    };
    let tools = runner.parent().unwrap();
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let folder = copy_to(clinic.dir.path()).join("ansible");
    let detected = Timestamp::now();
    let incident = format!(
        r#"{{"incident_id": "INC-1", "event_type": "service_down", "severity": "high",
            "detected_at": "{detected}", "hostname": "host-1.example"}}"#
    );
    fs::write(folder.join("incident.json"), incident).unwrap();
    let variables = format!("-e service_dir={}/missing", folder.display());
    let run = [".", "restart-service.yml", "--", "--cmdline", &variables];
    // The drop folder is not where it is looked for.
    let output = ansible_drop(
        &clinic,
        &folder,
        tools,
        &[&["--drop", "missing"], &run[..]].concat(),
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let ident = said.rsplit("--finished ").next().unwrap().trim().to_owned();
    let state = clinic.state("drop");
    let mended = ["--drop", state.to_str().unwrap(), "--finished", &ident];
    let output = ansible_drop(&clinic, &folder, tools, &[&mended[..], &run[..2]].concat());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let runs = fs::read_dir(folder.join("artifacts")).unwrap().count();
    assert_eq!(runs, 1, "nothing was run again");
    let (path, bundle) = one_bundle(&mut clinic);
    assert_eq!(bundle["outputs"]["resolution_status"], "failed");
    assert_eq!(bundle["execution"]["resolution_type"], "escalated");
    assert_eq!(bundle["actions_taken"][0]["result"], "failed");
    assert_eq!(bundle["findings"], Value::Array(Vec::new()));
    assert_proven(&clinic, &path, test);
    clinic.stop(Role::Agent);
}

/// Takes what was dropped in the guest to the agent, which runs outside.
fn carry(guest: &Guest, clinic: &Clinic) -> usize {
    let from = guest.path().join("var/lib/msp/drop");
    let mut carried = 0;
    for entry in fs::read_dir(&from).unwrap() {
        let name = entry.unwrap().file_name();
        // The guest's files are on a disk of its own: what is copied is complete when it has its name.
        let part = clinic.state("drop").join(".carried");
        let copied = Command::new("cp")
            .arg("-a")
            .args([&from.join(&name), &part])
            .status()
            .unwrap();
        assert!(copied.success());
        fs::rename(part, clinic.state("drop").join(&name)).unwrap();
        carried += 1;
    }
    carried
}

/// A guest with a drop folder, and with a copy of docs/executors in `/srv`.
fn guest_with_examples(test: &str) -> Option<Guest> {
    let guest = Guest::boot(Release::Bookworm, test)?;
    copy_to(&guest.path().join("srv"));
    fs::create_dir_all(guest.path().join("var/lib/msp/drop")).unwrap();
    Some(guest)
}

#[test]
fn a_runbook_that_systemd_ran_becomes_a_bundle_that_cosign_verifies() {
    let test = "a_runbook_that_systemd_ran_becomes_a_bundle_that_cosign_verifies";
    let Some(guest) = guest_with_examples(test) else {
        return;
    };
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let shown = shown_commands("systemd/README.md");
    let script = format!("cd /srv/executors/systemd\n{shown}");
    let output = guest.run(&["bash", "-euc", &script]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(carry(&guest, &clinic), 1);
    let (path, bundle) = one_bundle(&mut clinic);
    let runbook = guest
        .path()
        .join("srv/executors/systemd/restart-service.sh");
    assert_repaired(&bundle, &runbook);
    let steps = &bundle["actions_taken"];
    assert_eq!(steps[1]["exit_code"], 0);
    let said = steps[0]["stdout_excerpt"].as_str().unwrap();
    assert!(said.ends_with("No such file or directory"), "{said}");
    let outputs = &bundle["artifacts"]["outputs"];
    assert_eq!(outputs["Result"], "success");
    assert_eq!(
        artifact(&path, &bundle, "restart-service.sh"),
        fs::read(&runbook).unwrap()
    );
    let journal = String::from_utf8(artifact(&path, &bundle, "journal.jsonl")).unwrap();
    let printed = journal
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|entry| entry["MESSAGE"] == said)
        .unwrap();
    assert_eq!(printed["_SYSTEMD_UNIT"], outputs["unit"]);
    let units = guest.run(&["systemctl", "list-units", "--all", "--plain", "runbook-*"]);
    let units = String::from_utf8(units.stdout).unwrap();
    assert!(units.contains("0 loaded units"), "{units}");
    assert_proven(&clinic, &path, test);
    clinic.stop(Role::Agent);
}

/// Runs the adapter in the guest on a runbook with these steps.
fn systemd_drop(guest: &Guest, id: &str, steps: &str, more: &[&str]) -> Output {
    let folder = guest.path().join("srv/executors/systemd");
    let detected = Timestamp::now();
    let incident = format!(
        r#"{{"incident_id": "{id}", "event_type": "service_down", "severity": "high",
            "detected_at": "{detected}", "hostname": "host-1.example"}}"#
    );
    fs::write(folder.join("incident.json"), incident).unwrap();
    let example = fs::read_to_string(folder.join("restart-service.sh")).unwrap();
    let head = example.split("say total 3").next().unwrap();
    // Over the example, which is executable.
    fs::write(
        folder.join("restart-service.sh"),
        format!("{head}{steps}\n"),
    )
    .unwrap();
    let adapter = "/srv/executors/systemd/systemd_drop.py";
    let mut command = vec![
        "python3",
        adapter,
        "--incident",
        "/srv/executors/systemd/incident.json",
    ];
    command.extend([
        "--sla",
        "900",
        "--runbook-id",
        "RB-1",
        "--runbook-version",
        "1",
    ]);
    command.extend(more);
    command.push("/srv/executors/systemd/restart-service.sh");
    let output = guest.run(&command);
    fs::write(folder.join("restart-service.sh"), example).unwrap();
    output
}

#[test]
fn a_runbook_that_fails_or_dies_is_evidence_too_and_what_it_prints_forges_no_step() {
    let test = "a_runbook_that_fails_or_dies_is_evidence_too_and_what_it_prints_forges_no_step";
    let Some(guest) = guest_with_examples(test) else {
        return;
    };
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let forger = r#"
        forge() {
            echo "step 0123456789abcdef0123456789abcdef end 2026-01-01T00:00:00Z 0"
            printf 'no end of line'
            return 3
        }
        step forge forge"#;
    let output = systemd_drop(&guest, "INC-1", forger, &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = systemd_drop(
        &guest,
        "INC-2",
        "step die sh -c 'echo word; kill -9 $PPID'",
        &[],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let output = systemd_drop(
        &guest,
        "INC-3",
        "echo no steps announced",
        &["--drop", "/missing"],
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let unit = said.rsplit("--finished ").next().unwrap().trim().to_owned();
    let output = systemd_drop(&guest, "INC-3", "exit 1", &["--finished", &unit]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(carry(&guest, &clinic), 3);

    clinic.wait_until("three bundles", |c| c.bundles().len() == 3);
    let bundles = clinic.bundles();
    let [forged, died, later] = ["INC-1", "INC-2", "INC-3"].map(|id| {
        let found = bundles
            .iter()
            .find(|(_, bundle)| bundle.document()["incident"]["incident_id"] == id);
        found.unwrap().1.document()
    });
    let mut findings = Vec::new();
    for bundle in [forged, died, later] {
        let codes = bundle["findings"].as_array().unwrap().iter();
        findings.push(
            codes
                .map(|finding| finding["code"].clone())
                .collect::<Vec<_>>(),
        );
        assert_eq!(bundle["actions_taken"].as_array().unwrap().len(), 1);
    }
    // Each had another script under one id and version, which the first cannot know.
    findings.sort_by_key(Vec::len);
    let changed = vec![Value::from("runbook_changed")];
    assert_eq!(findings, [Vec::new(), changed.clone(), changed]);
    let step = &forged["actions_taken"][0];
    assert_eq!(
        (&step["result"], &step["exit_code"]),
        (&"failed".into(), &3.into())
    );
    assert!(
        step["stdout_excerpt"]
            .as_str()
            .unwrap()
            .ends_with("no end of line")
    );
    assert_eq!(forged["outputs"]["resolution_status"], "failed");
    let step = &died["actions_taken"][0];
    assert_eq!(
        (&step["result"], &step["exit_code"]),
        (&"error".into(), &Value::Null)
    );
    assert_eq!(died["artifacts"]["outputs"]["Result"], "signal");
    assert_eq!(died["outputs"]["resolution_status"], "failed");
    let step = &later["actions_taken"][0];
    assert_eq!(step["stdout_excerpt"], "no steps announced");
    assert_eq!(later["outputs"]["resolution_status"], "success");
    clinic.stop(Role::Agent);
}
