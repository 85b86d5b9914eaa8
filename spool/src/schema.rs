//! The tables of spool.db and how older versions become the newest.
//!
//! Bundle and signature bytes are BLOBs, so that one transaction and one fsync make an incident
//! durable; every file in `evidence/` and `outbox/` can be published again from here. Triggers
//! forbid what must never happen, whoever writes: a signed byte that changes, a bundle that goes.

use rusqlite::Connection;

use crate::SpoolError;

/// The schema version this build writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// What each version added; index 0 makes version 1.
const MIGRATIONS: [&str; 7] = [V1, V2, V3, V4, V5, V6, V7];

const V1: &str = r"
CREATE TABLE chain (
  chain_rowid INTEGER PRIMARY KEY,
  chain_id TEXT NOT NULL UNIQUE CHECK (length(chain_id) = 26),
  -- What the chain is bound to; another machine starts another chain.
  machine_sha256 BLOB NOT NULL CHECK (length(machine_sha256) = 32),
  started_at TEXT NOT NULL,
  started_because TEXT NOT NULL CHECK (started_because IN ('first', 'machine_changed', 'rolled_back')),
  predecessor_chain_id TEXT,
  predecessor_sequence INTEGER CHECK (predecessor_sequence >= 1),
  predecessor_sha256 BLOB CHECK (length(predecessor_sha256) = 32),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sequence IS NULL)),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sha256 IS NULL))
) STRICT;

-- The counter in bundle names, by UTC day. Never goes back, whatever the clock does.
CREATE TABLE day_number (
  day TEXT PRIMARY KEY CHECK (length(day) = 10),
  last_number INTEGER NOT NULL CHECK (last_number >= 1)
) STRICT, WITHOUT ROWID;

CREATE TABLE work_order (
  order_rowid INTEGER PRIMARY KEY,
  order_id TEXT NOT NULL UNIQUE,
  created_at TEXT NOT NULL,
  -- The order file's exact bytes; dropped once every object is confirmed.
  body BLOB,
  outstanding INTEGER NOT NULL CHECK (outstanding >= 0),
  completed_at TEXT,
  CHECK ((completed_at IS NOT NULL) = (outstanding = 0)),
  CHECK ((body IS NULL) = (completed_at IS NOT NULL))
) STRICT;
CREATE INDEX work_order_open ON work_order (order_rowid) WHERE completed_at IS NULL;

CREATE TABLE bundle (
  bundle_rowid INTEGER PRIMARY KEY,
  chain_rowid INTEGER NOT NULL REFERENCES chain,
  sequence INTEGER NOT NULL CHECK (sequence >= 1),
  bundle_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('incident', 'custody', 'probe')),
  generated_at TEXT NOT NULL,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  path TEXT NOT NULL,
  bytes BLOB NOT NULL,
  signature BLOB NOT NULL,
  object_count INTEGER NOT NULL CHECK (object_count >= 2),
  order_rowid INTEGER NOT NULL REFERENCES work_order,
  -- Names the drop it was made from, so that a drop that outlived its seal is not a duplicate.
  taken_token TEXT,
  UNIQUE (chain_rowid, sequence)
) STRICT;

CREATE TRIGGER bundle_is_never_removed BEFORE DELETE ON bundle
BEGIN SELECT RAISE(ABORT, 'a sealed bundle is never removed'); END;
CREATE TRIGGER bundle_is_never_changed BEFORE UPDATE ON bundle
BEGIN SELECT RAISE(ABORT, 'a sealed bundle is never changed'); END;

-- Outlives pruning: what was sealed once is recognised for ever.
CREATE TABLE incident_seen (
  incident_id TEXT NOT NULL,
  source_hmac BLOB NOT NULL CHECK (length(source_hmac) = 32),
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  PRIMARY KEY (incident_id, source_hmac)
) STRICT, WITHOUT ROWID;

