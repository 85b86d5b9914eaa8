//! `evidence_bundle_hash` is recomputed over all fixtures by an RFC 8785 implementation that
//! is not ours.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use evidence::keys::PrivateKey;
use tests::sealing::{seal_fixtures, valid_drops};
use tests::tools::{Tool, find, workspace_root};

fn recompute(python: &Path, folder: &Path) -> Output {
    Command::new(python)
        .arg(workspace_root().join("tests/interop/rfc8785_hash.py"))
        .arg(folder)
        .output()
        .expect("python starts")
}

#[test]
fn an_independent_rfc_8785_finds_the_same_hash_of_every_fixture() {
    let name = "an_independent_rfc_8785_finds_the_same_hash_of_every_fixture";
    let Some(python) = find(Tool::Python, name) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (key, _) = PrivateKey::generate(b"").expect("a key is made");
    let files = seal_fixtures(folder.path(), &key);
    let output = recompute(&python, folder.path());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        said.lines().filter(|line| line.starts_with("OK ")).count(),
        valid_drops().len()
    );

    // The script is one that can fail: one digit of a sealed value, and only there.
    let text = fs::read_to_string(&files[0].bundle).expect("the bundle is there");
    let altered = text.replacen("\"sequence\": 1", "\"sequence\": 2", 1);
    assert_ne!(altered, text);
    fs::write(&files[0].bundle, altered).expect("the bundle is written");
    let output = recompute(&python, folder.path());
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said.lines().filter(|line| line.starts_with("BAD ")).count(),
        1,
        "{said}"
    );
}

#[test]
fn an_empty_folder_is_not_taken_for_agreement() {
    let Some(python) = find(Tool::Python, "an_empty_folder_is_not_taken_for_agreement") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(recompute(&python, folder.path()).status.code(), Some(1));
}
