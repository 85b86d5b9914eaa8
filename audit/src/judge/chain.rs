//! Is each place of each chain filled once, and does each bundle name the bytes before it?
//!
//! How far a chain goes is not only seen from what is there: custody, later chains and the host's own
//! list of losses may speak of places beyond, and those count as missing.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};

use super::{Bench, Chain, number, places, short};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::{LedgerError, int};

/// A gap longer than this is not looked through for bundles that were said again.
const LONG: u64 = 10_000;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let chains = bench.chains()?;
    for chain in &chains {
        one(bench, chain)?;
    }
    elsewhere(bench)
}

#[derive(Default)]
struct Place {
    sequence: u64,
    digests: Vec<Vec<u8>>,
    bundles: Vec<String>,
}

fn one(bench: &mut Bench<'_>, chain: &Chain) -> Result<(), LedgerError> {
    // What is there and not proven may be what is missed, each for one place.
    let mut unproven = bench.unproven(&chain.client_id, &chain.host_id, &chain.chain_id)?;
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT sequence, sha256, previous_sha256, bundle_id, path, boot_id FROM bundle
         WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1
         ORDER BY sequence, sha256, path",
    )?;
    let mut rows = statement.query([&chain.client_id, &chain.host_id, &chain.chain_id])?;
    let mut before = Place::default();
    let mut here = Place::default();
    let mut boot: Option<String> = None;
    while let Some(row) = rows.next()? {
        let sequence = number(row, 0)?;
        let sha256: Vec<u8> = row.get(1)?;
        let previous: Option<Vec<u8>> = row.get(2)?;
        let bundle_id: String = row.get(3)?;
        let subject = Subject {
            bundle_id: Some(bundle_id.clone()),
            path: Some(row.get(4)?),
            ..chain.at(sequence)
        };
        if sequence == here.sequence {
            // The same bytes under two names are one bundle.
            if here.digests.contains(&sha256) {
                continue;
            }
            if here.digests.len() == 1 {
                bench.book.count(Check::Chain, Level::Failed, 1);
            }
            let first = here.bundles.first().cloned().unwrap_or_default();
            bench.book.say(
                Check::Chain,
                Level::Failed,
                Code::DuplicatePlace,
                subject.clone(),
                format!("{first} is at this place too: two histories under one name"),
            )?;
        } else {
            if !here.digests.is_empty() {
                settle(bench, &here);
            }
            let expected = here.sequence + 1;
            before = std::mem::take(&mut here);
            if sequence > expected {
                let next = previous.as_deref();
                gap(bench, chain, (expected, sequence - 1), next, &mut unproven)?;
                before = Place::default();
            }
            here.sequence = sequence;
        }
        if let Some(previous) = &previous
            && !before.digests.is_empty()
            && !before.digests.contains(previous)
        {
            let (code, level) = if bench.is_resealed(chain.host(), previous)? {
                (Code::Resealed, Level::Note)
            } else {
                (Code::LinkBroken, Level::Failed)
            };
            bench.book.count(Check::Chain, level, 1);
            let found = before
                .digests
                .first()
                .map_or_else(String::new, |d| short(d));
            bench.book.say(
                Check::Chain,
                level,
                code,
                subject.clone(),
                format!(
                    "it follows the bytes {}, and at place {} are {found}",
                    short(previous),
                    before.sequence
                ),
            )?;
        }
        let this_boot: String = row.get(5)?;
        if boot.as_ref().is_some_and(|before| *before != this_boot) {
            bench.book.note(
                Check::Chain,
                Code::Restarted,
                subject,
                "the machine was started again before this",
            )?;
        }
        boot = Some(this_boot);
        here.digests.push(sha256);
        here.bundles.push(bundle_id);
    }
    if !here.digests.is_empty() {
        settle(bench, &here);
    }
    let claimed = claimed(bench, chain)?;
    if claimed > here.sequence {
        let missing = (here.sequence + 1, claimed);
        gap(bench, chain, missing, None, &mut unproven)?;
    }
    Ok(())
}

/// A place with one bundle is filled; one with two was counted when the second came.
fn settle(bench: &mut Bench<'_>, place: &Place) {
    if place.digests.len() == 1 {
        bench.book.pass(Check::Chain, 1);
    }
}

/// The last place of a chain that anything of its host speaks of.
fn claimed(bench: &Bench<'_>, chain: &Chain) -> Result<u64, LedgerError> {
    let mut last = 0;
    for query in [
        "SELECT max(sealed.sequence) FROM sealed JOIN bundle USING (bundle_rowid)
         WHERE sealed.chain_id = ?1 AND is_trusted = 1 AND client_id = ?2 AND host_id = ?3",
        "SELECT max(confirmed.sequence) FROM confirmed JOIN bundle USING (bundle_rowid)
         WHERE confirmed.chain_id = ?1 AND is_trusted = 1 AND client_id = ?2 AND host_id = ?3",
        "SELECT max(previous_sequence) FROM custody JOIN bundle USING (bundle_rowid)
         WHERE previous_chain = ?1 AND is_trusted = 1 AND client_id = ?2 AND host_id = ?3",
        // What follows an end is a chain of its own, so the end is known from it.
        "SELECT max(predecessor_sequence) FROM bundle
         WHERE predecessor_chain = ?1 AND is_trusted = 1 AND client_id = ?2 AND host_id = ?3",
    ] {
        let found: Option<i64> = bench
            .ledger
            .sql()
            .prepare_cached(query)?
            .query_row([&chain.chain_id, &chain.client_id, &chain.host_id], |row| {
                row.get(0)
            })
            .optional()?
            .flatten();
        last = last.max(found.unwrap_or(0).unsigned_abs());
    }
    Ok(last)
}

