//! Does each chain begin where it should: as the first of its host, or where an earlier one ended?
//!
//! A host begins another chain when it lost its spool, was restored or cloned, and says so in the first
//! bundle. Who hides evidence by beginning anew must either name no predecessor, or an end that is not
//! the end.

use evidence::bundle::{ChainStart, Missing};
use rusqlite::{OptionalExtension as _, params};

use super::{Bench, Chain, places, short};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::{LedgerError, int};

struct First {
    subject: Subject,
    predecessor: Option<(String, u64, Vec<u8>)>,
    because: Option<ChainStart>,
    missing: Vec<Missing>,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let chains = bench.chains()?;
    for chain in &chains {
        let Some(first) = first(bench, chain)? else {
            bench.book.unchecked(
                Check::ChainStart,
                Code::Gap,
                chain.at(1),
                "the first bundle of the chain is not there, so nothing says where it began",
            )?;
            continue;
        };
        let said = bench_of(bench, chain, &first, &chains)?;
        let lost = declared_missing(bench, &first)?;
        match (said, lost) {
            (_, true) | (Level::Failed, _) => {
                bench.book.count(Check::ChainStart, Level::Failed, 1);
            }
            (Level::CouldNotCheck, false) => {
                bench.book.count(Check::ChainStart, Level::CouldNotCheck, 1);
            }
            (Level::Note, false) => bench.book.pass(Check::ChainStart, 1),
        }
    }
    Ok(())
}

fn first(bench: &Bench<'_>, chain: &Chain) -> Result<Option<First>, LedgerError> {
    let found = bench
        .ledger
        .sql()
        .prepare_cached(
            "SELECT bundle_id, path, predecessor_chain, predecessor_sequence, predecessor_sha256,
               began_because, began_missing
             FROM bundle WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND sequence = 1
               AND is_trusted = 1 ORDER BY sha256, path LIMIT 1",
        )?
        .query_row([&chain.client_id, &chain.host_id, &chain.chain_id], |row| {
            let predecessor: Option<String> = row.get(2)?;
            let sequence: Option<i64> = row.get(3)?;
            let sha256: Option<Vec<u8>> = row.get(4)?;
            let because: Option<String> = row.get(5)?;
            let missing: Option<String> = row.get(6)?;
            Ok(First {
                subject: Subject {
                    bundle_id: row.get(0)?,
                    path: row.get(1)?,
                    ..chain.at(1)
                },
                predecessor: match (predecessor, sequence, sha256) {
                    (Some(chain), Some(sequence), Some(sha256)) => {
                        Some((chain, sequence.unsigned_abs(), sha256))
                    }
                    _ => None,
                },
                because: because.as_deref().and_then(ChainStart::from_name),
                missing: missing
                    .and_then(|text| serde_json::from_str(&text).ok())
                    .unwrap_or_default(),
            })
        })
        .optional()?;
    Ok(found)
}

/// How the beginning stands; what is not right is said.
fn bench_of(
    bench: &Bench<'_>,
    chain: &Chain,
    first: &First,
    chains: &[Chain],
) -> Result<Level, LedgerError> {
    let say = |level, code, message: String| {
        bench.book.say(
            Check::ChainStart,
            level,
            code,
            first.subject.clone(),
            message,
        )?;
        Ok(level)
    };
    let because = first.because.map_or("nothing said", ChainStart::as_str);
    let Some((before, sequence, sha256)) = &first.predecessor else {
        let is_first = matches!(first.because, None | Some(ChainStart::First));
        if is_first && is_earliest(bench, chain, chains)? {
            return Ok(Level::Note);
        }
        return if is_first {
            say(
                Level::Failed,
                Code::RestartUnexplained,
                "the host has an earlier chain, and this one does not say that it follows it"
                    .to_owned(),
            )
        } else {
            say(
                Level::CouldNotCheck,
                Code::PredecessorUnknown,
                format!("it began anew ({because}), and does not know where the one before ended"),
            )
        };
    };
    let there = bench.digests_at(chain.host(), before, *sequence)?;
    if !there.contains(sha256) && !bench.is_resealed(chain.host(), sha256)? {
        let may_be_there = !bench.is_listed
            || there.is_empty() && bench.unproven(&chain.client_id, &chain.host_id, before)? > 0;
        let level = if may_be_there {
            Level::CouldNotCheck
        } else {
            Level::Failed
        };
        let found = match there.first() {
            Some(found) => format!("there are {}", short(found)),
            None => "no proven bundle is there".to_owned(),
        };
        return say(
            level,
            Code::PredecessorMissing,
            format!(
                "it follows place {sequence} of chain {before} with the bytes {}, and {found}",
                short(sha256)
            ),
        );
    }
    let last: Option<i64> = bench
        .ledger
        .sql()
        .prepare_cached("SELECT max(sequence) FROM bundle WHERE chain_id = ?1 AND is_trusted = 1")?
        .query_row(params![before], |row| row.get(0))?;
    let last = last.unwrap_or(0).unsigned_abs();
    if last > *sequence {
        // A clone goes on for itself, and so does what it was cloned from.
        let is_apart = matches!(
            first.because,
            Some(ChainStart::Forked | ChainStart::MachineChanged)
        );
        let level = if is_apart { Level::Note } else { Level::Failed };
        return say(
            level,
            Code::RolledBack,
            format!(
                "it says that chain {before} ended at place {sequence}, and that went on to {last} \
                 ({because})"
            ),
        );
    }
    say(
        Level::Note,
        Code::ChainRestarted,
        format!("it follows chain {before}, which ended at place {sequence} ({because})"),
    )
}

/// Whether no other chain of the host was there before it, by the store's clock where it tells.
fn is_earliest(bench: &Bench<'_>, chain: &Chain, chains: &[Chain]) -> Result<bool, LedgerError> {
    let began = |chain: &Chain| -> Result<(i64, i64, String), LedgerError> {
        Ok(bench
            .ledger
            .sql()
            .prepare_cached(
                "SELECT coalesce(min(stored_us), 0), min(generated_at_us), chain_id FROM bundle
                 WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1",
            )?
            .query_row([&chain.client_id, &chain.host_id, &chain.chain_id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?)
    };
    let mine = began(chain)?;
    for other in chains {
        let is_of_host = (&other.client_id, &other.host_id) == (&chain.client_id, &chain.host_id);
        if is_of_host && other.chain_id != chain.chain_id && began(other)? < mine {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the host says that bundles are lost which are indeed not there.
fn declared_missing(bench: &Bench<'_>, first: &First) -> Result<bool, LedgerError> {
    let mut lost = false;
    for range in &first.missing {
        let wanted = range
            .to_sequence
            .saturating_sub(range.from_sequence)
            .saturating_add(1);
        let there: i64 = bench
            .ledger
            .sql()
            .prepare_cached(
                "SELECT count(DISTINCT sequence) FROM bundle
                 WHERE chain_id = ?1 AND sequence BETWEEN ?2 AND ?3 AND is_trusted = 1",
            )?
            .query_row(
                params![
                    range.chain_id,
                    int(range.from_sequence),
                    int(range.to_sequence)
                ],
                |row| row.get(0),
            )?;
        let is_lost = there.unsigned_abs() < wanted;
        lost |= is_lost;
        let level = if is_lost { Level::Failed } else { Level::Note };
        bench.book.say(
            Check::ChainStart,
            level,
            Code::DeclaredMissing,
            first.subject.clone(),
            format!(
                "the host says that {} of chain {} were lost; {there} of {wanted} are here",
                places(range.from_sequence, range.to_sequence),
                range.chain_id
            ),
        )?;
    }
    Ok(lost)
}
