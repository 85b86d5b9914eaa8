//! Folder drops: a document and files of any size.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use agent::{Agent, Pass};
use evidence::bundle::artifact_path;
use evidence::digest::Sha256;
use evidence::handover::Role;
use serde_json::{Value, json};

use crate::clinic::{Clinic, files_below, honest_receipt, incident};

/// A bound for failures only.
const LIMIT: Duration = Duration::from_secs(60);

/// An agent, and what it is woken by.
pub(crate) struct Awake {
    agent: Agent,
    staged: Receiver<()>,
}

impl Awake {
    pub(crate) fn new(clinic: &Clinic) -> Self {
        let agent = clinic.agent();
        let (send, staged) = channel();
        // The test may be over and not listen any more.
        agent.wake_by(Box::new(move || _ = send.send(())));
        Self { agent, staged }
    }

    /// Passes until one did something.
    pub(crate) fn pass(&mut self) -> Pass {
        loop {
            let pass = self.agent.pass().unwrap();
            if pass.did_something() {
                return pass;
            }
            self.staged.recv_timeout(LIMIT).expect("staging ends");
        }
    }
}

pub(crate) fn drop_folder(
    clinic: &Clinic,
    name: &str,
    document: &[u8],
    files: &[(&str, &[u8])],
) -> PathBuf {
    let temporary = clinic.state("drop").join(format!(".{name}.part"));
    fs::create_dir_all(temporary.join("artifacts")).unwrap();
    fs::write(temporary.join("incident.json"), document).unwrap();
    for (name, bytes) in files {
        fs::write(temporary.join("artifacts").join(name), bytes).unwrap();
    }
    let folder = clinic.state("drop").join(name);
    fs::rename(&temporary, &folder).unwrap();
    folder
}

/// Every artifact below the evidence folder, by its path there.
pub(crate) fn stored(clinic: &Clinic) -> Vec<(String, Vec<u8>)> {
    let evidence = clinic.state("evidence");
    files_below(&evidence)
        .into_iter()
        .filter(|path| {
            path.components()
                .any(|part| part.as_os_str() == "artifacts")
        })
        .map(|path| {
            let name = path.strip_prefix(&evidence).unwrap();
            (name.display().to_string(), fs::read(&path).unwrap())
        })
        .collect()
}

fn recorded(clinic: &Clinic) -> Vec<Value> {
    let bundles = clinic.bundles();
    let files = |b: &evidence::bundle::VerifiedBundle| b.document()["artifacts"]["files"].clone();
    bundles.iter().map(files).collect()
}

#[test]
fn a_folder_becomes_one_bundle_whose_files_lie_under_their_digests() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    drop_folder(
        &clinic,
        "INC-1",
        &incident("INC-1"),
        &[
            ("b.log", b"bytes of b"),
            ("a b.txt", b""),
            ("same", b"bytes of b"),
        ],
    );
    assert_eq!(awake.pass().sealed, 1);
    let of = |bytes: &[u8]| Sha256::of(bytes).to_string();
    assert_eq!(
        recorded(&clinic),
        [json!([
            {"name": "a b.txt", "size_bytes": 0, "sha256": of(b"")},
            {"name": "b.log", "size_bytes": 10, "sha256": of(b"bytes of b")},
            {"name": "same", "size_bytes": 10, "sha256": of(b"bytes of b")},
        ])]
    );
    let order = &clinic.orders()[0];
    let roles: Vec<Role> = order.objects.iter().map(|o| o.role).collect();
    let artifact = Role::Artifact;
    assert_eq!(
        roles,
        [artifact, artifact, artifact, Role::Signature, Role::Bundle]
    );
    let bundle = &order.objects[4].path;
    let mut expected = vec![
        (
            artifact_path(bundle, Sha256::of(b""), "a b.txt"),
            Vec::new(),
        ),
        (
            artifact_path(bundle, Sha256::of(b"bytes of b"), "b.log"),
            b"bytes of b".to_vec(),
        ),
        (
            artifact_path(bundle, Sha256::of(b"bytes of b"), "same"),
            b"bytes of b".to_vec(),
        ),
    ];
    expected.sort();
    assert_eq!(stored(&clinic), expected);
    assert!(clinic.names("drop").is_empty());
    for object in &order.objects {
        let meta = fs::metadata(clinic.state("evidence").join(&object.path)).unwrap();
        assert_eq!(meta.len(), object.size_bytes);
        assert_eq!(meta.mode() & 0o777, 0o640, "{}", object.path);
    }
}

