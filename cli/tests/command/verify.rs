//! Verify: the exit code tells good, bad and not checked apart. Real sealed bundles are verified
//! in the end-to-end tests; here is what surrounds them.

use evidence::keys::PrivateKey;

use crate::desk::Desk;

fn key(desk: &Desk) -> String {
    let (key, _) = PrivateKey::generate(b"").unwrap();
    let path = desk.file("auditor.pub", key.public().to_pem(), 0o644);
    path.to_str().unwrap().to_owned()
}

#[test]
fn nothing_to_check_is_never_good() {
    let desk = Desk::new();
    let key = key(&desk);
    let folder = desk.path("drop");
    let folder = folder.to_str().unwrap();
    desk.run(&["verify", folder, "--key", &key]).expect(
        3,
        &[
            "could not check",
            "0 verified, 0 bad, 1 could not be checked",
        ],
    );
    let report = desk
        .run(&["verify", folder, "--key", &key, "--json"])
        .expect(3, &[])
        .json();
    assert_eq!(report["verified"], 0);
    assert_eq!(report["could_not_check"], 1);
    assert_eq!(report["bundles"][0]["result"], "could_not_check");
}

#[test]
fn a_forged_bundle_is_bad_and_outweighs_what_could_not_be_checked() {
    let desk = Desk::new();
    let key = key(&desk);
    desk.file("drop/EB-20261120-0001.json", "{}", 0o644);
    desk.file("drop/EB-20261120-0001.json.bundle", "{}", 0o644);
    let forged = desk.path("drop");
    let absent = desk.path("absent");
    let paths = [absent.to_str().unwrap(), forged.to_str().unwrap()];
    let arguments = ["verify", paths[0], paths[1], "--key", &key, "--quiet"];
    desk.run(&arguments)
        .expect(2, &["BAD", "0 verified, 1 bad, 1 could not be checked"]);
}

#[test]
fn a_key_that_is_none_is_3_before_anything_is_looked_at() {
    let desk = Desk::new();
    let wrong = desk.file("wrong.pub", "not a key", 0o644);
    let said = desk
        .run(&["verify", "/nonexistent", "--key", wrong.to_str().unwrap()])
        .expect(3, &["wrong.pub"]);
    assert_eq!(said.out, "");
}

#[test]
fn it_needs_no_configuration() {
    let desk = Desk::new();
    let key = key(&desk);
    desk.run(&[
        "--config",
        "/nonexistent.toml",
        "verify",
        "/nonexistent",
        "--key",
        &key,
    ])
    .expect(3, &["0 verified"]);
}
