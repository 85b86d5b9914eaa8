//! The tables of delivery.db and how older versions become the newest.
//!
//! CHECK constraints and triggers make illegal rows impossible, whoever writes: no confirmation
//! without a version, a proof and a lock that is long enough; no way back from confirmed; no
//! history that is changed; nothing removed that is not finished.
//!
//! Times are integers: `_ms` milliseconds, `_secs` seconds since the epoch.

use rusqlite::Connection;

use super::error::DeliveryError;

/// The schema version this build writes.
pub const SCHEMA_VERSION: i64 = 4;

/// What each version added; index 0 makes version 1.
const MIGRATIONS: [&str; 4] = [V1, V2, V3, V4];

const V1: &str = r"
-- One row: when this database was made. Orders older than it may have been delivered by a
-- predecessor that was lost, so their keys are looked at before the first PUT.
CREATE TABLE birth (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE orders (
  order_rowid INTEGER PRIMARY KEY,
  order_id TEXT NOT NULL UNIQUE CHECK (length(order_id) > 0),
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  created_at_ms INTEGER NOT NULL,
  imported_at_ms INTEGER NOT NULL,
  -- Deliveries that are neither confirmed nor retired. Kept by triggers.
  open_deliveries INTEGER NOT NULL DEFAULT 0 CHECK (open_deliveries >= 0),
  -- When the agent had removed the order from the outbox: it has every receipt.
  finished_at_ms INTEGER,
  CHECK (finished_at_ms IS NULL OR open_deliveries = 0)
) STRICT;
CREATE INDEX orders_open ON orders (order_rowid) WHERE open_deliveries > 0;
CREATE INDEX orders_complete ON orders (order_rowid)
  WHERE finished_at_ms IS NULL AND open_deliveries = 0;
CREATE INDEX orders_finished ON orders (finished_at_ms) WHERE finished_at_ms IS NOT NULL;

CREATE TABLE objects (
  object_rowid INTEGER PRIMARY KEY,
  order_rowid INTEGER NOT NULL REFERENCES orders,
  bundle_id TEXT NOT NULL CHECK (length(bundle_id) > 0),
  role TEXT NOT NULL CHECK (role IN ('artifact', 'signature', 'bundle')),
  path TEXT NOT NULL CHECK (length(path) > 0),
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  UNIQUE (order_rowid, path)
) STRICT;

CREATE TABLE destinations (
  destination_rowid INTEGER PRIMARY KEY,
  destination_id TEXT NOT NULL CHECK (length(destination_id) > 0),
  -- An id never changes meaning: with another place it is another row.
  uri TEXT NOT NULL CHECK (length(uri) > 0),
  -- ok: work flows; open: the breaker is open after failures; parked: an operator is needed.
  state TEXT NOT NULL DEFAULT 'ok' CHECK (state IN ('ok', 'open', 'parked')),
  reason TEXT,
  since_ms INTEGER NOT NULL,
  next_probe_at_ms INTEGER,
  last_ok_at_ms INTEGER,
  last_confirmed_at_ms INTEGER,
  last_preflight_at_ms INTEGER,
  last_preflight TEXT,
  clock_offset_ms INTEGER,
  last_error_class TEXT,
  last_error_code TEXT,
  last_error_message TEXT,
  last_error_at_ms INTEGER,
  UNIQUE (destination_id, uri),
  CHECK ((state = 'ok') = (reason IS NULL)),
  CHECK ((last_error_class IS NULL) = (last_error_code IS NULL)),
  CHECK ((last_error_class IS NULL) = (last_error_message IS NULL)),
  CHECK ((last_error_class IS NULL) = (last_error_at_ms IS NULL))
) STRICT;

CREATE TABLE tallies (
  destination_rowid INTEGER NOT NULL REFERENCES destinations,
  state TEXT NOT NULL CHECK (state IN ('pending', 'uploaded', 'confirmed', 'blocked', 'retired')),
  n INTEGER NOT NULL CHECK (n >= 0),
  PRIMARY KEY (destination_rowid, state)
) STRICT, WITHOUT ROWID;

-- One bundle of one order on its way to one destination: the unit of work.
CREATE TABLE parcels (
  parcel_rowid INTEGER PRIMARY KEY,
  order_rowid INTEGER NOT NULL REFERENCES orders,
  destination_rowid INTEGER NOT NULL REFERENCES destinations,
  bundle_id TEXT NOT NULL,
  sequence INTEGER NOT NULL CHECK (sequence >= 0),
  -- When something can next be done for it; NULL when nothing can. Kept by triggers.
  due_at_ms INTEGER,
  UNIQUE (order_rowid, destination_rowid, bundle_id)
) STRICT;
CREATE INDEX parcels_due ON parcels (destination_rowid, due_at_ms, parcel_rowid)
  WHERE due_at_ms IS NOT NULL;
CREATE INDEX parcels_by_bundle ON parcels (bundle_id);

CREATE TABLE receipts (
  receipt_rowid INTEGER PRIMARY KEY,
  receipt_id TEXT NOT NULL UNIQUE,
  written_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
  delivery_rowid INTEGER PRIMARY KEY,
  parcel_rowid INTEGER NOT NULL REFERENCES parcels,
  object_rowid INTEGER NOT NULL REFERENCES objects,
  -- The commit marker waits for the others of its parcel.
  is_marker INTEGER NOT NULL CHECK (is_marker IN (0, 1)),
  state TEXT NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'uploaded', 'confirmed', 'blocked', 'retired')),
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_attempt_at_ms INTEGER NOT NULL DEFAULT 0,
  retention_days INTEGER NOT NULL CHECK (retention_days BETWEEN 1 AND 36500),
  -- A PUT may have been sent: look at the key before sending another.
  look_first INTEGER NOT NULL DEFAULT 0 CHECK (look_first IN (0, 1)),
  -- What was asked of the store.
  retain_until_secs INTEGER,
  version_id TEXT CHECK (length(version_id) > 0),
  etag TEXT,
  server_sha256 BLOB CHECK (length(server_sha256) = 32),
  last_error_class TEXT,
  last_error_code TEXT,
  last_error_message TEXT,
  last_error_at_ms INTEGER,
  blocked_reason TEXT CHECK (blocked_reason IN ('local_bytes_differ', 'too_large', 'conflict',
    'stored_bytes_differ', 'lock_missing', 'refused')),
  -- What was read back.
  proof TEXT CHECK (proof IN ('server_sha256', 'etag_md5', 'read_back')),
  locked_until_secs INTEGER,
  server_date_ms INTEGER,
  confirmed_at_ms INTEGER,
  receipt_rowid INTEGER REFERENCES receipts,
  UNIQUE (parcel_rowid, object_rowid),
  CHECK (state NOT IN ('uploaded', 'confirmed') OR (version_id IS NOT NULL AND retain_until_secs IS NOT NULL)),
  CHECK (state <> 'pending' OR version_id IS NULL),
  CHECK (version_id IS NULL OR look_first = 1),
  CHECK ((state = 'blocked') = (blocked_reason IS NOT NULL)),
  CHECK ((state = 'confirmed') = (proof IS NOT NULL)),
  CHECK ((state = 'confirmed') = (locked_until_secs IS NOT NULL)),
  CHECK ((state = 'confirmed') = (server_date_ms IS NOT NULL)),
  CHECK ((state = 'confirmed') = (confirmed_at_ms IS NOT NULL)),
  CHECK (locked_until_secs IS NULL OR locked_until_secs >= retain_until_secs),
  CHECK (receipt_rowid IS NULL OR state = 'confirmed'),
  CHECK ((last_error_class IS NULL) = (last_error_code IS NULL)),
  CHECK ((last_error_class IS NULL) = (last_error_message IS NULL)),
  CHECK ((last_error_class IS NULL) = (last_error_at_ms IS NULL))
) STRICT;
CREATE INDEX deliveries_unreported ON deliveries (delivery_rowid)
  WHERE state = 'confirmed' AND receipt_rowid IS NULL;
