//! Artifacts are copied and hashed beside the sealing, so that a large one holds up nobody.
//!
//! A thread of its own takes one folder drop at a time and copies its files into
//! `evidence/.staged/{token}/{sha256}`: what is hashed is what was written, whatever the producer
//! still does to the original. Text is screened on the way, so what is written and hashed is what is
//! sealed; the raw bytes are hashed too, for they tell whether a drop was sealed before, and that
//! digest leaves this process under a key only. Each file and then the folders are synced before the drop may be
//! sealed, so a committed bundle always has its files. They get their real names, by hard link,
//! after the commit; the staged names go once that is durable. Until the drop is sealed it stays
//! under its taken name, and after a crash the copying starts again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use evidence::digest::{Sha256, Sha256Stream};
use evidence::incident::{Redaction, StoredFile};
use host::config::{BinaryArtifacts, DropSettings};
use host::files::{self, FileError, FileMeta};
use host::heart::Work;
use screen::{Counts, Streamed};

use crate::folder::{Refusal, Taken};
use crate::folder_drop::{ARTIFACTS, recorded_name};
use crate::publish::{FOLDER_MODE, open_to_group};
use crate::screening::{Screening, quarantined};

/// Below the evidence folder, and so on its file system.
pub(crate) const STAGED: &str = ".staged";
/// Drops that wait for the thread; more are met again by the next pass.
const QUEUE: usize = 64;
const BUFFER_BYTES: usize = 256 << 10;
const FILE_MODE: u32 = 0o640;

/// Called when a drop is staged, so that the daemon looks again.
pub type Waker = Box<dyn Fn() + Send>;

/// One file, copied, hashed and durable.
#[derive(Debug, Clone)]
pub(crate) struct StagedFile {
    /// Its name in the drop.
    pub(crate) name: OsString,
    /// What it was in the drop.
    pub(crate) meta: FileMeta,
    /// The same name as text, so that no two are alike.
    recorded_name: String,
    /// Of the raw bytes.
    size_bytes: u64,
    /// Of the raw bytes: never shown.
    sha256: Sha256,
    /// What is sealed: screened, bytes and name.
    pub(crate) stored: StoredFile,
    /// What was taken out of the name.
    name_counts: Counts,
    /// What was taken out of the bytes.
    counts: Counts,
}

/// What came of staging.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Every file, in the order of their recorded names.
    Staged(Vec<StagedFile>),
    /// The drop cannot be sealed.
    Refused(Refusal),
    /// Not now: tried again by a later pass.
    Later(String),
}

/// The thread, its queue and its results.
pub(crate) struct Intake {
    jobs: Option<SyncSender<Taken>>,
    worker: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    asked: HashSet<String>,
}

#[derive(Default)]
struct Shared {
    done: Mutex<HashMap<String, Outcome>>,
    waker: Mutex<Option<Waker>>,
    stop: AtomicBool,
}

/// What the thread works with.
struct Stager {
    drop: OwnedFd,
    staged: PathBuf,
    limits: DropSettings,
    min_free_bytes: u64,
    screening: Arc<Screening>,
    shared: Arc<Shared>,
}

/// What copying one file gave.
struct Copied {
    raw_bytes: u64,
    raw_sha256: Sha256,
    stored_bytes: u64,
    stored_sha256: Sha256,
    streamed: Streamed,
}

impl Intake {
    /// Starts the thread. `drop` is the open drop folder.
    pub(crate) fn start(
        drop: OwnedFd,
        evidence: &Path,
        limits: DropSettings,
        min_free_bytes: u64,
        screening: Arc<Screening>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let staged = evidence.join(STAGED);
        files::create_dir_durably(&staged)?;
        open_to_group(&staged)?;
        let stager = Stager {
            drop,
            staged,
            limits,
            min_free_bytes,
            screening,
            shared: Arc::clone(&shared),
        };
        let (jobs, queue) = sync_channel(QUEUE);
        let worker = std::thread::Builder::new()
            .name("intake".to_owned())
            .spawn(move || stager.run(&queue))?;
        Ok(Self {
            jobs: Some(jobs),
            worker: Some(worker),
            shared,
            asked: HashSet::new(),
        })
    }

