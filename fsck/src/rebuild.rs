//! A destroyed spool, made anew from the evidence folder and the buckets.
//!
//! What the folder lacks is fetched from the buckets first; then every signed bundle of this host is
//! read again, chain by chain, into a new spool. Places whose bundle was found nowhere are named in
//! the first bundle of the chain that begins afterwards, so the loss is sealed.
//!
//! Order: the new file is whole and durable beside the old one before anything is moved; then the
//! old one is moved aside (never removed), the new one takes its place, and delivery.db and the old
//! orders are set aside, since everything is ordered again. A stop at any point leaves a host on
//! which the same can be done again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use destination::{Destination, Failure, Fetched};
use evidence::bundle::{BUNDLE_MAX_BYTES, ChainPosition, Missing, artifact_path};
use evidence::handover::{NOTICE_MAX_BYTES, NOTICE_SUFFIX, Notice, ORDER_SUFFIX};
use evidence::keys::HostKeys;
use evidence::signature::SIGNATURE_MAX_BYTES;
use host::config::Settings;
use host::files::{self, Durability, FileError, Replace};
use host::instance::{AGENT_LOCK, InstanceError, InstanceLock, UPLOADER_LOCK};
use host::owner::{OwnerError, as_owner_of};
use jiff::Timestamp;
use serde::Serialize;
use spool::{FoundBundle, Rebuild, SpoolError};

use crate::evidence_files::{bundle_files, digest, read_file};

/// Bundles in one order.
const GROUP: usize = 64;
/// So many lost ranges are sealed; more are one range each only in the report.
const MISSING_SEALED: usize = 1000;
const FILE_MODE: u32 = 0o640;

/// What was done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rebuilt {
    /// Bundles in the new spool.
    pub bundles: u64,
    /// Of those, how many came from a bucket.
    pub fetched_bundles: u64,
    /// Artifacts that came from a bucket.
    pub fetched_artifacts: u64,
    /// Chains.
    pub chains: u64,
    /// Places whose bundle was found nowhere.
    pub missing: Vec<Missing>,
    /// Bundles that stay in the folder only, since another one has their name or place.
    pub left_out: Vec<String>,
    /// Artifacts that were found nowhere.
    pub missing_artifacts: Vec<String>,
    /// Where the old databases are now.
    pub set_aside: Vec<PathBuf>,
}