#[test]
fn a_folder_without_artifacts_is_the_same_drop_as_its_document_alone() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    clinic.drop_incident("INC-1");
    assert_eq!(awake.pass().sealed, 1);
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[]);
    let pass = awake.pass();
    assert_eq!((pass.sealed, pass.duplicates), (0, 1));
}

#[test]
fn the_same_document_with_other_artifacts_is_sealed_and_related() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    let mut drop_with = |name, bytes: &[u8]| {
        drop_folder(&clinic, name, &incident("INC-1"), &[("a.log", bytes)]);
        awake.pass()
    };
    assert_eq!(drop_with("one", b"one").sealed, 1);
    let again = drop_with("again", b"one");
    assert_eq!((again.sealed, again.duplicates), (0, 1));
    assert_eq!(drop_with("other", b"two").sealed, 1);
    let bundles = clinic.bundles();
    assert_eq!(
        bundles[1].header().related_to[0].bundle_id,
        "EB-20261121-0001"
    );
    assert_eq!(
        bundles[1].document()["findings"][0]["code"],
        "incident_id_reused"
    );
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn what_is_no_plain_file_or_not_expected_is_quarantined_whole() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    let secret = clinic.dir.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    // Prepared under dot names, so that nothing is taken half made.
    let prepare = |name: &str, spoil: &dyn Fn(&std::path::Path)| {
        let folder = clinic.state("drop").join(format!(".{name}"));
        fs::create_dir_all(folder.join("artifacts")).unwrap();
        fs::write(folder.join("incident.json"), incident(name)).unwrap();
        fs::write(folder.join("artifacts/good.log"), b"good").unwrap();
        spoil(&folder);
        fs::rename(&folder, clinic.state("drop").join(name)).unwrap();
    };
    prepare("symlink", &|f| {
        symlink(&secret, f.join("artifacts/link")).unwrap()
    });
    prepare("folder", &|f| {
        fs::create_dir(f.join("artifacts/deeper")).unwrap()
    });
    prepare("fifo", &|f| {
        nix::unistd::mkfifo(&f.join("artifacts/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    prepare("linked", &|f| {
        fs::hard_link(&secret, f.join("artifacts/hard")).unwrap()
    });
    prepare("more", &|f| {
        fs::write(f.join("notes.txt"), b"more").unwrap()
    });
    prepare("file", &|f| {
        fs::remove_dir_all(f.join("artifacts")).unwrap();
        fs::write(f.join("artifacts"), b"no folder").unwrap();
    });
    prepare("linkdoc", &|f| {
        fs::remove_file(f.join("incident.json")).unwrap();
        symlink(&secret, f.join("incident.json")).unwrap();
    });
    let mut quarantined = 0;
    while quarantined < 7 {
        let pass = awake.pass();
        assert_eq!(pass.sealed, 0);
        quarantined += pass.quarantined;
    }
    assert_eq!(
        clinic.reasons(),
        [
            "artifact_not_a_file",
            "artifact_not_a_file",
            "artifact_not_a_file",
            "artifacts_not_a_folder",
            "hard_linked",
            "not_a_regular_file",
            "unexpected_entry",
        ]
    );
    let kept = files_below(&clinic.state("quarantine"));
    let good = kept.iter().filter(|p| p.ends_with("artifacts/good.log"));
    assert_eq!(good.count(), 6, "{kept:#?}");
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn limits_of_number_and_size_hold() {
    let mut clinic = Clinic::new();
    clinic.more_config = "[drop]\nmax_artifacts = 2\nmax_artifact_bytes = 1024".to_owned();
    let mut awake = Awake::new(&clinic);
    drop_folder(
        &clinic,
        "a",
        &incident("A"),
        &[("1", b"1"), ("2", b"2"), ("3", b"3")],
    );
    assert_eq!(awake.pass().quarantined, 1);
    drop_folder(&clinic, "b", &incident("B"), &[("big", &[b'x'; 1025])]);
    assert_eq!(awake.pass().quarantined, 1);
    drop_folder(
        &clinic,
        "c",
        &incident("C"),
        &[("1", &[b'x'; 1024]), ("2", b"2")],
    );
    assert_eq!(awake.pass().sealed, 1);
    assert_eq!(
        clinic.reasons(),
        ["artifact_too_large", "too_many_artifacts"]
    );
}

#[test]
fn odd_names_are_recorded_as_they_are_and_stored_under_safe_ones() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    let folder = clinic.state("drop").join(".odd");
    fs::create_dir_all(folder.join("artifacts")).unwrap();
    fs::write(folder.join("incident.json"), incident("INC-1")).unwrap();
    let names: [&[u8]; 5] = [
        "line\nbreak\u{202e}.log".as_bytes(),
        b"bad\xff.log",
        b".hidden",
        b"EB-20261121-0001.json",
        &[b'n'; 255],
    ];
    for name in names {
        let path = folder
            .join("artifacts")
            .join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, name).unwrap();
    }
    fs::rename(&folder, clinic.state("drop").join("odd")).unwrap();
    assert_eq!(awake.pass().sealed, 1, "{:?}", clinic.reasons());
    let order = &clinic.orders()[0];
    let safe: Vec<&str> = order.objects[..5]
        .iter()
        .map(|o| o.path.rsplit('/').next().unwrap())
        .collect();
    for name in [
        "line_break_.log",
        "bad_xff.log",
        "_hidden",
        "EB-20261121-0001.json",
    ] {
        assert!(safe.contains(&name), "{name}: {safe:?}");
    }
    let document: Value = {
        let main = &order.objects[6].path;
        serde_json::from_slice(&fs::read(clinic.state("evidence").join(main)).unwrap()).unwrap()
    };
    let recorded = document["artifacts"]["files"].to_string();
    assert!(recorded.contains("line\\nbreak\u{202e}.log"), "{recorded}");
    assert!(recorded.contains("bad\\\\xff.log"), "{recorded}");
}

