//! What is called confirmed, asked of the store again: every version with its lock, and everything
//! else that lies under this host's prefix.
//!
//! A host that was restored from an old snapshot finds its own later bundles here: the bucket knows
//! more than the spool, and nothing of it was overwritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use destination::{Destination, Failure, ListedVersion, Lock, Stored};
use evidence::bundle::{BUNDLE_MAX_BYTES, BundleId, VerifiedBundle};
use evidence::handover::Role;
use evidence::signature::SIGNATURE_MAX_BYTES;
use spool::ConfirmedObject;
use spool::reader::Reader;
use tokio::task::JoinSet;

use crate::finding::{Level, Part, Report};
use crate::look::Look;

/// Requests at once.
const IN_FLIGHT: usize = 16;
/// Confirmations read ahead.
const BATCH: usize = 512;

/// Asks one destination about everything of this host, and adds what it finds to the report.
/// `progress` hears how many objects were looked at.
pub async fn check_bucket<D: Destination>(
    look: &Look<'_>,
    destination_id: &str,
    prefix: &str,
    store: Arc<D>,
    report: &mut Report,
    mut progress: impl FnMut(u64),
) {
    let Some(spool) = &look.spool else {
        return;
    };
    let mut check = BucketCheck {
        look,
        spool,
        destination_id,
        prefix,
        store,
        report,
        earlier: BTreeMap::new(),
        ahead: BTreeMap::new(),
        read: None,
    };
    if let Err(error) = check.confirmed(&mut progress).await {
        return check.could_not(&error);
    }
    if let Err(error) = check.listed().await {
        check.could_not(&error);
    }
}

