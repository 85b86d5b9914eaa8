//! Judging: the ledger is looked at, check by check. No I/O but the ledger's, and no clock.
//!
//! First it is found out which bundles may be believed ([`signature`], [`place`], [`key`]); the others
//! rest on nothing else. A bundle that is there and not proven fails once, for what is wrong with it: what
//! would follow from it (its place in the chain, what custody says of it) is then *could not check*, so that
//! an auditor reads the cause and not its echoes, and nothing unproven passes.

mod artifact;
mod book;
mod chain;
mod chain_start;
mod claims;
mod confirmed;
mod coverage;
mod custody;
mod key;
mod lock;
mod place;
mod record;
mod sealed;
mod signature;
mod source;
#[cfg(test)]
mod tests;
mod time;
mod unexpected;
mod version;

use evidence::digest::Sha256;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Row, params};

use crate::finding::{Check, Subject, Verdict};
use crate::keyring::Keyring;
use crate::ledger::{JudgedBy, Ledger, LedgerError, TrustedKey, us};
use book::Book;

/// Whom the auditor expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedHost {
    /// Of this client, if one is named.
    pub client_id: Option<String>,
    /// This host; any of the client's, if none is named.
    pub host_id: Option<String>,
}

/// By what to judge.
#[derive(Debug, Clone)]
pub struct Judging {
    /// Versions, locks and dates of a store were to be had.
    pub has_store_metadata: bool,
    /// `s3://bucket/prefix` of the bucket that was read.
    pub bucket_uri: Option<String>,
    /// Who must have evidence.
    pub expected: Vec<ExpectedHost>,
    /// Custody must reach back to this time.
    pub from: Option<Timestamp>,
    /// Custody must reach up to this time.
    pub to: Option<Timestamp>,
    /// No lock may be shorter, in days.
    pub min_retention_days: u32,
    /// How often hosts make custody bundles.
    pub custody_interval: SignedDuration,
    /// So much later a custody bundle may come.
    pub custody_tolerance: SignedDuration,
    /// So far clocks may differ.
    pub clock_tolerance: SignedDuration,
    /// What the store received later than this after it was sealed is named as late.
    pub max_delay: SignedDuration,
}

impl Default for Judging {
    fn default() -> Self {
        Self {
            has_store_metadata: true,
            bucket_uri: None,
            expected: Vec::new(),
            from: None,
            to: None,
            // Six years: 45 CFR 164.316(b)(2)(i).
            min_retention_days: 2192,
            custody_interval: SignedDuration::from_hours(1),
            custody_tolerance: SignedDuration::from_mins(15),
            clock_tolerance: SignedDuration::from_mins(5),
            max_delay: SignedDuration::from_hours(24),
        }
    }
}

/// Judges everything in the ledger anew, and says what came of it.
///
/// # Errors
/// When the ledger fails; then nothing was judged.
pub fn judge(
    ledger: &Ledger,
    keyring: &Keyring,
    judging: &Judging,
) -> Result<Verdict, LedgerError> {
    ledger.together(|| {
        ledger.clear_judgement()?;
        ledger.set_judged_by(None)?;
        let mut bench = Bench::new(ledger, keyring, judging)?;
        signature::judge(&mut bench)?;
        place::judge(&mut bench)?;
        key::judge(&mut bench)?;
        source::judge(&mut bench)?;
        artifact::judge(&mut bench)?;
        chain::judge(&mut bench)?;
        chain_start::judge(&mut bench)?;
        custody::judge(&mut bench)?;
        sealed::judge(&mut bench)?;
        confirmed::judge(&mut bench)?;
        coverage::judge(&mut bench)?;
        lock::judge(&mut bench)?;
        version::judge(&mut bench)?;
        unexpected::judge(&mut bench)?;
        claims::judge(&mut bench)?;
        time::judge(&mut bench)?;
        record::judge(&mut bench)?;
        bench.book.close()?;
        ledger.set_judged_by(Some(&judged_by(bench.now, keyring, judging)))
    })?;
    verdict(ledger)
}

/// What a report says of it.
fn judged_by(now: Option<Timestamp>, keyring: &Keyring, judging: &Judging) -> JudgedBy {
    let allowed = judging.custody_interval + judging.custody_tolerance;
    JudgedBy {
        looked_at: now,
        from: judging.from,
        to: judging.to,
        silent_after_secs: allowed.as_secs(),
        has_store_metadata: judging.has_store_metadata,
        keys: keyring.keys().map(TrustedKey::given).collect(),
    }
}

/// The worst of all checks. What was not applicable throughout did not pass.
///
/// # Errors
/// When SQLite fails.
pub fn verdict(ledger: &Ledger) -> Result<Verdict, LedgerError> {
    let mut worst = Verdict::NotApplicable;
    for check in Check::ALL {
        worst = worst.max(ledger.tally(check)?.verdict());
    }
    Ok(worst.max(match worst {
        Verdict::NotApplicable => Verdict::CouldNotCheck,
        other => other,
    }))
}

/// What every judge sits at.
struct Bench<'a> {
    ledger: &'a Ledger,
    keyring: &'a Keyring,
    judging: &'a Judging,
    book: Book<'a>,
    /// Everything that is there was listed.
    is_listed: bool,
    /// The store's clock when it was listed; for a folder, the auditor's.
    now: Option<Timestamp>,
}

/// A chain of a host that has something to be believed.
#[derive(Debug, Clone)]
struct Chain {
    client_id: String,
    host_id: String,
    chain_id: String,
    /// The highest place with a bundle.
    last: u64,
}