    pub(crate) fn set_waker(&self, waker: Waker) {
        *lock(&self.shared.waker) = Some(waker);
    }

    /// What came of staging this drop; `None` while that goes on. The first call starts it.
    pub(crate) fn ask(&mut self, taken: &Taken) -> Option<Outcome> {
        if let Some(outcome) = lock(&self.shared.done).get(&taken.token) {
            return Some(outcome.clone());
        }
        if !self.asked.contains(&taken.token)
            && let Some(jobs) = &self.jobs
            && jobs.try_send(taken.clone()).is_ok()
        {
            self.asked.insert(taken.token.clone());
        }
        None
    }

    /// Whether the drop is being staged or its result has not been used up.
    pub(crate) fn holds(&self, token: &str) -> bool {
        self.asked.contains(token)
    }

    /// The result was used: sealed, refused, or put off.
    pub(crate) fn forget(&mut self, token: &str) {
        lock(&self.shared.done).remove(token);
        self.asked.remove(token);
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(worker) = self.worker.take() {
            // It ends within a buffer's time; a panic in it has been printed.
            let _ = worker.join();
        }
    }
}

impl Stager {
    fn run(&self, queue: &Receiver<Taken>) {
        while let Ok(taken) = queue.recv() {
            if self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let work = host::heart::begin("the copying of a drop's artifacts");
            let outcome = self.stage(&taken, &work).unwrap_or_else(|outcome| outcome);
            drop(work);
            lock(&self.shared.done).insert(taken.token, outcome);
            if let Some(wake) = &*lock(&self.shared.waker) {
                wake();
            }
        }
    }

