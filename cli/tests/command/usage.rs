//! Wrong usage and wrong configuration are exit code 1, and help teaches.

use crate::desk::Desk;

#[test]
fn wrong_usage_is_1_and_help_is_0() {
    let desk = Desk::new();
    for wrong in [
        &[][..],
        &["no-such-command"],
        &["submit"],
        &["verify", "x"],
        &["status", "--jsn"],
        &["quarantine", "retry"],
        &["quarantine", "retry", "a", "--all"],
        &["destination", "retire", "a"],
        &["reseal", "--reason", "r"],
        &[
            "reseal",
            "EB-20261121-0001",
            "--all-conflicts",
            "--reason",
            "r",
        ],
        &["keys", "show", "--pub", "a", "--key", "b"],
    ] {
        let said = desk.run(wrong).expect(1, &["Usage:"]);
        assert_eq!(said.out, "", "{wrong:?}");
    }
    desk.run(&["--version"]).expect(0, &["msp-evidence"]);
    desk.run(&["--help"])
        .expect(0, &["Exit codes: 0", "quarantine", "verify"]);
}

#[test]
fn help_of_every_command_says_more_than_its_name() {
    let desk = Desk::new();
    for command in [
        &["keys", "generate"][..],
        &["keys", "show"],
        &["submit"],
        &["status"],
        &["show"],
        &["verify"],
        &["bucket", "check"],
        &["bucket", "conformance"],
        &["destination", "list"],
        &["destination", "retire"],
        &["destination", "backfill"],
        &["reseal"],
        &["blocked", "list"],
        &["blocked", "release"],
        &["quarantine", "list"],
        &["quarantine", "retry"],
    ] {
        let arguments = [command, &["--help"]].concat();
        let said = desk
            .run(&arguments)
            .expect(0, &["Usage: msp-evidence", "--config"]);
        let first = said.out.lines().next().unwrap();
        assert!(first.split(' ').count() > 3, "{command:?}: {first}");
    }
    desk.run(&["submit", "--help"]).expect(0, &["Example: "]);
    desk.run(&["verify", "--help"])
        .expect(0, &["Example: ", "Exit codes: 0"]);
}

#[test]
fn a_wrong_configuration_is_1_and_says_where_and_what_to_do() {
    let desk = Desk::new();
    desk.configure("[retention]\ndayz = 1\n");
    desk.run(&["status"]).expect(
        1,
        &["evidence.toml, line 12", "`dayz = 1`", "unknown field"],
    );
    desk.configure("[retention]\ndays = 30\n");
    desk.run(&["status"]).expect(
        1,
        &["retention.days = 30", "acknowledge_shorter_than_six_years"],
    );
    desk.configure("");
    desk.run_with(&["status"], &[("MSP_EVIDENCE_RETENTION__DAYZ", "1")], b"")
        .expect(1, &["MSP_EVIDENCE_RETENTION__DAYZ"]);
    desk.run(&["--config", "/nonexistent/evidence.toml", "status"])
        .expect(1, &["/nonexistent/evidence.toml", "--config"]);
}

#[test]
fn an_id_that_is_none_is_wrong_usage() {
    let desk = Desk::new();
    desk.run(&["show", "EB-1"]).expect(1, &["EB-1"]);
    desk.run(&["blocked", "release", "../x"])
        .expect(1, &["../x"]);
    desk.run(&["bucket", "check", "--destination", "other"])
        .expect(1, &["\"other\""]);
}

#[test]
fn a_store_that_does_not_answer_is_could_not_check() {
    let desk = Desk::new();
    // Port 1 of this machine: refused at once.
    desk.configure("endpoint = \"http://127.0.0.1:1\"\npath_style = true\n");
    let identity = [
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
    ];
    desk.run_with(&["bucket", "check"], &identity, b"")
        .expect(3, &["main", "s3://evidence/", "could_not_check"]);
    let said = desk
        .run_with(&["bucket", "check", "--json"], &identity, b"")
        .expect(3, &[]);
    assert_eq!(said.json()[0]["result"], "could_not_check");
}
