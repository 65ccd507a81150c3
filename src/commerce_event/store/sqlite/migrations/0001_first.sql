-- The journal, the queue, the registry and the delivery counts. Times are milliseconds since 1970 UTC.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('config_version', 0), ('last_id', 0), ('text_indexed_to', 0), ('run', 0);

CREATE TABLE client (
  client_id     INTEGER PRIMARY KEY,
  last_sequence INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
  id              INTEGER PRIMARY KEY,   -- sorts by time, so rows are appended
  client_id       INTEGER NOT NULL,
  sequence        INTEGER NOT NULL,      -- 1, 2, 3 ... for each client
  type            TEXT NOT NULL,
  application_id  INTEGER,
  accepted_ms     INTEGER NOT NULL,
  config_version  INTEGER NOT NULL,      -- which endpoint revisions it was matched against
  match_count     INTEGER NOT NULL,      -- deliveries it was created with
  idempotency_key TEXT,
  traceparent     TEXT,
  body            BLOB NOT NULL          -- byte for byte what was sent
) STRICT;

CREATE UNIQUE INDEX event_sequence ON event (client_id, sequence);
CREATE INDEX event_type ON event (client_id, type, id);
CREATE UNIQUE INDEX event_key ON event (client_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Values of the payload, for "find the order by its number". Filled behind the journal (meta.text_indexed_to).
CREATE VIRTUAL TABLE event_text USING fts5 (client, value, content = '', contentless_delete = 1);

CREATE TABLE delivery (
  id            INTEGER PRIMARY KEY,
  event_id      INTEGER NOT NULL,
  endpoint_id   INTEGER NOT NULL,
  client_id     INTEGER NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'cancelled')),
  attempt_count INTEGER NOT NULL,
  failure_count INTEGER NOT NULL,
  due_ms        INTEGER,                 -- while leased: when the lease runs out
  lease         INTEGER,                 -- the run that is sending it
  leased_ms     INTEGER,
  order_key     TEXT,
  replay_id     INTEGER,
  replayed      INTEGER NOT NULL,        -- 1: created by a replay, not by its event
  reason        TEXT,
  created_ms    INTEGER NOT NULL,
  finished_ms   INTEGER,
  CHECK ((finished_ms IS NULL) = (state = 'pending'))
) STRICT;

CREATE INDEX delivery_event ON delivery (event_id);
CREATE INDEX delivery_endpoint ON delivery (endpoint_id, id);
CREATE INDEX delivery_client ON delivery (client_id, id);
-- The queue: only unfinished work is in it, so what is finished costs a claim nothing.
CREATE INDEX delivery_due ON delivery (endpoint_id, attempt_count > 0, due_ms) WHERE state = 'pending';
CREATE INDEX delivery_order ON delivery (endpoint_id, order_key, id) WHERE state = 'pending' AND order_key IS NOT NULL;
CREATE INDEX delivery_finished ON delivery (endpoint_id, finished_ms) WHERE finished_ms IS NOT NULL;
CREATE INDEX delivery_ended ON delivery (state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX delivery_ended_endpoint ON delivery (endpoint_id, state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX delivery_replay ON delivery (replay_id, state) WHERE replay_id IS NOT NULL;

CREATE TABLE attempt (
  delivery_id      INTEGER NOT NULL,
  number           INTEGER NOT NULL,
  started_ms       INTEGER NOT NULL,
  duration_ms      REAL NOT NULL,
  status           INTEGER,
  error            TEXT,
  response_headers TEXT,                 -- JSON [[name, value], ...]
  response_body    BLOB,
  PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint (
  id         INTEGER PRIMARY KEY,
  client_id  INTEGER NOT NULL,
  revision   INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  deleted_ms INTEGER,
  config     TEXT NOT NULL,              -- JSON
  sealed     BLOB NOT NULL               -- secrets and static headers, encrypted
) STRICT;

-- Former revisions, so that "why was it (not) sent" can be answered for the past. Secrets are not kept here.
CREATE TABLE endpoint_revision (
  endpoint_id INTEGER NOT NULL,
  revision    INTEGER NOT NULL,
  client_id   INTEGER NOT NULL,
  created_ms  INTEGER NOT NULL,
  updated_ms  INTEGER NOT NULL,
  deleted_ms  INTEGER,
  config      TEXT NOT NULL,
  PRIMARY KEY (endpoint_id, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
  id         INTEGER PRIMARY KEY,
  role       TEXT NOT NULL,
  client_ids TEXT,                       -- JSON [1, 2]; NULL: every client
  name       TEXT NOT NULL,
  digest     BLOB NOT NULL,
  created_ms INTEGER NOT NULL,
  revoked_ms INTEGER
) STRICT;

CREATE TABLE replay (
  id          INTEGER PRIMARY KEY,
  client_id   INTEGER NOT NULL,
  endpoint_id INTEGER NOT NULL,
  since_ms    INTEGER NOT NULL,
  until_ms    INTEGER NOT NULL,
  types       TEXT NOT NULL,             -- JSON ["OrderConfirmedEvent"]; []: every type
  only        TEXT NOT NULL,
  state       TEXT NOT NULL,
  cursor      INTEGER NOT NULL,
  looked_at   INTEGER NOT NULL,
  queued      INTEGER NOT NULL,
  created_ms  INTEGER NOT NULL,
  finished_ms INTEGER
) STRICT;

-- The delivery counts of an endpoint: matched = delivered + dead + cancelled + pending, kept in the commit that changes it.
CREATE TABLE book (
  endpoint_id INTEGER PRIMARY KEY,
  client_id   INTEGER NOT NULL,
  matched     INTEGER NOT NULL,
  delivered   INTEGER NOT NULL,
  dead        INTEGER NOT NULL,
  cancelled   INTEGER NOT NULL,
  pending     INTEGER NOT NULL
) STRICT;
