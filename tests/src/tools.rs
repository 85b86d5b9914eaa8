//! Real peers and our own programs, for tests across processes.
//!
//! `tests/run` installs the peers and names them by environment. A test whose peer is
//! missing must not pass in silence: it says `SKIPPED`, on the real standard error (not
//! the one libtest captures) and in the file that `tests/run` counts, or panics where
//! nothing may be skipped.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The newest cosign there is.
    CosignNewest,
    /// The newest cosign 2.6.
    Cosign2,
    /// cosign 3.0.2, the last kind of 3.x that insists on a trusted root file.
    Cosign302,
    /// A Python with the package `rfc8785`.
    Python,
    /// The MinIO server.
    Minio,
    /// The versitygw server.
    Versitygw,
    /// The list of what is in the files of a guest with Debian 11, beside their folder.
    RootfsBullseye,
    /// The same of Debian 12.
    RootfsBookworm,
    /// The same of Debian 13.
    RootfsTrixie,
    /// The same of Debian 12 with rpm and dnf.
    RootfsRpm,
    /// The folder of our packages, as `packaging/build` makes them.
    Packages,
    /// The same of the version before.
    PackagesOld,
    /// strace(1).
    Strace,
    /// ansible-runner; it wants its own folder on the PATH, for ansible-playbook.
    AnsibleRunner,
    /// ansible-lint; it wants its own folder on the PATH, for ansible.
    AnsibleLint,
    /// The browser Chromium.
    Chromium,
    /// axe-core, the accessibility checker: the script that a page is given.
    Axe,
    /// OpenTofu.
    Tofu,
    /// Terraform. Not built here: whoever has it, has it.
    Terraform,
    /// Terraform's provider for AWS, in a folder laid out as a mirror of its registry.
    AwsProvider,
    /// cfn-lint; beside it lies a Python with PyYAML.
    CfnLint,
    /// checkov.
    Checkov,
    /// The server of moto, which knows AWS's calls and proves nothing about locks.
    Moto,
    /// A file of the npm package `@cloud-copilot/iam-simulate`, in its `node_modules`.
    IamSimulate,
    /// A Python with the package `presidio-analyzer`.
    Presidio,
    /// ripgrep.
    Ripgrep,
    /// The AWS command line.
    Aws,
    /// Prometheus.
    Prometheus,
    /// Its tool, which checks and tests rules.
    Promtool,
    /// Prometheus' exporter of a machine's metrics, with the collector of textfiles.
    NodeExporter,
}

impl Tool {
    /// The environment variable in which `tests/run` names the program.
    pub fn variable(self) -> &'static str {
        match self {
            Self::CosignNewest => "MSP_TEST_COSIGN",
            Self::Cosign2 => "MSP_TEST_COSIGN_2",
            Self::Cosign302 => "MSP_TEST_COSIGN_302",
            Self::Python => "MSP_TEST_PYTHON",
            Self::Minio => "MSP_TEST_MINIO",
            Self::Versitygw => "MSP_TEST_VERSITYGW",
            Self::RootfsBullseye => "MSP_TEST_ROOTFS_BULLSEYE",
            Self::RootfsBookworm => "MSP_TEST_ROOTFS_BOOKWORM",
            Self::RootfsTrixie => "MSP_TEST_ROOTFS_TRIXIE",
            Self::RootfsRpm => "MSP_TEST_ROOTFS_RPM",
            Self::Packages => "MSP_TEST_PACKAGES",
            Self::PackagesOld => "MSP_TEST_PACKAGES_OLD",
            Self::Strace => "MSP_TEST_STRACE",
            Self::AnsibleRunner => "MSP_TEST_ANSIBLE_RUNNER",
            Self::AnsibleLint => "MSP_TEST_ANSIBLE_LINT",
            Self::Chromium => "MSP_TEST_CHROMIUM",
            Self::Axe => "MSP_TEST_AXE",
            Self::Tofu => "MSP_TEST_TOFU",
            Self::Terraform => "MSP_TEST_TERRAFORM",
            Self::AwsProvider => "MSP_TEST_AWS_PROVIDER",
            Self::CfnLint => "MSP_TEST_CFN_LINT",
            Self::Checkov => "MSP_TEST_CHECKOV",
            Self::Moto => "MSP_TEST_MOTO",
            Self::IamSimulate => "MSP_TEST_IAM_SIMULATE",
            Self::Presidio => "MSP_TEST_PRESIDIO",
            Self::Ripgrep => "MSP_TEST_RIPGREP",
            Self::Aws => "MSP_TEST_AWS",
            Self::Prometheus => "MSP_TEST_PROMETHEUS",
            Self::Promtool => "MSP_TEST_PROMTOOL",
            Self::NodeExporter => "MSP_TEST_NODE_EXPORTER",
        }
    }
}

