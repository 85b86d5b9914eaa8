//! The reference producers of docs/executors: whole, durable, never over another, or not at all.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tests::clinic::{Clinic, Role, files_below};
use tests::tools::{self, Tool, workspace_root};

use crate::incident::document;

/// A producer, as a user calls it, or where noted under the eyes of tests/interop.
struct Producer {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
    folder_flag: &'static str,
    name_flag: &'static str,
    environment: Vec<(&'static str, String)>,
}

impl Producer {
    /// Both, and the Python one again as on a system without renameat2(2).
    fn all(test: &str) -> Vec<Self> {
        let docs = workspace_root().join("docs/executors");
        let interop = workspace_root().join("tests/interop");
        let path = format!(
            "{}:{}",
            interop.join("shims").display(),
            std::env::var("PATH").unwrap()
        );
        let mut all = vec![Self {
            name: "producer.sh",
            program: "sh".into(),
            arguments: vec![docs.join("producer.sh")],
            folder_flag: "-d",
            name_flag: "-n",
            environment: vec![("PATH", path)],
        }];
        let Some(python) = tools::find(Tool::Python, test) else {
            return all;
        };
        for (name, hidden) in [("producer.py", "0"), ("producer.py without renameat2", "1")] {
            all.push(Self {
                name,
                program: python.clone(),
                arguments: vec![interop.join("traced_producer.py"), docs.join("producer.py")],
                folder_flag: "--drop",
                name_flag: "--name",
                environment: vec![("WITHOUT_RENAMEAT2", hidden.to_owned())],
            });
        }
        all
    }

