//! Three releases of stock cosign judge our bundles with networking off, and our own `verify`
//! is held to the same verdicts; keys go both ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::bundle::VerifiedBundle;
use evidence::keys::{PrivateKey, PublicKey};
use evidence::signature;
use tests::cosign::{Cosign, Verdict};
use tests::sealing::{SealedFiles, seal_fixtures};
use tests::tools::Tool;

const PASSWORD: &str = "only for this test";

/// A key and the public half that an auditor holds.
struct Keys {
    private: PrivateKey,
    public_file: PathBuf,
    private_file: PathBuf,
}

impl Keys {
    fn ours(folder: &Path, name: &str) -> Self {
        let (private, pem) = PrivateKey::generate(PASSWORD.as_bytes()).expect("a key is made");
        let private_file = folder.join(format!("{name}.key"));
        let public_file = folder.join(format!("{name}.pub"));
        fs::write(&private_file, pem.as_bytes()).expect("the key is written");
        fs::write(&public_file, private.public().to_pem()).expect("the key is written");
        Self {
            private,
            public_file,
            private_file,
        }
    }

    fn by_cosign(cosign: &Cosign, folder: &Path) -> Self {
        let name = format!("{:?}", cosign.tool);
        run(Command::new(cosign.program())
            .args(["generate-key-pair", "--output-key-prefix", &name])
            .current_dir(folder));
        let private_file = folder.join(format!("{name}.key"));
        let pem = fs::read_to_string(&private_file).expect("cosign wrote its key");
        let private = PrivateKey::from_encrypted_pem(&pem, PASSWORD.as_bytes())
            .expect("our code opens cosign's key");
        Self {
            private,
            public_file: folder.join(format!("{name}.pub")),
            private_file,
        }
    }

