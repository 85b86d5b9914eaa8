//! Could this key sign for this host, when the store received it?
//!
//! Who is bound to what, from when until when, is the auditor's word, held against the store's clock. A
//! rotation that may itself be believed leads to one more key, for the same client and host. And a chain has
//! one line of keys: whoever follows in the midst of it must have been named by the one before.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};

use super::{Bench, number, words};
use crate::code::Code;
use crate::finding::{Check, Level, Subject};
use crate::keyring::PinnedKey;
use crate::ledger::{LedgerError, us};

/// What a bundle's key is judged by.
#[derive(Debug, Clone)]
struct Signed {
    rowid: i64,
    key_id: String,
    client_id: String,
    host_id: String,
    chain_id: String,
    sequence: u64,
    bundle_id: String,
    path: String,
    /// When the store had it and its signature.
    stored_us: Option<i64>,
    /// The key that it rotates to, if it is a rotation.
    to: Option<String>,
}

/// Why a key may not have signed, or nobody can say.
pub(super) struct Objection {
    pub(super) level: Level,
    pub(super) code: Code,
    pub(super) message: String,
}

fn failed(code: Code, message: impl Into<String>) -> Objection {
    Objection {
        level: Level::Failed,
        code,
        message: message.into(),
    }
}

fn unknown(code: Code, message: impl Into<String>) -> Objection {
    Objection {
        level: Level::CouldNotCheck,
        code,
        message: message.into(),
    }
}

/// Rotations, as far as they may be followed.
#[derive(Default)]
struct Rotations {
    followed: Vec<Signed>,
    refused: Vec<(Signed, String)>,
}

pub(super) fn judge(bench: &mut Bench<'_>) -> Result<(), LedgerError> {
    let rotations = follow(bench)?;
    for rotation in &rotations.followed {
        let to = rotation.to.clone().unwrap_or_default();
        bench.book.note(
            Check::Key,
            Code::RotationFollowed,
            subject(rotation),
            format!("from {} to {to}", rotation.key_id),
        )?;
    }
    for (rotation, why) in &rotations.refused {
        let to = rotation.to.clone().unwrap_or_default();
        bench.book.say(
            Check::Key,
            Level::Failed,
            Code::RotationRefused,
            subject(rotation),
            format!("it is not followed to {to}: {why}"),
        )?;
    }
    let shared = shared_keys(bench)?;
    let mut line = Line::default();
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT bundle_rowid, key_id, client_id, host_id, chain_id, sequence, bundle_id, path,
           stored_us, to_key_id
         FROM bundle LEFT JOIN rotation USING (bundle_rowid) WHERE is_evidence = 1
         ORDER BY client_id, host_id, chain_id, sequence, sha256, path",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let signed = signed(row)?;
        let objection = match may_sign(bench, &rotations, &signed)? {
            None => line.follow(&rotations, &signed),
            objection => {
                line.enter(&signed);
                objection
            }
        };
        match objection {
            None if shared.contains_key(&signed.key_id) => {
                bench.book.count(Check::Key, Level::CouldNotCheck, 1);
            }
            None => bench.book.pass(Check::Key, 1),
            Some(objection) => {
                bench.book.count(Check::Key, objection.level, 1);
                bench.book.say(
                    Check::Key,
                    objection.level,
                    objection.code,
                    subject(&signed),
                    objection.message,
                )?;
                if objection.level == Level::Failed {
                    bench
                        .ledger
                        .sql()
                        .prepare_cached("UPDATE bundle SET is_trusted = 0 WHERE bundle_rowid = ?1")?
                        .execute([signed.rowid])?;
                }
            }
        }
    }
    for (key_id, hosts) in shared {
        bench.book.say(
            Check::Key,
            Level::CouldNotCheck,
            Code::KeyUnbound,
            Subject::default(),
            format!(
                "{key_id} signs for {hosts}, and you did not say whose it is: bind it to its client \
                 and host in a keyring"
            ),
        )?;
    }
    Ok(())
}

fn subject(signed: &Signed) -> Subject {
    Subject {
        client_id: Some(signed.client_id.clone()),
        host_id: Some(signed.host_id.clone()),
        chain_id: Some(signed.chain_id.clone()),
        sequence: Some(signed.sequence),
        bundle_id: Some(signed.bundle_id.clone()),
        path: Some(signed.path.clone()),
        version_id: None,
    }
}

fn signed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Signed> {
    Ok(Signed {
        rowid: row.get(0)?,
        key_id: row.get(1)?,
        client_id: row.get(2)?,
        host_id: row.get(3)?,
        chain_id: row.get(4)?,
        sequence: number(row, 5)?,
        bundle_id: row.get(6)?,
        path: row.get(7)?,
        stored_us: row.get(8)?,
        to: row.get(9)?,
    })
}

