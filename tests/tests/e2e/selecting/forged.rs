//! Pulled folders, forged by somebody who also makes the manifest anew: `verify.sh` must not pass them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::digest::Sha256;
use evidence::keys::PrivateKey;
use evidence::signature;
use serde_json::{Value, json};
use tests::tools;

use super::ground::{Ground, contents};

/// Nine incidents in three custody bundles; the second of each three has an artifact.
fn steps() -> String {
    let mut steps = String::from("title = \"a clinic\"\nsteps = [\n");
    for hour in 0..3 {
        for n in 0..3 {
            let artifacts = if n == 1 {
                ", artifacts = { \"a.log\" = \"what happened\" }"
            } else {
                ""
            };
            steps.push_str(&format!(
                "  {{ do = \"incident\", name = \"INC-{hour}-{n}\"{artifacts} }},\n"
            ));
        }
        steps.push_str("  { do = \"custody\" },\n");
    }
    steps.push_str("]\n[expect]\nexit = 0\n");
    steps
}

/// A pulled folder in the hands of a forger.
struct Kit(PathBuf);

impl Kit {
    /// The bundle at this place of the chain, counted from 1.
    fn bundle(&self, sequence: u64) -> PathBuf {
        contents(&self.0)
            .into_iter()
            .filter(|(path, _)| {
                path.starts_with("evidence") && path.extension().is_some_and(|e| e == "json")
            })
            .find(|(_, bytes)| {
                let document: Value = serde_json::from_slice(bytes).unwrap();
                document["chain"]["sequence"] == sequence
            })
            .map(|(path, _)| self.0.join(path))
            .unwrap_or_else(|| panic!("no bundle {sequence}"))
    }

    fn signature(&self, sequence: u64) -> PathBuf {
        let bundle = self.bundle(sequence);
        bundle.with_extension("json.bundle")
    }

    fn artifact(&self, sequence: u64) -> PathBuf {
        let folder = self.bundle(sequence).with_extension("").join("artifacts");
        let mut next = folder;
        while next.is_dir() {
            next = fs::read_dir(next).unwrap().next().unwrap().unwrap().path();
        }
        next
    }

    fn remove(&self, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            let (bundle, signature) = (self.bundle(sequence), self.signature(sequence));
            fs::remove_file(signature).unwrap();
            fs::remove_file(&bundle).unwrap();
            let _ = fs::remove_dir_all(bundle.with_extension(""));
        }
    }

    fn edit(&self, sequence: u64, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let path = self.bundle(sequence);
        let bytes = fs::read(&path).unwrap();
        let changed = change(bytes.clone());
        assert_ne!(changed, bytes);
        fs::write(path, changed).unwrap();
    }

    fn sign(&self, sequence: u64, key: &PrivateKey) {
        let bytes = fs::read(self.bundle(sequence)).unwrap();
        let signed = signature::sign(&bytes, Sha256::of(&bytes), key).unwrap();
        fs::write(self.signature(sequence), signed).unwrap();
    }

    fn manifest(&self, change: impl FnOnce(&mut Value)) {
        let path = self.0.join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    }

    /// Lists the files as they are now, as a forger would.
    fn list_again(&self) {
        let sums: String = contents(&self.0)
            .into_iter()
            .filter(|(path, _)| path != Path::new("manifest.sha256"))
            .map(|(path, bytes)| format!("{}  {}\n", Sha256::of(&bytes), path.display()))
            .collect();
        fs::write(self.0.join("manifest.sha256"), sums).unwrap();
    }
}

fn high_to_low(bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(bytes).unwrap();
    text.replacen("\"severity\": \"high\"", "\"severity\": \"low\"", 1)
        .into_bytes()
}

fn key() -> PrivateKey {
    PrivateKey::generate(b"a forger's").unwrap().0
}

struct Forgery {
    name: &'static str,
    forge: fn(&Kit),
    /// What must be said of it.
    says: &'static str,
    /// The forger lists the files again.
    lists_again: bool,
}

const fn forgery(name: &'static str, says: &'static str, forge: fn(&Kit)) -> Forgery {
    Forgery {
        name,
        forge,
        says,
        lists_again: true,
    }
}