#[test]
fn a_large_artifact_does_not_hold_up_an_incident_that_comes_after_it() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    let big = drop_folder(&clinic, "big", &incident("BIG"), &[("zeros", b"")]);
    // Sparse: made at once, and yet half a gigabyte to copy.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(big.join("artifacts/zeros"))
        .unwrap();
    file.set_len(512 << 20).unwrap();
    drop(file);
    assert_eq!(awake.agent.pass().unwrap().sealed, 0, "it is being staged");
    clinic.drop_incident("SMALL");
    assert_eq!(awake.agent.pass().unwrap().sealed, 1);
    assert_eq!(clinic.incident_ids(), ["SMALL"]);
    assert_eq!(awake.pass().sealed, 1);
    assert_eq!(clinic.orders()[1].objects[0].size_bytes, 512 << 20);
}

#[test]
fn a_stop_at_any_point_before_the_commit_seals_the_drop_once_later() {
    let clinic = Clinic::new();
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    // Taken, perhaps staged, and gone.
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.agent.pass().unwrap().sealed, 0);
    drop(awake);
    // Staged for certain, and gone.
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.agent.pass().unwrap().sealed, 0);
    awake.staged.recv_timeout(LIMIT).unwrap();
    drop(awake);
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.pass().sealed, 1);
    assert_eq!(stored(&clinic).len(), 1);
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn after_a_stop_between_commit_and_link_the_files_get_their_names_at_the_next_start() {
    let clinic = Clinic::new();
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.pass().sealed, 1);
    let before = stored(&clinic);
    drop(awake);
    // As if the machine had lost what was not synced: the names, not the staged bytes.
    let path = clinic.state("evidence").join(&before[0].0);
    fs::remove_dir_all(path.parent().unwrap().parent().unwrap()).unwrap();
    assert!(stored(&clinic).is_empty());
    drop(clinic.agent());
    assert_eq!(stored(&clinic), before);
    assert!(
        fs::read_dir(clinic.state("evidence").join(".staged"))
            .unwrap()
            .next()
            .is_none(),
        "what has its real name is staged no more"
    );
}

#[test]
fn a_drop_that_outlived_its_seal_is_removed_and_not_sealed_again() {
    let clinic = Clinic::new();
    let folder = drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    let copy = clinic.dir.path().join("copy");
    fs::create_dir_all(copy.join("artifacts")).unwrap();
    fs::copy(folder.join("incident.json"), copy.join("incident.json")).unwrap();
    fs::copy(folder.join("artifacts/a.log"), copy.join("artifacts/a.log")).unwrap();
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.agent.pass().unwrap().sealed, 0);
    let taken = clinic.names("drop").remove(0);
    assert!(taken.starts_with(".taken-"), "{taken}");
    assert_eq!(awake.pass().sealed, 1);
    drop(awake);
    fs::rename(&copy, clinic.state("drop").join(&taken)).unwrap();
    let mut awake = Awake::new(&clinic);
    while !clinic.names("drop").is_empty() {
        let pass = awake.agent.pass().unwrap();
        assert_eq!((pass.sealed, pass.duplicates, pass.quarantined), (0, 0, 0));
        if !clinic.names("drop").is_empty() {
            awake.staged.recv_timeout(LIMIT).expect("staging ends");
        }
    }
    assert_eq!(clinic.bundles().len(), 1);
}

