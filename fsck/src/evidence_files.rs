//! The evidence folder against the spool: every bundle and artifact there, byte for byte, and
//! nothing signed that the spool does not know.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use evidence::bundle::{BUNDLE_MAX_BYTES, BundleId};
use evidence::digest::{Sha256, Sha256Stream};
use evidence::signature::SIGNATURE_MAX_BYTES;
use host::files;
use jiff::Timestamp;
use spool::reader::Reader;
use spool::{Artifact, SpoolError, SpooledBundle};

use crate::finding::{Level, Part, Report};
use crate::look::Look;

pub(crate) fn check(
    look: &Look<'_>,
    spool: &Reader,
    report: &mut Report,
) -> Result<(), SpoolError> {
    spool.each_bundle_after(0, |bundle| -> Result<(), SpoolError> {
        if !look.is_settled(sealed_at(&bundle)) || spool.pruned_at(bundle.bundle_rowid)?.is_some() {
            return Ok(());
        }
        check_bundle(look, &bundle, report);
        for artifact in spool.artifacts(bundle.bundle_rowid)? {
            check_artifact(look, spool, &bundle, &artifact, report)?;
        }
        Ok(())
    })?;
    check_unknown(look, spool, report)
}

fn sealed_at(bundle: &SpooledBundle) -> Timestamp {
    #[derive(serde::Deserialize)]
    struct Sealed {
        generated_at: Timestamp,
    }
    // A document that does not say is settled: its bytes are damaged, which was said.
    serde_json::from_slice::<Sealed>(&bundle.bytes).map_or(Timestamp::MIN, |s| s.generated_at)
}

fn check_bundle(look: &Look<'_>, bundle: &SpooledBundle, report: &mut Report) {
    if Sha256::of(&bundle.bytes) != bundle.sha256 {
        // The row itself is damaged, which was said; the file is what is left.
        return;
    }
    let full = look.settings.paths.evidence.join(&bundle.path);
    let name = bundle.bundle_id.to_string();
    let read = |path: &Path, max| read_file(path, max);
    let bytes = read(&full, BUNDLE_MAX_BYTES);
    let signature = read(&full.with_extension("json.bundle"), SIGNATURE_MAX_BYTES);
    match (bytes, signature) {
        (Some(bytes), Some(signature))
            if bytes == bundle.bytes && signature == bundle.signature => {}
        (Some(bytes), Some(signature)) => {
            let signed = look.keys.signed(&bytes, &signature);
            if signed && bytes != bundle.bytes {
                report.say(
                    Level::Damaged,
                    Part::Evidence,
                    "other_signed_file",
                    name,
                    "its file is another signed bundle than the spool's",
                );
            } else if !signed {
                report.say(
                    Level::Repairable,
                    Part::Evidence,
                    "file_changed",
                    name,
                    "its file is not what was sealed; the spool has it whole",
                );
            }
        }
        _ => report.say(
            Level::Repairable,
            Part::Evidence,
            "file_missing",
            name,
            "its file or signature is not there; the spool has it whole",
        ),
    }
}

fn check_artifact(
    look: &Look<'_>,
    spool: &Reader,
    bundle: &SpooledBundle,
    artifact: &Artifact,
    report: &mut Report,
) -> Result<(), SpoolError> {
    let full = look.settings.paths.evidence.join(&artifact.path);
    let (code, message) = match digest(&full) {
        Some((size, sha256)) if size == artifact.size_bytes && sha256 == artifact.sha256 => {
            return Ok(());
        }
        Some(_) => ("artifact_changed", "is not what was sealed"),
        None if is_staged(look, bundle, artifact) => {
            report.say(
                Level::Repairable,
                Part::Evidence,
                "artifact_staged",
                &artifact.path,
                "has not got its name yet",
            );
            return Ok(());
        }
        None => ("artifact_missing", "is not there"),
    };
    let stored = spool.stored_at(bundle.bundle_rowid, &artifact.path)?;
    let elsewhere = if stored.is_empty() {
        "; no store has confirmed it".to_owned()
    } else {
        format!("; it is stored and locked at {}", stored.join(", "))
    };
    report.say(
        Level::Damaged,
        Part::Evidence,
        code,
        &artifact.path,
        format!("an artifact of {} {message}{elsewhere}", bundle.bundle_id),
    );
    Ok(())
}