    /// Starts it; the operation of that number kills it.
    fn start(&self, call: &Call<'_>) -> Child {
        fs::write(call.log, b"").unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .args([self.folder_flag.as_ref(), call.folder.as_os_str()]);
        if let Some(name) = call.name {
            command.args([self.name_flag, name]);
        }
        command
            .arg(call.document)
            .args(call.artifacts)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .env("LOG", call.log)
            .env("DIE_AT", call.die_at.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn run(&self, call: &Call<'_>) -> Output {
        self.start(call).wait_with_output().unwrap()
    }
}

struct Call<'a> {
    folder: &'a Path,
    name: Option<&'a str>,
    document: &'a Path,
    artifacts: &'a [PathBuf],
    log: &'a Path,
    die_at: usize,
}

/// More operations than there are.
const NEVER: usize = 1000;

/// A document and two artifacts in `folder`, outside of the drop folder.
fn inputs(folder: &Path, id: &str) -> (PathBuf, Vec<PathBuf>) {
    let path = folder.join(format!("{id}.json"));
    fs::write(&path, document(id)).unwrap();
    let artifacts: Vec<_> = ["a.log", "b.log"].map(|name| folder.join(name)).into();
    for artifact in &artifacts {
        fs::write(artifact, vec![b'x'; 100_000]).unwrap();
    }
    (path, artifacts)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn sealed(clinic: &Clinic) -> BTreeSet<String> {
    let bundles = clinic.bundles();
    let ids: BTreeSet<_> = bundles
        .iter()
        .map(|(_, bundle)| {
            let incident = &bundle.document()["incident"];
            incident["incident_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), bundles.len(), "an incident is sealed twice");
    ids
}

#[test]
fn everything_is_synced_before_the_rename_and_the_drop_folder_after_it() {
    let test = "everything_is_synced_before_the_rename_and_the_drop_folder_after_it";
    for producer in Producer::all(test) {
        for with_artifacts in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("drop");
            fs::create_dir(&folder).unwrap();
            let (document, artifacts) = inputs(dir.path(), "INC-1");
            let log = dir.path().join("log");
            let output = producer.run(&Call {
                folder: &folder,
                name: Some("one"),
                document: &document,
                artifacts: if with_artifacts { &artifacts } else { &[] },
                log: &log,
                die_at: NEVER,
            });
            assert!(output.status.success(), "{}: {output:?}", producer.name);
            let log = fs::read_to_string(&log).unwrap();
            let lines: Vec<_> = log.lines().collect();
            let renamed = lines.iter().position(|l| l.starts_with("rename ")).unwrap();
            let words: Vec<_> = lines[renamed].split(' ').collect();
            let (from, to) = (words[1], words[2]);
            let dropped = folder.join(if with_artifacts { "one" } else { "one.json" });
            assert_eq!(to, dropped.to_str().unwrap(), "{}", producer.name);
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), to);
            let hidden = Path::new(from).strip_prefix(&folder).unwrap();
            assert!(hidden.to_str().unwrap().starts_with(".part-"), "{from}");
            let synced = |path: &str| {
                let line = lines.iter().position(|l| *l == format!("sync {path}"));
                line.unwrap_or_else(|| panic!("{}: {path} is not synced: {log}", producer.name))
            };
            let mut must = vec![from.to_owned()];
            if with_artifacts {
                for inside in [
                    "incident.json",
                    "artifacts",
                    "artifacts/a.log",
                    "artifacts/b.log",
                ] {
                    must.push(format!("{from}/{inside}"));
                }
            }
            for path in must {
                assert!(synced(&path) < renamed, "{}: {log}", producer.name);
            }
            assert_eq!(synced(folder.to_str().unwrap()), lines.len() - 1, "{log}");
            assert!(renamed < lines.len() - 1, "{log}");
        }
    }
}

#[test]
fn a_producer_killed_anywhere_leaves_a_whole_drop_or_nothing_that_is_taken() {
    let test = "a_producer_killed_anywhere_leaves_a_whole_drop_or_nothing_that_is_taken";
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    let folder = clinic.state("drop");
    let (mut whole, mut killed) = (BTreeSet::new(), 0);
    for (number, producer) in Producer::all(test).iter().enumerate() {
        for with_artifacts in [false, true] {
            for die_at in 1.. {
                let id = format!("INC-{number}-{with_artifacts}-{die_at}");
                let (document, artifacts) = inputs(clinic.dir.path(), &id);
                let log = clinic.dir.path().join("log");
                let output = producer.run(&Call {
                    folder: &folder,
                    name: None,
                    document: &document,
                    artifacts: if with_artifacts { &artifacts } else { &[] },
                    log: &log,
                    die_at,
                });
                if fs::read_to_string(&log).unwrap().contains("rename ") {
                    whole.insert(id);
                }
                if output.status.success() {
                    break;
                }
                assert_eq!(output.status.code(), None, "{}: {output:?}", producer.name);
                killed += 1;
            }
        }
    }
    // A file: itself, the rename, the folder; and what a folder drop has besides.
    assert!(killed >= 8, "killed {killed} times only");
    clinic.wait_until("the whole ones, and nothing but halves left", |c| {
        let left = names(&folder);
        sealed(c).is_superset(&whole) && left.iter().all(|name| name.starts_with(".part-"))
    });
    assert_eq!(sealed(&clinic), whole);
    assert!(names(&clinic.state("quarantine")).is_empty());
    clinic.stop(Role::Agent);
}

#[test]
fn producers_that_want_the_same_name_do_not_overwrite_each_other() {
    let test = "producers_that_want_the_same_name_do_not_overwrite_each_other";
    let mut clinic = Clinic::new();
    let folder = clinic.state("drop");
    let producers = Producer::all(test);
    let mut dropped = 0;
    for with_artifacts in [false, true] {
        // All of them at once, three of each.
        let mut running = Vec::new();
        for number in 0..3 * producers.len() {
            let producer = &producers[number % producers.len()];
            let (document, artifacts) =
                inputs(clinic.dir.path(), &format!("INC-{with_artifacts}-{number}"));
            let log = clinic
                .dir
                .path()
                .join(format!("log-{with_artifacts}-{number}"));
            let call = Call {
                folder: &folder,
                name: Some("same"),
                document: &document,
                artifacts: if with_artifacts { &artifacts } else { &[] },
                log: &log,
                die_at: NEVER,
            };
            running.push((producer.name, producer.start(&call)));
        }
        let mut won = 0;
        for (name, child) in running {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                won += 1;
            } else {
                assert_eq!(output.status.code(), Some(1), "{name}: {said}");
                assert!(said.contains("waits already"), "{name}: {said}");
            }
        }
        assert_eq!(won, 1, "one has the name, and knows it");
        dropped += won;
    }
    assert_eq!(
        names(&folder),
        ["same", "same.json"],
        "and the others tidied up"
    );
    clinic.start(Role::Agent);
    clinic.wait_until("both drops", |c| sealed(c).len() == dropped);
    assert!(names(&clinic.state("quarantine")).is_empty());
    clinic.stop(Role::Agent);
}

#[test]
fn without_a_name_every_drop_has_its_own() {
    let test = "without_a_name_every_drop_has_its_own";
    let mut clinic = Clinic::new();
    let folder = clinic.state("drop");
    let mut running = Vec::new();
    for (number, producer) in Producer::all(test).iter().enumerate() {
        for repeat in 0..4 {
            let id = format!("INC-{number}-{repeat}");
            let (document, _) = inputs(clinic.dir.path(), &id);
            let log = clinic.dir.path().join(format!("log-{id}"));
            let child = producer.start(&Call {
                folder: &folder,
                name: None,
                document: &document,
                artifacts: &[],
                log: &log,
                die_at: NEVER,
            });
            running.push(child);
        }
    }
    let expected = running.len();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(names(&folder).len(), expected);
    clinic.start(Role::Agent);
    clinic.wait_until("every drop", |c| sealed(c).len() == expected);
    clinic.stop(Role::Agent);
}

#[test]
fn the_agent_may_read_and_remove_whatever_the_umask_was() {
    let test = "the_agent_may_read_and_remove_whatever_the_umask_was";
    for producer in Producer::all(test) {
        for umask in ["077", "000"] {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("drop");
            fs::create_dir(&folder).unwrap();
            let (document, artifacts) = inputs(dir.path(), "INC-1");
            let log = dir.path().join("log");
            let under = Producer {
                program: "sh".into(),
                arguments: [
                    vec![
                        "-c".into(),
                        format!(r#"umask {umask}; exec "$@""#).into(),
                        "sh".into(),
                        producer.program.clone(),
                    ],
                    producer.arguments.clone(),
                ]
                .concat(),
                environment: producer.environment.clone(),
                name: producer.name,
                folder_flag: producer.folder_flag,
                name_flag: producer.name_flag,
            };
            for artifacts in [&[][..], &artifacts] {
                let output = under.run(&Call {
                    folder: &folder,
                    name: Some("one"),
                    document: &document,
                    artifacts,
                    log: &log,
                    die_at: NEVER,
                });
                assert!(output.status.success(), "{}: {output:?}", under.name);
            }
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            for file in files_below(&folder) {
                assert_eq!(mode(&file), 0o640, "{}", file.display());
            }
            for inside in ["one", "one/artifacts"] {
                assert_eq!(
                    mode(&folder.join(inside)),
                    0o2770,
                    "{}: {inside}",
                    under.name
                );
            }
        }
    }
}

#[test]
fn what_cannot_be_dropped_is_refused_with_its_reason_and_leaves_nothing() {
    let test = "what_cannot_be_dropped_is_refused_with_its_reason_and_leaves_nothing";
    for producer in Producer::all(test) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("drop");
        fs::create_dir(&folder).unwrap();
        let (document, artifacts) = inputs(dir.path(), "INC-1");
        let missing = dir.path().join("missing");
        let good = || Call {
            folder: &folder,
            name: None,
            document: &document,
            artifacts: &[],
            log: &missing,
            die_at: NEVER,
        };
        let log = dir.path().join("log");
        let twice = [artifacts[0].clone(), artifacts[0].clone()];
        let no_file = [dir.path().to_owned()];
        for call in [
            Call {
                document: &missing,
                ..good()
            },
            Call {
                folder: &missing,
                ..good()
            },
            Call {
                artifacts: std::slice::from_ref(&missing),
                ..good()
            },
            Call {
                artifacts: &twice,
                ..good()
            },
            Call {
                artifacts: &no_file,
                ..good()
            },
            Call {
                name: Some("../one"),
                ..good()
            },
            Call {
                name: Some(".one"),
                ..good()
            },
            Call {
                name: Some("one.part"),
                ..good()
            },
        ] {
            let output = producer.run(&Call { log: &log, ..call });
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{}: {said}", producer.name);
            assert!(said.contains("not dropped: "), "{}: {said}", producer.name);
            assert!(names(&folder).is_empty(), "{}: {said}", producer.name);
        }
    }
}