#[test]
fn what_comes_into_a_folder_after_it_was_read_is_kept() {
    let clinic = Clinic::new();
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.agent.pass().unwrap().sealed, 0);
    awake.staged.recv_timeout(LIMIT).unwrap();
    let taken = clinic.state("drop").join(clinic.names("drop").remove(0));
    fs::write(taken.join("artifacts/late.log"), b"late").unwrap();
    assert_eq!(awake.agent.pass().unwrap().sealed, 1);
    assert_eq!(awake.agent.pass().unwrap().quarantined, 1);
    assert_eq!(clinic.reasons(), ["changed_after_seal"]);
    let kept = files_below(&clinic.state("quarantine"));
    assert!(
        kept.iter().any(|p| p.ends_with("artifacts/late.log")),
        "{kept:#?}"
    );
    assert_eq!(recorded(&clinic)[0].as_array().unwrap().len(), 1);
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn half_a_removal_is_finished_at_the_next_start() {
    let clinic = Clinic::new();
    drop(clinic.agent());
    let folder = clinic.state("drop").join(".sealed-0123456789abcdef");
    fs::create_dir_all(folder.join("artifacts")).unwrap();
    fs::write(folder.join("incident.json"), b"sealed").unwrap();
    drop(clinic.agent());
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn a_folder_goes_whole_to_the_archive_when_that_is_asked_for() {
    let mut clinic = Clinic::new();
    let archive = clinic.dir.path().join("archive");
    fs::create_dir(&archive).unwrap();
    clinic.more_config = format!(
        "[drop]\non_sealed = \"archive\"\narchive_dir = \"{}\"",
        archive.display()
    );
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    assert_eq!(Awake::new(&clinic).pass().sealed, 1);
    let kept = files_below(&archive);
    assert_eq!(kept.len(), 2, "{kept:#?}");
    assert!(clinic.names("drop").is_empty());
}

#[test]
fn receipts_for_every_object_complete_the_order_and_the_locations() {
    let clinic = Clinic::new();
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    let mut awake = Awake::new(&clinic);
    assert_eq!(awake.pass().sealed, 1);
    let order = clinic.orders().remove(0);
    let mut receipt = honest_receipt(&order);
    let artifact = receipt.confirmations.remove(0);
    clinic.receipt("one.receipt.json", &receipt.to_bytes());
    assert_eq!(awake.pass().confirmed_objects, 2);
    assert_eq!(clinic.orders().len(), 1, "the artifact is still to come");
    receipt.confirmations = vec![artifact];
    clinic.receipt("two.receipt.json", &receipt.to_bytes());
    assert_eq!(awake.pass().confirmed_objects, 1);
    assert!(clinic.orders().is_empty());
    let path = order.objects[2].path.replace(".json", ".locations.json");
    let locations: Value =
        serde_json::from_slice(&fs::read(clinic.state("evidence").join(path)).unwrap()).unwrap();
    let location = &locations["storage_locations"][0];
    assert_eq!(location["state"], "confirmed");
    assert_eq!(location["objects"].as_array().unwrap().len(), 3);
}

#[test]
fn what_could_not_be_published_after_the_commit_is_published_as_soon_as_it_can_be() {
    let clinic = Clinic::new();
    let mut awake = Awake::new(&clinic);
    drop_folder(&clinic, "INC-1", &incident("INC-1"), &[("a.log", b"bytes")]);
    assert_eq!(awake.agent.pass().unwrap().sealed, 0);
    awake.staged.recv_timeout(LIMIT).unwrap();
    // A file where the client's folder should be: nothing can be published below it.
    let client = clinic.state("evidence").join("clinic-a");
    fs::write(&client, b"in the way").unwrap();
    assert!(awake.agent.pass().is_err(), "sealed, and not published");
    // A quiet moment, in which published files are made durable and staged ones removed.
    awake.agent.sync().unwrap();
    fs::remove_file(&client).unwrap();
    awake.agent.pass().unwrap();
    assert_eq!(clinic.bundles().len(), 1);
    assert_eq!(stored(&clinic).len(), 1);
    assert_eq!(clinic.orders().len(), 1);
    // The drop outlived all that; it is the same one.
    while !clinic.names("drop").is_empty() {
        assert_eq!(awake.agent.pass().unwrap().sealed, 0);
    }
    assert_eq!(clinic.bundles().len(), 1);
}