CREATE TABLE duplicate (
  taken_token TEXT PRIMARY KEY,
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  received_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantined (
  taken_token TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  reason TEXT NOT NULL,
  source_hmac BLOB CHECK (length(source_hmac) = 32),
  quarantined_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE destination (
  destination_id TEXT PRIMARY KEY,
  uri TEXT NOT NULL,
  first_used_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER destination_never_changes_meaning BEFORE UPDATE OF destination_id, uri ON destination
BEGIN SELECT RAISE(ABORT, 'a destination id never changes meaning'); END;

CREATE TABLE confirmation (
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  destination_id TEXT NOT NULL REFERENCES destination,
  path TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('artifact', 'signature', 'bundle')),
  uri TEXT NOT NULL,
  version_id TEXT NOT NULL CHECK (length(version_id) > 0),
  etag TEXT,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  proof TEXT NOT NULL CHECK (proof IN ('server_sha256', 'etag_md5', 'read_back')),
  retain_until TEXT NOT NULL,
  server_date TEXT NOT NULL,
  confirmed_at TEXT NOT NULL,
  PRIMARY KEY (bundle_rowid, destination_id, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE note (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Artifacts: what each bundle's folder drop brought besides its document.
const V2: &str = r"
CREATE TABLE artifact (
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  path TEXT NOT NULL CHECK (length(path) > 0),
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  PRIMARY KEY (bundle_rowid, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX artifact_by_content ON artifact (sha256);

CREATE TRIGGER artifact_is_never_removed BEFORE DELETE ON artifact
BEGIN SELECT RAISE(ABORT, 'a sealed artifact is never removed'); END;
CREATE TRIGGER artifact_is_never_changed BEFORE UPDATE ON artifact
BEGIN SELECT RAISE(ABORT, 'a sealed artifact is never changed'); END;
";

/// Operators: destinations that are retired or were added later, bundles that were resealed, and
/// what was asked and answered. A chain may now also begin for two more reasons.
const V3: &str = r"
CREATE TABLE chain_of_v3 (
  chain_rowid INTEGER PRIMARY KEY,
  chain_id TEXT NOT NULL UNIQUE CHECK (length(chain_id) = 26),
  -- What the chain is bound to; another machine starts another chain.
  machine_sha256 BLOB NOT NULL CHECK (length(machine_sha256) = 32),
  started_at TEXT NOT NULL,
  started_because TEXT NOT NULL CHECK (started_because IN ('first', 'machine_changed',
    'rolled_back', 'spool_lost', 'forked')),
  predecessor_chain_id TEXT,
  predecessor_sequence INTEGER CHECK (predecessor_sequence >= 1),
  predecessor_sha256 BLOB CHECK (length(predecessor_sha256) = 32),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sequence IS NULL)),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sha256 IS NULL))
) STRICT;
INSERT INTO chain_of_v3 SELECT * FROM chain;
DROP TABLE chain;
ALTER TABLE chain_of_v3 RENAME TO chain;

-- Retired for ever, by an operator.
ALTER TABLE destination ADD COLUMN retired_at TEXT;
ALTER TABLE destination ADD COLUMN retired_reason TEXT
  CHECK ((retired_at IS NULL) = (retired_reason IS NULL));
ALTER TABLE destination ADD COLUMN retired_by TEXT
  CHECK ((retired_at IS NULL) = (retired_by IS NULL));
CREATE TRIGGER destination_stays_retired BEFORE UPDATE ON destination
WHEN OLD.retired_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a retired destination never comes back'); END;

-- Set once something in the order is waited for no more; it may be complete and not confirmed.
ALTER TABLE work_order ADD COLUMN ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1));

-- Bundles that were ordered for a destination which their signed plan does not name.
CREATE TABLE backfill (
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  destination_id TEXT NOT NULL REFERENCES destination,
  order_rowid INTEGER NOT NULL REFERENCES work_order,
  retention_days INTEGER NOT NULL CHECK (retention_days >= 1),
  PRIMARY KEY (bundle_rowid, destination_id)
) STRICT, WITHOUT ROWID;

-- Deliveries of one bundle that are waited for no more.
CREATE TABLE ended (
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  destination_id TEXT NOT NULL REFERENCES destination,
  ended_at TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (bundle_rowid, destination_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reseal (
  old_bundle_rowid INTEGER NOT NULL UNIQUE REFERENCES bundle,
  new_bundle_rowid INTEGER PRIMARY KEY REFERENCES bundle,
  reason TEXT NOT NULL,
  resealed_by TEXT NOT NULL,
  CHECK (old_bundle_rowid < new_bundle_rowid)
) STRICT;

-- What the uploader was told besides orders; the files are written again from here.
CREATE TABLE notice (
  notice_id TEXT PRIMARY KEY,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What operators asked, and was done exactly once.
CREATE TABLE request (
  request_id TEXT PRIMARY KEY,
  answer BLOB NOT NULL,
  applied_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Rebuilding: a chain may begin because the spool was made anew, and says what was found nowhere.
const V4: &str = r"
CREATE TABLE chain_of_v4 (
  chain_rowid INTEGER PRIMARY KEY,
  chain_id TEXT NOT NULL UNIQUE CHECK (length(chain_id) = 26),
  -- What the chain is bound to; another machine starts another chain.
  machine_sha256 BLOB NOT NULL CHECK (length(machine_sha256) = 32),
  started_at TEXT NOT NULL,
  started_because TEXT NOT NULL CHECK (started_because IN ('first', 'machine_changed',
    'rolled_back', 'spool_lost', 'forked', 'rebuilt')),
  predecessor_chain_id TEXT,
  predecessor_sequence INTEGER CHECK (predecessor_sequence >= 1),
  predecessor_sha256 BLOB CHECK (length(predecessor_sha256) = 32),
  -- Ranges of earlier chains, as JSON; NULL when nothing is known to be missing.
  missing TEXT CHECK (json_valid(missing)),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sequence IS NULL)),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sha256 IS NULL))
) STRICT;
INSERT INTO chain_of_v4 SELECT *, NULL FROM chain;
DROP TABLE chain;
ALTER TABLE chain_of_v4 RENAME TO chain;
";

/// Custody: what it covers and has named, so that nothing is named twice or never; jumps of the
/// clock; a tally, so that its totals cost nothing however much there is. A bundle may be a rotation,
/// and a chain may begin because the key was changed without one.
///
/// `bundle` holds all the evidence there is, so it is not made anew for one more word in a CHECK: its
/// text in the schema is changed instead, as for any change that no row on disk shows
/// (https://sqlite.org/lang_altertable.html, section 7, the second procedure).
const V5: &str = r"
CREATE TABLE chain_of_v5 (
  chain_rowid INTEGER PRIMARY KEY,
  chain_id TEXT NOT NULL UNIQUE CHECK (length(chain_id) = 26),
  -- What the chain is bound to; another machine starts another chain.
  machine_sha256 BLOB NOT NULL CHECK (length(machine_sha256) = 32),
  started_at TEXT NOT NULL,
  started_because TEXT NOT NULL CHECK (started_because IN ('first', 'machine_changed',
    'rolled_back', 'spool_lost', 'forked', 'rebuilt', 'key_changed')),
  predecessor_chain_id TEXT,
  predecessor_sequence INTEGER CHECK (predecessor_sequence >= 1),
  predecessor_sha256 BLOB CHECK (length(predecessor_sha256) = 32),
  -- Ranges of earlier chains, as JSON; NULL when nothing is known to be missing.
  missing TEXT CHECK (json_valid(missing)),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sequence IS NULL)),
  CHECK ((predecessor_chain_id IS NULL) = (predecessor_sha256 IS NULL))
) STRICT;
INSERT INTO chain_of_v5 SELECT * FROM chain;
DROP TABLE chain;
ALTER TABLE chain_of_v5 RENAME TO chain;

