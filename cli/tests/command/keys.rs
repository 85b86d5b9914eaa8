//! Keys: where the password comes from, what is written, and that nothing is ever overwritten.

use std::fs;

use evidence::keys::{PrivateKey, PublicKey};

use crate::desk::{Desk, mode_of};

fn opens(desk: &Desk, key: &str, password: &str) -> bool {
    let text = fs::read_to_string(desk.path(key)).unwrap();
    PrivateKey::from_encrypted_pem(&text, password.as_bytes()).is_ok()
}

#[test]
fn four_files_are_made_with_exact_modes_whatever_the_umask() {
    let desk = Desk::new();
    let password = desk.file("password", "a password\n", 0o400);
    let arguments = [
        "keys",
        "generate",
        "--password-file",
        password.to_str().unwrap(),
    ];
    let said = desk
        .run(&arguments)
        .expect(0, &["key id       sha256:", "evidence.pub"]);
    assert_eq!(
        desk.names("keys"),
        [
            "digest.key",
            "evidence.key",
            "evidence.pub",
            "screening.key"
        ]
    );
    for (name, mode) in [
        ("evidence.key", 0o400),
        ("evidence.pub", 0o644),
        ("digest.key", 0o400),
        ("screening.key", 0o400),
    ] {
        assert_eq!(mode_of(&desk.path("keys").join(name)), mode, "{name}");
    }
    assert!(
        opens(&desk, "keys/evidence.key", "a password"),
        "the newline is not part of it"
    );
    let public = fs::read_to_string(desk.path("keys/evidence.pub")).unwrap();
    assert!(
        said.out
            .contains(&PublicKey::from_pem(&public).unwrap().key_id())
    );
    let digest = fs::read_to_string(desk.path("keys/digest.key")).unwrap();
    assert_eq!(hex::decode(digest.trim_end()).unwrap().len(), 32);
    assert!(!said.out.contains(digest.trim_end()) && !said.out.contains("a password"));
}

#[test]
fn the_screening_key_is_made_where_it_is_missing_and_replaced_only_on_request() {
    let desk = Desk::new();
    let read = || fs::read_to_string(desk.path("keys/screening.key")).unwrap();
    fs::create_dir_all(desk.path("keys")).unwrap();
    desk.run(&["keys", "screening"]).expect(0, &["0400"]);
    assert_eq!(mode_of(&desk.path("keys/screening.key")), 0o400);
    let first = read();
    desk.run(&["keys", "screening"]).expect(3, &["--replace"]);
    assert_eq!(read(), first);
    let said = desk
        .run(&["keys", "screening", "--replace"])
        .expect(0, &["backups"]);
    assert_ne!(read(), first);
    assert!(!said.out.contains(first.trim()));
    assert_eq!(hex::decode(read().trim_end()).unwrap().len(), 32);
}

#[test]
fn no_file_that_exists_is_overwritten_and_no_half_pair_is_made() {
    for taken in ["evidence.key", "evidence.pub"] {
        let desk = Desk::new();
        desk.file(&format!("keys/{taken}"), "precious", 0o600);
        desk.run_with(&["keys", "generate"], &[("COSIGN_PASSWORD", "p")], b"")
            .expect(3, &[taken, "never overwritten"]);
        assert_eq!(desk.names("keys"), [taken]);
        assert_eq!(
            fs::read(desk.path("keys").join(taken)).unwrap(),
            b"precious"
        );
    }
    let desk = Desk::new();
    let kept = "00".repeat(32);
    desk.file("keys/digest.key", &kept, 0o400);
    desk.run_with(&["keys", "generate"], &[("COSIGN_PASSWORD", "p")], b"")
        .expect(0, &[]);
    assert_eq!(
        fs::read_to_string(desk.path("keys/digest.key")).unwrap(),
        kept
    );
}

#[test]
fn the_password_comes_from_the_credential_then_the_file_then_cosigns_variable() {
    let desk = Desk::new();
    fs::create_dir(desk.path("credentials")).unwrap();
    desk.file(
        "credentials/signing-key-password",
        "from-credential\n",
        0o400,
    );
    let credentials = desk.path("credentials");
    let credentials = ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    let variable = ("COSIGN_PASSWORD", "from-variable");
    let file = desk.file("password", "from-file\n", 0o400);
    let file = ["--password-file", file.to_str().unwrap()];
    for (name, more, env, password) in [
        (
            "a",
            &file[..],
            &[credentials, variable][..],
            "from-credential",
        ),
        ("b", &file[..], &[variable][..], "from-file"),
        ("c", &[][..], &[variable][..], "from-variable"),
    ] {
        let key = desk.path(&format!("keys/{name}.key"));
        let arguments = [&["keys", "generate", "--key", key.to_str().unwrap()], more].concat();
        desk.run_with(&arguments, env, b"").expect(0, &[]);
        assert!(
            opens(&desk, &format!("keys/{name}.key"), password),
            "{name}"
        );
    }
}

#[test]
fn a_password_that_others_can_read_is_refused_and_nothing_is_made() {
    let desk = Desk::new();
    let password = desk.file("password", "hunter2", 0o440);
    let said = desk
        .run(&[
            "keys",
            "generate",
            "--password-file",
            password.to_str().unwrap(),
        ])
        .expect(3, &["mode 0440", "chmod 0400"]);
    assert!(!said.err.contains("hunter2"));
    assert_eq!(desk.names("keys"), Vec::<String>::new());
}

#[test]
fn without_a_password_and_without_a_terminal_all_the_ways_are_named() {
    let desk = Desk::new();
    desk.run(&["keys", "generate"]).expect(
        3,
        &[
            "signing-key-password",
            "signing.password_file",
            "COSIGN_PASSWORD",
            "terminal",
        ],
    );
    assert_eq!(desk.names("keys"), Vec::<String>::new());
}

#[test]
fn show_tells_the_same_key_from_either_half() {
    let desk = Desk::new();
    let env = [("COSIGN_PASSWORD", "p")];
    desk.run_with(&["keys", "generate"], &env, b"")
        .expect(0, &[]);
    let (key, public) = (
        desk.path("keys/evidence.key"),
        desk.path("keys/evidence.pub"),
    );
    let configured = desk.run(&["keys", "show", "--json"]).expect(0, &[]).json();
    let arguments = ["keys", "show", "--json", "--key", key.to_str().unwrap()];
    let from_private = desk.run_with(&arguments, &env, b"").expect(0, &[]).json();
    assert_eq!(configured["key_id"], from_private["key_id"]);
    assert_eq!(
        configured["public_key_pem"],
        fs::read_to_string(public).unwrap()
    );
    desk.run_with(&arguments, &[("COSIGN_PASSWORD", "wrong")], b"")
        .expect(3, &["evidence.key", "password is wrong"]);
    desk.run(&["keys", "show", "--pub", key.to_str().unwrap()])
        .expect(3, &["evidence.key"]);
}