/// Between the commit and its link an artifact lies under its drop's token.
fn is_staged(look: &Look<'_>, bundle: &SpooledBundle, artifact: &Artifact) -> bool {
    let Some(token) = &bundle.taken_token else {
        return false;
    };
    let staged = look.settings.paths.evidence.join(".staged").join(token);
    digest(&staged.join(artifact.sha256.to_string()))
        .is_some_and(|(_, sha256)| sha256 == artifact.sha256)
}

/// Signed bundles of this host that the spool does not know: of its own chain they mean that an
/// older snapshot was restored, of another that a spool was lost before.
fn check_unknown(look: &Look<'_>, spool: &Reader, report: &mut Report) -> Result<(), SpoolError> {
    let settings = look.settings;
    let host = settings
        .paths
        .evidence
        .join(&settings.client_id)
        .join(&settings.host_id);
    let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in bundle_files(&host) {
        let Some(relative) = path.strip_prefix(&settings.paths.evidence).ok() else {
            continue;
        };
        let relative = relative.display().to_string();
        if spool.knows_path(&relative)? {
            continue;
        }
        let bytes = read_file(&path, BUNDLE_MAX_BYTES);
        let signature = read_file(&path.with_extension("json.bundle"), SIGNATURE_MAX_BYTES);
        let verified = bytes
            .zip(signature)
            .and_then(|(bytes, signature)| look.keys.verify(&bytes, &signature).ok());
        match verified {
            Some(bundle) if look.is_settled(bundle.header().generated_at) => {
                let header = bundle.header();
                unknown
                    .entry(header.chain.chain_id.clone())
                    .or_default()
                    .push(header.bundle_id.clone());
            }
            Some(_) => {}
            None => report.say(
                Level::Note,
                Part::Evidence,
                "stray_file",
                relative,
                "named like a bundle and not signed by this host; it was left alone",
            ),
        }
    }
    for (chain_id, bundles) in unknown {
        if spool.knows_chain(&chain_id)? {
            let last = bundles.last().cloned().unwrap_or_default();
            report.say(
                Level::Damaged,
                Part::Evidence,
                "spool_behind",
                last,
                format!(
                    "{} signed bundles of chain {chain_id} are not in the spool, which has that \
                     chain",
                    bundles.len()
                ),
            );
        } else {
            report.say(
                Level::Note,
                Part::Evidence,
                "earlier_chain",
                chain_id,
                format!(
                    "{} signed bundles are of a chain before this spool",
                    bundles.len()
                ),
            );
        }
    }
    Ok(())
}

/// Every file named like a bundle at its place below a host's folder, sorted.
pub(crate) fn bundle_files(host: &Path) -> Vec<PathBuf> {
    let mut folders = vec![host.to_owned()];
    // Chain, year, month, day.
    for _ in 0..4 {
        folders = folders
            .iter()
            .flat_map(|folder| folders_in(folder))
            .collect();
    }
    let mut found: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|n| n.to_str());
            name.and_then(|n| n.strip_suffix(".json"))
                .is_some_and(|n| n.parse::<BundleId>().is_ok())
        })
        .collect();
    found.sort();
    found
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

/// A regular file, not through a link; `None` when it cannot be read whole.
pub(crate) fn read_file(path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
    let dir = files::open_dir(path.parent()?).ok()?;
    let contents = files::read_capped(&dir, path.file_name()?, max_bytes).ok()?;
    Some(contents.bytes)
}

/// Size in bytes and digest of a regular file; `None` when it cannot be read whole.
pub(crate) fn digest(path: &Path) -> Option<(u64, Sha256)> {
    let dir = files::open_dir(path.parent()?).ok()?;
    let (mut file, _) = files::open_regular(&dir, path.file_name()?).ok()?;
    let mut hash = Sha256Stream::default();
    let mut buffer = vec![0; 256 << 10];
    let mut size_bytes = 0;
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some((size_bytes, hash.finish())),
            n => {
                hash.update(&buffer[..n]);
                size_bytes += n as u64;
            }
        }
    }
}
