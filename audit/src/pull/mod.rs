//! `pull`: selected evidence in a folder that stands by itself.
//!
//! The folder is laid out so that `verify.sh` in it, with stock cosign, jq and sha256sum and a key that
//! the auditor brings, can tell whether it is authentic and whether something that was asked for is left
//! out. It holds no time and no name of the machine that pulled, so the same pulled twice is the same,
//! byte for byte.
//!
//! Order: each object gets its name when it is whole and durable, and is then written into a journal; the
//! files that describe the folder come last, the list of all of them at the very end. So a pull that was
//! interrupted has no manifest, and goes on where it was.

mod choice;
mod fetch;
mod file;
mod manifest;
mod page;
mod record;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evidence::digest::Sha256;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::keyring::Keyring;
use crate::list::reader::Reader;
use crate::list::{Found, Progress, Row, Selection, search};
use crate::source::{Source, SourceError};
use choice::{Wanted, choose};
use fetch::{Fetch, is_here};
use manifest::{Drawn, ListedFile, Manifest};
use record::Record;
pub use sample::Sample;

/// The folder in what was pulled that is laid out as the bucket.
pub const EVIDENCE_FOLDER: &str = "evidence";
/// The file that says what was asked for, and lists every other one.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The script that lies in every pulled folder.
pub const VERIFY_SCRIPT: &str = include_str!("verify.sh");

const SUMS_FILE: &str = "manifest.sha256";
const STORE_FILE: &str = "store.json";
const PAGE_FILE: &str = "index.html";
const SCRIPT_FILE: &str = "verify.sh";
/// What is being pulled, while it is.
const ORDER_FILE: &str = ".pull.json";
const JOURNAL_FILE: &str = ".pull.journal";

/// So many bundles are fetched at a time.
const AT_ONCE: usize = 8;

/// Why nothing, or not all, was pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// What is stored could not be listed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file here could not be written or read.
    #[error("cannot write {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder holds something else.
    #[error("{} holds something else than an earlier pull of the same: {what}; name another folder", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        what: &'static str,
    },
    /// A task failed.
    #[error("a task did not end")]
    Task(#[from] tokio::task::JoinError),
}

impl PullError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What is asked for is being found.
    Finding(Progress),
    /// So many of so many bundles are here.
    Pulled(usize, usize),
}

/// What was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// What was found; its doubts include those of pulling.
    pub found: Found,
    /// Bundles that were asked for, and drawn, and are here.
    pub asked: usize,
    /// Custody and rotation bundles beside them.
    pub beside: usize,
    /// Of all bundles, those that had been pulled before.
    pub were_here: usize,
}

/// What makes two pulls the same.
#[derive(Serialize)]
struct Order<'a> {
    source: &'a str,
    query: &'a Selection,
    sample: Option<Sample>,
}

