//! Is each place of a chain covered by exactly one custody bundle, and do these follow each other?

use rusqlite::params;
use serde_json::Value;

use super::{Bench, Chain, number, places, short};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::{LedgerError, int};

/// Totals that never go back; what waits to be confirmed may.
const RISING: [&str; 8] = [
    "bundles",
    "incidents",
    "custody",
    "probes",
    "rotations",
    "confirmed_objects",
    "quarantined",
    "duplicates",
];

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    for chain in bench.chains()? {
        one(bench, &chain)?;
    }
    Ok(())
}

struct Stated {
    subject: Subject,
    sequence: u64,
    sha256: Vec<u8>,
    covers: Option<(u64, u64)>,
    previous: Option<(String, u64, Vec<u8>)>,
    started_at_us: i64,
    totals: Value,
}

fn one(bench: &mut Bench<'_>, chain: &Chain) -> Result<(), LedgerError> {
    let unproven = bench.unproven(&chain.client_id, &chain.host_id, &chain.chain_id)?;
    // A custody bundle that is there and not proven may cover what the others leave out.
    let missed = if unproven > 0 || !bench.is_listed {
        Level::CouldNotCheck
    } else {
        Level::Failed
    };
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT bundle.bundle_id, bundle.path, bundle.sequence, bundle.sha256, covers_from,
           covers_to, previous_chain, previous_sequence, custody.previous_sha256, started_at_us, rest
         FROM custody JOIN bundle USING (bundle_rowid)
         WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1
           AND reseals_sha256 IS NULL
         ORDER BY bundle.sequence, bundle.sha256, bundle.path",
    )?;
    let mut rows = statement.query([&chain.client_id, &chain.host_id, &chain.chain_id])?;
    let mut next = 1;
    let mut before: Option<Stated> = None;
    while let Some(row) = rows.next()? {
        let stated = stated(row, chain)?;
        if let Some((from, to)) = stated.covers {
            cover(bench, chain, &stated, (from, to), &mut next, missed)?;
        }
        previous(bench, chain, &stated, before.as_ref(), missed)?;
        if let Some(before) = &before {
            totals(bench, before, &stated)?;
            if before.started_at_us != stated.started_at_us {
                bench.book.note(
                    Check::Custody,
                    Code::Restarted,
                    stated.subject.clone(),
                    "the agent was started again since the custody before",
                )?;
            }
        }
        before = Some(stated);
    }
    let mut has_custody = before.is_some();
    if let Some(to) = covered_again_to(bench, chain)?
        && to >= next
        && is_covered_again(bench, chain, (next, to))?
    {
        bench.book.pass(Check::Custody, to - next + 1);
        bench.book.note(
            Check::Custody,
            Code::Resealed,
            chain.at(next),
            format!(
                "{} are covered by custody that was said again",
                places(next, to)
            ),
        )?;
        (next, has_custody) = (to + 1, true);
    }
    tail(bench, chain, next, has_custody, missed)
}

fn stated(row: &rusqlite::Row<'_>, chain: &Chain) -> rusqlite::Result<Stated> {
    let sequence = number(row, 2)?;
    let (from, to): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    let previous: (Option<String>, Option<i64>, Option<Vec<u8>>) =
        (row.get(6)?, row.get(7)?, row.get(8)?);
    let rest: String = row.get(10)?;
    let rest: Value = serde_json::from_str(&rest).unwrap_or_default();
    Ok(Stated {
        subject: Subject {
            bundle_id: row.get(0)?,
            path: row.get(1)?,
            ..chain.at(sequence)
        },
        sequence,
        sha256: row.get(3)?,
        covers: from
            .zip(to)
            .map(|(f, t)| (f.unsigned_abs(), t.unsigned_abs())),
        previous: match previous {
            (Some(chain), Some(sequence), Some(sha256)) => {
                Some((chain, sequence.unsigned_abs(), sha256))
            }
            _ => None,
        },
        started_at_us: row.get(9)?,
        totals: rest["totals"].clone(),
    })
}

fn cover(
    bench: &mut Bench<'_>,
    chain: &Chain,
    stated: &Stated,
    (from, to): (u64, u64),
    next: &mut u64,
    missed: Level,
) -> Result<(), LedgerError> {
    if from > *next && is_covered_again(bench, chain, (*next, from - 1))? {
        bench.book.pass(Check::Custody, from - *next);
        bench.book.note(
            Check::Custody,
            Code::Resealed,
            stated.subject.clone(),
            format!(
                "custody that was said again, since its key was taken, covers {}",
                places(*next, from - 1)
            ),
        )?;
    } else if from > *next {
        let (first, last) = (*next, from - 1);
        bench.book.count(Check::Custody, missed, last - first + 1);
        bench.book.say(
            Check::Custody,
            missed,
            Code::NotCovered,
            stated.subject.clone(),
            format!(
                "it begins at place {from}, and nothing covers {}",
                places(first, last)
            ),
        )?;
    }
    if from < *next {
        let last = to.min(*next - 1);
        bench
            .book
            .count(Check::Custody, Level::Failed, last - from + 1);
        bench.book.say(
            Check::Custody,
            Level::Failed,
            Code::CoveredTwice,
            stated.subject.clone(),
            format!("{} were covered before", places(from, last)),
        )?;
    }
    let fresh = from.max(*next);
    if to >= fresh {
        bench.book.pass(Check::Custody, to - fresh + 1);
    }
    *next = (*next).max(to + 1);
    Ok(())
}

