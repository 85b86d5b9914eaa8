//! Does custody cover every place once, name what the spool has, and is what it names marked? Computed
//! again from the signed bytes, in one snapshot, since a running agent goes on marking.

use std::collections::HashMap;

use evidence::Problem;
use evidence::bundle::Missing;
use evidence::custody::{Covers, Custody, CustodyBody};
use rusqlite::{Row, params};

use crate::SpoolError;
use crate::check::problem;
use crate::publish::{SpooledBundle, read_bundle};
use crate::reader::Reader;
use crate::row::{signed, unsigned};

impl Reader {
    /// `stated` is what later chains say was found nowhere.
    pub(crate) fn check_custody(
        &self,
        stated: &[Missing],
        say: &mut impl FnMut(Problem),
    ) -> Result<(), SpoolError> {
        let _snapshot = self.db.unchecked_transaction()?;
        self.check_tally(say)?;
        self.check_unlisted(say)?;
        let mut statement = self.db.prepare(
            "SELECT b.*, c.from_sequence, c.to_sequence, n.chain_id
             FROM custody c JOIN bundle b USING (bundle_rowid)
             JOIN chain n ON n.chain_rowid = b.chain_rowid
             ORDER BY b.chain_rowid, b.sequence",
        )?;
        let mut rows = statement.query([])?;
        // Of each chain, the last place that is covered.
        let mut covered: HashMap<String, u64> = HashMap::new();
        while let Some(row) = rows.next()? {
            let chain_id: String = row.get("chain_id")?;
            let in_row = covers(row)?;
            let bundle = read_bundle(row)?;
            let name = bundle.bundle_id.to_string();
            let Ok(CustodyBody { custody }) = serde_json::from_slice(&bundle.bytes) else {
                say(problem(
                    "custody_differs",
                    &name,
                    "it is listed as custody, and states none",
                ));
                continue;
            };
            if custody.covers != in_row {
                say(problem(
                    "custody_differs",
                    &name,
                    "its row covers other places than its signed statement",
                ));
            }
            if let Some(covers) = in_row {
                let last = covered.entry(chain_id.clone()).or_default();
                if covers.from_sequence != *last + 1 {
                    say(gap(&name, &chain_id, *last, covers, stated));
                }
                *last = covers.to_sequence;
            }
            for message in self.wrong_with_custody(&bundle, &chain_id, &custody, stated)? {
                say(problem("custody_of_nothing", &name, message));
            }
        }
        Ok(())
    }

    /// What it names is what the spool has, and is marked with it; and nothing else is.
    fn wrong_with_custody(
        &self,
        bundle: &SpooledBundle,
        chain_id: &str,
        custody: &Custody,
        stated: &[Missing],
    ) -> Result<Vec<String>, SpoolError> {
        let mut wrong = Vec::new();
        let mut sealed = self.db.prepare_cached(
            "SELECT 1 FROM bundle b JOIN chain n USING (chain_rowid)
             WHERE n.chain_id = ?1 AND b.sequence = ?2 AND b.bundle_id = ?3 AND b.sha256 = ?4
             AND b.kind = ?5",
        )?;
        for entry in &custody.sealed {
            let is_there = sealed.exists(params![
                chain_id,
                signed(entry.sequence),
                entry.bundle_id,
                entry.sha256.as_bytes(),
                entry.kind.as_str()
            ])?;
            if !is_there && !is_stated(stated, chain_id, entry.sequence) {
                wrong.push(format!(
                    "it says that {} was sealed at {}, and the spool has no such bundle",
                    entry.bundle_id, entry.sequence
                ));
            }
        }
        let mut marked = self.db.prepare_cached(
            "SELECT 1 FROM bundle b JOIN chain n USING (chain_rowid)
             WHERE b.bundle_id = ?1 AND n.chain_id = ?2 AND (
               EXISTS (SELECT 1 FROM confirmation c WHERE c.bundle_rowid = b.bundle_rowid
                 AND c.destination_id = ?3 AND c.path = ?4 AND c.version_id = ?5
                 AND c.attested_by = ?6)
               OR EXISTS (SELECT 1 FROM attested_before a WHERE a.bundle_rowid = b.bundle_rowid
                 AND a.destination_id = ?3 AND a.path = ?4 AND a.version_id = ?5
                 AND a.attested_by = ?6))",
        )?;
        // A host that was restored from a snapshot forgot what it had named, and named it again; a
        // rebuilt spool has both statements and marks the first.
        let mut named_before = self.db.prepare_cached(
            "SELECT 1 FROM attested_before a JOIN bundle b USING (bundle_rowid)
             JOIN chain n USING (chain_rowid)
             WHERE b.bundle_id = ?1 AND n.chain_id = ?2 AND a.destination_id = ?3 AND a.path = ?4
             AND a.version_id = ?5",
        )?;
        let mut found = 0;
        for entry in &custody.confirmed {
            if marked.exists(params![
                entry.bundle_id,
                entry.chain_id,
                entry.destination_id,
                entry.object,
                entry.version_id,
                bundle.bundle_rowid
            ])? {
                found += 1;
            } else if !is_stated(stated, &entry.chain_id, entry.sequence)
                && !named_before.exists(params![
                    entry.bundle_id,
                    entry.chain_id,
                    entry.destination_id,
                    entry.object,
                    entry.version_id
                ])?
            {
                wrong.push(format!(
                    "it says that {} is confirmed at {}, and the spool does not know that as said by \
                     it",
                    entry.object, entry.destination_id
                ));
            }
        }
        let marks: i64 = self
            .db
            .prepare_cached(
                "SELECT (SELECT count(*) FROM attested_before WHERE attested_by = ?1)
                  + (SELECT count(*) FROM confirmation c WHERE c.attested_by = ?1
                     AND NOT EXISTS (SELECT 1 FROM attested_before a
                       WHERE a.bundle_rowid = c.bundle_rowid AND a.destination_id = c.destination_id
                       AND a.path = c.path AND a.version_id = c.version_id))",
            )?
            .query_row([bundle.bundle_rowid], |row| row.get(0))?;
        if marks != found {
            wrong.push(format!(
                "{marks} confirmations are marked as named by it, and it names {found} of them"
            ));
        }
        Ok(wrong)
    }