/// The path of `tool`, or `None` after saying loudly that `test` is skipped.
///
/// # Panics
/// Where nothing may be skipped (`CI=true`, `MSP_TEST_REQUIRE_ALL=1`), and where the
/// variable names something that is not there.
pub fn find(tool: Tool, test: &str) -> Option<PathBuf> {
    let variable = tool.variable();
    match env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(value) => {
            let path = PathBuf::from(value);
            let is_there = match tool {
                Tool::Packages | Tool::PackagesOld => path.is_dir(),
                _ => path.is_file(),
            };
            assert!(
                is_there,
                "{variable} names {}, which is not there",
                path.display()
            );
            Some(path)
        }
        None => {
            let why = env::var(format!("{variable}_WHY"))
                .unwrap_or_else(|_| format!("{variable} names no program (tests/run installs it)"));
            skip(test, &why);
            None
        }
    }
}

/// The newest cosign, where jq is installed too: what `verify.sh` needs; or `None` after saying loudly
/// that `test` is skipped.
///
/// # Panics
/// As [`skip`].
pub fn for_script(test: &str) -> Option<PathBuf> {
    let cosign = find(Tool::CosignNewest, test)?;
    let has_jq = Command::new("jq")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_jq {
        skip(test, "jq is not installed");
        return None;
    }
    Some(cosign)
}

/// Says that `test` is skipped and why; the caller then returns.
///
/// # Panics
/// Where nothing may be skipped, and when the log of skips cannot be written: a skip that
/// nobody counts would look like a pass.
pub fn skip(test: &str, reason: &str) {
    let line = skip_line(test, reason);
    assert!(
        !everything_required(),
        "nothing may be skipped here: {line}"
    );
    // One write of one line, appended: tests run side by side.
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error takes a line");
    if let Some(log) = env::var_os("MSP_TEST_SKIP_LOG") {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("{}: {error}", Path::new(&log).display()));
    }
}

fn skip_line(test: &str, reason: &str) -> String {
    format!("SKIPPED: {test}: {}\n", reason.replace('\n', " "))
}

fn everything_required() -> bool {
    let is = |name, wanted| env::var(name).is_ok_and(|value| value == wanted);
    is("CI", "true") || is("MSP_TEST_REQUIRE_ALL", "1")
}

/// `program` in a network namespace of its own, with not even a loopback that is up; or
/// `None` after saying loudly that `test` is skipped, where the kernel allows no namespace.
///
/// # Panics
/// As [`skip`].
pub fn without_network(program: &Path, test: &str) -> Option<Command> {
    // As root first; else as root of a user namespace of our own.
    for flags in [&["--net"][..], &["--map-root-user", "--net"]] {
        let works = Command::new("unshare")
            .args(flags)
            .arg("true")
            .output()
            .is_ok_and(|output| output.status.success());
        if works {
            let mut command = Command::new("unshare");
            command.args(flags).arg("--").arg(program);
            return Some(command);
        }
    }
    skip(test, "unshare(1) cannot make a network namespace here");
    None
}

/// The path of one of our programs, built into the same profile as this test.
///
/// # Panics
/// When it has not been built: `cargo build --workspace --bins`, which `tests/run` does.
pub fn ours(program: &str) -> PathBuf {
    // target/PROFILE/deps/this-test: the programs lie two levels up.
    let test = env::current_exe().expect("a running test has a path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a test lies in target/PROFILE/deps");
    let path = folder.join(program);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --workspace --bins`, or tests/run",
        path.display()
    );
    path
}

/// The root of the workspace, where README.md and the fixtures' folders are.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_whatever_its_reason_holds() {
        assert_eq!(
            skip_line("a fact", "no\ntool"),
            "SKIPPED: a fact: no tool\n"
        );
    }

    #[test]
    fn the_workspace_root_holds_the_lock_file() {
        assert!(workspace_root().join("Cargo.lock").is_file());
    }
}
