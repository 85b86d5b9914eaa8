//! The tables of the ledger.
//!
//! Times are microseconds since 1970 (`_us`), digests 32 bytes. A working file is made for one audit and
//! thrown away, so there is one version of it and no migration: another version is refused.

/// Refused unless it is this.
pub(super) const VERSION: i64 = 1;

pub(super) const SCHEMA: &str = "
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every version and delete marker that was listed; in a folder, every file, with an empty version id.
CREATE TABLE version (
  version_rowid    INTEGER PRIMARY KEY,  -- rises as listed: of one key, the newest first
  path             TEXT NOT NULL,
  version_id       TEXT NOT NULL,
  role             TEXT NOT NULL CHECK (role IN ('bundle', 'signature', 'artifact', 'record',
                     'record_signature', 'other')),
  bundle_path      TEXT,                 -- of the bundle or record that it belongs to, by its path
  is_delete_marker INTEGER NOT NULL CHECK (is_delete_marker IN (0, 1)),
  is_latest        INTEGER NOT NULL CHECK (is_latest IN (0, 1)),
  listed_bytes     INTEGER NOT NULL,
  last_modified_us INTEGER,              -- of the listing
  state            TEXT NOT NULL CHECK (state IN ('unread', 'read', 'unreadable', 'not_to_read')),
  size_bytes       INTEGER,              -- as read
  sha256           BLOB CHECK (length(sha256) = 32),
  lock             TEXT CHECK (lock IN ('compliance', 'governance', 'unlocked', 'unknown')),
  retain_until_us  INTEGER,
  stored_us        INTEGER,              -- Last-Modified, where it tells when the object was stored
  is_in_parts      INTEGER NOT NULL DEFAULT 0 CHECK (is_in_parts IN (0, 1)),
  problem          TEXT,                 -- why it could not be read
  UNIQUE (path, version_id)
) STRICT;
CREATE INDEX version_to_read ON version (role, bundle_path) WHERE state = 'unread';
CREATE INDEX version_by_bundle ON version (bundle_path, role);

-- One row for each version of a bundle that was looked at.
CREATE TABLE bundle (
  bundle_rowid         INTEGER PRIMARY KEY,
  path                 TEXT NOT NULL,
  version_rowid        INTEGER NOT NULL UNIQUE REFERENCES version,
  signature_rowid      INTEGER REFERENCES version,
  state                TEXT NOT NULL CHECK (state IN ('verified', 'bad', 'unread', 'unknown_key')),
  code                 TEXT,             -- what is wrong with it
  problem              TEXT,
  is_evidence          INTEGER NOT NULL DEFAULT 0 CHECK (is_evidence IN (0, 1)),
  is_trusted           INTEGER NOT NULL DEFAULT 0 CHECK (is_trusted IN (0, 1)),
  -- Of what is verified:
  key_id               TEXT,
  own_path             TEXT,             -- where its header says that it lies
  bundle_id            TEXT,
  kind                 TEXT,
  client_id            TEXT,
  host_id              TEXT,
  chain_id             TEXT,
  sequence             INTEGER,
  sha256               BLOB,
  previous_sha256      BLOB,
  generated_at_us      INTEGER,
  stored_us            INTEGER,          -- the later of its own and its signature's
  boot_id              TEXT,
  predecessor_chain    TEXT,
  predecessor_sequence INTEGER,
  predecessor_sha256   BLOB,
  began_because        TEXT,
  began_missing        TEXT,             -- JSON list of {chain_id, from_sequence, to_sequence}
  reseals_bundle_id    TEXT,
  reseals_sha256       BLOB,
  plan                 TEXT,             -- JSON, storage_locations
  content_hash         TEXT,             -- evidence_bundle_hash
  incident             TEXT,             -- JSON, evidence::custody::IncidentEntry
  detail               TEXT              -- JSON, report::IncidentDetail: the rest of an incident
) STRICT;
CREATE INDEX bundle_by_path ON bundle (path);
CREATE INDEX bundle_by_place ON bundle (chain_id, sequence);
CREATE INDEX bundle_in_order ON bundle (client_id, host_id, chain_id, sequence, sha256);
CREATE INDEX bundle_by_digest ON bundle (sha256);
CREATE INDEX bundle_by_predecessor ON bundle (predecessor_chain) WHERE predecessor_chain IS NOT NULL;
CREATE INDEX bundle_by_reseal ON bundle (reseals_sha256) WHERE reseals_sha256 IS NOT NULL;
CREATE INDEX bundle_by_resealed ON bundle (reseals_bundle_id) WHERE reseals_bundle_id IS NOT NULL;
CREATE INDEX bundle_in_doubt ON bundle (state) WHERE state <> 'verified';