CREATE INDEX deliveries_deferred ON deliveries (next_attempt_at_ms) WHERE next_attempt_at_ms > 0;
CREATE INDEX deliveries_blocked ON deliveries (delivery_rowid) WHERE state = 'blocked';
CREATE INDEX deliveries_reported ON deliveries (receipt_rowid) WHERE receipt_rowid IS NOT NULL;
CREATE INDEX deliveries_by_object ON deliveries (object_rowid);

CREATE TABLE events (
  event_rowid INTEGER PRIMARY KEY,
  delivery_rowid INTEGER NOT NULL REFERENCES deliveries,
  at_ms INTEGER NOT NULL,
  event TEXT NOT NULL CHECK (event IN ('put_succeeded', 'adopted', 'lock_proven', 'deferred',
    'object_missing', 'blocked', 'released', 'retired')),
  from_state TEXT NOT NULL,
  to_state TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  detail TEXT
) STRICT;
CREATE INDEX events_by_delivery ON events (delivery_rowid);

-- Files in the outbox that are not orders we can read.
CREATE TABLE unreadable_orders (
  name TEXT PRIMARY KEY,
  message TEXT NOT NULL,
  first_seen_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'history is never changed'); END;
CREATE TRIGGER events_are_never_removed BEFORE DELETE ON events
WHEN EXISTS (SELECT 1 FROM deliveries d JOIN parcels p USING (parcel_rowid)
  JOIN orders o USING (order_rowid)
  WHERE d.delivery_rowid = OLD.delivery_rowid AND o.finished_at_ms IS NULL)
