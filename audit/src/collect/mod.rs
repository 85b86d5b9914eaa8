//! Collecting: everything is listed, then read, into the ledger.
//!
//! Tasks read, one writer writes: what is in flight and what is not written down yet is bounded, so
//! memory does not grow with the bucket. A page is written together with where the next one begins, and
//! what is read is marked as read with what was found in it, so an interruption at any point costs
//! no more than the last moments.

mod examine;
mod read;
mod ring;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use read::{Done, Reader};
use ring::Ring;

use crate::keyring::Keyring;
use crate::ledger::{Ledger, LedgerError, ListedTo, Read, Signed, Unit, us};
use crate::source::{Source, SourceError};

/// Written down together.
const BATCH: usize = 256;
/// Written down as soon as there is so much.
const BATCH_BYTES: u64 = 16 << 20;
/// So many units in a row that only met an outage: the store is away.
const OUTAGE: u32 = 24;

/// How to collect.
#[derive(Debug, Clone)]
pub struct Collecting {
    /// What is looked at, below the source: folders that end in `/`, or the whole of it (empty).
    pub folders: Vec<String>,
    /// So many reads at once.
    pub jobs: usize,
    /// The store's SHA-256 of an artifact is believed, where it has one, and the bytes are not read.
    pub trust_checksums: bool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many versions are listed.
    Listing(u64),
    /// So many of so many versions are read.
    Reading {
        /// Read in this run.
        read: u64,
        /// To be read in this run, as far as is known.
        of: u64,
    },
    /// Everything is read.
    Judging,
}

/// How collecting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// Everything was listed and asked for.
    Whole,
    /// It was told to stop; with the same working file it goes on.
    Interrupted,
}

/// Lists and reads whatever the ledger lacks. `stop` ends it at the next moment.
///
/// What cannot be listed or read is no error: it is written down, and judged as not checked.
///
/// # Errors
/// When the ledger fails.
pub async fn collect(
    ledger: &Ledger,
    source: Source,
    keyring: &Keyring,
    options: &Collecting,
    mut stop: watch::Receiver<bool>,
    mut progress: impl FnMut(Progress),
) -> Result<Collected, LedgerError> {
    ledger.set_meta("problem", "")?;
    // What is read from here on was not judged.
    ledger.set_judged_by(None)?;
    if !list(ledger, &source, options, &mut stop, &mut progress).await? {
        return Ok(Collected::Interrupted);
    }
    if ledger.meta("now_us")?.is_none() {
        let now = source.now().unwrap_or_else(Timestamp::now);
        ledger.set_meta("now_us", &us(now).to_string())?;
    }
    ledger.read_again()?;
    let reader = Arc::new(Reader {
        source,
        ring: Ring::new(keyring, &ledger.rotated_keys()?),
        trust_checksums: options.trust_checksums,
        large: Semaphore::new(1),
    });
    let mut work = Work {
        ledger,
        reader,
        jobs: options.jobs.max(1),
        batch: Vec::new(),
        batch_bytes: 0,
        read: 0,
        of: ledger.to_read()?,
        outages: 0,
    };
    loop {
        match work.run(&mut stop, &mut progress).await? {
            Ended::Whole => {}
            Ended::Outage => {
                ledger.set_meta("problem", "the store did not answer any more")?;
                return Ok(Collected::Whole);
            }
            Ended::Interrupted => return Ok(Collected::Interrupted),
        }
        // Rotations that were read led to keys that others had been waiting for.
        let mut again = 0;
        for key_id in work.reader.ring.key_ids() {
            again += ledger.read_again_with(&key_id)?;
        }
        if again == 0 {
            return Ok(Collected::Whole);
        }
        work.of += again as u64;
    }
}

