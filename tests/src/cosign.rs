//! Stock cosign as the judge of our signatures, offline.
//!
//! One command line serves every release. The empty trusted root is needed by 2.6 and by
//! 3.0.0 to 3.0.3, which refuse a v0.3 bundle without one, and it protects the auditor: it
//! makes every release refuse the legacy bundle format, in which a forger can name a key of
//! his own (GHSA-fx35-mq7g-6g98; 3.0.2 believes it when the flag is missing).

use std::path::{Path, PathBuf};

use crate::tools::{self, Tool};

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

    /// What an auditor types, with networking off: `cosign verify-blob --key KEY --bundle
    /// BUNDLE --trusted-root ROOT --insecure-ignore-tlog BLOB`. `None` where there is no way
    /// to turn networking off, after saying so.
    ///
    /// # Panics
    /// When cosign cannot be started.
    pub fn verify(
        &self,
        trusted_root: &Path,
        key: &Path,
        bundle: &Path,
        blob: &Path,
    ) -> Option<Verdict> {
        let root = [Path::new("--trusted-root"), trusted_root];
        self.verify_with(&root, key, bundle, blob)
    }

    /// The same without a trusted root: enough for 3.0.4 and later, but see the module.
    ///
    /// # Panics
    /// When cosign cannot be started.
    pub fn verify_without_root(&self, key: &Path, bundle: &Path, blob: &Path) -> Option<Verdict> {
        self.verify_with(&[], key, bundle, blob)
    }

    fn verify_with(
        &self,
        root: &[&Path],
        key: &Path,
        bundle: &Path,
        blob: &Path,
    ) -> Option<Verdict> {
        let output = tools::without_network(&self.program, "cosign verify-blob, offline")?
            .arg("verify-blob")
            .arg("--key")
            .arg(key)
            .arg("--bundle")
            .arg(bundle)
            .args(root)
            .arg("--insecure-ignore-tlog")
            .arg(blob)
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
