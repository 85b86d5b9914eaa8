//! Stock cosign as the judge of our signatures, offline.
//!
//! One command line serves every release. The empty trusted root is needed by 2.6 and by
//! 3.0.0 to 3.0.3, which refuse a v0.3 bundle without one, and it protects the auditor: with
//! it every release refuses the legacy bundle format, in which a forger can name a key of
//! his own (GHSA-fx35-mq7g-6g98; 3.0.2 believes it when the flag is missing).

use std::path::{Path, PathBuf};

use crate::tools::{self, Tool};

/// What an auditor types. The documents quote it, and [`Cosign::verify`] runs it.
pub const COMMAND: &str = "cosign verify-blob --key msp.pub --bundle X.json.bundle \
                           --trusted-root empty-trusted-root.json --insecure-ignore-tlog X.json";

/// The same without a trusted root: enough for 3.0.4 and later, but see the module.
pub const COMMAND_WITHOUT_ROOT: &str =
    "cosign verify-blob --key msp.pub --bundle X.json.bundle --insecure-ignore-tlog X.json";

/// A trusted root that trusts nothing: neither a log, nor a CA, nor a timestamp authority.
pub const EMPTY_TRUSTED_ROOT: &str =
    "{\"mediaType\":\"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}\n";

/// A release of cosign, found on this machine.
#[derive(Debug, Clone)]
pub struct Cosign {
    /// Which of the pinned releases this is.
    pub tool: Tool,
    program: PathBuf,
}

/// What cosign said of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `Verified OK`, and exit status 0.
    Verified,
    /// Anything else, with what cosign printed.
    Refused(String),
}

impl Cosign {
    /// Every pinned release that is here; those that are not are skipped loudly.
    pub fn all(test: &str) -> Vec<Self> {
        [Tool::CosignNewest, Tool::Cosign2, Tool::Cosign302]
            .into_iter()
            .filter_map(|tool| {
                let program = tools::find(tool, &format!("{test} ({tool:?})"))?;
                Some(Self { tool, program })
            })
            .collect()
    }

    /// The program, for what is not verification: `generate-key-pair`, `public-key`.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// [`COMMAND`] with networking off; `None` where there is no way to turn it off, after
    /// saying so.
    ///
    /// # Panics
    /// When cosign cannot be started, or the empty trusted root cannot be written.
    pub fn verify(&self, key: &Path, bundle: &Path, blob: &Path) -> Option<Verdict> {
        let root = bundle.with_extension("empty-trusted-root.json");
        std::fs::write(&root, EMPTY_TRUSTED_ROOT)
            .unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        let verdict = self.run(COMMAND, key, bundle, &root, blob);
        std::fs::remove_file(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        verdict
    }

    /// [`COMMAND_WITHOUT_ROOT`] with networking off, otherwise as [`Cosign::verify`].
    ///
    /// # Panics
    /// When cosign cannot be started.
    pub fn verify_without_root(&self, key: &Path, bundle: &Path, blob: &Path) -> Option<Verdict> {
        self.run(COMMAND_WITHOUT_ROOT, key, bundle, Path::new(""), blob)
    }

    fn run(
        &self,
        command: &str,
        key: &Path,
        bundle: &Path,
        root: &Path,
        blob: &Path,
    ) -> Option<Verdict> {
        let mut cosign = tools::without_network(&self.program, "cosign verify-blob, offline")?;
        for word in command.split_whitespace().skip(1) {
            match word {
                "msp.pub" => cosign.arg(key),
                "X.json.bundle" => cosign.arg(bundle),
                "empty-trusted-root.json" => cosign.arg(root),
                "X.json" => cosign.arg(blob),
                flag => cosign.arg(flag),
            };
        }
        let output = cosign
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let verified = output.status.success() && said.lines().any(|line| line == "Verified OK");
        Some(if verified {
            Verdict::Verified
        } else {
            Verdict::Refused(said)
        })
    }
}
