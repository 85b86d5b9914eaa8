//! The whole question: every host that it names, chain by chain, and then the words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evidence::digest::Sha256;
use evidence::keys::PublicKey;
use serde::Serialize;

use super::Selection;
use super::holdings::{Chain, Holdings};
use super::reader::{Reader, Reading};
use super::row::Row;
use super::trust::Trust;
use super::walk::{Covering, Walk};
use crate::keyring::Keyring;
use crate::source::{Source, SourceError};

/// Why something is not listed as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum Doubt {
    /// It was looked at, and is not evidence.
    Failed(String),
    /// It could not be looked at, or not judged.
    CouldNotCheck(String),
}

/// Something that is not listed as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubtful {
    /// The bundle.
    pub path: String,
    /// Why.
    #[serde(flatten)]
    pub doubt: Doubt,
}

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many versions were listed.
    Listed(u64),
    /// So many bundles and signatures were fetched.
    Fetched(u64),
    /// So many of so many bundles were searched for words.
    Searched(usize, usize),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The answers, by client, host, time of sealing and place.
    pub rows: Vec<Row>,
    /// What is not listed because it is not proven, by path.
    pub doubtful: Vec<Doubtful>,
    /// Every host of which something is stored, or was said, that the question names: client, host.
    pub hosts: BTreeSet<(String, String)>,
    /// Bundles with more than one version or a delete marker; the first that is proven counts.
    pub overlaid: BTreeSet<String>,
    /// Versions that were listed.
    pub listed: u64,
    /// Bundles and signatures that were fetched to answer.
    pub fetched: u64,
    /// The keys whose word was believed, by fingerprint.
    pub keys: BTreeMap<String, PublicKey>,
    /// Everything that is believed by now.
    pub(crate) trust: Trust,
    pub(crate) custody: Vec<Covering>,
    /// Rotations, by path.
    pub(crate) rotations: BTreeMap<String, Sha256>,
    pub(crate) chains: Vec<Chain>,
}

impl Found {
    pub(crate) fn doubt(&mut self, path: String, doubt: Doubt) {
        let doubtful = Doubtful { path, doubt };
        if !self.doubtful.contains(&doubtful) {
            self.doubtful.push(doubtful);
        }
    }

    /// How many answers are named by custody and not stored here.
    #[must_use]
    pub fn not_stored(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_stored).count()
    }
}

/// Finds what answers the question; nothing that is not proven with these keys.
///
/// # Errors
/// When what is stored cannot be listed. What cannot be read is told in the answer.
pub async fn search(
    source: &Arc<Source>,
    keyring: &Keyring,
    selection: &Selection,
    mut progress: impl FnMut(Progress),
) -> Result<Found, SourceError> {
    let holdings = Holdings::list(source, selection, |n| progress(Progress::Listed(n))).await?;
    let mut found = Found {
        listed: holdings.listed,
        ..Found::default()
    };
    let mut reader = Reader::new(source, Trust::new(keyring));
    let mut chains = Vec::new();
    for chain in holdings.into_chains() {
        found
            .hosts
            .insert((chain.client_id.clone(), chain.host_id.clone()));
        Walk::new(&mut reader, selection, &mut found, &chain)
            .run(|n| progress(Progress::Fetched(n)))
            .await;
        chains.push(chain);
    }
    found.chains = chains;
    if !selection.words.is_empty() {
        keep_with_words(&mut found, &mut reader, selection, progress).await;
    }
    found.rows.sort_by(|a, b| order(a).cmp(&order(b)));
    found.doubtful.sort_by(|a, b| a.path.cmp(&b.path));
    found.fetched = reader.fetched;
    found.keys = reader
        .trust
        .heard()
        .map(|key| (key.key_id(), key.clone()))
        .collect();
    found.trust = reader.trust;
    Ok(found)
}

fn order(row: &Row) -> (&str, &str, jiff::Timestamp, &str, u64) {
    (
        &row.client_id,
        &row.host_id,
        row.entry.generated_at,
        &row.chain_id,
        row.entry.sequence,
    )
}

/// No index knows the words in a bundle: each is read.
async fn keep_with_words(
    found: &mut Found,
    reader: &mut Reader,
    selection: &Selection,
    mut progress: impl FnMut(Progress),
) {
    let rows = std::mem::take(&mut found.rows);
    let count = rows.len();
    for (done, row) in rows.into_iter().enumerate() {
        progress(Progress::Searched(done + 1, count));
        match found.read(reader, &row.path).await {
            Some(Reading::Proven(proven)) if proven.bundle.sha256() != row.entry.sha256 => {
                let reason = "its bytes are not those that custody lists".to_owned();
                found.doubt(row.path, Doubt::Failed(reason));
            }
            Some(Reading::Proven(proven)) => {
                if selection.holds_words(proven.bundle.document()) {
                    found.rows.push(row);
                }
            }
            Some(Reading::UnknownKey(key_id)) => {
                let reason = format!("signed by a key that is not trusted: {key_id}");
                found.doubt(row.path, Doubt::Failed(reason));
            }
            Some(Reading::Doubtful(doubt)) => found.doubt(row.path, doubt),
            None => {
                let reason = "custody lists it, and it is not stored here".to_owned();
                found.doubt(row.path, Doubt::CouldNotCheck(reason));
            }
        }
    }
}

impl Found {
    /// Reads a bundle that was listed; `None` when it is not stored.
    pub(crate) async fn read(&self, reader: &mut Reader, path: &str) -> Option<Reading> {
        let held = self.held(path)?;
        Some(reader.read(path, held).await)
    }

    pub(crate) fn held(&self, path: &str) -> Option<&super::holdings::Held> {
        let place = crate::place::Place::of(path)?;
        let id = place.bundle_id.parse().ok()?;
        self.chains
            .iter()
            .find(|chain| {
                chain.client_id == place.client_id
                    && chain.host_id == place.host_id
                    && chain.chain_id == place.chain_id
            })?
            .bundles
            .get(&id)
    }
}
