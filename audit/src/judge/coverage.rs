//! Did custody come hour by hour, or was the agent silent?
//!
//! A host is followed through its chains, from its first bundle on. The time after the newest custody is
//! the open tail, and no silence, unless bundles went on without custody, or the auditor named a time
//! up to which there must be custody.

use jiff::Timestamp;
use rusqlite::params;

use super::{Bench, Chain, micros, words};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::ledger::{LedgerError, us};

const HOUR_US: i64 = 3_600_000_000;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let chains = bench.chains()?;
    let mut from = 0;
    while let Some(first) = chains.get(from) {
        let of_host = |chain: &&Chain| {
            (&chain.client_id, &chain.host_id) == (&first.client_id, &first.host_id)
        };
        let n = chains[from..].iter().take_while(of_host).count();
        host(bench, &chains[from..from + n])?;
        from += n;
    }
    Ok(())
}

/// One moment of a host's history.
struct Moment {
    at_us: i64,
    /// It is a custody bundle, and made at a clean stop.
    custody: Option<bool>,
    subject: Subject,
}

/// What of a host's time is covered so far.
struct Walk {
    allowed_us: i64,
    from_us: i64,
    to_us: i64,
    /// Covered up to here.
    since_us: i64,
    is_stopped: bool,
    covered_us: i64,
    silent_hours: u64,
}

fn host(bench: &mut Bench<'_>, chains: &[Chain]) -> Result<(), LedgerError> {
    let Some(first) = chains.first() else {
        return Ok(());
    };
    let judging = bench.judging;
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT count(*) FROM custody JOIN bundle USING (bundle_rowid)
         WHERE client_id = ?1 AND host_id = ?2 AND is_trusted = 1",
    )?;
    let n: i64 = statement.query_row([&first.client_id, &first.host_id], |row| row.get(0))?;
    let limit = |time: Option<Timestamp>, other: i64| time.map_or(other, us);
    if n == 0 && judging.from.is_none() && judging.to.is_none() {
        // There is no custody at all: that is said where custody is judged.
        return Ok(());
    }
    let mut walk: Option<Walk> = None;
    let mut last: Option<Moment> = None;
    for (chain_id, _) in in_order(bench, chains)? {
        let mut statement = bench.ledger.sql().prepare_cached(
            "SELECT generated_at_us, because, bundle_id, path, sequence
             FROM bundle LEFT JOIN custody USING (bundle_rowid)
             WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1
             ORDER BY sequence, sha256, path",
        )?;
        let mut rows = statement.query([&first.client_id, &first.host_id, &chain_id])?;
        while let Some(row) = rows.next()? {
            let because: Option<String> = row.get(1)?;
            let moment = Moment {
                at_us: row.get(0)?,
                custody: because.map(|because| because == "stop"),
                subject: Subject {
                    client_id: Some(first.client_id.clone()),
                    host_id: Some(first.host_id.clone()),
                    chain_id: Some(chain_id.clone()),
                    bundle_id: row.get(2)?,
                    path: row.get(3)?,
                    sequence: Some(row.get::<_, i64>(4)?.unsigned_abs()),
                    ..Subject::default()
                },
            };
            let walk = walk.get_or_insert_with(|| Walk {
                allowed_us: micros(judging.custody_interval + judging.custody_tolerance),
                from_us: limit(judging.from, i64::MIN),
                to_us: limit(judging.to, i64::MAX),
                // Before its first bundle a host owes nothing, unless the auditor says so.
                since_us: judging
                    .from
                    .map_or(moment.at_us, |from| us(from).min(moment.at_us)),
                is_stopped: false,
                covered_us: 0,
                silent_hours: 0,
            });
            if moment.custody.is_some() {
                walk.to(bench, &moment)?;
            }
            last = Some(moment);
        }
    }
    let (Some(mut walk), Some(last)) = (walk, last) else {
        return Ok(());
    };
    let end = match judging.to {
        Some(to) => us(to),
        // Bundles went on, and custody did not: whatever it said before, the agent was not stopped.
        None => {
            walk.is_stopped = false;
            last.at_us
        }
    };
    if end - walk.since_us > walk.allowed_us {
        let moment = Moment {
            at_us: end,
            custody: None,
            subject: Subject {
                sequence: None,
                bundle_id: None,
                path: None,
                ..last.subject.clone()
            },
        };
        walk.to(bench, &moment)?;
    } else {
        bench.book.note(
            Check::Coverage,
            Code::OpenTail,
            last.subject,
            format!(
                "the newest custody is of {}; nothing later is attested",
                words(walk.since_us)
            ),
        )?;
    }
    let hours = walk
        .covered_us
        .unsigned_abs()
        .div_ceil(HOUR_US.unsigned_abs());
    bench.book.pass(Check::Coverage, hours);
    bench
        .book
        .count(Check::Coverage, Level::Failed, walk.silent_hours);
    Ok(())
}

impl Walk {
    /// Up to this moment, which ends a silence if there was one.
    fn to(&mut self, bench: &Bench<'_>, moment: &Moment) -> Result<(), LedgerError> {
        // A clock that was set back makes no silence; that is judged elsewhere.
        let (from, to) = (
            self.since_us.max(self.from_us),
            moment.at_us.min(self.to_us),
        );
        let lasted = (to - from).max(0);
        if moment.at_us - self.since_us <= self.allowed_us {
            self.covered_us += lasted;
        } else if lasted > 0 {
            let hours = lasted.unsigned_abs().div_ceil(HOUR_US.unsigned_abs());
            let times = format!("from {} to {}", words(from), words(to));
            if self.is_stopped {
                bench.book.note(
                    Check::Coverage,
                    Code::Stopped,
                    moment.subject.clone(),
                    format!("the agent was stopped {times}, as it said in a custody bundle; nothing attests that time"),
                )?;
            } else {
                self.silent_hours += hours;
                bench.book.say(
                    Check::Coverage,
                    Level::Failed,
                    Code::Silent,
                    moment.subject.clone(),
                    format!("no custody {times}"),
                )?;
            }
        }
        self.since_us = moment.at_us;
        self.is_stopped = moment.custody == Some(true);
        Ok(())
    }
}

/// The chains of a host as they came after each other.
fn in_order(bench: &Bench<'_>, chains: &[Chain]) -> Result<Vec<(String, i64)>, LedgerError> {
    let mut found = Vec::new();
    for chain in chains {
        let began: i64 = bench
            .ledger
            .sql()
            .prepare_cached(
                "SELECT min(generated_at_us) FROM bundle
                 WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1",
            )?
            .query_row(
                params![chain.client_id, chain.host_id, chain.chain_id],
                |row| row.get(0),
            )?;
        found.push((chain.chain_id.clone(), began));
    }
    found.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    Ok(found)
}
