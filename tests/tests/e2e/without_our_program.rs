//! The commands of docs/auditors.md for auditors who have only stock tools, run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use evidence::bundle::Kind;
use tests::clinic::{BUCKET, Clinic, Place, Role};
use tests::tools::{self, Tool, workspace_root};

use crate::incident::document;

/// The first shell block below the heading.
fn commands() -> String {
    let guide = fs::read_to_string(workspace_root().join("docs/auditors.md")).unwrap();
    let (_, below) = guide.split_once("## Without our program").unwrap();
    let (_, block) = below.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.to_owned()
}

/// What the commands print, the bucket's name and place and the key's name put in.
fn run(clinic: &Clinic, aws: &Path, cosign: &Path, folder: &Path) -> String {
    let place = Place::sandbox("main", &clinic.sandbox);
    let script = commands()
        .replace(
            "B=clinic-evidence; P=clinic-a/srv-1/",
            &format!("B={BUCKET}; P={}clinic-a/host-1/", place.prefix),
        )
        .replace("srv-1.pub", "host-1.pub");
    assert!(
        script.contains(BUCKET) && script.contains("host-1.pub"),
        "the guide has changed"
    );
    fs::copy(clinic.public_key_file(), folder.join("host-1.pub")).unwrap();
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    for (name, program) in [("aws", aws), ("cosign", cosign)] {
        let wrapper = bin.join(name);
        fs::write(
            &wrapper,
            format!("#!/bin/sh\nexec {} \"$@\"\n", program.display()),
        )
        .unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(
        folder.join("aws-config"),
        "[default]\ns3 =\n  addressing_style = path\n",
    )
    .unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let done = Command::new("sh")
        .args(["-uc", &script])
        .current_dir(folder)
        .env("PATH", path)
        .env("AWS_ENDPOINT_URL", &place.endpoint)
        .env("AWS_ACCESS_KEY_ID", &place.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &place.secret_key)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", folder.join("aws-config"))
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    said
}

#[test]
fn stock_tools_alone_find_nothing_wrong_in_a_good_bucket_and_what_is_wrong_in_another() {
    let test = "stock_tools_alone_find_nothing_wrong_in_a_good_bucket_and_what_is_wrong_in_another";
    let (Some(aws), Some(cosign)) = (
        tools::find(Tool::Aws, test),
        tools::find(Tool::CosignNewest, test),
    ) else {
        return;
    };
    let mut clinic = Clinic::new();
    clinic.drop_document("1.json", &document("INC-1"));
    clinic.drop_folder("2", &document("INC-2"), &[("run.log", b"artifact bytes")]);
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until("everything to be confirmed", |clinic| {
        clinic.incidents().len() == 2 && clinic.is_confirmed()
    });
    clinic.wind_down();

    let folder = tempfile::tempdir().unwrap();
    let said = run(&clinic, &aws, &cosign, folder.path());
    for bad in ["BAD", "BROKEN", "NOT a"] {
        assert!(!said.contains(bad), "{said}");
    }
    assert!(said.contains("versions: 7"), "{said}");
    let locks: Vec<_> = said
        .lines()
        .filter(|line| line.contains("COMPLIANCE"))
        .collect();
    assert_eq!(
        locks.len(),
        7,
        "three bundles, their signatures and an artifact: {said}"
    );
    // Step 5: each line of custody is a file of the kit.
    let custody = clinic
        .bundles()
        .into_iter()
        .find(|(_, b)| b.header().kind == Kind::Custody)
        .unwrap()
        .1;
    let sealed = custody.document()["custody"]["sealed"].as_array().unwrap();
    assert_eq!(sealed.len(), 2);
    for entry in sealed {
        let line = format!(
            "{}\t{}",
            entry["sha256"].as_str().unwrap(),
            entry["bundle_id"].as_str().unwrap()
        );
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }

    // Somebody lays a version over a bundle, and a delete marker over another.
    let place = Place::sandbox("main", &clinic.sandbox);
    let client = place.client();
    let keys: Vec<String> = clinic
        .incidents()
        .iter()
        .map(|(_, b)| format!("{}{}", place.prefix, b.path()))
        .collect();
    clinic.runtime().block_on(async {
        let body = b"something else".to_vec().into();
        client
            .put_object()
            .bucket(BUCKET)
            .key(&keys[0])
            .body(body)
            .send()
            .await
            .unwrap();
        client
            .delete_object()
            .bucket(BUCKET)
            .key(&keys[1])
            .send()
            .await
            .unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let said = run(&clinic, &aws, &cosign, folder.path());
    for key in &keys {
        assert!(
            said.lines().any(|line| line == key),
            "step 1 names {key}: {said}"
        );
    }
    assert!(said.contains("BAD: kit/"), "{said}");
    assert!(said.contains("BROKEN at "), "{said}");
}