/// Pulls what answers the question, or a sample of it, into `folder`; or goes on with that.
///
/// # Errors
/// See [`PullError`]; what is not evidence or cannot be read is told in the answer instead.
pub async fn pull(
    source: &Arc<Source>,
    keyring: &Keyring,
    selection: &Selection,
    sample: Option<Sample>,
    folder: &Path,
    mut progress: impl FnMut(Step),
) -> Result<Pulled, PullError> {
    let source_name = if source.has_store_metadata() {
        source.uri()
    } else {
        "folder".to_owned()
    };
    let order = Order {
        source: &source_name,
        query: selection,
        sample,
    };
    begin(folder, &order)?;
    file::remove_leftovers(folder).map_err(PullError::file(folder))?;
    let mut found = search(source, keyring, selection, |step| {
        progress(Step::Finding(step))
    })
    .await?;
    let drawn = sample.map(|sample| {
        let members: Vec<Sha256> = found.rows.iter().map(|row| row.entry.sha256).collect();
        sample.draw(&members).into_iter().collect::<BTreeSet<_>>()
    });
    let wanted = choose(&found, selection, drawn.as_ref());
    let evidence = folder.join(EVIDENCE_FOLDER);
    let (journal, store) = (folder.join(JOURNAL_FILE), folder.join(STORE_FILE));
    let mut record = Record::open(&journal, &store).map_err(PullError::file(&journal))?;
    let were_here = fetch_all(
        source,
        &mut found,
        &wanted,
        &evidence,
        &mut record,
        |done, of| {
            progress(Step::Pulled(done, of));
        },
    )
    .await?;
    let rows: Vec<&Row> = found
        .rows
        .iter()
        .filter(|row| {
            drawn
                .as_ref()
                .is_none_or(|drawn| drawn.contains(&row.entry.sha256))
        })
        .collect();
    let asked = rows
        .iter()
        .filter(|row| record.objects.contains_key(&row.path))
        .count();
    describe(folder, &order, &found, &rows, &wanted, &record)?;
    for name in [JOURNAL_FILE, ORDER_FILE] {
        let path = folder.join(name);
        std::fs::remove_file(&path).map_err(PullError::file(&path))?;
    }
    Ok(Pulled {
        asked,
        beside: wanted.len().saturating_sub(rows.len()),
        were_here,
        found,
    })
}

/// An empty folder, or one in which the same was being pulled, or was.
fn begin(folder: &Path, order: &Order<'_>) -> Result<(), PullError> {
    std::fs::create_dir_all(folder).map_err(PullError::file(folder))?;
    let same = file::json(order).map_err(PullError::file(folder))?;
    let taken = |what| PullError::Taken {
        folder: folder.to_owned(),
        what,
    };
    let place = folder.join(ORDER_FILE);
    if let Ok(found) = std::fs::read(&place) {
        return if found == same {
            Ok(())
        } else {
            Err(taken("something else was being pulled into it"))
        };
    }
    let manifest = std::fs::read(folder.join(MANIFEST_FILE));
    if let Ok(manifest) = manifest {
        let whole: serde_json::Value = serde_json::from_slice(&manifest)
            .map_err(|_| taken("a manifest that cannot be read"))?;
        let wanted: serde_json::Value =
            serde_json::from_slice(&same).map_err(|_| taken("a manifest that cannot be read"))?;
        let sample_of = |value: &serde_json::Value| {
            let sample = &value["sample"];
            (sample["size"].clone(), sample["seed"].clone())
        };
        if whole["source"] != wanted["source"]
            || whole["query"] != wanted["query"]
            || sample_of(&whole) != sample_of(&wanted)
        {
            return Err(taken("something else was pulled into it"));
        }
    } else if std::fs::read_dir(folder)
        .map_err(PullError::file(folder))?
        .next()
        .is_some()
    {
        return Err(taken("files that no pull put there"));
    }
    file::write(&place, &same, 0o644).map_err(PullError::file(&place))
}

/// Fetches what is not here yet; how many bundles were.
async fn fetch_all(
    source: &Arc<Source>,
    found: &mut Found,
    wanted: &BTreeMap<String, Wanted>,
    evidence: &Path,
    record: &mut Record,
    mut progress: impl FnMut(usize, usize),
) -> Result<usize, PullError> {
    let trust = found.trust.clone();
    let mut missing = Vec::new();
    let mut were_here = 0;
    for (path, wanted) in wanted {
        let key_of = |id: &str| trust.key(id).cloned();
        if is_here(evidence, path, wanted.sha256, record, key_of) {
            were_here += 1;
        } else {
            missing.push((path.clone(), wanted.sha256));
        }
    }
    let mut done = were_here;
    let mut tasks = JoinSet::new();
    let mut missing = missing.into_iter();
    loop {
        while tasks.len() < AT_ONCE
            && let Some((path, sha256)) = missing.next()
        {
            let Some(held) = found.held(&path).cloned() else {
                continue;
            };
            let fetch = Fetch {
                reader: Reader::new(source, trust.clone()),
                folder: evidence.to_owned(),
                path,
                held,
                sha256,
            };
            tasks.spawn(fetch.run());
        }
        let Some(fetched) = tasks.join_next().await else {
            break;
        };
        let fetched = fetched??;
        let journal = evidence.join(JOURNAL_FILE);
        record
            .add(fetched.objects)
            .map_err(PullError::file(&journal))?;
        for (path, doubt) in fetched.doubts {
            found.doubt(path, doubt);
        }
        done += 1;
        progress(done, wanted.len());
    }
    found.doubtful.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(were_here)
}