/// Places: incidents 1-3, custody 4, incidents 5-7, custody 8, incidents 9-11, custody 12.
const FORGERIES: &[Forgery] = &[
    forgery("edited", "does not verify it", |kit| {
        kit.edit(5, high_to_low)
    }),
    forgery("truncated", "does not verify it", |kit| {
        kit.edit(5, |bytes| bytes[..bytes.len() / 2].to_vec());
    }),
    forgery("emptied", "does not verify it", |kit| {
        kit.edit(5, |_| Vec::new())
    }),
    forgery("unsigned", "unsigned", |kit| {
        fs::remove_file(kit.signature(5)).unwrap()
    }),
    forgery(
        "signed by another key, which lies beside it",
        "a key that you did not give",
        |kit| {
            let key = key();
            for sequence in 1..=12 {
                kit.edit(sequence, |bytes| {
                    let mut document: Value = serde_json::from_slice(&bytes).unwrap();
                    document["signatures"][0]["key_id"] = key.public().key_id().into();
                    serde_json::to_vec(&document).unwrap()
                });
                kit.sign(sequence, &key);
            }
            for copy in fs::read_dir(kit.0.join("keys")).unwrap() {
                fs::write(copy.unwrap().path(), key.public().to_pem()).unwrap();
            }
        },
    ),
    forgery(
        "in the legacy format, which brings its key",
        "not a Sigstore bundle 0.3",
        |kit| {
            let key = key();
            kit.edit(5, high_to_low);
            let bytes = fs::read(kit.bundle(5)).unwrap();
            let legacy = json!({
                "base64Signature": STANDARD.encode(key.sign(&bytes).unwrap()),
                "cert": STANDARD.encode(key.public().to_pem()),
            });
            fs::write(kit.signature(5), legacy.to_string()).unwrap();
        },
    ),
    forgery(
        "a field too many in the signature",
        "not a Sigstore bundle 0.3",
        |kit| {
            let path = kit.signature(5);
            let mut wire: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            wire["base64Signature"] = "".into();
            fs::write(path, wire.to_string()).unwrap();
        },
    ),
    forgery(
        "a name twice in the signature",
        "not a Sigstore bundle 0.3",
        |kit| {
            let path = kit.signature(5);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replacen('{', "{\"mediaType\":\"x\",", 1)).unwrap();
        },
    ),
    forgery(
        "one that was asked for is left out",
        "answers the question, and is not here",
        |kit| {
            kit.remove([6]);
        },
    ),
    forgery(
        "the custody in the middle is left out, with all that it lists",
        "does not follow",
        |kit| {
            kit.remove([5, 6, 7, 8]);
        },
    ),
    forgery(
        "the first custody is left out, with all that it lists",
        "the ones before it are missing",
        |kit| {
            kit.remove([1, 2, 3, 4]);
        },
    ),
    forgery(
        "all custody is left out",
        "no custody bundle is here",
        |kit| kit.remove([4, 8, 12]),
    ),
    forgery("an artifact is edited", "are not those that", |kit| {
        fs::write(kit.artifact(2), b"nothing happened").unwrap();
    }),
    forgery(
        "an artifact is left out",
        "names it, and it is not here",
        |kit| {
            fs::remove_file(kit.artifact(2)).unwrap();
        },
    ),
    forgery("an artifact more", "no bundle here names it", |kit| {
        let beside = kit.artifact(2).with_file_name("more.log");
        fs::write(beside, b"what happened").unwrap();
    }),
    forgery(
        "a bundle under another's name",
        "its own header says",
        |kit| {
            for path in [PathBuf::from, |p: PathBuf| p.with_extension("json.bundle")]
                .map(|f| f(kit.bundle(5)))
            {
                let name = path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .replace("-00", "-10");
                fs::rename(&path, path.with_file_name(name)).unwrap();
            }
        },
    ),
    forgery("a file more", "belongs to no pulled folder", |kit| {
        fs::write(kit.0.join("README"), b"trust me").unwrap();
    }),
    forgery(
        "a file more among the evidence",
        "belongs to no bundle",
        |kit| {
            fs::write(kit.0.join("evidence/clinic-a/note.json"), b"{}").unwrap();
        },
    ),
    forgery(
        "a link instead of a bundle",
        "neither a file nor a folder",
        |kit| {
            let (one, other) = (kit.bundle(5), kit.bundle(6));
            fs::remove_file(&one).unwrap();
            std::os::unix::fs::symlink(other, one).unwrap();
        },
    ),
    forgery("no manifest at all", "manifest.json is missing", |kit| {
        fs::remove_file(kit.0.join("manifest.json")).unwrap();
    }),
    forgery(
        "a manifest that asks for nothing",
        "does not say what was asked",
        |kit| {
            kit.manifest(|manifest| manifest["query"] = Value::Null);
        },
    ),
    Forgery {
        lists_again: false,
        ..forgery(
            "what the store said is edited",
            "not as manifest.sha256 lists it",
            |kit| {
                let path = kit.0.join("store.json");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replacen("null", "\"COMPLIANCE\"", 1)).unwrap();
            },
        )
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_folder_does_not_pass_even_when_its_manifest_is_made_anew() {
    let test = "a_forged_folder_does_not_pass_even_when_its_manifest_is_made_anew";
    let Some(cosign) = tools::for_script(test) else {
        return;
    };
    let ground = Ground::folder(&steps()).await;
    let clean = ground.pull("clean", &[]);
    assert_eq!(ground.verify(&clean, 1, &cosign).0, 0);
    let mut wrong = Vec::new();
    for forgery in FORGERIES {
        let kit = Kit(ground.dir.path().join("forged"));
        let _ = fs::remove_dir_all(&kit.0);
        let copied = Command::new("cp")
            .arg("-r")
            .args([&clean, &kit.0])
            .status()
            .unwrap();
        assert!(copied.success());
        (forgery.forge)(&kit);
        if forgery.lists_again {
            kit.list_again();
        }
        let (code, said) = ground.verify(&kit.0, 1, &cosign);
        if ![2, 3].contains(&code) || !said.contains(forgery.says) {
            wrong.push(format!(
                "{}: {code}, {:?}?\n{said}",
                forgery.name, forgery.says
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_trusts_only_the_key_that_the_auditor_brings() {
    let test = "the_script_trusts_only_the_key_that_the_auditor_brings";
    let Some(cosign) = tools::for_script(test) else {
        return;
    };
    let ground = Ground::folder(&steps()).await;
    let kit = ground.pull("kit", &["--host", "srv-1", "--client", "clinic-a"]);
    let verify = |arguments: &[&str]| {
        let output = Command::new(kit.join("verify.sh"))
            .args(arguments)
            .env("COSIGN", &cosign)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let copy = fs::read_dir(kit.join("keys"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let name = copy.file_stem().unwrap().to_str().unwrap();
    let mine = ground.keys[0].to_str().unwrap();
    assert_eq!(verify(&[mine]).0, 0);
    assert_eq!(verify(&[&format!("sha256:{name}")]).0, 0);
    assert_eq!(verify(&["--host", "clinic-a/srv-1", mine]).0, 0);
    let (code, said) = verify(&["--host", "clinic-a/srv-2", mine]);
    assert!(
        code == 2 && said.contains("is the key of clinic-a/srv-2"),
        "{said}"
    );
    for (arguments, why) in [
        (vec![], "give the public key"),
        (
            vec![copy.to_str().unwrap()],
            "lies in the folder that is checked",
        ),
        (
            vec![&*format!("sha256:{}", "0".repeat(64))],
            "no key with the fingerprint",
        ),
        (vec!["sha256:xyz"], "is no fingerprint"),
        (vec!["/dev/null"], "no key file"),
        (vec!["--trust-everything", mine], "unknown option"),
    ] {
        let (code, said) = verify(&arguments);
        assert!(
            code == 1 && said.contains(why),
            "{arguments:?}: {code} {said}"
        );
    }
    let linked = ground.dir.path().join("my.pub");
    std::os::unix::fs::symlink(&copy, &linked).unwrap();
    let (code, said) = verify(&[linked.to_str().unwrap()]);
    assert!(code == 1 && said.contains("lies in the folder"), "{said}");
    let other = ground.keys[1].to_str().unwrap();
    assert_eq!(verify(&[other]).0, 2, "another key proves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_question_passes_and_is_shown() {
    let test = "a_narrowed_question_passes_and_is_shown";
    let Some(cosign) = tools::for_script(test) else {
        return;
    };
    let ground = Ground::folder(&steps()).await;
    let kit = Kit(ground.pull("kit", &[]));
    kit.remove([6]);
    kit.manifest(|manifest| manifest["query"]["severities"] = json!(["low"]));
    kit.list_again();
    let (code, said) = ground.verify(&kit.0, 1, &cosign);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\"severities\":[\"low\"]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_from_which_a_member_was_taken_does_not_pass() {
    let test = "a_sample_from_which_a_member_was_taken_does_not_pass";
    let Some(cosign) = tools::for_script(test) else {
        return;
    };
    let ground = Ground::folder(&steps()).await;
    let kit = Kit(ground.pull("kit", &["--sample", "4", "--seed", "3"]));
    let (code, said) = ground.verify(&kit.0, 1, &cosign);
    assert!(code == 0 && said.contains("4 of 9 drawn"), "{said}");
    let drawn = (1..=11)
        .find(|n| ![4, 8].contains(n) && kit.holds(*n))
        .unwrap();
    kit.remove([drawn]);
    kit.list_again();
    let (code, said) = ground.verify(&kit.0, 1, &cosign);
    assert!(code == 2 && said.contains("the seed draws"), "{said}");
}

impl Kit {
    fn holds(&self, sequence: u64) -> bool {
        contents(&self.0).into_iter().any(|(path, bytes)| {
            path.starts_with("evidence")
                && serde_json::from_slice::<Value>(&bytes)
                    .is_ok_and(|document| document["chain"]["sequence"] == sequence)
        })
    }
}