    fn stage(&self, taken: &Taken, work: &Work) -> Result<Outcome, Outcome> {
        let later = |error: FileError| Outcome::Later(error.to_string());
        let mut quarantine = BTreeSet::new();
        let folder = files::open_dir_at(&self.drop, &taken.held_as).map_err(later)?;
        let artifacts = files::open_dir_at(&folder, ARTIFACTS).map_err(later)?;
        let limit = self.limits.max_artifacts;
        let names = files::names(&artifacts, limit).map_err(later)?;
        if names.len() > limit {
            return Ok(refused(
                "too_many_artifacts",
                format!("the drop has more artifacts than drop.max_artifacts = {limit}"),
            ));
        }
        // What an earlier attempt left is not trusted to be whole.
        let staged = self.staged.join(&taken.token);
        remove_staged(&staged).map_err(|error| Outcome::Later(error.to_string()))?;
        DirBuilder::new()
            .mode(FOLDER_MODE)
            .recursive(true)
            .create(&staged)
            .map_err(|error| Outcome::Later(format!("{}: {error}", staged.display())))?;
        let into = files::open_dir(&staged).map_err(later)?;
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let (file, rules) = self.copy(&artifacts, name, &staged, &into, work)?;
            found.push(file);
            quarantine.extend(rules);
        }
        if !quarantine.is_empty() {
            let rules: Vec<_> = quarantine.into_iter().collect();
            return Ok(Outcome::Refused(quarantined(&rules)));
        }
        files::sync_dir(&into).map_err(later)?;
        let all = files::open_dir(&self.staged).map_err(later)?;
        files::sync_dir(&all).map_err(later)?;
        found.sort_by(|a, b| a.recorded_name.cmp(&b.recorded_name));
        Ok(Outcome::Staged(found))
    }

    fn copy(
        &self,
        artifacts: &OwnedFd,
        name: OsString,
        staged: &Path,
        into: &OwnedFd,
        work: &Work,
    ) -> Result<(StagedFile, Vec<String>), Outcome> {
        let shown = self.screening.name(&name, 100);
        let (mut from, meta) =
            files::open_regular(artifacts, &name).map_err(|error| not_opened(&shown, error))?;
        self.check(&shown, &meta)?;
        self.enough_room(&shown, meta.size_bytes)?;
        let later = |what: &str, error: &dyn std::fmt::Display| {
            Outcome::Later(format!("{what} artifact {shown:?}: {error}"))
        };
        let temporary = staged.join("copy");
        let mut to = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&temporary)
            .map_err(|error| later("staging", &error))?;
        let copied = self
            .pump(&shown, &mut from, &mut to, meta.size_bytes, work)
            .map_err(|stopped| match stopped {
                Stopped::Failed(error) => later("copying", &error),
                Stopped::Refused(refusal) => Outcome::Refused(refusal),
            })?;
        let now = files::metadata_of(&from).map_err(|error| later("looking at", &error))?;
        if now != meta || copied.raw_bytes != meta.size_bytes {
            return Err(later("changed while it was read:", &"looked at again"));
        }
        // Whatever the umask is, the hand-over group can read it.
        to.set_permissions(std::fs::Permissions::from_mode(FILE_MODE))
            .and_then(|()| to.sync_all())
            .map_err(|error| later("syncing", &error))?;
        match files::rename_noreplace(into, "copy", into, copied.stored_sha256.to_string()) {
            // Two files of a drop may have the same bytes; one copy serves both.
            Ok(()) | Err(FileError::Exists { .. }) => {}
            Err(error) => return Err(later("staging", &error)),
        }
        let recorded_name = recorded_name(&name);
        let (stored_name, name_counts) = self.screening.counted(&recorded_name);
        let file = StagedFile {
            recorded_name,
            name,
            meta,
            size_bytes: copied.raw_bytes,
            sha256: copied.raw_sha256,
            stored: StoredFile {
                name: stored_name,
                size_bytes: copied.stored_bytes,
                sha256: copied.stored_sha256,
            },
            name_counts,
            counts: copied.streamed.counts,
        };
        Ok((file, copied.streamed.quarantine))
    }

    fn check(&self, shown: &str, meta: &FileMeta) -> Result<(), Outcome> {
        if meta.link_count != 1 {
            return Err(refused(
                "hard_linked",
                format!("artifact {shown:?} has another name, under which it could change"),
            ));
        }
        let allowed = &self.limits.allowed_owners;
        if !allowed.is_empty() && !allowed.contains(&meta.owner_uid) {
            return Err(refused(
                "foreign_owner",
                format!(
                    "artifact {shown:?} belongs to uid {}, which drop.allowed_owners does not list",
                    meta.owner_uid
                ),
            ));
        }
        let limit = self.limits.max_artifact_bytes;
        if meta.size_bytes > limit {
            return Err(refused(
                "artifact_too_large",
                format!("artifact {shown:?} is larger than drop.max_artifact_bytes = {limit}"),
            ));
        }
        Ok(())
    }

    fn enough_room(&self, shown: &str, size_bytes: u64) -> Result<(), Outcome> {
        let stat = nix::sys::statvfs::statvfs(&self.staged)
            .map_err(|errno| Outcome::Later(format!("{}: {errno}", self.staged.display())))?;
        let free_bytes = stat.blocks_available().saturating_mul(stat.fragment_size());
        if free_bytes >= size_bytes.saturating_add(self.min_free_bytes) {
            return Ok(());
        }
        Err(Outcome::Later(format!(
            "no room for artifact {shown:?}: it has {size_bytes} bytes, {free_bytes} are free, and \
             agent.min_free_bytes = {} must be left",
            self.min_free_bytes
        )))
    }

    /// Copies at most one byte more than expected, so that a file that grows is noticed and not
    /// followed for ever.
    fn pump(
        &self,
        shown: &str,
        from: &mut File,
        to: &mut File,
        expected_bytes: u64,
        work: &Work,
    ) -> Result<Copied, Stopped> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut filled = self.fill(from, &mut buffer)?;
        let is_text = screen::is_text(&buffer[..filled]);
        if !is_text && filled > 0 && self.screening.binary == BinaryArtifacts::Quarantine {
            return Err(Stopped::Refused(Refusal::new(
                "binary_artifact",
                format!(
                    "artifact {shown:?} is not text, so it cannot be screened, and screening.binary = \
                     \"quarantine\""
                ),
            )));
        }
        let mut stream = self
            .screening
            .active()
            .filter(|_| is_text)
            .map(|(screen, key)| screen.stream(key));
        let (mut raw, mut stored) = (Sha256Stream::default(), Sha256Stream::default());
        let (mut raw_bytes, mut stored_bytes) = (0_u64, 0_u64);
        let mut screened = Vec::new();
        let mut store = |piece: &[u8]| {
            stored_bytes += piece.len() as u64;
            stored.update(piece);
            to.write_all(piece).map_err(Stopped::Failed)
        };
        while filled > 0 {
            let piece = &buffer[..filled];
            raw_bytes += filled as u64;
            if raw_bytes > expected_bytes {
                break;
            }
            raw.update(piece);
            match &mut stream {
                Some(stream) => {
                    stream.push(piece, &mut screened);
                    store(&screened)?;
                    screened.clear();
                }
                None => store(piece)?,
            }
            work.moved();
            filled = self.fill(from, &mut buffer)?;
        }
        let streamed = stream.map(|stream| stream.finish(&mut screened));
        store(&screened)?;
        Ok(Copied {
            raw_bytes,
            raw_sha256: raw.finish(),
            stored_bytes,
            stored_sha256: stored.finish(),
            streamed: streamed.unwrap_or_default(),
        })
    }

    /// Fills the buffer; less than that is the end.
    fn fill(&self, from: &mut File, buffer: &mut [u8]) -> Result<usize, Stopped> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.shared.stop.load(Ordering::Relaxed) {
                return Err(Stopped::Failed(std::io::Error::other("the agent stops")));
            }
            match from.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Stopped::Failed(error)),
            }
        }
        Ok(filled)
    }
}