    /// The key as an auditor reads it, from the file.
    fn public(&self) -> PublicKey {
        let pem = fs::read_to_string(&self.public_file).expect("the public key is there");
        PublicKey::from_pem(&pem).expect("the public key is one")
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .env("COSIGN_PASSWORD", PASSWORD)
        .output()
        .expect("cosign starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn ours_verifies(key: &PublicKey, signature: &Path, bundle: &Path) -> bool {
    let bytes = fs::read(bundle).expect("the bundle is there");
    let signature = fs::read(signature).expect("the signature is there");
    VerifiedBundle::verify(&bytes, &signature, key).is_ok()
}

fn assert_all_verify(releases: &[Cosign], keys: &Keys, files: &[SealedFiles]) {
    for SealedFiles { bundle, signature } in files {
        assert!(ours_verifies(&keys.public(), signature, bundle));
        for cosign in releases {
            if let Some(verdict) = cosign.verify(&keys.public_file, signature, bundle) {
                let case = format!("{:?}: {}", cosign.tool, bundle.display());
                assert_eq!(verdict, Verdict::Verified, "{case}");
            }
        }
    }
}

/// Every release refuses, and so do we. cosign's reason is shown when one does not.
fn assert_all_refuse(
    releases: &[Cosign],
    case: &str,
    keys: &Keys,
    signature: &Path,
    bundle: &Path,
) {
    assert!(
        !ours_verifies(&keys.public(), signature, bundle),
        "ours: {case}"
    );
    for cosign in releases {
        if let Some(verdict) = cosign.verify(&keys.public_file, signature, bundle) {
            assert_ne!(verdict, Verdict::Verified, "{:?}: {case}", cosign.tool);
        }
    }
}

/// A copy of `path` in which `change` has been done to the bytes.
fn changed(path: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(path).expect("the file is there");
    change(&mut bytes);
    let copy = path.with_file_name(name);
    fs::write(&copy, bytes).expect("the copy is written");
    copy
}

/// A bundle in cosign's legacy format over `bundle`, with the forger's key in it.
fn legacy_forgery(forger: &Keys, bundle: &Path) -> PathBuf {
    let bytes = fs::read(bundle).expect("the bundle is there");
    let signature = forger.private.sign(&bytes).expect("the forger signs");
    let legacy = serde_json::json!({
        "base64Signature": STANDARD.encode(signature),
        "cert": STANDARD.encode(forger.private.public().to_pem()),
    });
    let path = bundle.with_extension("legacy.bundle");
    fs::write(&path, legacy.to_string()).expect("the forgery is written");
    path
}

#[test]
fn every_cosign_verifies_every_fixture_signed_with_our_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let releases = Cosign::all("every_cosign_verifies_every_fixture_signed_with_our_key");
    let keys = Keys::ours(folder.path(), "msp");
    let files = seal_fixtures(folder.path(), &keys.private);
    assert_all_verify(&releases, &keys, &files);
}

#[test]
fn every_cosign_verifies_every_fixture_signed_with_a_key_that_cosign_made() {
    let releases =
        Cosign::all("every_cosign_verifies_every_fixture_signed_with_a_key_that_cosign_made");
    for maker in &releases {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::by_cosign(maker, folder.path());
        let files = seal_fixtures(folder.path(), &keys.private);
        assert_all_verify(&releases, &keys, &files);
    }
}

#[test]
fn every_cosign_refuses_what_was_tampered_with_and_so_do_we() {
    let folder = tempfile::tempdir().expect("a folder");
    let releases = Cosign::all("every_cosign_refuses_what_was_tampered_with_and_so_do_we");
    let keys = Keys::ours(folder.path(), "msp");
    let other = Keys::ours(folder.path(), "other");
    let files = seal_fixtures(folder.path(), &keys.private);
    let (first, second) = (&files[0], &files[1]);
    // What is tampered with below is sound before.
    assert_all_verify(&releases, &keys, &files[..2]);

    let length = fs::read(&first.bundle).expect("the bundle is there").len();
    for at in [0, length / 3, length / 2, length - 1] {
        let flipped = changed(&first.bundle, "flipped.json", |bytes| bytes[at] ^= 1);
        let case = format!("a bit flipped at byte {at}");
        assert_all_refuse(&releases, &case, &keys, &first.signature, &flipped);
    }
    let longer = changed(&first.bundle, "longer.json", |bytes| bytes.push(b'\n'));
    assert_all_refuse(
        &releases,
        "a newline more",
        &keys,
        &first.signature,
        &longer,
    );
    assert_all_refuse(
        &releases,
        "another key",
        &other,
        &first.signature,
        &first.bundle,
    );
    assert_all_refuse(
        &releases,
        "a swapped signature",
        &keys,
        &second.signature,
        &first.bundle,
    );
    let forgery = legacy_forgery(&other, &first.bundle);
    assert_all_refuse(
        &releases,
        "a legacy forgery",
        &keys,
        &forgery,
        &first.bundle,
    );
}

#[test]
fn the_legacy_forgery_is_a_real_one_that_302_believes_without_a_trusted_root() {
    let name = "the_legacy_forgery_is_a_real_one_that_302_believes_without_a_trusted_root";
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::ours(folder.path(), "msp");
    let forger = Keys::ours(folder.path(), "forger");
    let files = seal_fixtures(folder.path(), &keys.private);
    let forgery = legacy_forgery(&forger, &files[0].bundle);
    for cosign in Cosign::all(name) {
        let Some(verdict) =
            cosign.verify_without_root(&keys.public_file, &forgery, &files[0].bundle)
        else {
            continue;
        };
        let believed = verdict == Verdict::Verified;
        assert_eq!(
            believed,
            cosign.tool == Tool::Cosign302,
            "{:?}: {verdict:?}",
            cosign.tool
        );
    }
}

#[test]
fn the_newest_cosign_needs_no_trusted_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::ours(folder.path(), "msp");
    let files = seal_fixtures(folder.path(), &keys.private);
    let SealedFiles { bundle, signature } = &files[0];
    for cosign in Cosign::all("the_newest_cosign_needs_no_trusted_root") {
        let Some(verdict) = cosign.verify_without_root(&keys.public_file, signature, bundle) else {
            continue;
        };
        let verified = verdict == Verdict::Verified;
        assert_eq!(
            verified,
            cosign.tool == Tool::CosignNewest,
            "{:?}: {verdict:?}",
            cosign.tool
        );
    }
}

#[test]
fn every_cosign_opens_our_key_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::ours(folder.path(), "msp");
    for cosign in Cosign::all("every_cosign_opens_our_key_file") {
        let printed = run(Command::new(cosign.program())
            .args(["public-key", "--key"])
            .arg(&keys.private_file));
        assert_eq!(
            String::from_utf8_lossy(&printed),
            keys.private.public().to_pem()
        );
    }
}

#[test]
fn we_verify_what_cosign_signs_with_our_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = Keys::ours(folder.path(), "msp");
    let blob = folder.path().join("blob");
    fs::write(&blob, "anything\n").expect("the blob is written");
    // Of the three only 2.6 signs v0.3 bundles without asking the public service how to.
    for cosign in Cosign::all("we_verify_what_cosign_signs_with_our_key")
        .iter()
        .filter(|cosign| cosign.tool == Tool::Cosign2)
    {
        let bundle = folder.path().join("blob.bundle");
        run(Command::new(cosign.program())
            .args([
                "sign-blob",
                "--yes",
                "--tlog-upload=false",
                "--new-bundle-format",
                "--key",
            ])
            .arg(&keys.private_file)
            .arg("--bundle")
            .arg(&bundle)
            .arg(&blob));
        let file = fs::read(&bundle).expect("cosign wrote its bundle");
        signature::verify(b"anything\n", &file, &keys.public()).expect("we accept it");
        signature::verify(b"anything else\n", &file, &keys.public()).expect_err("and nothing else");
    }
}
