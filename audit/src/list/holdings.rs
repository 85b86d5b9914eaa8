//! What is stored of each chain, by the names of bundles: one listing, and nothing read.

use std::collections::BTreeMap;

use evidence::bundle::BundleId;
use evidence::handover::Role;
use jiff::Timestamp;

use super::Selection;
use crate::place::Place;
use crate::source::{Listed, Marker, Source, SourceError};

/// One version of an object.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: Box<str>,
    /// When the store got it; a folder does not tell.
    pub(crate) received_at: Option<Timestamp>,
}

/// What is stored of a bundle, each the oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    pub(crate) bundles: Vec<Version>,
    pub(crate) signatures: Vec<Version>,
    /// A delete marker lies over one of the two.
    is_hidden: bool,
}

impl Held {
    pub(crate) fn is_whole(&self) -> bool {
        !self.bundles.is_empty() && !self.signatures.is_empty()
    }

    /// More than one version, or a delete marker.
    pub(crate) fn is_overlaid(&self) -> bool {
        self.is_hidden || self.bundles.len() > 1 || self.signatures.len() > 1
    }
}

/// The bundles that are stored of one chain, by name: nearly the order in which they were sealed.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) client_id: String,
    pub(crate) host_id: String,
    pub(crate) chain_id: String,
    pub(crate) bundles: BTreeMap<BundleId, Held>,
}

/// Everything that was listed.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    chains: BTreeMap<(String, String, String), Chain>,
    /// Versions and delete markers.
    pub(crate) listed: u64,
}

impl Holdings {
    /// Lists what can answer the question, by client and host.
    pub(crate) async fn list(
        source: &Source,
        selection: &Selection,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, SourceError> {
        let mut holdings = Self::default();
        for below in folders(selection) {
            let mut after: Option<Marker> = None;
            loop {
                let page = source.list(&below, after.as_ref()).await?;
                for listed in &page.entries {
                    holdings.add(listed, selection);
                }
                progress(holdings.listed);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        for chain in holdings.chains.values_mut() {
            for held in chain.bundles.values_mut() {
                // They were listed the newest first.
                held.bundles.reverse();
                held.signatures.reverse();
            }
        }
        Ok(holdings)
    }

    fn add(&mut self, listed: &Listed, selection: &Selection) {
        self.listed += 1;
        let Some(place) = Place::of(&listed.path) else {
            return;
        };
        let Ok(id) = place.bundle_id.parse() else {
            return;
        };
        if place.role == Role::Artifact || !selection.names_host(place.client_id, place.host_id) {
            return;
        }
        let name = (
            place.client_id.to_owned(),
            place.host_id.to_owned(),
            place.chain_id.to_owned(),
        );
        let chain = self.chains.entry(name).or_insert_with(|| Chain {
            client_id: place.client_id.to_owned(),
            host_id: place.host_id.to_owned(),
            chain_id: place.chain_id.to_owned(),
            bundles: BTreeMap::new(),
        });
        let held = chain.bundles.entry(id).or_default();
        let version = Version {
            id: listed.version_id.as_str().into(),
            received_at: listed.last_modified,
        };
        match place.role {
            _ if listed.is_delete_marker => held.is_hidden = true,
            Role::Signature => held.signatures.push(version),
            _ => held.bundles.push(version),
        }
    }

    /// Each chain, in the order of clients, hosts and chain ids, which is that of their making.
    pub(crate) fn into_chains(self) -> impl Iterator<Item = Chain> {
        self.chains.into_values()
    }
}

/// The folders in which an answer can lie: as few as the question allows.
fn folders(selection: &Selection) -> Vec<String> {
    if selection.clients.is_empty() {
        return vec![String::new()];
    }
    let mut folders: Vec<String> = selection
        .clients
        .iter()
        .flat_map(|client| {
            if selection.hosts.is_empty() {
                vec![format!("{client}/")]
            } else {
                let hosts = selection.hosts.iter();
                hosts.map(|host| format!("{client}/{host}/")).collect()
            }
        })
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_that_the_question_names_are_listed() {
        let of = |clients: &[&str], hosts: &[&str]| {
            let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
            folders(&Selection {
                clients: texts(clients),
                hosts: texts(hosts),
                ..Selection::default()
            })
        };
        assert_eq!(of(&[], &[]), [""]);
        assert_eq!(of(&[], &["h"]), [""]);
        assert_eq!(of(&["b", "a", "b"], &[]), ["a/", "b/"]);
        assert_eq!(of(&["a"], &["h", "g"]), ["a/g/", "a/h/"]);
    }
}
