//! One chain, from its newest bundle back: a custody bundle speaks for all that it covers, and names
//! the custody bundle before it; only what none covers is read itself.
//!
//! Nothing is believed that is not proven. The order in which bundles are read does not matter for what
//! is found, only for how much must be read: names follow the order of sealing unless a clock was set
//! back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use evidence::bundle::{BundleId, ChainPosition, Kind};
use evidence::custody::{Covers, Custody, SealedEntry};
use evidence::digest::Sha256;
use jiff::Timestamp;

use super::holdings::Chain;
use super::reader::{Proven, Reader, Reading};
use super::row::{Row, entry_of, path_of};
use super::search::Found;
use super::{Doubt, Selection};

/// So many bundles below the place where an unknown key begins are looked at for its rotation: a clock
/// that was set back puts names out of order.
const ROTATION_NEARBY: usize = 8;
/// At least so many bundles after a period are looked at for the custody that covers its end.
const AFTER_PERIOD: usize = 64;

/// A custody bundle that was read and believed.
#[derive(Debug, Clone)]
pub(crate) struct Covering {
    pub(crate) client_id: String,
    pub(crate) host_id: String,
    pub(crate) position: ChainPosition,
    pub(crate) path: String,
    pub(crate) generated_at: Timestamp,
    pub(crate) covers: Option<Covers>,
}