/// Follows rotations from the auditor's keys, until none leads further.
fn follow(bench: &Bench<'_>) -> Result<Rotations, LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT bundle_rowid, key_id, client_id, host_id, chain_id, sequence, bundle_id, path,
           stored_us, to_key_id
         FROM bundle JOIN rotation USING (bundle_rowid) WHERE is_trusted = 1
         ORDER BY client_id, host_id, chain_id, sequence, path",
    )?;
    let mut waiting: Vec<Signed> = statement.query_map([], signed)?.collect::<Result<_, _>>()?;
    let mut rotations = Rotations::default();
    // Each round follows at least one, or is the last.
    loop {
        let mut refused = Vec::new();
        let before = rotations.followed.len();
        for rotation in std::mem::take(&mut waiting) {
            match may_sign(bench, &rotations, &rotation)? {
                Some(objection) if objection.level == Level::Failed => {
                    refused.push((rotation, objection.message));
                }
                _ => rotations.followed.push(rotation),
            }
        }
        if rotations.followed.len() == before || refused.is_empty() {
            rotations.refused = refused;
            return Ok(rotations);
        }
        waiting = refused.into_iter().map(|(rotation, _)| rotation).collect();
    }
}

/// Keys that the auditor bound to nobody, and that sign for several hosts: how many.
fn shared_keys(bench: &Bench<'_>) -> Result<BTreeMap<String, String>, LedgerError> {
    let mut statement = bench.ledger.sql().prepare_cached(
        "SELECT key_id, count(DISTINCT client_id || '/' || host_id) AS hosts,
           min(client_id || '/' || host_id), max(client_id || '/' || host_id)
         FROM bundle WHERE is_evidence = 1 GROUP BY key_id HAVING hosts > 1 ORDER BY key_id",
    )?;
    let mut rows = statement.query([])?;
    let mut shared = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key_id: String = row.get(0)?;
        let is_unbound = bench
            .keyring
            .get(&key_id)
            .is_some_and(|pinned| pinned.host_id.is_none());
        if is_unbound {
            let (n, one, other): (i64, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            shared.insert(key_id, format!("{n} hosts, {one} and {other} among them"));
        }
    }
    Ok(shared)
}

/// Whether the key may have signed this, by itself.
fn may_sign(
    bench: &Bench<'_>,
    rotations: &Rotations,
    signed: &Signed,
) -> Result<Option<Objection>, LedgerError> {
    let by_key = match bench.keyring.get(&signed.key_id) {
        Some(pinned) => {
            let wrong = |bound: &Option<String>, is: &String| {
                bound.as_ref().is_some_and(|bound| bound != is)
            };
            if wrong(&pinned.client_id, &signed.client_id) {
                let bound = pinned.client_id.clone().unwrap_or_default();
                return Ok(Some(failed(
                    Code::KeyOfAnotherClient,
                    format!("the key is {bound}'s, and this is of {}", signed.client_id),
                )));
            }
            if wrong(&pinned.host_id, &signed.host_id) {
                let bound = pinned.host_id.clone().unwrap_or_default();
                return Ok(Some(failed(
                    Code::KeyOfAnotherHost,
                    format!("the key is {bound}'s, and this is of {}", signed.host_id),
                )));
            }
            in_time(pinned, signed.stored_us)
        }
        None => by_rotation(rotations, signed),
    };
    match by_key {
        None => rotated_away(bench, rotations, signed),
        objection => Ok(objection),
    }
}

/// Only the store's clock counts: whoever has the key can sign any time.
pub(super) fn in_time(pinned: &PinnedKey, stored_us: Option<i64>) -> Option<Objection> {
    let limits = [pinned.not_before, pinned.not_after, pinned.revoked_at];
    if limits.iter().all(Option::is_none) {
        return None;
    }
    let Some(stored) = stored_us else {
        return Some(unknown(
            Code::KeyTimeUnknown,
            "the key was not valid at all times, and nothing tells when a store received this",
        ));
    };
    let when = words(stored);
    match pinned.revoked_at {
        Some(revoked) if stored >= us(revoked) => {
            let why = pinned
                .revoked_reason
                .as_deref()
                .unwrap_or("no reason given");
            return Some(failed(
                Code::KeyRevoked,
                format!(
                    "the store received it at {when}; the key was revoked at {revoked} ({why})"
                ),
            ));
        }
        _ => {}
    }
    match (pinned.not_before, pinned.not_after) {
        (Some(not_before), _) if stored < us(not_before) => Some(failed(
            Code::KeyNotYetValid,
            format!("the store received it at {when}; the key is valid from {not_before} on"),
        )),
        (_, Some(not_after)) if stored > us(not_after) => Some(failed(
            Code::KeyExpired,
            format!("the store received it at {when}; the key was valid until {not_after}"),
        )),
        _ => None,
    }
}