/// Whether it came to its end, or to a problem that is written down; `false` when it was told to
/// stop.
async fn list(
    ledger: &Ledger,
    source: &Source,
    options: &Collecting,
    stop: &mut watch::Receiver<bool>,
    progress: &mut impl FnMut(Progress),
) -> Result<bool, LedgerError> {
    let mut at = ledger.listed_to()?;
    let mut listed = 0;
    while !at.is_done {
        let Some(below) = options.folders.get(at.folders) else {
            break;
        };
        let page = tokio::select! {
            page = source.list(below, at.after.as_ref()) => page,
            () = told(stop) => return Ok(false),
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                note_unlisted(ledger, &error)?;
                return Ok(true);
            }
        };
        listed += page.entries.len() as u64;
        let folders = at.folders + usize::from(page.next.is_none());
        at = ListedTo {
            folders,
            is_done: folders == options.folders.len(),
            after: page.next.clone(),
        };
        ledger.add_page(&page, &at)?;
        progress(Progress::Listing(listed));
    }
    ledger.set_meta("unlisted", "")?;
    Ok(true)
}

fn note_unlisted(ledger: &Ledger, error: &SourceError) -> Result<(), LedgerError> {
    ledger.set_meta("unlisted", &evidence::causes(error))
}

/// Returns when told to stop; whoever told is gone, nobody will.
async fn told(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

enum Ended {
    Whole,
    Outage,
    Interrupted,
}

struct Work<'a> {
    ledger: &'a Ledger,
    reader: Arc<Reader>,
    jobs: usize,
    batch: Vec<Read>,
    batch_bytes: u64,
    read: u64,
    of: u64,
    outages: u32,
}

impl Work<'_> {
    /// Reads until nothing is left: bundles and records with their signatures first, then whatever else there is,
    /// signatures without a bundle among it.
    async fn run(
        &mut self,
        stop: &mut watch::Receiver<bool>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Ended, LedgerError> {
        for kind in [Signed::Bundle, Signed::Record] {
            let mut after = String::new();
            let units = |ledger: &Ledger, most| {
                let units = ledger.signed_to_read(kind, &after, most)?;
                if let Some(Unit::Signed { path, .. }) = units.last() {
                    after.clone_from(path);
                }
                Ok(units)
            };
            let ended = self.all(units, stop, progress).await?;
            if !matches!(ended, Ended::Whole) {
                return Ok(ended);
            }
        }
        let mut after = 0;
        let objects = |ledger: &Ledger, most| {
            let objects = ledger.objects_to_read(after, most)?;
            after = objects.last().map_or(after, |last| last.version_rowid);
            Ok(objects.into_iter().map(Unit::Object).collect())
        };
        self.all(objects, stop, progress).await
    }

    /// Reads all that `more` gives, a few at a time.
    async fn all(
        &mut self,
        mut more: impl FnMut(&Ledger, usize) -> Result<Vec<Unit>, LedgerError>,
        stop: &mut watch::Receiver<bool>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Ended, LedgerError> {
        let mut waiting: VecDeque<Unit> = VecDeque::new();
        let mut in_flight: JoinSet<Done> = JoinSet::new();
        let mut is_all = false;
        loop {
            while in_flight.len() < self.jobs {
                if waiting.is_empty() && !is_all {
                    waiting = more(self.ledger, self.jobs * 4)?.into();
                    is_all = waiting.is_empty();
                }
                let Some(unit) = waiting.pop_front() else {
                    break;
                };
                let reader = Arc::clone(&self.reader);
                in_flight.spawn(async move { reader.read(unit).await });
            }
            let joined = tokio::select! {
                joined = in_flight.join_next() => joined,
                () = told(stop) => {
                    self.write()?;
                    return Ok(Ended::Interrupted);
                }
            };
            let Some(joined) = joined else {
                self.write()?;
                return Ok(Ended::Whole);
            };
            // A task that panicked has read nothing: its versions stay unread, and count as such.
            let Ok(done) = joined else { continue };
            self.take(done)?;
            progress(Progress::Reading {
                read: self.read,
                of: self.of,
            });
            if self.outages >= OUTAGE {
                self.write()?;
                return Ok(Ended::Outage);
            }
        }
    }

    fn take(&mut self, done: Done) -> Result<(), LedgerError> {
        self.outages = if done.is_outage { self.outages + 1 } else { 0 };
        self.read += done.versions;
        self.batch_bytes += done.kept_bytes;
        self.batch.push(done.read);
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), LedgerError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.ledger
            .together(|| batch.iter().try_for_each(|read| self.ledger.add_read(read)))
    }
}