-- Custody bundles, each with the places of its chain that it covers: none, if it is the first there.
CREATE TABLE custody (
  bundle_rowid INTEGER PRIMARY KEY REFERENCES bundle,
  chain_rowid INTEGER NOT NULL REFERENCES chain,
  from_sequence INTEGER CHECK (from_sequence >= 1),
  to_sequence INTEGER,
  CHECK ((from_sequence IS NULL) = (to_sequence IS NULL)),
  CHECK (from_sequence <= to_sequence)
) STRICT;
CREATE UNIQUE INDEX custody_covers ON custody (chain_rowid, to_sequence);
CREATE TRIGGER custody_is_never_removed BEFORE DELETE ON custody
BEGIN SELECT RAISE(ABORT, 'custody is never taken back'); END;
CREATE TRIGGER custody_is_never_changed BEFORE UPDATE ON custody
BEGIN SELECT RAISE(ABORT, 'custody is never changed'); END;

CREATE TABLE clock_event (
  event_rowid INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  jumped_ms INTEGER NOT NULL CHECK (jumped_ms <> 0),
  attested_by INTEGER REFERENCES custody
) STRICT;

-- The custody bundle that named it. The indexes hold only what waits to be named.
ALTER TABLE confirmation ADD COLUMN attested_by INTEGER REFERENCES custody;
ALTER TABLE quarantined ADD COLUMN attested_by INTEGER REFERENCES custody;
ALTER TABLE duplicate ADD COLUMN attested_by INTEGER REFERENCES custody;
CREATE INDEX confirmation_unattested ON confirmation (attested_by) WHERE attested_by IS NULL;
CREATE INDEX quarantined_unattested ON quarantined (attested_by) WHERE attested_by IS NULL;
CREATE INDEX duplicate_unattested ON duplicate (bundle_rowid) WHERE attested_by IS NULL;
CREATE INDEX clock_event_unattested ON clock_event (attested_by) WHERE attested_by IS NULL;
CREATE TRIGGER confirmation_is_attested_once BEFORE UPDATE OF attested_by ON confirmation
WHEN OLD.attested_by IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'what is attested is never attested again'); END;

