//! The example role for fleets, with the real ansible-core and ansible-lint.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::clinic::{BUCKET, Clinic, Role, program_file};
use tests::tools::{self, Tool, workspace_root};

use crate::incident::document;

/// A copy, so that what Ansible leaves beside a playbook is not left in the source.
fn copied(clinic: &Clinic) -> PathBuf {
    let place = clinic.dir.path().join("ansible");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(workspace_root().join("packaging/ansible"))
        .arg(&place)
        .status()
        .unwrap();
    assert!(copied.success());
    place
}

/// A program of Ansible, with its neighbours on the PATH and nothing of this machine's settings.
fn ansible(clinic: &Clinic, folder: &Path, tools: &Path, name: &str) -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(tools.join(name));
    command
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("HOME", clinic.dir.path())
        .env("ANSIBLE_NOCOLOR", "1")
        .env("LC_ALL", "C.UTF-8");
    command
}

fn play(clinic: &Clinic, folder: &Path, tools: &Path, variables: &Value) -> Output {
    let file = folder.join("variables.json");
    fs::write(&file, variables.to_string()).unwrap();
    ansible(clinic, folder, tools, "ansible-playbook")
        .args(["-i", "Srv-01,", "-c", "local", "site.yml", "-e"])
        .arg(format!("@{}", file.display()))
        // Not whichever is found first here.
        .arg("-e")
        .arg(format!(
            "ansible_python_interpreter={}",
            tools.join("python").display()
        ))
        .output()
        .unwrap()
}

/// No package, no unit and no other user here; everything else as on a host.
fn variables(clinic: &Clinic) -> Value {
    let root = clinic.dir.path().display().to_string();
    let identity = clinic.sandbox.credentials();
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap()
        .name;
    json!({
        "ansible_become": false,
        "msp_evidence_packages": [],
        "msp_evidence_services": [],
        "msp_evidence_doctor": false,
        "msp_evidence_command": program_file("msp-evidence"),
        "msp_evidence_folder": root,
        "msp_evidence_root": me,
        "msp_evidence_agent": me,
        "msp_evidence_uploader": me,
        "msp_evidence_client_id": "clinic-a",
        "msp_evidence_bucket": BUCKET,
        "msp_evidence_region": "us-east-1",
        "msp_evidence_prefix": "fleet/",
        "msp_evidence_endpoint": clinic.sandbox.endpoint(),
        "msp_evidence_path_style": true,
        "msp_evidence_credentials": format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            identity.access_key, identity.secret_key
        ),
        "msp_evidence_public_keys": format!("{root}/collected"),
        "msp_evidence_drop_ins": {
            "50-paths.toml": format!(
                "[paths]\nstate_dir = \"{root}/state\"\nmachine_id = \"{root}/machine-id\"\n\
                 [agent]\nmin_free_bytes = 0\n[log]\nformat = \"json\"\n"
            ),
        },
    })
}

#[test]
fn the_role_makes_a_host_that_seals_and_stores_and_changes_nothing_the_second_time() {
    let test = "the_role_makes_a_host_that_seals_and_stores_and_changes_nothing_the_second_time";
    let Some(runner) = tools::find(Tool::AnsibleRunner, test) else {
        return;
    };
    let tools = runner.parent().unwrap();
    let mut clinic = Clinic::new();
    // What the role makes is not there before.
    fs::remove_file(clinic.dir.path().join("evidence.toml")).unwrap();
    let folder = copied(&clinic);
    let variables = variables(&clinic);

    let first = play(&clinic, &folder, tools, &variables);
    let said = String::from_utf8(first.stdout).unwrap();
    assert!(first.status.success(), "{said}");
    for secret in ["aws_secret_access_key", "ENCRYPTED SIGSTORE"] {
        assert!(!said.contains(secret), "{said}");
    }
    let keys = clinic.dir.path().join("signing-keys");
    let key = fs::read(keys.join("evidence.key")).unwrap();
    assert_eq!(
        fs::read(clinic.dir.path().join("collected/clinic-a-srv-01.pub")).unwrap(),
        fs::read(keys.join("evidence.pub")).unwrap()
    );
    assert!(!said.contains("changed=0"), "{said}");

    let second = play(&clinic, &folder, tools, &variables);
    let said = String::from_utf8(second.stdout).unwrap();
    assert!(
        second.status.success() && said.contains("changed=0"),
        "{said}"
    );
    assert_eq!(fs::read(keys.join("evidence.key")).unwrap(), key);

    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("1.json", &document("INC-1"));
    clinic.wait_until("the bundle to be confirmed", Clinic::is_confirmed);
    clinic.wind_down();
    let public = keys.join("evidence.pub");
    let evidence = clinic.state("evidence/clinic-a/srv-01");
    let verified = clinic.cli(&[
        "verify",
        evidence.to_str().unwrap(),
        "--key",
        public.to_str().unwrap(),
    ]);
    assert!(verified.status.success(), "{verified:?}");
    let versions = clinic.sandbox.store().all_versions(BUCKET);
    assert!(!versions.is_empty());
    for version in versions {
        assert!(
            version.key.starts_with("fleet/clinic-a/srv-01/"),
            "{}",
            version.key
        );
    }

    // A drop-in with mistakes ends the play, and the problems are in what it says.
    let mut bad = variables;
    bad["msp_evidence_drop_ins"]["60-bad.toml"] =
        json!("[drop]\nrescan = 3\n[retention]\ndays = 7\n");
    let third = play(&clinic, &folder, tools, &bad);
    let said = String::from_utf8(third.stdout).unwrap();
    assert!(!third.status.success(), "{said}");
    for part in [
        "Check the whole configuration",
        "60-bad.toml, line 2",
        "60-bad.toml, line 4",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(!said.contains("RUNNING HANDLER"), "{said}");
}

#[test]
fn the_role_passes_ansible_lint_at_its_strictest() {
    let test = "the_role_passes_ansible_lint_at_its_strictest";
    let Some(lint) = tools::find(Tool::AnsibleLint, test) else {
        return;
    };
    let tools = lint.parent().unwrap();
    let clinic = Clinic::new();
    let folder = copied(&clinic);
    let run = || {
        ansible(&clinic, &folder, tools, "ansible-lint")
            .args(["--nocolor", "-c", ".ansible-lint", "site.yml", "roles"])
            .output()
            .unwrap()
    };
    let output = run();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Profile 'production'"), "{said}");
    // It sees mistakes.
    let tasks = folder.join("roles/msp_evidence/tasks/main.yml");
    let text = fs::read_to_string(&tasks).unwrap();
    fs::write(&tasks, text.replace("  changed_when: false\n", "")).unwrap();
    let output = run();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("no-changed-when"));
}
