//! Every file that the spool can write again, written again where it is missing or torn.

use std::path::Path;

use evidence::digest::Sha256;
use evidence::handover::ORDER_SUFFIX;
use evidence::keys::HostKeys;
use host::config::Settings;
use host::files;
use host::instance::InstanceLock;
use spool::Artifact;
use spool::reader::Reader;

use crate::AgentError;
use crate::intake::staged_folder;
use crate::publish::{Published, Publisher};

/// Publishes the bundles with a row above `after`, every notice and every open order; returns how
/// many files were not as they should be.
pub(crate) fn republish(
    spool: &Reader,
    publisher: &mut Publisher,
    evidence: &Path,
    keys: &HostKeys,
    after: i64,
) -> Result<usize, AgentError> {
    let mut again = 0_usize;
    spool.each_bundle_after(after, |b| -> Result<(), AgentError> {
        host::heart::beat();
        if Sha256::of(&b.bytes) != b.sha256 {
            // Published, such bytes would only be refused by the uploader. The rest goes on.
            tracing::error!(
                bundle = %b.bundle_id,
                state = "spool_damaged",
                "a bundle in spool.db is not what was sealed; its file is left as it is: run \
                 msp-evidence fsck"
            );
            return Ok(());
        }
        if spool.pruned_at(b.bundle_rowid)?.is_some() {
            return Ok(());
        }
        let artifacts = spool.artifacts(b.bundle_rowid)?;
        if !artifacts.is_empty() {
            let token = b.taken_token.as_deref().unwrap_or("resealed");
            let staged = staged_folder(evidence, token);
            again += publisher.artifacts(&staged, &artifacts, |a| elsewhere(spool, a))?;
        }
        match publisher.bundle(&b.path, b.bundle_id, &b.bytes, &b.signature, keys)? {
            Published::Written => again += 1,
            Published::Same => {}
            Published::OtherSigned => tracing::error!(
                bundle = %b.bundle_id,
                state = "other_signed_file",
                "another signed bundle has this name in the evidence folder; it was left alone"
            ),
        }
        Ok(())
    })?;
    for (notice_id, body) in spool.notices()? {
        if publisher.notice(&notice_id, &body)? == Published::Written {
            again += 1;
        }
    }
    spool.each_open_order(|order| -> Result<(), AgentError> {
        host::heart::beat();
        if publisher.order(&order.order_id, &order.body)? == Published::Written {
            again += 1;
        }
        Ok(())
    })?;
    Ok(again)
}

/// Where else the bytes of an artifact are.
pub(crate) fn elsewhere(spool: &Reader, artifact: &Artifact) -> Result<Vec<String>, AgentError> {
    let mut paths = spool.artifact_paths(artifact.sha256)?;
    paths.retain(|path| *path != artifact.path);
    Ok(paths)
}

/// Does, without the private key and while no agent runs, what a starting agent does: writes again
/// every missing or torn file of the evidence folder and the outbox, removes orders that are
/// complete, and makes it durable. Returns how many files that were.
///
/// # Errors
/// When an agent runs, or the spool or a folder cannot be used.
pub fn repair(settings: &Settings, keys: &HostKeys) -> Result<usize, AgentError> {
    let paths = &settings.paths;
    let _instance = InstanceLock::acquire(&paths.spool.join(host::instance::AGENT_LOCK))?;
    let spool = Reader::open(&paths.spool.join("spool.db"))?;
    let mut publisher = Publisher::open(paths.evidence.clone(), paths.outbox.clone())?;
    let mut repaired = republish(&spool, &mut publisher, &paths.evidence, keys, 0)?;
    let outbox = files::open_dir(&paths.outbox).map_err(AgentError::file(&paths.outbox))?;
    for name in files::names(&outbox, usize::MAX - 1).map_err(AgentError::file(&paths.outbox))? {
        let order = name
            .to_str()
            .and_then(|name| name.strip_suffix(ORDER_SUFFIX));
        if let Some(order) = order
            && spool.is_complete(order)?
        {
            publisher.remove_order(order)?;
            repaired += 1;
        }
    }
    publisher.sync()?;
    Ok(repaired)
}
