//! Listings in S3's order, page by page: keys by their bytes, versions newest first.

use super::Store;
use super::bucket::Bucket;
use super::refusal::Refusal;
use super::version::Version;

/// What a listing asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) prefix: String,
    /// Groups keys up to and with the first delimiter after the prefix.
    pub(crate) delimiter: Option<String>,
    /// Starts after this key (or group).
    pub(crate) key_marker: Option<String>,
    /// Starts after this version of the key marker; else after all of its versions.
    pub(crate) version_marker: Option<String>,
    /// At most that many entries and groups.
    pub(crate) max_entries: usize,
}

/// One page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Versions, each with whether it is its key's current one.
    pub(crate) entries: Vec<(Version, bool)>,
    /// Common prefixes.
    pub(crate) groups: Vec<String>,
    /// The markers of the next page: a key or group, and a version unless whole keys are listed.
    pub(crate) next: Option<(String, Option<String>)>,
}

impl Store {
    /// A page of current versions; keys under a delete marker are left out.
    pub(crate) fn list_current(&self, bucket: &str, listing: &Listing) -> Result<Page, Refusal> {
        let state = self.state();
        Ok(page(state.bucket(bucket)?, listing, true))
    }

    /// A page of versions and delete markers.
    pub(crate) fn list_versions(&self, bucket: &str, listing: &Listing) -> Result<Page, Refusal> {
        let state = self.state();
        Ok(page(state.bucket(bucket)?, listing, false))
    }
}

fn page(bucket: &Bucket, listing: &Listing, current_only: bool) -> Page {
    let mut page = Page::default();
    let mut last = None;
    for (key, versions) in bucket.keys.range(listing.prefix.clone()..) {
        if !key.starts_with(&listing.prefix) {
            break;
        }
        let listed = |version: &&Version| !(current_only && version.is_delete_marker);
        let newest_first = versions
            .iter()
            .rev()
            .take(if current_only { 1 } else { usize::MAX });
        let candidates: Vec<&Version> = newest_first.filter(listed).collect();
        if candidates.is_empty() {
            continue;
        }
        if let Some(group) = group(key, listing) {
            let seen = listing
                .key_marker
                .as_deref()
                .is_some_and(|m| m >= key.as_str() || m == group)
                || page.groups.last().is_some_and(|g| g == group);
            if !seen {
                if page.entries.len() + page.groups.len() == listing.max_entries {
                    page.next = last;
                    return page;
                }
                page.groups.push(group.to_owned());
                last = Some((group.to_owned(), None));
            }
            continue;
        }
        for version in after_marker(key, candidates, listing) {
            if page.entries.len() + page.groups.len() == listing.max_entries {
                page.next = last;
                return page;
            }
            let is_latest = versions
                .last()
                .is_some_and(|top| top.sequence == version.sequence);
            let version_marker = (!current_only).then(|| version.version_id.clone());
            page.entries.push((version.clone(), is_latest));
            last = Some((key.clone(), version_marker));
        }
    }
    page
}

/// The common prefix that a key falls under.
fn group<'a>(key: &'a str, listing: &Listing) -> Option<&'a str> {
    let delimiter = listing.delimiter.as_deref().filter(|d| !d.is_empty())?;
    let rest = &key[listing.prefix.len()..];
    rest.find(delimiter)
        .map(|at| &key[..listing.prefix.len() + at + delimiter.len()])
}

/// What of a key's versions lies after the markers.
fn after_marker<'a>(
    key: &str,
    newest_first: Vec<&'a Version>,
    listing: &Listing,
) -> Vec<&'a Version> {
    match listing.key_marker.as_deref() {
        Some(marker) if key < marker => Vec::new(),
        Some(marker) if key == marker => match &listing.version_marker {
            None => Vec::new(),
            Some(id) => {
                let after = newest_first
                    .iter()
                    .skip_while(|v| v.version_id != *id)
                    .skip(1);
                after.copied().collect()
            }
        },
        _ => newest_first,
    }
}