/// Why nothing was rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A service runs.
    #[error(transparent)]
    Running(#[from] InstanceError),
    /// Root could not become the files' owner.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A bucket could not be read; without it more might be called lost than is.
    #[error("a bucket cannot be read; when it can be no more, rebuild with --without-buckets")]
    Store(#[from] Failure),
    /// The new spool could not be written.
    #[error("the new spool cannot be written")]
    Spool(#[from] SpoolError),
    /// What tells this machine from others.
    #[error("{path}, to which the chain of evidence is bound, cannot be read", path = path.display())]
    MachineId {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("{path} cannot be written", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file in a folder could not be written.
    #[error("in {path}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
}

/// One store and the prefix before every path.
pub type Place<D> = (String, Arc<D>);

/// Makes the spool anew. Both services must be stopped.
///
/// # Errors
/// See [`RebuildError`]; the old spool is where it was, unless the error says that it could not be
/// moved back.
pub async fn rebuild<D: Destination>(
    settings: &Settings,
    keys: &HostKeys,
    places: &[Place<D>],
    now: Timestamp,
) -> Result<Rebuilt, RebuildError> {
    let paths = &settings.paths;
    let _agent = as_owner_of(&paths.spool, || {
        InstanceLock::acquire(&paths.spool.join(AGENT_LOCK))
    })??;
    let _uploader = as_owner_of(&paths.delivery, || {
        InstanceLock::acquire(&paths.delivery.join(UPLOADER_LOCK))
    })??;
    let mut rebuilt = Rebuilt::default();
    for (prefix, store) in places {
        Fetch {
            settings,
            keys,
            prefix,
            store,
        }
        .bundles(&mut rebuilt)
        .await?;
    }
    as_owner_of(&paths.spool, || {
        write_spool(settings, keys, &mut rebuilt, now)
    })??;
    if paths
        .delivery
        .join(uploader::delivery::DATABASE_NAME)
        .exists()
    {
        let aside = as_owner_of(&paths.delivery, || {
            uploader::delivery::set_aside(&paths.delivery, now)
        })?;
        rebuilt
            .set_aside
            .push(aside.map_err(failed(&paths.delivery))?);
    }
    Ok(rebuilt)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> RebuildError {
    let path = path.to_owned();
    move |source| RebuildError::File { path, source }
}

fn in_folder(path: &Path) -> impl FnOnce(FileError) -> RebuildError {
    let path = path.to_owned();
    move |source| RebuildError::Folder { path, source }
}

/// A bundle at its place in the evidence folder, proven.
fn read_bundle(path: &Path, keys: &HostKeys) -> Option<FoundBundle> {
    let bytes = read_file(path, BUNDLE_MAX_BYTES)?;
    let signature = read_file(&path.with_extension("json.bundle"), SIGNATURE_MAX_BYTES)?;
    let verified = keys.verify(&bytes, &signature).ok()?;
    Some(FoundBundle {
        bytes,
        signature,
        verified,
    })
}

fn host_folder(settings: &Settings) -> PathBuf {
    let paths = &settings.paths;
    paths
        .evidence
        .join(&settings.client_id)
        .join(&settings.host_id)
}

/// Chains by id, each by sequence: where the bundle is.
type Index = BTreeMap<String, BTreeMap<u64, PathBuf>>;

fn write_spool(
    settings: &Settings,
    keys: &HostKeys,
    rebuilt: &mut Rebuilt,
    now: Timestamp,
) -> Result<(), RebuildError> {
    let paths = &settings.paths;
    let mut index: Index = BTreeMap::new();
    let mut known_ends: BTreeMap<String, u64> = BTreeMap::new();
    for path in bundle_files(&host_folder(settings)) {
        let Some(found) = read_bundle(&path, keys) else {
            continue;
        };
        let link = found.verified.header().chain.clone();
        if let Some(predecessor) = &link.predecessor {
            let end = known_ends.entry(predecessor.chain_id.clone()).or_default();
            *end = (*end).max(predecessor.sequence);
        }
        match index.entry(link.chain_id).or_default().entry(link.sequence) {
            Entry::Occupied(_) => rebuilt.left_out.push(path.display().to_string()),
            Entry::Vacant(place) => {
                place.insert(path);
            }
        }
        for file in found.verified.artifacts() {
            let relative = found.verified.path();
            let artifact = paths
                .evidence
                .join(artifact_path(&relative, file.sha256, &file.name));
            if digest(&artifact).is_none_or(|(_, sha256)| sha256 != file.sha256) {
                rebuilt
                    .missing_artifacts
                    .push(artifact.display().to_string());
            }
        }
    }
    rebuilt.chains = index.len() as u64;
    rebuilt.missing = missing_in(&index, &known_ends);
    let fresh = paths.spool.join("spool.db.rebuilding");
    for leftover in ["", "-wal", "-shm", "-journal"] {
        // What an interrupted rebuild left is made again.
        let _ = fs::remove_file(paths.spool.join(format!("spool.db.rebuilding{leftover}")));
    }
    let machine =
        host::machine::digest(&paths.machine_id).map_err(|source| RebuildError::MachineId {
            path: paths.machine_id.clone(),
            source,
        })?;
    let mut rebuild = Rebuild::begin(&fresh, machine, now)?;
    let mut end = None;
    for chain in index.values() {
        let files: Vec<&PathBuf> = chain.values().collect();
        for group in files.chunks(GROUP) {
            let found: Vec<FoundBundle> = group
                .iter()
                .filter_map(|path| read_bundle(path, keys))
                .collect();
            rebuilt.left_out.extend(rebuild.add(&found)?);
            rebuilt.bundles += found.len() as u64;
            if let Some(last) = found.last() {
                let link = &last.verified.header().chain;
                end = Some(ChainPosition {
                    chain_id: link.chain_id.clone(),
                    sequence: link.sequence,
                    sha256: last.verified.sha256(),
                });
            }
        }
    }
    for notice in notices(&paths.outbox) {
        rebuild.notice(&notice)?;
    }
    let sealed = &rebuilt.missing[..rebuilt.missing.len().min(MISSING_SEALED)];
    rebuild.finish(end, sealed)?;
    swap(&paths.spool, &fresh, rebuilt, now)?;
    put_orders_aside(settings, now)
}

/// Gaps, and what a later chain says that its predecessor had.
fn missing_in(index: &Index, known_ends: &BTreeMap<String, u64>) -> Vec<Missing> {
    let mut missing = Vec::new();
    let none = BTreeMap::new();
    let mut chains: Vec<&String> = index.keys().chain(known_ends.keys()).collect();
    chains.sort();
    chains.dedup();
    for chain_id in chains {
        let present = index.get(chain_id).unwrap_or(&none);
        let end = known_ends.get(chain_id).copied().unwrap_or(0);
        let mut next = 1;
        let stops = present.keys().copied().chain([end + 1]);
        for sequence in stops {
            if sequence > next {
                missing.push(Missing {
                    chain_id: chain_id.clone(),
                    from_sequence: next,
                    to_sequence: sequence - 1,
                });
            }
            next = next.max(sequence + 1);
        }
    }
    missing
}

fn notices(outbox: &Path) -> Vec<Notice> {
    let Ok(entries) = fs::read_dir(outbox) else {
        return Vec::new();
    };
    let mut notices: Vec<Notice> = entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().ends_with(NOTICE_SUFFIX))
        .filter_map(|e| read_file(&e.path(), NOTICE_MAX_BYTES))
        .filter_map(|bytes| Notice::parse(&bytes).ok())
        .collect();
    notices.sort_by(|a, b| (a.created_at, &a.notice_id).cmp(&(b.created_at, &b.notice_id)));
    notices
}

/// The new file takes the old one's place, which is kept beside it.
fn swap(
    folder: &Path,
    fresh: &Path,
    rebuilt: &mut Rebuilt,
    now: Timestamp,
) -> Result<(), RebuildError> {
    File::open(fresh)
        .and_then(|file| file.sync_all())
        .map_err(failed(fresh))?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let old = folder.join(format!("spool.db{suffix}"));
        if old.exists() {
            let aside = folder.join(format!("spool.db{suffix}.damaged-{}", now.as_millisecond()));
            fs::rename(&old, &aside).map_err(failed(&old))?;
            rebuilt.set_aside.push(aside);
        }
    }
    let place = folder.join("spool.db");
    fs::rename(fresh, &place).map_err(failed(&place))?;
    let dir = files::open_dir(folder).map_err(in_folder(folder))?;
    files::sync_dir(&dir).map_err(in_folder(folder))
}

/// Everything is ordered again under orders of the new spool.
fn put_orders_aside(settings: &Settings, now: Timestamp) -> Result<(), RebuildError> {
    let paths = &settings.paths;
    let aside = paths
        .spool
        .join(format!("orders-before-{}", now.as_millisecond()));
    let Ok(entries) = fs::read_dir(&paths.outbox) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(ORDER_SUFFIX) {
            files::create_dir_durably(&aside).map_err(failed(&aside))?;
            let to = aside.join(&name);
            // Another file system, perhaps: copied first, then removed.
            fs::copy(entry.path(), &to).map_err(failed(&to))?;
            fs::remove_file(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    Ok(())
}

/// Brings what a bucket has and the folder lacks.
struct Fetch<'a, D> {
    settings: &'a Settings,
    keys: &'a HostKeys,
    prefix: &'a str,
    store: &'a Arc<D>,
}

impl<D: Destination> Fetch<'_, D> {
    async fn bundles(&self, rebuilt: &mut Rebuilt) -> Result<(), RebuildError> {
        let (client, host) = (&self.settings.client_id, &self.settings.host_id);
        let below = format!("{}{client}/{host}/", self.prefix);
        let mut after = None;
        loop {
            let page = self.store.list(&below, after.as_ref()).await?;
            for entry in &page.entries {
                let path = entry.key.strip_prefix(self.prefix).unwrap_or(&entry.key);
                let is_bundle = path.ends_with(".json") && !path.contains("/artifacts/");
                if is_bundle && !entry.version.is_delete_marker {
                    self.bundle(path, &entry.version.version_id, rebuilt)
                        .await?;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn bundle(
        &self,
        path: &str,
        version_id: &str,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), RebuildError> {
        let evidence = &self.settings.paths.evidence;
        let full = evidence.join(path);
        let found = match read_bundle(&full, self.keys) {
            Some(found) => found,
            None => {
                let key = format!("{}{path}", self.prefix);
                let fetched = self.store.fetch(&key, version_id, BUNDLE_MAX_BYTES).await?;
                let bytes = fetched.map(|fetched| fetched.bytes);
                let Some((bytes, signature)) = self.signature(&key, bytes).await? else {
                    return Ok(());
                };
                let Ok(verified) = self.keys.verify(&bytes, &signature) else {
                    return Ok(());
                };
                self.publish(&full, &bytes, &signature)?;
                rebuilt.fetched_bundles += 1;
                FoundBundle {
                    bytes,
                    signature,
                    verified,
                }
            }
        };
        if found.verified.path() != path {
            return Ok(());
        }
        for file in found.verified.artifacts() {
            let relative = artifact_path(path, file.sha256, &file.name);
            let there = digest(&evidence.join(&relative));
            if there.is_none_or(|(_, sha256)| sha256 != file.sha256)
                && self.artifact(&relative, file.sha256).await?
            {
                rebuilt.fetched_artifacts += 1;
            }
        }
        Ok(())
    }

    /// The signature that goes with these bytes, among the versions at its key.
    async fn signature(
        &self,
        key: &str,
        bytes: Option<Vec<u8>>,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, RebuildError> {
        let Some(bytes) = bytes else { return Ok(None) };
        let key = format!("{key}.bundle");
        for version in self.store.versions(&key).await? {
            if version.is_delete_marker {
                continue;
            }
            let fetched = self
                .store
                .fetch(&key, &version.version_id, SIGNATURE_MAX_BYTES)
                .await?;
            if let Some(Fetched {
                bytes: signature, ..
            }) = fetched
                && self.keys.signed(&bytes, &signature)
            {
                return Ok(Some((bytes, signature)));
            }
        }
        Ok(None)
    }

    /// Only what is missing or torn is written: a signed file never gives way.
    fn publish(&self, full: &Path, bytes: &[u8], signature: &[u8]) -> Result<(), RebuildError> {
        let evidence = &self.settings.paths.evidence;
        let folder = full.parent().unwrap_or(evidence);
        let name = full.file_name().unwrap_or_default().to_os_string();
        let mut signature_name = name.clone();
        signature_name.push(".bundle");
        as_owner_of(evidence, || {
            files::create_dir_durably(folder).map_err(failed(folder))?;
            let dir = files::open_dir(folder).map_err(in_folder(folder))?;
            for (name, bytes) in [(&signature_name, signature), (&name, bytes)] {
                files::publish(
                    &dir,
                    name,
                    bytes,
                    FILE_MODE,
                    Durability::Fsync,
                    Replace::Yes,
                )
                .map_err(in_folder(folder))?;
            }
            Ok(())
        })?
    }

    /// One artifact, written beside and renamed once its digest is right; whether it was there.
    async fn artifact(
        &self,
        relative: &str,
        sha256: evidence::digest::Sha256,
    ) -> Result<bool, RebuildError> {
        let evidence = &self.settings.paths.evidence;
        let full = evidence.join(relative);
        let folder = full.parent().unwrap_or(evidence).to_owned();
        let temporary = folder.join(format!("{}rebuild", files::TEMP_PREFIX));
        let key = format!("{}{relative}", self.prefix);
        for version in self.store.versions(&key).await? {
            if version.is_delete_marker {
                continue;
            }
            let mut file = as_owner_of(evidence, || {
                files::create_dir_durably(&folder)?;
                fs::OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(FILE_MODE)
                    .open(&temporary)
            })?
            .map_err(failed(&temporary))?;
            self.store
                .copy_out(&key, &version.version_id, &mut |piece| {
                    file.write_all(piece)
                })
                .await?;
            file.sync_all().map_err(failed(&temporary))?;
            if digest(&temporary).is_some_and(|(_, found)| found == sha256) {
                as_owner_of(evidence, || fs::rename(&temporary, &full))?.map_err(failed(&full))?;
                return Ok(true);
            }
            as_owner_of(evidence, || fs::remove_file(&temporary))?.map_err(failed(&temporary))?;
        }
        Ok(false)
    }
}