-- What a verified bundle names.
CREATE TABLE artifact (
  bundle_rowid INTEGER NOT NULL REFERENCES bundle ON DELETE CASCADE,
  path         TEXT NOT NULL,
  name         TEXT NOT NULL,
  sha256       BLOB NOT NULL,
  size_bytes   INTEGER NOT NULL,
  PRIMARY KEY (bundle_rowid, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_by_path ON artifact (path);

-- What a verified custody bundle states.
CREATE TABLE custody (
  bundle_rowid      INTEGER PRIMARY KEY REFERENCES bundle ON DELETE CASCADE,
  because           TEXT NOT NULL,
  covers_from       INTEGER,
  covers_to         INTEGER,
  previous_chain    TEXT,
  previous_sequence INTEGER,
  previous_sha256   BLOB,
  started_at_us     INTEGER NOT NULL,    -- the agent's start
  rest              TEXT NOT NULL        -- JSON {quarantined, duplicates, totals, agent, clock_events, destinations}
) STRICT;
CREATE INDEX custody_by_previous ON custody (previous_chain, previous_sequence);
CREATE TABLE sealed (
  bundle_rowid    INTEGER NOT NULL REFERENCES bundle ON DELETE CASCADE,
  chain_id        TEXT NOT NULL,         -- empty in a custody that was resealed: that of the earlier one
  sequence        INTEGER NOT NULL,
  bundle_id       TEXT NOT NULL,
  sha256          BLOB NOT NULL,
  kind            TEXT NOT NULL,
  generated_at_us INTEGER NOT NULL,
  incident        TEXT,
  PRIMARY KEY (bundle_rowid, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX sealed_by_place ON sealed (chain_id, sequence);
CREATE TABLE confirmed (
  bundle_rowid    INTEGER NOT NULL REFERENCES bundle ON DELETE CASCADE,
  ordinal         INTEGER NOT NULL,
  bundle_id       TEXT NOT NULL,
  chain_id        TEXT NOT NULL,
  sequence        INTEGER NOT NULL,
  object          TEXT NOT NULL,
  role            TEXT NOT NULL,
  destination_id  TEXT NOT NULL,
  uri             TEXT NOT NULL,
  version_id      TEXT NOT NULL,
  sha256          BLOB NOT NULL,
  size_bytes      INTEGER NOT NULL,
  retain_until_us INTEGER NOT NULL,
  confirmed_at_us INTEGER NOT NULL,
  PRIMARY KEY (bundle_rowid, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX confirmed_by_object ON confirmed (object);

-- What a verified rotation bundle states.
CREATE TABLE rotation (
  bundle_rowid  INTEGER PRIMARY KEY REFERENCES bundle ON DELETE CASCADE,
  from_key_id   TEXT NOT NULL,
  to_key_id     TEXT NOT NULL,
  to_public_key TEXT NOT NULL,
  reason        TEXT NOT NULL,
  asked_by      TEXT NOT NULL
) STRICT;

-- One row for each version of an operator's record that was looked at.
CREATE TABLE record (
  record_rowid    INTEGER PRIMARY KEY,
  path            TEXT NOT NULL,
  version_rowid   INTEGER NOT NULL UNIQUE REFERENCES version,
  state           TEXT NOT NULL CHECK (state IN ('verified', 'bad', 'unread', 'unknown_key')),
  code            TEXT,
  problem         TEXT,
  is_evidence     INTEGER NOT NULL CHECK (is_evidence IN (0, 1)),
  -- Of what is verified:
  key_id          TEXT,
  own_path        TEXT,
  record_id       TEXT,
  sha256          BLOB,
  stored_us       INTEGER,
  action          TEXT,
  stage           TEXT,
  intended_id     TEXT,
  intended_sha256 BLOB,
  at_us           INTEGER,
  made_by         TEXT,
  reason          TEXT,
  store           TEXT,
  objects         INTEGER,
  refused         INTEGER               -- of the objects
) STRICT;
CREATE INDEX record_by_path ON record (path);

-- What came of it; made anew each time it is judged.
CREATE TABLE finding (
  finding_rowid INTEGER PRIMARY KEY,
  check_name    TEXT NOT NULL,
  level         TEXT NOT NULL,
  code          TEXT NOT NULL,
  client_id     TEXT,
  host_id       TEXT,
  chain_id      TEXT,
  sequence      INTEGER,
  bundle_id     TEXT,
  path          TEXT,
  version_id    TEXT,
  message       TEXT NOT NULL
) STRICT;
CREATE INDEX finding_in_order ON finding (check_name, level);
CREATE TABLE tally (
  check_name      TEXT PRIMARY KEY,
  passed          INTEGER NOT NULL,
  failed          INTEGER NOT NULL,
  could_not_check INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";