/// Why a file was not copied.
enum Stopped {
    Failed(std::io::Error),
    Refused(Refusal),
}

/// What was taken out of staged files, as a bundle tells it: of a name at the name, of the bytes at the
/// file.
pub(crate) fn redactions(files: &[StagedFile]) -> impl Iterator<Item = Redaction> + '_ {
    files.iter().enumerate().flat_map(|(index, file)| {
        let of = |path: String, counts: &Counts| {
            let each = counts.iter().map(move |(rule, count)| Redaction {
                path: path.clone(),
                rule: rule.clone(),
                count: *count,
            });
            each.collect::<Vec<_>>()
        };
        let path = format!("/artifacts/files/{index}");
        let mut all = of(format!("{path}/name"), &file.name_counts);
        all.extend(of(path, &file.counts));
        all
    })
}

/// Removes what is staged for one drop.
pub(crate) fn remove_staged(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn not_opened(shown: &str, error: FileError) -> Outcome {
    match error {
        FileError::NotRegular { kind, .. } => refused(
            "artifact_not_a_file",
            format!("artifact {shown:?} is a {kind}; artifacts are plain files, without folders"),
        ),
        FileError::Denied { .. } => refused(
            "unreadable",
            format!(
                "the agent may not read artifact {shown:?}: producers leave files group-readable"
            ),
        ),
        error => Outcome::Later(error.to_string()),
    }
}

fn refused(code: &str, message: String) -> Outcome {
    Outcome::Refused(Refusal::new(code, message))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Every change under these locks is one insertion or removal, whole even after a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes whose keyed digest identifies the drop: the document, and what identifies each
/// artifact. A document holds no NUL, so no document alone has the same bytes.
pub(crate) fn source_bytes(mut document: Vec<u8>, files: &[StagedFile]) -> Vec<u8> {
    if files.is_empty() {
        return document;
    }
    document.extend_from_slice(b"\0artifacts\0");
    for file in files {
        document.extend_from_slice(&(file.recorded_name.len() as u64).to_be_bytes());
        document.extend_from_slice(file.recorded_name.as_bytes());
        document.extend_from_slice(&file.size_bytes.to_be_bytes());
        document.extend_from_slice(file.sha256.as_bytes());
    }
    document
}

/// The staged folder of a drop, by its token.
pub(crate) fn staged_folder(evidence: &Path, token: impl AsRef<OsStr>) -> PathBuf {
    evidence.join(STAGED).join(token.as_ref())
}