#[derive(Debug, thiserror::Error)]
enum BucketError {
    #[error(transparent)]
    Spool(#[from] spool::SpoolError),
    #[error(transparent)]
    Store(#[from] Failure),
    #[error("a request's task failed")]
    Task(#[from] tokio::task::JoinError),
}

struct BucketCheck<'a, D> {
    look: &'a Look<'a>,
    spool: &'a Reader,
    destination_id: &'a str,
    prefix: &'a str,
    store: Arc<D>,
    report: &'a mut Report,
    /// Signed bundles of chains that the spool does not have, by chain.
    earlier: BTreeMap<String, u64>,
    /// Signed bundles of chains that it has, and not these bundles.
    ahead: BTreeMap<String, Vec<String>>,
    /// The bundle that was read last, whose other objects come next in the listing.
    read: Option<String>,
}

impl<D: Destination> BucketCheck<'_, D> {
    async fn confirmed(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), BucketError> {
        let mut after = (i64::MIN, String::new());
        let mut asked = JoinSet::new();
        loop {
            let batch = self
                .spool
                .confirmed_at(self.destination_id, &after, BATCH)?;
            let Some(last) = batch.last() else { break };
            after = (last.bundle_rowid, last.path.clone());
            for object in batch {
                if asked.len() >= IN_FLIGHT
                    && let Some(done) = asked.join_next().await
                {
                    let (object, stored): (ConfirmedObject, Result<_, Failure>) = done?;
                    self.judge(&object, stored).await?;
                }
                let (store, key) = (Arc::clone(&self.store), self.key(&object.path));
                asked.spawn(async move {
                    let stored = store.inspect(&key, &object.version_id).await;
                    (object, stored)
                });
            }
            progress(self.report.stored_objects);
        }
        while let Some(done) = asked.join_next().await {
            let (object, stored) = done?;
            self.judge(&object, stored).await?;
        }
        progress(self.report.stored_objects);
        Ok(())
    }

    async fn judge(
        &mut self,
        object: &ConfirmedObject,
        stored: Result<Option<Stored>, Failure>,
    ) -> Result<(), BucketError> {
        self.report.stored_objects += 1;
        let Some(stored) = stored? else {
            self.damaged(
                "not_in_bucket",
                &object.path,
                format!(
                    "version {} is confirmed, and the store has none",
                    object.version_id
                ),
            );
            return Ok(());
        };
        match stored.lock {
            Lock::Compliance(until) if until >= object.retain_until => {}
            Lock::Compliance(until) => self.damaged(
                "lock_too_short",
                &object.path,
                format!(
                    "locked until {until}, {} was confirmed",
                    object.retain_until
                ),
            ),
            Lock::Governance(_) | Lock::Unlocked => self.damaged(
                "lock_missing",
                &object.path,
                "it is stored without a COMPLIANCE lock",
            ),
            Lock::Unknown => self.report.say(
                Level::CouldNotCheck,
                Part::Bucket,
                "lock_unknown",
                &object.path,
                "the store does not let this user read the lock",
            ),
        }
        let same = match stored.sha256 {
            Some(sha256) => sha256 == object.sha256,
            None => {
                let read = self
                    .store
                    .read_back(&self.key(&object.path), &object.version_id)
                    .await?;
                read.sha256 == object.sha256
            }
        };
        if !same || stored.size_bytes != object.size_bytes {
            self.damaged(
                "stored_bytes_differ",
                &object.path,
                "the stored bytes are not those that were sealed",
            );
        }
        Ok(())
    }

    /// Everything under the host's prefix, key by key.
    async fn listed(&mut self) -> Result<(), BucketError> {
        let settings = self.look.settings;
        let host = format!(
            "{}{}/{}/",
            self.prefix, settings.client_id, settings.host_id
        );
        let mut after = None;
        let mut of_key: Vec<ListedVersion> = Vec::new();
        loop {
            let page = self.store.list(&host, after.as_ref()).await?;
            for entry in page.entries {
                if of_key.first().is_some_and(|first| first.key != entry.key) {
                    self.judge_key(&std::mem::take(&mut of_key)).await?;
                }
                of_key.push(entry);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if !of_key.is_empty() {
            self.judge_key(&of_key).await?;
        }
        for (chain_id, bundles) in std::mem::take(&mut self.ahead) {
            let last = bundles.last().cloned().unwrap_or_default();
            self.damaged(
                "bucket_ahead",
                &last,
                format!(
                    "{} signed bundles of chain {chain_id} are in the bucket and not in the spool, \
                     which has that chain",
                    bundles.len()
                ),
            );
        }
        for (chain_id, bundles) in std::mem::take(&mut self.earlier) {
            self.report.say(
                Level::Note,
                Part::Bucket,
                "earlier_chain",
                chain_id,
                format!("{bundles} signed bundles are of a chain that the spool does not have"),
            );
        }
        Ok(())
    }

    async fn judge_key(&mut self, versions: &[ListedVersion]) -> Result<(), BucketError> {
        let Some(first) = versions.first() else {
            return Ok(());
        };
        let path = first.key.strip_prefix(self.prefix).unwrap_or(&first.key);
        if self.is_write_probe(path) {
            let item = format!("{} at {}", path, self.destination_id);
            let message = "`doctor --write-probe` stored it; it is no evidence";
            self.report
                .say(Level::Note, Part::Bucket, "write_probe", item, message);
            return Ok(());
        }
        let stored = versions.iter().filter(|v| !v.version.is_delete_marker);
        let stored: Vec<&ListedVersion> = stored.collect();
        if stored.len() < versions.len() {
            self.damaged(
                "delete_marker",
                path,
                "a delete marker lies over it; the locked version is still there",
            );
        }
        if stored.len() > 1 {
            self.damaged(
                "stored_twice",
                path,
                format!("{} versions are stored under its key", stored.len()),
            );
        }
        let role = role_of(path);
        if self.spool.sealed_object(path, role)?.is_some() {
            return Ok(());
        }
        let Some(newest) = stored.first() else {
            return Ok(());
        };
        self.unknown(path, role, &newest.version.version_id).await
    }

    fn is_write_probe(&self, path: &str) -> bool {
        let settings = self.look.settings;
        let rest = [&settings.client_id, &settings.host_id]
            .into_iter()
            .try_fold(path, |rest, name| {
                rest.strip_prefix(name.as_str())?.strip_prefix('/')
            });
        rest.is_some_and(|rest| {
            rest.split('/').next() == Some(evidence::handover::WRITE_PROBE_FOLDER)
        })
    }

    /// An object that the spool does not know: ours, if it is signed.
    async fn unknown(
        &mut self,
        path: &str,
        role: Role,
        version_id: &str,
    ) -> Result<(), BucketError> {
        let stem = stem_of(path);
        if role != Role::Bundle {
            if self.read.as_deref() != Some(stem) {
                self.damaged(
                    "unknown_object",
                    path,
                    "the spool does not know it, and no signed bundle of this host goes with it",
                );
            }
            return Ok(());
        }
        let signed = self.fetch_signed(path, version_id).await?;
        match signed {
            None => self.damaged(
                "unknown_object",
                path,
                "the spool does not know it, and it is not signed by this host",
            ),
            Some(bundle) => {
                self.read = Some(stem.to_owned());
                let chain_id = bundle.header().chain.chain_id.clone();
                if self.spool.knows_chain(&chain_id)? {
                    self.ahead
                        .entry(chain_id)
                        .or_default()
                        .push(bundle.header().bundle_id.clone());
                } else {
                    *self.earlier.entry(chain_id).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    async fn fetch_signed(
        &self,
        path: &str,
        version_id: &str,
    ) -> Result<Option<VerifiedBundle>, BucketError> {
        let key = self.key(path);
        let Some(bundle) = self.store.fetch(&key, version_id, BUNDLE_MAX_BYTES).await? else {
            return Ok(None);
        };
        let key = format!("{key}.bundle");
        let versions = self.store.versions(&key).await?;
        for version in versions.iter().filter(|v| !v.is_delete_marker) {
            let signature = self
                .store
                .fetch(&key, &version.version_id, SIGNATURE_MAX_BYTES)
                .await?;
            let verified =
                signature.and_then(|s| self.look.keys.verify(&bundle.bytes, &s.bytes).ok());
            if verified.is_some() {
                return Ok(verified);
            }
        }
        Ok(None)
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn damaged(&mut self, code: &'static str, path: &str, message: impl Into<String>) {
        let item = format!("{} at {}", path, self.destination_id);
        self.report
            .say(Level::Damaged, Part::Bucket, code, item, message);
    }

    fn could_not(&mut self, error: &BucketError) {
        self.report.say(
            Level::CouldNotCheck,
            Part::Bucket,
            "bucket_unreachable",
            self.destination_id,
            evidence::causes(error),
        );
    }
}

/// What an object is, by its path.
fn role_of(path: &str) -> Role {
    if path.contains("/artifacts/") {
        Role::Artifact
    } else if path.ends_with(".json.bundle") {
        Role::Signature
    } else {
        Role::Bundle
    }
}

/// The path of the bundle that an object belongs to, without its suffix.
fn stem_of(path: &str) -> &str {
    let stem = path.split("/artifacts/").next().unwrap_or(path);
    let stem = stem.strip_suffix(".bundle").unwrap_or(stem);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    let name = stem.rsplit('/').next().unwrap_or(stem);
    if name.parse::<BundleId>().is_ok() {
        stem
    } else {
        path
    }
}