BEGIN SELECT RAISE(ABORT, 'history of unfinished work is never removed'); END;
CREATE TRIGGER deliveries_are_never_removed BEFORE DELETE ON deliveries
WHEN EXISTS (SELECT 1 FROM parcels p JOIN orders o USING (order_rowid)
  WHERE p.parcel_rowid = OLD.parcel_rowid AND o.finished_at_ms IS NULL)
BEGIN SELECT RAISE(ABORT, 'unfinished work is never removed'); END;
CREATE TRIGGER a_confirmation_is_never_taken_back BEFORE UPDATE ON deliveries
WHEN OLD.state = 'confirmed' AND (NEW.state <> 'confirmed' OR NEW.version_id <> OLD.version_id
  OR NEW.locked_until_secs <> OLD.locked_until_secs OR NEW.object_rowid <> OLD.object_rowid
  OR NEW.parcel_rowid <> OLD.parcel_rowid)
BEGIN SELECT RAISE(ABORT, 'a confirmation is never taken back'); END;
CREATE TRIGGER a_destination_never_changes_meaning BEFORE UPDATE OF destination_id, uri ON destinations
BEGIN SELECT RAISE(ABORT, 'a destination never changes meaning'); END;

CREATE TRIGGER deliveries_counted_in AFTER INSERT ON deliveries
BEGIN
  INSERT INTO tallies (destination_rowid, state, n)
    SELECT destination_rowid, NEW.state, 1 FROM parcels WHERE parcel_rowid = NEW.parcel_rowid
    ON CONFLICT DO UPDATE SET n = n + 1;
  UPDATE orders SET open_deliveries = open_deliveries + 1
    WHERE order_rowid = (SELECT order_rowid FROM parcels WHERE parcel_rowid = NEW.parcel_rowid);
END;
CREATE TRIGGER deliveries_counted_over AFTER UPDATE OF state ON deliveries
WHEN OLD.state <> NEW.state
BEGIN
  UPDATE tallies SET n = n - 1 WHERE state = OLD.state
    AND destination_rowid = (SELECT destination_rowid FROM parcels WHERE parcel_rowid = NEW.parcel_rowid);
  INSERT INTO tallies (destination_rowid, state, n)
    SELECT destination_rowid, NEW.state, 1 FROM parcels WHERE parcel_rowid = NEW.parcel_rowid
    ON CONFLICT DO UPDATE SET n = n + 1;
  UPDATE orders SET open_deliveries = open_deliveries - 1
    WHERE NEW.state IN ('confirmed', 'retired')
    AND order_rowid = (SELECT order_rowid FROM parcels WHERE parcel_rowid = NEW.parcel_rowid);
END;
CREATE TRIGGER destinations_see_confirmations AFTER UPDATE OF state ON deliveries
WHEN NEW.state = 'confirmed'
BEGIN
  UPDATE destinations SET last_confirmed_at_ms = NEW.confirmed_at_ms WHERE destination_rowid =
    (SELECT destination_rowid FROM parcels WHERE parcel_rowid = NEW.parcel_rowid);