impl Chain {
    /// Whose it is.
    fn host(&self) -> (&str, &str) {
        (&self.client_id, &self.host_id)
    }

    fn subject(&self) -> Subject {
        Subject {
            client_id: Some(self.client_id.clone()),
            host_id: Some(self.host_id.clone()),
            chain_id: Some(self.chain_id.clone()),
            ..Subject::default()
        }
    }

    fn at(&self, sequence: u64) -> Subject {
        Subject {
            sequence: Some(sequence),
            ..self.subject()
        }
    }
}

impl<'a> Bench<'a> {
    fn new(
        ledger: &'a Ledger,
        keyring: &'a Keyring,
        judging: &'a Judging,
    ) -> Result<Self, LedgerError> {
        let now = ledger
            .meta("now_us")?
            .and_then(|us| us.parse().ok())
            .and_then(|us| Timestamp::from_microsecond(us).ok());
        Ok(Self {
            ledger,
            keyring,
            judging,
            book: Book::new(ledger),
            is_listed: ledger.listed_to()?.is_done,
            now,
        })
    }

    /// Every chain with a trusted bundle, by host.
    fn chains(&self) -> Result<Vec<Chain>, LedgerError> {
        let mut statement = self.ledger.sql().prepare_cached(
            "SELECT client_id, host_id, chain_id, max(sequence) FROM bundle WHERE is_trusted = 1
             GROUP BY client_id, host_id, chain_id ORDER BY client_id, host_id, chain_id",
        )?;
        let chains = statement
            .query_map([], |row| {
                Ok(Chain {
                    client_id: row.get(0)?,
                    host_id: row.get(1)?,
                    chain_id: row.get(2)?,
                    last: number(row, 3)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(chains)
    }

    /// How many bundles lie in this chain's folder and are not proven: any of them may be what is
    /// missed.
    fn unproven(&self, client: &str, host: &str, chain: &str) -> Result<u64, LedgerError> {
        let folder = format!("{client}/{host}/{chain}");
        let n: i64 = self
            .ledger
            .sql()
            .prepare_cached(
                // '0' comes right after '/'.
                "SELECT count(*) FROM
                   (SELECT DISTINCT bundle_path AS path FROM version
                    WHERE bundle_path > ?1 || '/' AND bundle_path < ?1 || '0'
                      AND role = 'bundle' AND is_delete_marker = 0) AS there
                 WHERE NOT EXISTS
                   (SELECT 1 FROM bundle WHERE bundle.path = there.path AND is_trusted = 1)",
            )?
            .query_row([folder], |row| row.get(0))?;
        Ok(n.unsigned_abs())
    }

    /// Whether a chain began so short a time ago.
    fn is_young(&self, chain: &Chain, allowed: SignedDuration) -> Result<bool, LedgerError> {
        let began: Option<i64> = self
            .ledger
            .sql()
            .prepare_cached(
                "SELECT min(generated_at_us) FROM bundle
                 WHERE client_id = ?1 AND host_id = ?2 AND chain_id = ?3 AND is_trusted = 1",
            )?
            .query_row([&chain.client_id, &chain.host_id, &chain.chain_id], |row| {
                row.get(0)
            })?;
        let now = self.now.map(us);
        Ok(began
            .zip(now)
            .is_some_and(|(began, now)| now - began <= micros(allowed)))
    }

    /// Whether anything lies where this bundle belongs.
    fn lies_there(&self, path: &str) -> Result<bool, LedgerError> {
        let found: Option<i64> = self
            .ledger
            .sql()
            .prepare_cached(
                "SELECT 1 FROM version WHERE path = ?1 AND is_delete_marker = 0 LIMIT 1",
            )?
            .query_row([path], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    }

    /// Whether a trusted bundle of this host says again the one with this digest. Of its own only: nobody
    /// excuses what another host lacks.
    fn is_resealed(&self, host: (&str, &str), sha256: &[u8]) -> Result<bool, LedgerError> {
        let found: Option<i64> = self
            .ledger
            .sql()
            .prepare_cached(
                "SELECT 1 FROM bundle WHERE reseals_sha256 = ?1 AND is_trusted = 1
                   AND client_id = ?2 AND host_id = ?3 LIMIT 1",
            )?
            .query_row(params![sha256, host.0, host.1], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    }

    /// The digests of the trusted bundles of this host at a place.
    fn digests_at(
        &self,
        host: (&str, &str),
        chain: &str,
        sequence: u64,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut statement = self.ledger.sql().prepare_cached(
            "SELECT DISTINCT sha256 FROM bundle
             WHERE chain_id = ?1 AND sequence = ?2 AND is_trusted = 1
               AND client_id = ?3 AND host_id = ?4",
        )?;
        let sequence = crate::ledger::int(sequence);
        let digests = statement
            .query_map(params![chain, sequence, host.0, host.1], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(digests)
    }
}

/// A count or sequence in a row.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// A duration as the ledger counts time.
fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A digest's first digits, enough to tell it from others.
fn short(sha256: &[u8]) -> String {
    <[u8; 32]>::try_from(sha256).map_or_else(
        |_| "?".to_owned(),
        |bytes| format!("{}…", &Sha256::from_bytes(bytes).to_string()[..12]),
    )
}

/// A time for a message, in whole seconds.
fn words(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}

/// `place 5`, or `places 5 to 9`.
fn places(from: u64, to: u64) -> String {
    if from == to {
        format!("place {from}")
    } else {
        format!("places {from} to {to}")
    }
}