/// Places that no proven bundle fills. `next` is what the bundle after them names.
fn gap(
    bench: &mut Bench<'_>,
    chain: &Chain,
    missing: (u64, u64),
    next: Option<&[u8]>,
    unproven: &mut u64,
) -> Result<(), LedgerError> {
    let (from, to) = missing;
    if to - from >= LONG {
        return still_missing(bench, chain, missing, unproven);
    }
    let mut open: Option<u64> = None;
    for sequence in from..=to {
        let digest = match next.filter(|_| sequence == to) {
            Some(digest) => Some(digest.to_vec()),
            None => stated(bench, chain, sequence)?,
        };
        let resealed = match &digest {
            Some(digest) => bench.is_resealed(chain.host(), digest)?,
            None => false,
        };
        if !resealed {
            open = open.or(Some(sequence));
            continue;
        }
        if let Some(first) = open.take() {
            still_missing(bench, chain, (first, sequence - 1), unproven)?;
        }
        bench.book.pass(Check::Chain, 1);
        bench.book.note(
            Check::Chain,
            Code::Resealed,
            chain.at(sequence),
            "another bundle says it again, word for word, since its key was taken",
        )?;
    }
    match open {
        Some(first) => still_missing(bench, chain, (first, to), unproven),
        None => Ok(()),
    }
}

/// The digest that custody, or a chain that follows, states for a place.
fn stated(bench: &Bench<'_>, chain: &Chain, sequence: u64) -> Result<Option<Vec<u8>>, LedgerError> {
    Ok(bench
        .ledger
        .sql()
        .prepare_cached(
            "SELECT sealed.sha256 FROM sealed JOIN bundle USING (bundle_rowid)
             WHERE sealed.chain_id = ?1 AND sealed.sequence = ?2 AND is_trusted = 1
               AND client_id = ?3 AND host_id = ?4
             UNION ALL
             SELECT custody.previous_sha256 FROM custody JOIN bundle USING (bundle_rowid)
             WHERE previous_chain = ?1 AND previous_sequence = ?2 AND is_trusted = 1
               AND client_id = ?3 AND host_id = ?4
             UNION ALL
             SELECT predecessor_sha256 FROM bundle
             WHERE predecessor_chain = ?1 AND predecessor_sequence = ?2 AND is_trusted = 1
               AND client_id = ?3 AND host_id = ?4 LIMIT 1",
        )?
        .query_row(
            params![
                chain.chain_id,
                int(sequence),
                chain.client_id,
                chain.host_id
            ],
            |row| row.get(0),
        )
        .optional()?)
}

fn still_missing(
    bench: &mut Bench<'_>,
    chain: &Chain,
    (from, to): (u64, u64),
    unproven: &mut u64,
) -> Result<(), LedgerError> {
    let number = to - from + 1;
    let (level, why) = if !bench.is_listed {
        (
            Level::CouldNotCheck,
            "not everything that is there was listed".to_owned(),
        )
    } else if *unproven >= number {
        let why = format!(
            "{unproven} bundles lie in the folder of this chain that are not proven, and may be these"
        );
        *unproven -= number;
        (Level::CouldNotCheck, why)
    } else {
        *unproven = 0;
        (Level::Failed, "they are missing".to_owned())
    };
    bench.book.count(Check::Chain, level, number);
    bench.book.say(
        Check::Chain,
        level,
        Code::Gap,
        chain.at(from),
        format!("{} of the chain: {why}", places(from, to)),
    )
}

/// Chains that custody speaks of, and of which nothing proven is there.
fn elsewhere(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT bundle.client_id, bundle.host_id, confirmed.chain_id, max(confirmed.sequence)
         FROM confirmed JOIN bundle USING (bundle_rowid)
         WHERE bundle.is_trusted = 1 AND NOT EXISTS
           (SELECT 1 FROM bundle AS there
            WHERE there.chain_id = confirmed.chain_id AND there.is_trusted = 1)
         GROUP BY bundle.client_id, bundle.host_id, confirmed.chain_id
         ORDER BY bundle.client_id, bundle.host_id, confirmed.chain_id",
    )?;
    let mut rows = statement.query([])?;
    let mut found: BTreeMap<String, Chain> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let chain = Chain {
            client_id: row.get(0)?,
            host_id: row.get(1)?,
            chain_id: row.get(2)?,
            last: number(row, 3)?,
        };
        found.insert(chain.chain_id.clone(), chain);
    }
    for chain in found.values() {
        let mut unproven = bench.unproven(&chain.client_id, &chain.host_id, &chain.chain_id)?;
        still_missing(bench, chain, (1, chain.last), &mut unproven)?;
    }
    Ok(())
}