/// A key that the auditor did not give was named by a rotation: for that client and host, and in that
/// chain only from there on.
fn by_rotation(rotations: &Rotations, signed: &Signed) -> Option<Objection> {
    let names = |rotation: &&Signed| rotation.to.as_ref() == Some(&signed.key_id);
    let mut of_others = None;
    let mut before = None;
    for rotation in rotations.followed.iter().filter(names) {
        if (&rotation.client_id, &rotation.host_id) != (&signed.client_id, &signed.host_id) {
            of_others = Some(rotation);
        } else if rotation.chain_id == signed.chain_id && rotation.sequence >= signed.sequence {
            before = Some(rotation);
        } else {
            return None;
        }
    }
    if let Some(rotation) = before {
        return Some(failed(
            Code::KeyBeforeRotation,
            format!(
                "its key is named only later, at place {}",
                rotation.sequence
            ),
        ));
    }
    if let Some(rotation) = of_others {
        return Some(failed(
            Code::KeyOfAnotherHost,
            format!(
                "its key was named by a rotation of {}/{}",
                rotation.client_id, rotation.host_id
            ),
        ));
    }
    let refused = rotations.refused.iter().find(|(r, _)| names(&r));
    let why = refused.map_or_else(String::new, |(_, why)| format!(": {why}"));
    Some(failed(
        Code::RotationRefused,
        format!("the rotation that names its key is not followed{why}"),
    ))
}

/// A key that has named its successor signs nothing more.
fn rotated_away(
    bench: &Bench<'_>,
    rotations: &Rotations,
    signed: &Signed,
) -> Result<Option<Objection>, LedgerError> {
    let of_this_key = rotations.followed.iter().filter(|rotation| {
        rotation.key_id == signed.key_id
            && (&rotation.client_id, &rotation.host_id) == (&signed.client_id, &signed.host_id)
            && rotation.rowid != signed.rowid
    });
    for rotation in of_this_key {
        let when = format!("it had named its successor at place {}", rotation.sequence);
        if rotation.chain_id == signed.chain_id {
            if signed.sequence > rotation.sequence {
                return Ok(Some(failed(Code::KeyRotatedAway, when)));
            }
            continue;
        }
        // A chain that came before is stored late at worst.
        if is_ancestor(bench, &signed.chain_id, &rotation.chain_id)? {
            continue;
        }
        let when = format!("{when} of chain {}", rotation.chain_id);
        match (signed.stored_us, rotation.stored_us) {
            (Some(stored), Some(rotated)) if stored < rotated => {}
            (Some(_), Some(_)) => {
                return Ok(Some(failed(
                    Code::KeyRotatedAway,
                    format!("{when} when the store received this"),
                )));
            }
            _ => {
                return Ok(Some(unknown(
                    Code::KeyTimeUnknown,
                    format!("{when}, and nothing tells which of the two came first"),
                )));
            }
        }
    }
    Ok(None)
}

/// Whether `chain` is one of those that `later` follows, by what their first bundles say.
fn is_ancestor(bench: &Bench<'_>, chain: &str, later: &str) -> Result<bool, LedgerError> {
    let mut at = later.to_owned();
    // A host has few chains; one that names itself again would go on for ever.
    for _ in 0..1000 {
        let before: Option<Option<String>> = bench
            .ledger
            .sql()
            .prepare_cached(
                "SELECT predecessor_chain FROM bundle
                 WHERE chain_id = ?1 AND sequence = 1 AND is_evidence = 1
                 ORDER BY bundle_rowid LIMIT 1",
            )?
            .query_row(params![at], |row| row.get(0))
            .optional()?;
        match before.flatten() {
            Some(before) if before == chain => return Ok(true),
            Some(before) => at = before,
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// The line of keys of the chain that is being walked.
#[derive(Default)]
struct Line {
    chain: Option<(String, String, String)>,
    /// Who signs now, and where that was last so.
    key_id: Option<String>,
}

impl Line {
    /// Whether the bundle belongs to another chain than the one before it.
    fn enter(&mut self, signed: &Signed) {
        let chain = (
            signed.client_id.clone(),
            signed.host_id.clone(),
            signed.chain_id.clone(),
        );
        if self.chain.as_ref() != Some(&chain) {
            self.chain = Some(chain);
            self.key_id = None;
        }
    }

    fn follow(&mut self, rotations: &Rotations, signed: &Signed) -> Option<Objection> {
        self.enter(signed);
        if let Some(key_id) = &self.key_id
            && *key_id != signed.key_id
        {
            return Some(failed(
                Code::KeyChanged,
                format!("{key_id} signed before it in this chain, and never named this key"),
            ));
        }
        let rotates = rotations
            .followed
            .iter()
            .find(|rotation| rotation.rowid == signed.rowid)
            .and_then(|rotation| rotation.to.clone());
        self.key_id = Some(rotates.unwrap_or_else(|| signed.key_id.clone()));
        None
    }
}
