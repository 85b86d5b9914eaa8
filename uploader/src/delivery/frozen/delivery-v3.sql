-- delivery.db as version 3 of the schema left it, frozen: it must open for ever.
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
CREATE TABLE abandoned_uploads (
  upload_rowid INTEGER PRIMARY KEY,
  destination_rowid INTEGER NOT NULL REFERENCES destinations,
  path TEXT NOT NULL CHECK (length(path) > 0),
  upload_id TEXT NOT NULL CHECK (length(upload_id) > 0)
) STRICT;
CREATE TABLE birth (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  created_at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO "birth" VALUES(1,1799999900000);
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
  receipt_rowid INTEGER REFERENCES receipts, part_bytes INTEGER CHECK (part_bytes > 0), upload_id TEXT CHECK (length(upload_id) > 0)
  CHECK ((upload_id IS NULL) = (part_bytes IS NULL))
  CHECK (upload_id IS NULL OR (state = 'pending' AND look_first = 1)), sent_bytes INTEGER NOT NULL DEFAULT 0 CHECK (sent_bytes >= 0)
  CHECK (sent_bytes = 0 OR upload_id IS NOT NULL),
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
INSERT INTO "deliveries" VALUES(1,1,1,0,'confirmed',0,0,10,1,1800000100,'v',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'server_sha256',1800000200,1800000001000,1800000003000,1,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(2,2,1,0,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(3,1,2,0,'uploaded',0,0,10,1,1800000100,'v',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(4,2,2,0,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(5,1,3,1,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(6,2,3,1,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(7,3,4,0,'blocked',1,0,10,1,1800000100,NULL,NULL,NULL,'transient','SlowDown','slow',1800000003000,'conflict',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(8,4,4,0,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(9,3,5,0,'pending',1,1800000005000,10,1,1800000100,NULL,NULL,NULL,'transient','SlowDown','slow',1800000003000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(10,4,5,0,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(11,3,6,1,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(12,4,6,1,'pending',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(13,5,7,0,'confirmed',0,0,10,1,1800000100,'v',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'server_sha256',1800000200,1800000001000,1800000003000,1,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(14,6,7,0,'retired',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(15,5,8,0,'confirmed',0,0,10,1,1800000100,'v',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'server_sha256',1800000200,1800000001000,1800000003000,1,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(16,6,8,0,'retired',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(17,5,9,1,'confirmed',0,0,10,1,1800000100,'v',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'server_sha256',1800000200,1800000001000,1800000003000,1,NULL,NULL,0);
INSERT INTO "deliveries" VALUES(18,6,9,1,'retired',0,0,10,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
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
INSERT INTO "destinations" VALUES(1,'a','s3://a/','ok',NULL,1800000000000,NULL,NULL,1800000003000,NULL,NULL,NULL,'transient','SlowDown','slow',1800000003000);
INSERT INTO "destinations" VALUES(2,'b','s3://b/','ok',NULL,1800000000000,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "events" VALUES(1,1,1800000003000,'put_succeeded','pending','uploaded',0,'v');
INSERT INTO "events" VALUES(2,1,1800000003000,'lock_proven','uploaded','confirmed',0,'locked until 2027-01-15T08:03:20Z');
INSERT INTO "events" VALUES(3,3,1800000003000,'put_succeeded','pending','uploaded',0,'v');
INSERT INTO "events" VALUES(4,7,1800000003000,'blocked','pending','blocked',1,'conflict: SlowDown');
INSERT INTO "events" VALUES(5,9,1800000003000,'deferred','pending','pending',1,'SlowDown');
INSERT INTO "events" VALUES(6,13,1800000003000,'put_succeeded','pending','uploaded',0,'v');
INSERT INTO "events" VALUES(7,13,1800000003000,'lock_proven','uploaded','confirmed',0,'locked until 2027-01-15T08:03:20Z');
INSERT INTO "events" VALUES(8,15,1800000003000,'put_succeeded','pending','uploaded',0,'v');
INSERT INTO "events" VALUES(9,15,1800000003000,'lock_proven','uploaded','confirmed',0,'locked until 2027-01-15T08:03:20Z');
INSERT INTO "events" VALUES(10,17,1800000003000,'put_succeeded','pending','uploaded',0,'v');
INSERT INTO "events" VALUES(11,17,1800000003000,'lock_proven','uploaded','confirmed',0,'locked until 2027-01-15T08:03:20Z');
INSERT INTO "events" VALUES(12,14,1800000004000,'retired','pending','retired',0,NULL);
INSERT INTO "events" VALUES(13,16,1800000004000,'retired','pending','retired',0,NULL);
INSERT INTO "events" VALUES(14,18,1800000004000,'retired','pending','retired',0,NULL);
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
INSERT INTO "objects" VALUES(1,1,'EB-20261121-0001','artifact','o/1/artifact',10,X'C7C5C1D70C5DEC4416AB6158AFD0B223EF40C29B1DC1F97ED9428B94D4CADB1C');
INSERT INTO "objects" VALUES(2,1,'EB-20261121-0001','signature','o/1/signature',10,X'1A2FC26DC7EA5A2A4748B7CB2B1EF193D96AB2C99F93092F69E63075B28D1278');
INSERT INTO "objects" VALUES(3,1,'EB-20261121-0001','bundle','o/1/bundle',10,X'1E6ED65D77D6364EEAED5A745BA5C4985AE2B700DD85D7CF7F027BDF294A33FC');
INSERT INTO "objects" VALUES(4,1,'EB-20261121-0002','artifact','o/2/artifact',10,X'C7C5C1D70C5DEC4416AB6158AFD0B223EF40C29B1DC1F97ED9428B94D4CADB1C');
INSERT INTO "objects" VALUES(5,1,'EB-20261121-0002','signature','o/2/signature',10,X'1A2FC26DC7EA5A2A4748B7CB2B1EF193D96AB2C99F93092F69E63075B28D1278');
INSERT INTO "objects" VALUES(6,1,'EB-20261121-0002','bundle','o/2/bundle',10,X'1E6ED65D77D6364EEAED5A745BA5C4985AE2B700DD85D7CF7F027BDF294A33FC');
INSERT INTO "objects" VALUES(7,2,'EB-20261121-0001','artifact','done/1/artifact',10,X'C7C5C1D70C5DEC4416AB6158AFD0B223EF40C29B1DC1F97ED9428B94D4CADB1C');
INSERT INTO "objects" VALUES(8,2,'EB-20261121-0001','signature','done/1/signature',10,X'1A2FC26DC7EA5A2A4748B7CB2B1EF193D96AB2C99F93092F69E63075B28D1278');
INSERT INTO "objects" VALUES(9,2,'EB-20261121-0001','bundle','done/1/bundle',10,X'1E6ED65D77D6364EEAED5A745BA5C4985AE2B700DD85D7CF7F027BDF294A33FC');
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
INSERT INTO "orders" VALUES(1,'o',X'65C74C15A686187BB6BBF9958F494FC6B80068034A659A9AD44991B08C58F2D2',1800000000000,1800000000000,11,NULL);
INSERT INTO "orders" VALUES(2,'done',X'A4C3ED04A95A3DA14A9D235C83D868BED7C0F45CF7F3FAA751EE8F50598D2211',1800000000000,1800000000000,0,1800000006000);
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
INSERT INTO "parcels" VALUES(1,1,1,'EB-20261121-0001',1,0);
INSERT INTO "parcels" VALUES(2,1,2,'EB-20261121-0001',1,0);
INSERT INTO "parcels" VALUES(3,1,1,'EB-20261121-0002',2,1800000005000);
INSERT INTO "parcels" VALUES(4,1,2,'EB-20261121-0002',2,0);
INSERT INTO "parcels" VALUES(5,2,1,'EB-20261121-0001',1,NULL);
INSERT INTO "parcels" VALUES(6,2,2,'EB-20261121-0001',1,NULL);
CREATE TABLE receipts (
  receipt_rowid INTEGER PRIMARY KEY,
  receipt_id TEXT NOT NULL UNIQUE,
  written_at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO "receipts" VALUES(1,'01JRECEIPT',1800000005000);
CREATE TABLE tallies (
  destination_rowid INTEGER NOT NULL REFERENCES destinations,
  state TEXT NOT NULL CHECK (state IN ('pending', 'uploaded', 'confirmed', 'blocked', 'retired')),
  n INTEGER NOT NULL CHECK (n >= 0),
  PRIMARY KEY (destination_rowid, state)
) STRICT, WITHOUT ROWID;
INSERT INTO "tallies" VALUES(1,'blocked',1);
INSERT INTO "tallies" VALUES(1,'confirmed',4);
INSERT INTO "tallies" VALUES(1,'pending',3);
INSERT INTO "tallies" VALUES(1,'uploaded',1);
INSERT INTO "tallies" VALUES(2,'pending',6);
INSERT INTO "tallies" VALUES(2,'retired',3);
CREATE TABLE unreadable_orders (
  name TEXT PRIMARY KEY,
  message TEXT NOT NULL,
  first_seen_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_open ON orders (order_rowid) WHERE open_deliveries > 0;
CREATE INDEX orders_complete ON orders (order_rowid)
  WHERE finished_at_ms IS NULL AND open_deliveries = 0;
CREATE INDEX orders_finished ON orders (finished_at_ms) WHERE finished_at_ms IS NOT NULL;
CREATE INDEX parcels_due ON parcels (destination_rowid, due_at_ms, parcel_rowid)
  WHERE due_at_ms IS NOT NULL;
CREATE INDEX parcels_by_bundle ON parcels (bundle_id);
CREATE INDEX deliveries_unreported ON deliveries (delivery_rowid)
  WHERE state = 'confirmed' AND receipt_rowid IS NULL;
CREATE INDEX deliveries_deferred ON deliveries (next_attempt_at_ms) WHERE next_attempt_at_ms > 0;
CREATE INDEX deliveries_blocked ON deliveries (delivery_rowid) WHERE state = 'blocked';
CREATE INDEX deliveries_reported ON deliveries (receipt_rowid) WHERE receipt_rowid IS NOT NULL;
CREATE INDEX deliveries_by_object ON deliveries (object_rowid);
CREATE INDEX events_by_delivery ON events (delivery_rowid);
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
CREATE INDEX deliveries_uploading ON deliveries (delivery_rowid) WHERE upload_id IS NOT NULL;
CREATE INDEX notices_by_destination ON notices (destination_id, uri);
CREATE TRIGGER notices_are_never_removed BEFORE DELETE ON notices
BEGIN SELECT RAISE(ABORT, 'a notice is never removed'); END;
CREATE TRIGGER notices_are_never_changed BEFORE UPDATE OF notice_id, sha256, destination_id, uri,
  chain_id, bundle_id, reason ON notices
BEGIN SELECT RAISE(ABORT, 'a notice is never changed'); END;
COMMIT;
PRAGMA user_version = 3;