-- Named by custody before the spool was rebuilt: confirmed again, it is not named again.
CREATE TABLE attested_before (
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  destination_id TEXT NOT NULL,
  path TEXT NOT NULL,
  version_id TEXT NOT NULL,
  attested_by INTEGER NOT NULL REFERENCES custody,
  PRIMARY KEY (bundle_rowid, destination_id, path, version_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX work_order_waiting ON work_order (outstanding) WHERE completed_at IS NULL;
CREATE TABLE tally (
  name TEXT PRIMARY KEY CHECK (name IN ('incident', 'custody', 'probe', 'rotation', 'confirmed',
    'quarantined', 'duplicate')),
  n INTEGER NOT NULL CHECK (n >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO tally VALUES
  ('incident', (SELECT count(*) FROM bundle WHERE kind = 'incident')),
  ('custody', (SELECT count(*) FROM bundle WHERE kind = 'custody')),
  ('probe', (SELECT count(*) FROM bundle WHERE kind = 'probe')),
  ('rotation', 0),
  ('confirmed', (SELECT count(*) FROM confirmation)),
  ('quarantined', (SELECT count(*) FROM quarantined)),
  ('duplicate', (SELECT count(*) FROM duplicate));
CREATE TRIGGER bundle_is_tallied AFTER INSERT ON bundle
BEGIN UPDATE tally SET n = n + 1 WHERE name = NEW.kind; END;
CREATE TRIGGER confirmation_is_tallied AFTER INSERT ON confirmation
BEGIN UPDATE tally SET n = n + 1 WHERE name = 'confirmed'; END;
CREATE TRIGGER quarantined_is_tallied AFTER INSERT ON quarantined
BEGIN UPDATE tally SET n = n + 1 WHERE name = 'quarantined'; END;
CREATE TRIGGER duplicate_is_tallied AFTER INSERT ON duplicate
BEGIN UPDATE tally SET n = n + 1 WHERE name = 'duplicate'; END;

PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'kind IN (''incident'', ''custody'', ''probe'')',
  'kind IN (''incident'', ''custody'', ''probe'', ''rotation'')')
WHERE type = 'table' AND name = 'bundle';
PRAGMA writable_schema = RESET;
";

/// Pruning: bundles whose files were removed from the evidence folder, since they are kept elsewhere.
const V6: &str = r"
CREATE TABLE pruned (
  bundle_rowid INTEGER PRIMARY KEY REFERENCES bundle,
  pruned_at TEXT NOT NULL,
  -- 0 while some of the files may still be there.
  is_gone INTEGER NOT NULL DEFAULT 0 CHECK (is_gone IN (0, 1))
) STRICT;
CREATE INDEX pruned_unfinished ON pruned (bundle_rowid) WHERE is_gone = 0;
";

/// What incidents claimed before: the hash that each runbook's id and version had first, and how many
/// incidents were sealed with which finding. Both are learnt from what is there already, as `claimed.rs`
/// learns them of each new bundle.
const V7: &str = r"
CREATE TABLE runbook_seen (
  runbook_id TEXT NOT NULL,
  runbook_version TEXT NOT NULL,
  runbook_hash TEXT NOT NULL CHECK (length(runbook_hash) = 71),
  -- The first that had it.
  bundle_rowid INTEGER NOT NULL REFERENCES bundle,
  PRIMARY KEY (runbook_id, runbook_version)
) STRICT, WITHOUT ROWID;
CREATE TABLE finding_tally (
  code TEXT PRIMARY KEY,
  incidents INTEGER NOT NULL CHECK (incidents >= 1)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO runbook_seen
SELECT runbook_id, runbook_version, runbook_hash, bundle_rowid FROM (
  SELECT bundle_rowid,
    json_extract(document, '$.runbook.runbook_id') AS runbook_id,
    json_extract(document, '$.runbook.runbook_version') AS runbook_version,
    json_extract(document, '$.runbook.runbook_hash') AS runbook_hash
  FROM (SELECT bundle_rowid, CAST(bytes AS TEXT) AS document
        FROM bundle JOIN (SELECT DISTINCT bundle_rowid FROM incident_seen) USING (bundle_rowid))
  WHERE json_valid(document))
WHERE typeof(runbook_id) = 'text' AND typeof(runbook_version) = 'text'
  AND runbook_hash GLOB 'sha256:*' AND length(runbook_hash) = 71
  AND substr(runbook_hash, 8) NOT GLOB '*[^0-9a-f]*' AND substr(runbook_hash, 8) GLOB '*[^0]*'
ORDER BY bundle_rowid;
INSERT INTO finding_tally
SELECT code, count(*) FROM (
  SELECT DISTINCT bundle_rowid, json_extract(value, '$.code') AS code
  FROM (SELECT bundle_rowid, CAST(bytes AS TEXT) AS document
        FROM bundle JOIN (SELECT DISTINCT bundle_rowid FROM incident_seen) USING (bundle_rowid)),
    json_each(iif(json_valid(document), document, '{}'), '$.findings'))
WHERE typeof(code) = 'text' GROUP BY code;
";

/// Brings an opened database to [`SCHEMA_VERSION`], or refuses one that is newer.
pub(crate) fn migrate(db: &mut Connection) -> Result<(), SpoolError> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(SpoolError::Newer {
            found,
            known: SCHEMA_VERSION,
        });
    }
    let done = usize::try_from(found)
        .map_err(|_| SpoolError::Damaged("user_version is negative".to_owned()))?;
    if done < MIGRATIONS.len() {
        // A table that others refer to is made anew (https://sqlite.org/lang_altertable.html,
        // section 7); what refers to it is checked before the commit.
        db.pragma_update(None, "foreign_keys", false)?;
        let tx = db.transaction()?;
        for migration in &MIGRATIONS[done..] {
            tx.execute_batch(migration)?;
        }
        if tx.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(SpoolError::Damaged("a reference to nothing".to_owned()));
        }
        tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        tx.commit()?;
        db.pragma_update(None, "foreign_keys", true)?;
    }
    Ok(())
}
