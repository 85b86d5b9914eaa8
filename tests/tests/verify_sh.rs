//! `verify.sh`, with stock cosign, over every hostile kit that a folder can show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::kit::{self, Header, Kit, Played, Shelf};
use tests::tools::{self, workspace_root};

fn script() -> PathBuf {
    workspace_root().join("audit/src/pull/verify.sh")
}

/// What the auditor of this kit types.
fn arguments(header: &Header, played: &mut Played, keys: &Path) -> Vec<String> {
    let mut key_file = |name: &str| {
        let file = keys.join(format!("{}.pub", name.replace('/', "-")));
        fs::write(&file, played.public_pem(name)).unwrap();
        file.display().to_string()
    };
    if header.auditor.wrong_fingerprint {
        return vec![format!("sha256:{}", "0".repeat(64))];
    }
    if header.auditor.keyring.is_empty() {
        return vec![key_file("clinic-a/srv-1")];
    }
    let mut arguments = Vec::new();
    for entry in &header.auditor.keyring {
        if let Some(host) = &entry.host {
            arguments.extend(["--host".to_owned(), host.clone()]);
        }
        arguments.push(key_file(&entry.key));
    }
    arguments
}

async fn judged(kit: &Kit, cosign: &Path) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let (folder, keys) = (dir.path().join("folder"), dir.path().join("keys"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&keys).unwrap();
    let shelf = Shelf::Folder(folder.clone());
    let mut played = kit::play(&kit.header, &shelf, "s3://evidence/").await;
    let arguments = arguments(&kit.header, &mut played, &keys);
    Command::new("sh")
        .arg(script())
        .arg("--folder")
        .arg(&folder)
        .args(arguments)
        .env("COSIGN", cosign)
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_script_lets_clean_kits_pass_and_no_other() {
    let test = "the_script_lets_clean_kits_pass_and_no_other";
    let Some(cosign) = tools::for_script(test) else {
        return;
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for kit in kit::all() {
        let Some(expected) = &kit.header.script else {
            continue;
        };
        count += 1;
        let output = judged(&kit, &cosign).await;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap_or(-1);
        println!("{}: {code}\n{said}{errors}", kit.name);
        if expected.passes != (code == 0) || ![0, 1, 2, 3].contains(&code) {
            wrong.push(format!("{}: {code}\n{said}{errors}", kit.name));
        }
    }
    assert!(count > 40, "only {count} kits");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