/// A walk over one chain.
pub(crate) struct Walk<'a> {
    reader: &'a mut Reader,
    selection: &'a Selection,
    found: &'a mut Found,
    chain: &'a Chain,
    /// Every bundle that is stored, by name.
    ids: Vec<BundleId>,
    /// What custody has spoken for, or was read itself.
    known: BTreeMap<BundleId, Sha256>,
    /// Of them, custody bundles that are to be read.
    custody: BTreeSet<BundleId>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        reader: &'a mut Reader,
        selection: &'a Selection,
        found: &'a mut Found,
        chain: &'a Chain,
    ) -> Self {
        Self {
            reader,
            selection,
            found,
            chain,
            ids: chain.bundles.keys().copied().collect(),
            known: BTreeMap::new(),
            custody: BTreeSet::new(),
        }
    }

    /// Finds what the chain has of what is asked for.
    pub(crate) async fn run(&mut self, mut progress: impl FnMut(u64)) {
        self.follow_rotations().await;
        let wanted = self.wanted();
        if wanted.is_empty() {
            if wanted.start == self.ids.len() {
                self.find_last_custody().await;
            }
            return;
        }
        self.find_custody_after(&wanted).await;
        for at in wanted.rev() {
            let id = self.ids[at];
            if !self.known.contains_key(&id) || self.custody.contains(&id) {
                self.read(id).await;
                progress(self.reader.fetched);
            }
        }
        // One before the period, so that it shows where the custody of the period begins.
        if let Some(before) = self.custody.pop_last() {
            self.read(before).await;
        }
    }

    /// Which of the stored bundles can answer, going by the days in their names.
    fn wanted(&self) -> Range<usize> {
        let (from, to) = self.selection.days();
        let first = self
            .ids
            .partition_point(|id| from.is_some_and(|day| id.day() < day));
        let end = self
            .ids
            .partition_point(|id| to.is_none_or(|day| id.day() <= day));
        first..end.max(first)
    }

    /// Reads on behind the period until a custody bundle speaks for its last bundle.
    async fn find_custody_after(&mut self, wanted: &Range<usize>) {
        let most = wanted.len().max(AFTER_PERIOD);
        let last = self.ids[wanted.end - 1];
        for at in (wanted.end..self.ids.len()).take(most) {
            self.read(self.ids[at]).await;
            if self.known.contains_key(&last) {
                break;
            }
        }
    }

    /// Of a chain that ended before the period: the chain that follows names its last custody bundle.
    async fn find_last_custody(&mut self) {
        let ended = self.ids.len();
        for at in (ended.saturating_sub(AFTER_PERIOD)..ended).rev() {
            let before = self.found.custody.len();
            self.read(self.ids[at]).await;
            if self.found.custody.len() > before {
                return;
            }
        }
    }

    fn path(&self, id: BundleId) -> String {
        let chain = self.chain;
        path_of(
            &chain.client_id,
            &chain.host_id,
            &chain.chain_id,
            &id.to_string(),
        )
        .unwrap_or_default()
    }

    async fn read(&mut self, id: BundleId) {
        let path = self.path(id);
        let Some(held) = self.chain.bundles.get(&id) else {
            return;
        };
        self.custody.remove(&id);
        if held.is_overlaid() {
            self.found.overlaid.insert(path.clone());
        }
        let proven = match self.reader.read(&path, held).await {
            Reading::Proven(proven) => proven,
            Reading::UnknownKey(key_id) => {
                let reason = format!("signed by a key that is not trusted: {key_id}");
                self.found.doubt(path, Doubt::Failed(reason));
                return;
            }
            Reading::Doubtful(doubt) => {
                self.found.doubt(path, doubt);
                return;
            }
        };
        match self.known.get(&id).copied() {
            Some(listed) if listed != proven.bundle.sha256() => {
                let reason = "its bytes are not those that custody lists".to_owned();
                self.found.doubt(path, Doubt::Failed(reason));
                return;
            }
            Some(_) => {}
            None => {
                self.known.insert(id, proven.bundle.sha256());
                self.add(entry_of(&proven.bundle), &path, None);
            }
        }
        if proven.bundle.header().kind == Kind::Custody {
            self.believe(&proven, &path);
        }
    }

    /// Takes over what a custody bundle says.
    fn believe(&mut self, proven: &Proven, path: &str) {
        let custody = match Custody::read(&proven.bundle) {
            Ok(custody) => custody,
            Err(error) => {
                let reason = evidence::causes(&error);
                self.found.doubt(path.to_owned(), Doubt::Failed(reason));
                return;
            }
        };
        let header = proven.bundle.header();
        self.found.custody.push(Covering {
            client_id: header.client_id.clone(),
            host_id: header.host_id.clone(),
            position: ChainPosition {
                chain_id: header.chain.chain_id.clone(),
                sequence: header.chain.sequence,
                sha256: proven.bundle.sha256(),
            },
            path: path.to_owned(),
            generated_at: header.generated_at,
            covers: custody.covers,
        });
        for entry in custody.sealed {
            let Ok(id) = entry.bundle_id.parse::<BundleId>() else {
                let reason = format!("it lists {:?}, which is no bundle's name", entry.bundle_id);
                self.found.doubt(path.to_owned(), Doubt::Failed(reason));
                continue;
            };
            match self.known.insert(id, entry.sha256) {
                Some(known) if known == entry.sha256 => continue,
                Some(_) => {
                    let reason = format!("it lists {id} with other bytes than are known of it");
                    self.found.doubt(path.to_owned(), Doubt::Failed(reason));
                    continue;
                }
                None => {}
            }
            if entry.kind == Kind::Custody {
                self.custody.insert(id);
            }
            let entry_path = self.path(id);
            self.add(entry, &entry_path, Some(&header.bundle_id));
        }
    }

    fn add(&mut self, entry: SealedEntry, path: &str, listed_by: Option<&str>) {
        let chain = self.chain;
        if entry.kind == Kind::Rotation {
            self.found.rotations.insert(path.to_owned(), entry.sha256);
        }
        if !self
            .selection
            .holds(&chain.client_id, &chain.host_id, &entry)
        {
            return;
        }
        let held = entry
            .bundle_id
            .parse()
            .ok()
            .and_then(|id: BundleId| chain.bundles.get(&id));
        if held.is_some_and(super::holdings::Held::is_overlaid) {
            self.found.overlaid.insert(path.to_owned());
        }
        self.found.rows.push(Row {
            client_id: chain.client_id.clone(),
            host_id: chain.host_id.clone(),
            chain_id: chain.chain_id.clone(),
            entry,
            received_at: held
                .and_then(|held| held.bundles.first())
                .and_then(|version| version.received_at),
            path: path.to_owned(),
            listed_by: listed_by.map(str::to_owned),
            is_stored: held.is_some_and(super::holdings::Held::is_whole),
        });
    }

    /// Follows rotations until the key of the newest bundle is known, or none leads on. What stands
    /// before an unknown key is found by halves, since a key once left is not used again.
    async fn follow_rotations(&mut self) {
        let mut known_to = 0;
        while let Some(first_unknown) = self.first_unknown_key(known_to).await {
            let nearby = first_unknown.saturating_sub(ROTATION_NEARBY)..first_unknown;
            let mut led_on = false;
            for at in nearby.rev() {
                if self.follow(self.ids[at]).await {
                    led_on = true;
                    break;
                }
            }
            // A rotation that leads elsewhere leads nowhere here.
            if !led_on || !self.has_known_key(first_unknown).await {
                return;
            }
            known_to = first_unknown;
        }
    }

    /// The first bundle, by name, whose signature names a key that is not trusted, if the newest does.
    async fn first_unknown_key(&mut self, known_to: usize) -> Option<usize> {
        let (mut known, mut unknown) = (known_to, self.ids.len().checked_sub(1)?);
        if self.has_known_key(unknown).await {
            return None;
        }
        while known < unknown {
            let middle = known + (unknown - known) / 2;
            if self.has_known_key(middle).await {
                known = middle + 1;
            } else {
                unknown = middle;
            }
        }
        Some(unknown)
    }

    /// What names no key at all leads nowhere, and is judged when it is read.
    async fn has_known_key(&mut self, at: usize) -> bool {
        let id = self.ids[at];
        let (path, Some(held)) = (self.path(id), self.chain.bundles.get(&id)) else {
            return true;
        };
        match self.reader.named_key(&path, held).await {
            Some(key_id) => self.reader.trust.key(&key_id).is_some(),
            None => true,
        }
    }

    /// Whether this is a rotation to a key that was not trusted before.
    async fn follow(&mut self, id: BundleId) -> bool {
        let path = self.path(id);
        let Some(held) = self.chain.bundles.get(&id) else {
            return false;
        };
        let Reading::Proven(proven) = self.reader.read(&path, held).await else {
            // It is read again, and said, where it is asked for.
            return false;
        };
        if proven.bundle.header().kind != Kind::Rotation {
            return false;
        }
        self.found
            .rotations
            .insert(path.clone(), proven.bundle.sha256());
        match self.reader.trust.follow(&proven.bundle) {
            Ok(()) => true,
            Err(doubt) => {
                self.found.doubt(path, doubt);
                false
            }
        }
    }
}