    /// Custody that is not listed would be covered by nothing and cover nothing.
    fn check_unlisted(&self, say: &mut impl FnMut(Problem)) -> Result<(), SpoolError> {
        let mut statement = self.db.prepare(
            "SELECT b.bundle_id FROM bundle b WHERE b.kind = 'custody'
             AND NOT EXISTS (SELECT 1 FROM custody c WHERE c.bundle_rowid = b.bundle_rowid)
             AND NOT EXISTS (SELECT 1 FROM reseal r WHERE r.new_bundle_rowid = b.bundle_rowid)
             AND json_extract(CAST(b.bytes AS TEXT), '$.reseals') IS NULL",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let bundle_id: String = row.get("bundle_id")?;
            say(problem(
                "custody_not_listed",
                &bundle_id,
                "it is custody, and the spool does not know what it covers",
            ));
        }
        Ok(())
    }

    fn check_tally(&self, say: &mut impl FnMut(Problem)) -> Result<(), SpoolError> {
        let mut statement = self.db.prepare(
            "SELECT t.name, t.n, CASE t.name
               WHEN 'confirmed' THEN (SELECT count(*) FROM confirmation)
               WHEN 'quarantined' THEN (SELECT count(*) FROM quarantined)
               WHEN 'duplicate' THEN (SELECT count(*) FROM duplicate)
               ELSE (SELECT count(*) FROM bundle WHERE kind = t.name) END AS counted
             FROM tally t",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, n, counted): (String, i64, i64) =
                (row.get("name")?, row.get("n")?, row.get("counted")?);
            if n != counted {
                say(problem(
                    "tally_differs",
                    &name,
                    format!("the tally is {n}, and there are {counted}"),
                ));
            }
        }
        Ok(())
    }
}

fn covers(row: &Row<'_>) -> Result<Option<Covers>, SpoolError> {
    let from: Option<i64> = row.get("from_sequence")?;
    Ok(match from {
        None => None,
        Some(_) => Some(Covers {
            from_sequence: unsigned(row, "from_sequence")?,
            to_sequence: unsigned(row, "to_sequence")?,
        }),
    })
}

/// Where the custody bundle in between was found nowhere, which is said, so is this.
fn gap(name: &str, chain_id: &str, last: u64, covers: Covers, stated: &[Missing]) -> Problem {
    let lost_custody = stated
        .iter()
        .any(|range| range.chain_id == chain_id && range.to_sequence > last);
    let code = if covers.from_sequence > last + 1 && lost_custody {
        "custody_gap_stated"
    } else {
        "custody_gap"
    };
    problem(
        code,
        name,
        format!(
            "it covers {} to {} of chain {chain_id}, and {last} was the last that was covered",
            covers.from_sequence, covers.to_sequence
        ),
    )
}

fn is_stated(stated: &[Missing], chain_id: &str, sequence: u64) -> bool {
    stated.iter().any(|range| {
        range.chain_id == chain_id && (range.from_sequence..=range.to_sequence).contains(&sequence)
    })
}
