//! Do signed times agree with each other, and with the store's?
//!
//! A host's clock may be wrong, and whoever has its key can sign any time. The store's clock is another's:
//! nothing is stored before it was sealed.

use serde_json::Value;

use super::{Bench, Chain, micros, number, words};
use crate::code::Code;
use crate::finding::{Check, Subject};
use crate::ledger::LedgerError;

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    stored(bench)?;
    for chain in bench.chains()? {
        in_order(bench, &chain)?;
        jumps(bench, &chain)?;
    }
    Ok(())
}

/// What custody tells of jumps is to be known, also where no bundle came out of order by them.
fn jumps(bench: &Bench<'_>, chain: &Chain) -> Result<(), LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT bundle.sequence, bundle_id, bundle.path, event.value ->> 'at', event.value ->> 'jumped_ms'
         FROM custody JOIN bundle USING (bundle_rowid), json_each(rest, '$.clock_events') AS event
         WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1
           AND reseals_sha256 IS NULL
         ORDER BY bundle.sequence, event.key",
    )?;
    let mut rows = statement.query([&chain.client_id, &chain.host_id, &chain.chain_id])?;
    while let Some(row) = rows.next()? {
        let subject = Subject {
            bundle_id: row.get(1)?,
            path: row.get(2)?,
            ..chain.at(number(row, 0)?)
        };
        let (at, jumped_ms): (String, i64) = (row.get(3)?, row.get(4)?);
        let way = if jumped_ms < 0 { "back" } else { "forward" };
        let message = format!(
            "the clock was set {way} by {} ms, noticed at {at} by the clock after it",
            jumped_ms.unsigned_abs()
        );
        bench
            .book
            .note(Check::Time, Code::ClockJump, subject, message)?;
    }
    Ok(())
}

fn stored(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let tolerance = micros(bench.judging.clock_tolerance);
    let late = micros(bench.judging.max_delay);
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT client_id, host_id, chain_id, sequence, bundle_id, path, generated_at_us, stored_us
         FROM bundle WHERE is_trusted = 1
         ORDER BY client_id, host_id, chain_id, sequence, sha256, path",
    )?;
    let mut rows = statement.query([])?;
    let mut in_folder = 0;
    while let Some(row) = rows.next()? {
        if !bench.judging.has_store_metadata {
            in_folder += 1;
            continue;
        }
        let subject = Subject {
            client_id: row.get(0)?,
            host_id: row.get(1)?,
            chain_id: row.get(2)?,
            sequence: Some(number(row, 3)?),
            bundle_id: row.get(4)?,
            path: row.get(5)?,
            version_id: None,
        };
        let sealed: i64 = row.get(6)?;
        let Some(stored) = row.get::<_, Option<i64>>(7)? else {
            bench.book.unchecked(
                Check::Time,
                Code::StoreTimeUnknown,
                subject,
                "the store does not tell when it received it, or tells only when an upload in parts was begun",
            )?;
            continue;
        };
        let times = format!("sealed at {}, stored at {}", words(sealed), words(stored));
        if stored < sealed - tolerance {
            bench
                .book
                .fail(Check::Time, Code::StoredBeforeSealed, subject, times)?;
            continue;
        }
        bench.book.pass(Check::Time, 1);
        if stored > sealed.saturating_add(late) {
            bench
                .book
                .note(Check::Time, Code::StoredLate, subject, times)?;
        }
    }
    bench
        .book
        .not_in_a_folder(Check::Time, in_folder, "has no dates of a store")
}

/// Along a chain time goes on, unless custody says that the clock was set back.
fn in_order(bench: &mut Bench<'_>, chain: &Chain) -> Result<(), LedgerError> {
    let tolerance = micros(bench.judging.clock_tolerance);
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT sequence, bundle_id, path, generated_at_us FROM bundle
         WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1
         ORDER BY sequence, sha256, path",
    )?;
    let mut rows = statement.query([&chain.client_id, &chain.host_id, &chain.chain_id])?;
    let mut before: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let sequence = number(row, 0)?;
        let at: i64 = row.get(3)?;
        let Some(earlier) = before.replace(at) else {
            continue;
        };
        if at >= earlier - tolerance {
            bench.book.pass(Check::Time, 1);
            continue;
        }
        let subject = Subject {
            bundle_id: row.get(1)?,
            path: row.get(2)?,
            ..chain.at(sequence)
        };
        let message = format!(
            "it says {}, and the one before it says {}",
            words(at),
            words(earlier)
        );
        if jump_is_stated(bench, chain, sequence, earlier - at)? {
            bench.book.pass(Check::Time, 1);
            bench.book.note(
                Check::Time,
                Code::ClockJump,
                subject,
                format!("{message}; custody says that the clock was set back"),
            )?;
        } else {
            bench
                .book
                .fail(Check::Time, Code::ClockWentBack, subject, message)?;
        }
    }
    Ok(())
}

/// Whether the custody that covers this place, or the next one, tells of a jump back by so much.
fn jump_is_stated(
    bench: &Bench<'_>,
    chain: &Chain,
    sequence: u64,
    back_us: i64,
) -> Result<bool, LedgerError> {
    let tolerance = micros(bench.judging.clock_tolerance);
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT rest FROM custody JOIN bundle USING (bundle_rowid)
         WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1
           AND bundle.sequence >= ?4 ORDER BY bundle.sequence LIMIT 2",
    )?;
    let mut rows = statement.query(rusqlite::params![
        chain.client_id,
        chain.host_id,
        chain.chain_id,
        crate::ledger::int(sequence)
    ])?;
    while let Some(row) = rows.next()? {
        let rest: String = row.get(0)?;
        let rest: Value = serde_json::from_str(&rest).unwrap_or_default();
        let events = rest["clock_events"].as_array();
        let is_told = events.into_iter().flatten().any(|event| {
            let jumped_ms = event["jumped_ms"].as_i64().unwrap_or(0);
            jumped_ms.saturating_neg().saturating_mul(1000) >= back_us.saturating_sub(tolerance)
        });
        if is_told {
            return Ok(true);
        }
    }
    Ok(false)
}
