//! Is delivery.db what its writer left? Everything that one row says of another is computed again.
//!
//! Whatever is wrong here costs no evidence: set aside, the file is made anew from the outbox, and
//! what is stored and locked is proven again.

use evidence::Problem;
use evidence::digest::Sha256;
use evidence::handover::Role;

use super::error::DeliveryError;
use super::reader::Reader;
use super::row::{named, sha256, unsigned};
use super::state::State;

/// One object's delivery to one destination, to be compared with what was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The bundle.
    pub bundle_id: String,
    /// Its part in it.
    pub role: Role,
    /// The object's path.
    pub path: String,
    /// Its digest, as ordered.
    pub sha256: Sha256,
    /// Its size in bytes, as ordered.
    pub size_bytes: u64,
    /// Where.
    pub destination_id: String,
    /// How far it is.
    pub state: State,
}

/// Each query finds what contradicts itself: a code, what it says, and the rows, of one text column.
const CONTRADICTIONS: [(&str, &str, &str); 5] = [
    (
        "tally_wrong",
        "the count of this state is not the number of its deliveries",
        "SELECT t.destination_id || ' ' || n.state FROM destinations t
         JOIN (SELECT destination_rowid, state, n FROM tallies) n USING (destination_rowid)
         LEFT JOIN (SELECT p.destination_rowid AS at, d.state, count(*) AS n FROM deliveries d
           JOIN parcels p USING (parcel_rowid) GROUP BY 1, 2) c
           ON c.at = n.destination_rowid AND c.state = n.state
         WHERE CASE WHEN n.state IN ('confirmed', 'retired')
           -- What was finished long ago is counted and gone.
           THEN n.n < coalesce(c.n, 0) ELSE n.n <> coalesce(c.n, 0) END
         UNION ALL
         SELECT t.destination_id || ' ' || d.state FROM deliveries d JOIN parcels p USING (parcel_rowid)
         JOIN destinations t USING (destination_rowid)
         WHERE NOT EXISTS (SELECT 1 FROM tallies n WHERE n.destination_rowid = p.destination_rowid
           AND n.state = d.state) GROUP BY 1",
    ),
    (
        "open_count_wrong",
        "its count of open deliveries is not the number of them",
        "SELECT w.order_id FROM orders w WHERE w.open_deliveries <> (SELECT count(*) FROM deliveries d
           JOIN parcels p USING (parcel_rowid) WHERE p.order_rowid = w.order_rowid
           AND d.state NOT IN ('confirmed', 'retired'))",
    ),
    (
        "due_time_wrong",
        "work of this bundle would never be taken up",
        "SELECT p.bundle_id FROM parcels p WHERE p.due_at_ms IS NOT (
           SELECT min(d.next_attempt_at_ms) FROM deliveries d
           WHERE d.parcel_rowid = p.parcel_rowid AND (d.state = 'uploaded' OR (d.state = 'pending'
             AND (d.is_marker = 0 OR NOT EXISTS (SELECT 1 FROM deliveries s
               WHERE s.parcel_rowid = d.parcel_rowid AND s.is_marker = 0
               AND s.state IN ('pending', 'blocked'))))))",
    ),
    (
        "history_contradicts",
        "its last event led to another state",
        "SELECT p.bundle_id FROM deliveries d JOIN parcels p USING (parcel_rowid)
         JOIN (SELECT delivery_rowid, max(event_rowid) AS last FROM events GROUP BY 1) l
           USING (delivery_rowid)
         JOIN events e ON e.event_rowid = l.last WHERE e.to_state <> d.state",
    ),
    (
        "delivery_missing",
        "an object of this order is not delivered to each of its destinations",
        "SELECT w.order_id FROM orders w JOIN objects o USING (order_rowid)
         JOIN (SELECT DISTINCT order_rowid, destination_rowid FROM parcels) t USING (order_rowid)
         WHERE w.finished_at_ms IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries d
           JOIN parcels p USING (parcel_rowid) WHERE d.object_rowid = o.object_rowid
           AND p.destination_rowid = t.destination_rowid) GROUP BY 1",
    ),
];

impl Reader {
    /// Checks the whole database and tells `say` of each problem.
    ///
    /// # Errors
    /// When the database cannot be read on; what was found until then was said.
    pub fn check(&self, mut say: impl FnMut(Problem)) -> Result<(), DeliveryError> {
        let mut told = |code, item: &str, message: String| {
            say(Problem {
                code,
                item: item.to_owned(),
                message,
            });
        };
        let mut statement = self.db.prepare("PRAGMA integrity_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                told("database_damaged", "delivery.db", line);
            }
        }
        let mut statement = self.db.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let table: String = row.get(0)?;
            let message = "a row refers to a row that is not there".to_owned();
            told("reference_to_nothing", &table, message);
        }
        for (code, message, sql) in CONTRADICTIONS {
            let mut statement = self.db.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let item: String = row.get(0)?;
                told(code, &item, message.to_owned());
            }
        }
        Ok(())
    }

    /// Every delivery, given to `visit` in turn.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn each_delivery(&self, mut visit: impl FnMut(Delivered)) -> Result<(), DeliveryError> {
        let mut statement = self.db.prepare(
            "SELECT p.bundle_id, o.role, o.path, o.sha256, o.size_bytes, t.destination_id, d.state
             FROM deliveries d JOIN objects o USING (object_rowid)
             JOIN parcels p USING (parcel_rowid) JOIN destinations t USING (destination_rowid)
             ORDER BY d.delivery_rowid",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(Delivered {
                bundle_id: row.get("bundle_id")?,
                role: named(row, "role", Role::from_name)?,
                path: row.get("path")?,
                sha256: sha256(row, "sha256")?,
                size_bytes: unsigned(row, "size_bytes")?,
                destination_id: row.get("destination_id")?,
                state: named(row, "state", State::from_name)?,
            });
        }
        Ok(())
    }
}
