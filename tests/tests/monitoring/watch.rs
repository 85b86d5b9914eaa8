//! `status --watch`, on a terminal and not.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::clinic::{Clinic, Role, program_file};
use tests::incident::document;

#[test]
fn each_change_is_a_line_and_an_interrupt_ends_it_well() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    let mut people = clinic.spawn_cli(&["status", "--watch"]);
    let mut programs = clinic.spawn_cli(&["status", "--watch", "--json"]);
    let mut lines = BufReader::new(people.stdout.take().unwrap()).lines();
    let values = BufReader::new(programs.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("0 drops wait"), "{first}");
    clinic.drop_document("one.json", &document("INC-1"));
    let confirmed = lines
        .map(Result::unwrap)
        .find(|line| line.contains("1 sealed, 1 confirmed"))
        .unwrap();
    assert!(confirmed.contains("main: 0 pending"), "{confirmed}");
    let value = values
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|status| status["spool"]["confirmed_bundles"] == 1)
        .unwrap();
    assert_eq!(value["pending"], 0);
    for (child, signal) in [
        (&mut people, Signal::SIGINT),
        (&mut programs, Signal::SIGTERM),
    ] {
        let id = i32::try_from(child.id()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn on_a_terminal_it_is_shown_in_place() {
    let clinic = Clinic::new();
    let shown = format!(
        "{} --config {}/evidence.toml status --watch",
        program_file("msp-evidence").display(),
        clinic.dir.path().display()
    );
    // script(1) gives it a terminal.
    let mut child = Command::new("script")
        .args(["-qefc", &shown, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = String::new();
    let mut piece = [0; 1024];
    while text.matches("\x1b[H\x1b[2J").count() < 2 {
        let n = stdout.read(&mut piece).unwrap();
        assert!(n > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    assert!(text.contains("agent      has not run yet"), "{text}");
    child.kill().unwrap();
    child.wait().unwrap();
}