/// The files that describe the folder, their own list last.
fn describe(
    folder: &Path,
    order: &Order<'_>,
    found: &Found,
    rows: &[&Row],
    wanted: &BTreeMap<String, Wanted>,
    record: &Record,
) -> Result<(), PullError> {
    let mut files: Vec<(String, u64, Sha256)> = Vec::new();
    let mut put = |name: &str, bytes: &[u8], mode| {
        let path = folder.join(name);
        file::write(&path, bytes, mode).map_err(PullError::file(&path))?;
        files.push((name.to_owned(), bytes.len() as u64, Sha256::of(bytes)));
        Ok::<(), PullError>(())
    };
    for (id, key) in &found.keys {
        let name = format!("keys/{}.pub", id.trim_start_matches("sha256:"));
        put(&name, key.to_pem().as_bytes(), 0o644)?;
    }
    put(SCRIPT_FILE, VERIFY_SCRIPT.as_bytes(), 0o755)?;
    let in_place = |path: &String| {
        let bundle = path.split_once("/artifacts/").map_or_else(
            || path.trim_end_matches(".bundle").to_owned(),
            |(b, _)| format!("{b}.json"),
        );
        wanted.contains_key(&bundle)
    };
    let paths = || record.objects.keys().filter(|path| in_place(path));
    let failed = PullError::file(folder);
    let store = record.to_json(paths()).map_err(failed)?;
    put(STORE_FILE, &store, 0o644)?;
    let sample = order.sample.map(|sample| Drawn::new(sample, &found.rows));
    let drawn = order.sample.map(|sample| {
        format!(
            "A sample of {} from {} bundles, drawn by the seed {}.",
            rows.len(),
            found.rows.len(),
            sample.seed
        )
    });
    let page = page::page(order.source, order.query, drawn, rows, wanted);
    put(PAGE_FILE, &page.map_err(PullError::file(folder))?, 0o644)?;
    for path in paths() {
        let object = &record.objects[path];
        let path = format!("{EVIDENCE_FOLDER}/{path}");
        files.push((path, object.size_bytes, object.sha256));
    }
    files.sort();
    let manifest = Manifest {
        manifest_version: 1,
        made_by: "msp-evidence pull",
        source: order.source,
        query: order.query,
        sample,
        hosts: manifest::hosts(found),
        bundles: manifest::bundles(wanted),
        not_stored: not_stored(rows),
        doubtful: &found.doubtful,
        files: files
            .iter()
            .map(|(path, size_bytes, sha256)| ListedFile {
                path,
                size_bytes: *size_bytes,
                sha256: *sha256,
            })
            .collect(),
    };
    let manifest = file::json(&manifest).map_err(PullError::file(folder))?;
    let path = folder.join(MANIFEST_FILE);
    file::write(&path, &manifest, 0o644).map_err(PullError::file(&path))?;
    let mut sums: Vec<(String, Sha256)> = files
        .iter()
        .map(|(path, _, sha256)| (path.clone(), *sha256))
        .collect();
    sums.push((MANIFEST_FILE.to_owned(), Sha256::of(&manifest)));
    let path = folder.join(SUMS_FILE);
    file::write(&path, &manifest::sums(&sums), 0o644).map_err(PullError::file(&path))
}

fn not_stored<'a>(rows: &[&'a Row]) -> Vec<&'a str> {
    let missing = rows.iter().filter(|row| !row.is_stored);
    missing.map(|row| row.path.as_str()).collect()
}
