//! A host's folders and configuration, without any daemon, and the program run on them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What a valid drop looks like.
pub(crate) const DOCUMENT: &str =
    include_str!("../../../tests/fixtures/drops/valid/backup-failure.json");

pub(crate) struct Desk {
    dir: TempDir,
}

/// What the program said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for folder in ["drop", "quarantine", "spool", "delivery", "keys"] {
            fs::create_dir(desk.path(folder)).unwrap();
        }
        desk.configure("");
        desk
    }

    /// Writes the configuration, with `more` at its end.
    pub(crate) fn configure(&self, more: &str) {
        let root = self.dir.path().display();
        let text = format!(
            "client_id = \"clinic-a\"\nhost_id = \"host-1\"\n[paths]\nstate_dir = \"{root}\"\n\
             [signing]\nkey = \"{root}/keys/evidence.key\"\n\
             [[destination]]\nid = \"main\"\nbucket = \"evidence\"\nregion = \"us-east-1\"\n{more}"
        );
        fs::write(self.path("evidence.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file with exactly this mode.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, &[], b"")
    }

    /// Runs the program in a session of its own, so that it finds no terminal to ask on, whoever
    /// runs the tests; and under the tightest umask, so that modes are the program's own doing.
    pub(crate) fn run_with(&self, arguments: &[&str], env: &[(&str, &str)], stdin: &[u8]) -> Said {
        let mut command = Command::new("setsid");
        command
            .args(["--wait", "sh", "-c", "umask 0077; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_msp-evidence"))
            .args(arguments)
            .env_remove("COSIGN_PASSWORD")
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("MSP_EVIDENCE_CONFIG", self.path("evidence.toml"))
            .envs(env.iter().copied());
        finish(command, stdin)
    }
}

fn finish(mut command: Command, stdin: &[u8]) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it; that is its right.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    Said {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

impl Said {
    /// Fails unless the program ended so and said each part.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, parts: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for part in parts {
            assert!(all.contains(part), "no {part:?} in: {all}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}
