//! `verify`: signature, content hash and schema of each bundle, and the digest of each of its
//! artifacts, offline.
//!
//! Three results per bundle: verified, bad, could not check. What could not be checked never
//! counts as verified, and an empty folder is not a good one.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use evidence::bundle::{BUNDLE_MAX_BYTES, BundleId, VerifiedBundle, safe_name};
use evidence::digest::{Sha256, Sha256Stream};
use evidence::incident::StoredFile;
use evidence::keys::PublicKey;
use evidence::signature::SIGNATURE_MAX_BYTES;
use serde::Serialize;

/// What came of one bundle.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// The file.
    pub file: PathBuf,
    /// The result.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The result for one bundle.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// Signature, hash, schema and name are right.
    Verified {
        /// The bundle.
        bundle_id: String,
        /// Its kind.
        kind: evidence::bundle::Kind,
        /// Its chain.
        chain_id: String,
        /// Its place in the chain.
        sequence: u64,
        /// SHA-256 of the file.
        sha256: Sha256,
        /// Artifacts, each found beside the bundle with the size and digest it names.
        artifacts: usize,
    },
    /// Not what the key's holder sealed.
    Bad(Reason),
    /// Neither proven nor disproven.
    CouldNotCheck(Reason),
}

/// Why, from the outside in.
#[derive(Debug, Clone, Serialize)]
pub struct Reason {
    /// In words.
    pub reason: String,
}

impl Reason {
    fn of(error: &dyn std::error::Error) -> Self {
        Self {
            reason: evidence::causes(error),
        }
    }

    fn words(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// The counts that an exit code is made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Bundles verified.
    pub verified: u64,
    /// Bundles that are not what was sealed.
    pub bad: u64,
    /// Bundles or folders that could not be checked.
    pub could_not_check: u64,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Verified { .. } => self.verified += 1,
            Outcome::Bad(_) => self.bad += 1,
            Outcome::CouldNotCheck(_) => self.could_not_check += 1,
        }
    }
}

/// Verifies each file, and each bundle below each folder, with the key that the auditor trusts;
/// `report` hears every result as it comes.
pub fn verify(paths: &[PathBuf], key: &PublicKey, mut report: impl FnMut(&Checked)) -> Tally {
    let mut tally = Tally::default();
    let mut say = |file: &Path, outcome: Outcome| {
        tally.add(&outcome);
        report(&Checked {
            file: file.to_owned(),
            outcome,
        });
    };
    for path in paths {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => walk(path, key, &mut say),
            Ok(_) => say(path, check_file(path, key)),
            Err(error) => say(path, Outcome::CouldNotCheck(Reason::of(&error))),
        }
    }
    tally
}

/// Depth first, in the order of names, without following symlinks.
fn walk(root: &Path, key: &PublicKey, say: &mut impl FnMut(&Path, Outcome)) {
    let mut found = 0_u64;
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        let entries = match sorted_entries(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                found += 1;
                say(&folder, Outcome::CouldNotCheck(Reason::of(&error)));
                continue;
            }
        };
        for (path, kind) in entries {
            if kind.is_dir() {
                // Below a bundle's name lie its artifacts, whatever they are called.
                if bundle_id(&path).is_none() {
                    waiting.push(path);
                }
            } else if named_like_a_bundle(&path) {
                found += 1;
                let outcome = if kind.is_file() {
                    check_file(&path, key)
                } else {
                    Outcome::CouldNotCheck(Reason::words("not a regular file; it was not followed"))
                };
                say(&path, outcome);
            } else if is_lone_signature(&path) {
                found += 1;
                say(
                    &path,
                    Outcome::Bad(Reason::words("a signature without its bundle")),
                );
            }
        }
    }
    if found == 0 {
        say(
            root,
            Outcome::CouldNotCheck(Reason::words("no bundle EB-….json is below this folder")),
        );
    }
}

fn sorted_entries(folder: &Path) -> io::Result<Vec<(PathBuf, fs::FileType)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        entries.push((entry.path(), entry.file_type()?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

fn named_like_a_bundle(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    name.starts_with("EB-") && name.ends_with(".json") && !name.ends_with(".locations.json")
}

fn is_lone_signature(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    name.starts_with("EB-")
        && name
            .strip_suffix(".bundle")
            .is_some_and(|bundle| !path.with_file_name(bundle).exists())
}

fn check_file(path: &Path, key: &PublicKey) -> Outcome {
    let mut signature_path = path.as_os_str().to_owned();
    signature_path.push(".bundle");
    let bytes = match read(path, BUNDLE_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => return Outcome::CouldNotCheck(Reason::of(&error)),
    };
    let signature = match read(Path::new(&signature_path), SIGNATURE_MAX_BYTES) {
        Ok(signature) => signature,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Outcome::Bad(Reason::words("unsigned: no signature file beside it"));
        }
        Err(error) => return Outcome::CouldNotCheck(Reason::of(&error)),
    };
    let verified = match VerifiedBundle::verify(&bytes, &signature, key) {
        Ok(verified) => verified,
        Err(error) => return Outcome::Bad(Reason::of(&error)),
    };
    let header = verified.header();
    let named = bundle_id(&path.with_extension(""));
    if named.map(|id| id.to_string()).as_ref() != Some(&header.bundle_id) {
        return Outcome::Bad(Reason::words(format!(
            "the file is named otherwise than the bundle in it, {}",
            header.bundle_id
        )));
    }
    let artifacts = verified.artifacts();
    for artifact in &artifacts {
        if let Err(outcome) = check_artifact(path, artifact) {
            return outcome;
        }
    }
    Outcome::Verified {
        bundle_id: header.bundle_id.clone(),
        kind: header.kind,
        chain_id: header.chain.chain_id.clone(),
        sequence: header.chain.sequence,
        sha256: verified.sha256(),
        artifacts: artifacts.len(),
    }
}

/// The bundle that a file or folder is named for.
fn bundle_id(path: &Path) -> Option<BundleId> {
    path.file_name()?.to_str()?.parse().ok()
}

/// What the bundle names must be there as it names it; what is not there may be elsewhere.
fn check_artifact(bundle: &Path, artifact: &StoredFile) -> Result<(), Outcome> {
    let path = bundle
        .with_extension("")
        .join("artifacts")
        .join(artifact.sha256.to_string())
        .join(safe_name(&artifact.name));
    let could_not = |error: &io::Error| {
        Outcome::CouldNotCheck(Reason::words(format!(
            "signed, but artifact {:?} cannot be read: {}: {error}",
            artifact.name,
            path.display()
        )))
    };
    let bad = |what: &str| {
        Outcome::Bad(Reason::words(format!(
            "artifact {:?} is not what the bundle names: {what} differs: {}",
            artifact.name,
            path.display()
        )))
    };
    let meta = fs::symlink_metadata(&path).map_err(|error| could_not(&error))?;
    if !meta.is_file() {
        return Err(could_not(&io::Error::other("not a regular file")));
    }
    if meta.len() != artifact.size_bytes {
        return Err(bad("the size"));
    }
    let sha256 = digest_of(&path).map_err(|error| could_not(&error))?;
    if sha256 != artifact.sha256 {
        return Err(bad("the digest"));
    }
    Ok(())
}

fn digest_of(path: &Path) -> io::Result<Sha256> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256Stream::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hash.finish()),
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("larger than {max_bytes} bytes")));
    }
    Ok(bytes)
}