/// The last place of this chain that custody covers which was resealed.
fn covered_again_to(bench: &Bench<'_>, chain: &Chain) -> Result<Option<u64>, LedgerError> {
    let last: Option<i64> = bench
        .ledger
        .sql()
        .prepare_cached(
            "SELECT max(sealed.sequence)
             FROM bundle AS again JOIN sealed USING (bundle_rowid)
             JOIN bundle AS there ON there.sha256 = sealed.sha256 AND there.is_trusted = 1
               AND there.chain_id = ?3 AND there.sequence = sealed.sequence
               AND there.client_id = ?1 AND there.host_id = ?2
             WHERE again.client_id = ?1 AND again.host_id = ?2 AND again.is_trusted = 1
               AND again.reseals_sha256 IS NOT NULL",
        )?
        .query_row([&chain.client_id, &chain.host_id, &chain.chain_id], |row| {
            row.get(0)
        })?;
    Ok(last.map(i64::unsigned_abs))
}

/// Whether custody that was resealed covers these places. It speaks of the chain in which it was said first,
/// which is known by the bundles that it lists.
fn is_covered_again(
    bench: &Bench<'_>,
    chain: &Chain,
    (first, last): (u64, u64),
) -> Result<bool, LedgerError> {
    let covered: i64 = bench
        .ledger
        .sql()
        .prepare_cached(
            "SELECT count(DISTINCT sealed.sequence)
             FROM bundle AS again JOIN sealed USING (bundle_rowid)
             JOIN bundle AS there ON there.sha256 = sealed.sha256 AND there.is_trusted = 1
               AND there.chain_id = ?3 AND there.sequence = sealed.sequence
               AND there.client_id = ?1 AND there.host_id = ?2
             WHERE again.client_id = ?1 AND again.host_id = ?2 AND again.is_trusted = 1
               AND again.reseals_sha256 IS NOT NULL
               AND sealed.sequence BETWEEN ?4 AND ?5",
        )?
        .query_row(
            params![
                chain.client_id,
                chain.host_id,
                chain.chain_id,
                int(first),
                int(last)
            ],
            |row| row.get(0),
        )?;
    Ok(covered.unsigned_abs() == last - first + 1)
}

/// The one before it is the one that it names.
fn previous(
    bench: &mut Bench<'_>,
    chain: &Chain,
    stated: &Stated,
    before: Option<&Stated>,
    missed: Level,
) -> Result<(), LedgerError> {
    let is_before = |named: &(String, u64, Vec<u8>)| {
        before.is_some_and(|before| {
            named.0 == chain.chain_id && named.1 == before.sequence && named.2 == before.sha256
        })
    };
    let (level, message) = match &stated.previous {
        Some(named) if before.is_some() && is_before(named) => return Ok(()),
        Some((named, sequence, sha256)) => {
            let is_there = bench
                .digests_at(chain.host(), named, *sequence)?
                .contains(sha256);
            // Its key was taken, and another bundle says it again.
            if bench.is_resealed(chain.host(), sha256)? || is_there && before.is_none() {
                return Ok(());
            }
            let what = format!("place {sequence} of chain {named} with {}", short(sha256));
            if is_there {
                (
                    Level::Failed,
                    format!("it names {what}, and another one came since"),
                )
            } else {
                let level = match bench.unproven(&chain.client_id, &chain.host_id, named)? {
                    0 => missed,
                    _ => Level::CouldNotCheck,
                };
                (level, format!("it names {what}, which is not there"))
            }
        }
        // The first of a chain may know of none; the chain itself says where it comes from.
        None if before.is_none() => return Ok(()),
        None => (
            Level::Failed,
            "it names none before it, and there is one".to_owned(),
        ),
    };
    bench.book.count(Check::Custody, level, 1);
    bench.book.say(
        Check::Custody,
        level,
        Code::CustodyBroken,
        stated.subject.clone(),
        message,
    )
}

fn totals(bench: &mut Bench<'_>, before: &Stated, stated: &Stated) -> Result<(), LedgerError> {
    for name in RISING {
        let of = |stated: &Stated| stated.totals[name].as_u64().unwrap_or(0);
        let (was, is) = (of(before), of(stated));
        if is < was {
            bench.book.fail(
                Check::Custody,
                Code::TotalsWentBack,
                stated.subject.clone(),
                format!(
                    "it counts {is} {}, and {was} were counted before",
                    name.replace('_', " ")
                ),
            )?;
        }
    }
    Ok(())
}

/// What came after the newest custody is open, and no failure; a chain without any is one, once there should
/// have been some.
fn tail(
    bench: &mut Bench<'_>,
    chain: &Chain,
    next: u64,
    has_custody: bool,
    missed: Level,
) -> Result<(), LedgerError> {
    if next > chain.last {
        return Ok(());
    }
    let open = chain.last - next + 1;
    let allowed = bench.judging.custody_interval + bench.judging.custody_tolerance;
    if has_custody || bench.is_young(chain, allowed)? {
        return bench.book.note(
            Check::Custody,
            Code::OpenTail,
            chain.at(next),
            format!(
                "{} not covered yet: the next custody bundle does that",
                match open {
                    1 => format!("{} is", places(next, chain.last)),
                    _ => format!("{} are", places(next, chain.last)),
                }
            ),
        );
    }
    bench.book.count(Check::Custody, missed, open);
    bench.book.say(
        Check::Custody,
        missed,
        Code::NoCustody,
        chain.subject(),
        "no custody bundle of this chain is proven, so nothing says what else there was",
    )
}
