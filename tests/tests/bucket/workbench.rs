//! A copy of the templates to work in, so that no tool leaves anything in the repository, and tools
//! that never ask the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::tools::{self, Tool, workspace_root};

/// The folder `packaging/bucket`, copied.
pub(crate) struct Workbench {
    dir: tempfile::TempDir,
}

impl Workbench {
    /// # Panics
    /// When it cannot be copied.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(
            &workspace_root().join("packaging/bucket"),
            &dir.path().join("bucket"),
        );
        Self { dir }
    }

    /// A path below `packaging/bucket`.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("bucket").join(below)
    }

    /// Breaks a file: what is looked for must be there.
    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let path = self.path(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// OpenTofu or Terraform in a folder of the copy. Providers come from `mirror` alone.
    pub(crate) fn terraform(
        &self,
        program: &Path,
        mirror: Option<&Path>,
        folder: &str,
    ) -> Terraform {
        let providers = self.dir.path().join("providers");
        fs::create_dir_all(&providers).unwrap();
        if let Some(mirror) = mirror {
            lay_out(mirror, &providers);
        }
        let config = self.dir.path().join("cli.tfrc");
        let text = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{ path = {:?} }}\n}}\n",
            providers.display().to_string()
        );
        fs::write(&config, text).unwrap();
        Terraform {
            program: program.to_owned(),
            config,
            folder: self.path(folder),
        }
    }
}

/// Each program looks for its providers under the name of its own registry; the provider is the same.
fn lay_out(mirror: &Path, providers: &Path) {
    let aws = mirror.join("registry.terraform.io/hashicorp/aws");
    for version in fs::read_dir(&aws).unwrap().flatten() {
        for platform in fs::read_dir(version.path()).unwrap().flatten() {
            for host in ["registry.terraform.io", "registry.opentofu.org"] {
                let place = providers
                    .join(host)
                    .join("hashicorp/aws")
                    .join(version.file_name());
                fs::create_dir_all(&place).unwrap();
                let link = place.join(platform.file_name());
                if !link.exists() {
                    std::os::unix::fs::symlink(platform.path(), link).unwrap();
                }
            }
        }
    }
}

/// OpenTofu or Terraform in one folder.
pub(crate) struct Terraform {
    program: PathBuf,
    config: PathBuf,
    folder: PathBuf,
}

impl Terraform {
    /// Runs it; the output is whatever it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .args(arguments)
            .current_dir(&self.folder)
            .env("TF_CLI_CONFIG_FILE", &self.config)
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            // Nobody's account is ever asked.
            .env_remove("AWS_PROFILE")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap()
    }

    /// Runs it and wants success; returns what it printed.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        succeeded(&self.run(arguments), &format!("{arguments:?}"))
    }
}

/// What a command printed, if it succeeded.
///
/// # Panics
/// With all that it printed, if it did not.
pub(crate) fn succeeded(output: &Output, what: &str) -> String {
    let text = said(output);
    assert!(output.status.success(), "{what}: {}\n{text}", output.status);
    text
}

/// All that a command printed.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The folder with the AWS provider, or `None` after saying loudly that `test` is skipped.
pub(crate) fn providers(test: &str) -> Option<PathBuf> {
    // The variable names the program, which lies five levels below the mirror.
    let program = tools::find(Tool::AwsProvider, test)?;
    Some(program.ancestors().nth(6)?.to_owned())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let name = entry.file_name();
        if entry.path().is_dir() {
            // What somebody's own run left there is not ours.
            if name != ".terraform" && name != "node_modules" {
                copy(&entry.path(), &to.join(name));
            }
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
