//! What belongs into a pulled folder besides the evidence that was asked for.
//!
//! Custody bundles, so that it can be seen that nothing which was asked for is left out: of each host
//! those that were sealed in the period and that cover what is pulled, the one before the first of them
//! and the one after the last, and all between. And rotations, without which a key cannot be followed.

use std::collections::{BTreeMap, BTreeSet};

use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};

use crate::list::{Covering, Found, Row, SLACK_DAYS, Selection, Time};

/// A bundle that is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) sha256: Sha256,
    pub(super) why: Why,
}

/// Why it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// It answers the question, and was drawn if a sample was.
    Asked,
    /// It covers what was asked for, or shows that nothing is left out.
    Custody,
    /// It leads from one key to the next.
    Rotation,
}

/// Everything that is pulled, by path.
pub(super) fn choose(
    found: &Found,
    selection: &Selection,
    drawn: Option<&BTreeSet<Sha256>>,
) -> BTreeMap<String, Wanted> {
    let mut wanted = BTreeMap::new();
    for (path, sha256) in &found.rotations {
        let (sha256, why) = (*sha256, Why::Rotation);
        wanted.insert(path.clone(), Wanted { sha256, why });
    }
    for covering in custody(found, selection) {
        let (sha256, why) = (covering.position.sha256, Why::Custody);
        wanted.insert(covering.path.clone(), Wanted { sha256, why });
    }
    let is_drawn = |row: &&Row| drawn.is_none_or(|drawn| drawn.contains(&row.entry.sha256));
    for row in found
        .rows
        .iter()
        .filter(|row| row.is_stored)
        .filter(is_drawn)
    {
        let (sha256, why) = (row.entry.sha256, Why::Asked);
        wanted.insert(row.path.clone(), Wanted { sha256, why });
    }
    wanted
}

fn custody<'a>(found: &'a Found, selection: &Selection) -> Vec<&'a Covering> {
    let slack = match selection.time {
        Time::Detected => SignedDuration::from_hours(24 * SLACK_DAYS),
        Time::Sealed => SignedDuration::ZERO,
    };
    let since = selection.from.and_then(|from| from.checked_sub(slack).ok());
    let until = selection
        .before
        .and_then(|before| before.checked_add(slack).ok());
    let is_within = |at: Timestamp| {
        since.is_none_or(|since| at > since) && until.is_none_or(|until| at < until)
    };
    let asked: BTreeSet<(&str, u64)> = found
        .rows
        .iter()
        .map(|row| (row.chain_id.as_str(), row.entry.sequence))
        .collect();
    let covers_asked = |covering: &Covering| {
        let chain_id = covering.position.chain_id.as_str();
        covering.covers.is_some_and(|covers| {
            asked
                .range((chain_id, covers.from_sequence)..=(chain_id, covers.to_sequence))
                .next()
                .is_some()
        })
    };
    let mut by_host: BTreeMap<(&str, &str), Vec<&Covering>> = BTreeMap::new();
    for covering in &found.custody {
        let host = (covering.client_id.as_str(), covering.host_id.as_str());
        by_host.entry(host).or_default().push(covering);
    }
    let mut chosen = Vec::new();
    for mut all in by_host.into_values() {
        all.sort_by_key(|covering| (covering.generated_at, covering.position.sequence));
        let counts =
            |covering: &&Covering| is_within(covering.generated_at) || covers_asked(covering);
        let first = all.iter().position(counts);
        let last = all.iter().rposition(counts);
        // Where none was sealed in the period, those around it say that it was silent.
        let around =
            all.partition_point(|covering| since.is_some_and(|s| covering.generated_at <= s));
        let first = first.unwrap_or(around).saturating_sub(1);
        let last = last.map_or(around, |last| last + 1).min(all.len() - 1);
        chosen.extend_from_slice(&all[first..=last]);
    }
    chosen
}
