//! Proofs of the screening: a benign and a sensitive corpus, and judges of what is left of them.
//!
//! Nothing of it knows the engine's rules: the corpora say what logs look like, not what our patterns match.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::tools::{Tool, workspace_root};

pub mod benign;
mod filler;
pub mod judge;
pub mod leak;
pub mod presidio;
mod random;
pub mod search;
pub mod sensitive;
mod values;

/// The seed of the corpora that the tests hold us to.
pub const SEED: u64 = 20_261_121;

/// A Python with Presidio: the one that `tests/run` names, else one that is installed into target/tools now; `None`,
/// said loudly, where neither can be had.
#[must_use]
pub fn presidio_python() -> Option<PathBuf> {
    if let Some(named) = env::var_os(Tool::Presidio.variable()).filter(|value| !value.is_empty()) {
        return Some(PathBuf::from(named));
    }
    let requirements = workspace_root().join("screen/corpus/requirements.txt");
    let place = workspace_root().join("target/tools/py-presidio");
    let python = place.join("bin/python");
    let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let is_there =
        python.is_file() && done(Command::new(&python).args(["-c", "import presidio_analyzer"]));
    let is_installed = is_there
        || done(Command::new("python3").args(["-m", "venv"]).arg(&place))
            && done(
                Command::new(&python)
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                    ])
                    .args(["--require-hashes", "-r"])
                    .arg(&requirements),
            );
    if !is_installed {
        eprintln!(
            "SKIPPED: Presidio could not be installed into {}",
            place.display()
        );
        return None;
    }
    Some(python)
}