END;
CREATE TRIGGER parcels_become_due AFTER UPDATE OF state, next_attempt_at_ms ON deliveries
BEGIN
  UPDATE parcels SET due_at_ms = (
    SELECT min(d.next_attempt_at_ms) FROM deliveries d
    WHERE d.parcel_rowid = NEW.parcel_rowid AND (d.state = 'uploaded' OR (d.state = 'pending'
      AND (d.is_marker = 0 OR NOT EXISTS (SELECT 1 FROM deliveries s
        WHERE s.parcel_rowid = d.parcel_rowid AND s.is_marker = 0
        AND s.state IN ('pending', 'blocked'))))))
  WHERE parcel_rowid = NEW.parcel_rowid;
END;
";

const V2: &str = r"
-- A multipart upload that was begun and not ended, so that it is resumed after a crash. Only while
-- the object is on its way; committed before the first part is sent.
ALTER TABLE deliveries ADD COLUMN part_bytes INTEGER CHECK (part_bytes > 0);
ALTER TABLE deliveries ADD COLUMN upload_id TEXT CHECK (length(upload_id) > 0)
  CHECK ((upload_id IS NULL) = (part_bytes IS NULL))
  CHECK (upload_id IS NULL OR (state = 'pending' AND look_first = 1));
-- What the store has of that upload, as of the last few seconds: for the operator's eyes only.
ALTER TABLE deliveries ADD COLUMN sent_bytes INTEGER NOT NULL DEFAULT 0 CHECK (sent_bytes >= 0)
  CHECK (sent_bytes = 0 OR upload_id IS NOT NULL);
CREATE INDEX deliveries_uploading ON deliveries (delivery_rowid) WHERE upload_id IS NOT NULL;

-- Uploads that were given up and may still hold parts at the store, until they are aborted.
CREATE TABLE abandoned_uploads (
  upload_rowid INTEGER PRIMARY KEY,
  destination_rowid INTEGER NOT NULL REFERENCES destinations,
  path TEXT NOT NULL CHECK (length(path) > 0),
  upload_id TEXT NOT NULL CHECK (length(upload_id) > 0)
) STRICT;
";

const V3: &str = r"
-- What the agent says besides orders: deliveries that end. Kept for ever, since orders that come
-- in later meet them again.
CREATE TABLE notices (
  notice_rowid INTEGER PRIMARY KEY,
  notice_id TEXT NOT NULL UNIQUE CHECK (length(notice_id) > 0),
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  destination_id TEXT NOT NULL,
  uri TEXT NOT NULL,
  -- Without a bundle the whole destination was retired.
  chain_id TEXT,
  bundle_id TEXT,
  reason TEXT NOT NULL CHECK (length(reason) > 0),
  created_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  -- When everything that it ends was ended, of what was here when it came.
  applied_at_ms INTEGER,
  CHECK ((chain_id IS NULL) = (bundle_id IS NULL))
) STRICT;
CREATE INDEX notices_by_destination ON notices (destination_id, uri);
CREATE TRIGGER notices_are_never_removed BEFORE DELETE ON notices
BEGIN SELECT RAISE(ABORT, 'a notice is never removed'); END;
CREATE TRIGGER notices_are_never_changed BEFORE UPDATE OF notice_id, sha256, destination_id, uri,
  chain_id, bundle_id, reason ON notices
BEGIN SELECT RAISE(ABORT, 'a notice is never changed'); END;
";

const V4: &str = r"
-- When everything that lay in the outbox when this database was made had been taken in. Until then an
-- order may have been delivered by a predecessor, whatever its date says: clocks are set back.
ALTER TABLE birth ADD COLUMN first_scan_ended_at_ms INTEGER;
UPDATE birth SET first_scan_ended_at_ms = created_at_ms;
";

/// Brings an opened database to [`SCHEMA_VERSION`], or refuses one that is newer.
pub(super) fn migrate(db: &mut Connection, now_ms: i64) -> Result<(), DeliveryError> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(DeliveryError::Newer {
            found,
            known: SCHEMA_VERSION,
        });
    }
    let done = usize::try_from(found).map_err(|_| DeliveryError::Damaged("user_version".into()))?;
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for migration in &MIGRATIONS[done..] {
        tx.execute_batch(migration)?;
    }
    tx.execute(
        "INSERT OR IGNORE INTO birth (one, created_at_ms) VALUES (1, ?1)",
        [now_ms],
    )?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    Ok(())
}
