-- Data changes, the last known values of their rows, the notifications that they raise, and the settings for that.

CREATE TABLE change (
  id              INTEGER PRIMARY KEY,   -- sorts by time
  client_id       INTEGER,               -- NULL: not known
  entity          TEXT,                  -- NULL: no source maps its table
  source          TEXT,
  accepted_ms     INTEGER NOT NULL,
  config_version  INTEGER NOT NULL,      -- which settings it was decided by
  idempotency_key TEXT,
  data            TEXT NOT NULL,         -- JSON: operation, key, values
  known           TEXT                   -- JSON: the last known values of its row at that time
) STRICT;

CREATE UNIQUE INDEX change_key ON change (client_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX change_client ON change (client_id, id);
CREATE INDEX change_client_entity ON change (client_id, entity, id) WHERE entity IS NOT NULL;
CREATE INDEX change_entity ON change (entity, id) WHERE entity IS NOT NULL;
CREATE INDEX change_by_source ON change (source, id) WHERE source IS NOT NULL;
CREATE INDEX change_unmapped ON change (id) WHERE entity IS NULL;
CREATE INDEX change_unmapped_client ON change (client_id, id) WHERE entity IS NULL;

CREATE TABLE change_row (
  client_id  INTEGER NOT NULL,
  entity     TEXT NOT NULL,
  row_key    TEXT NOT NULL,              -- JSON [entity, application, key], or its digest
  data       TEXT NOT NULL,              -- JSON
  change_id  INTEGER NOT NULL,           -- the last change that wrote the row
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (client_id, entity, row_key)
) STRICT;

CREATE TABLE waiting_notification (
  setting_id      INTEGER NOT NULL,
  subject         TEXT NOT NULL,         -- or its digest
  client_id       INTEGER NOT NULL,
  application_id  INTEGER,
  event_type      TEXT NOT NULL,
  body            BLOB NOT NULL,
  due_ms          INTEGER NOT NULL,
  first_change_id INTEGER NOT NULL,
  change_id       INTEGER NOT NULL,
  merged          INTEGER NOT NULL,
  PRIMARY KEY (setting_id, subject)
) STRICT;

CREATE INDEX waiting_notification_due ON waiting_notification (client_id, due_ms, first_change_id);

CREATE TABLE raised_event (
  event_id        INTEGER PRIMARY KEY,   -- kept as long as the event
  client_id       INTEGER NOT NULL,
  setting_id      INTEGER NOT NULL,
  subject         TEXT NOT NULL,         -- or its digest
  first_change_id INTEGER NOT NULL,
  change_id       INTEGER NOT NULL,
  merged          INTEGER NOT NULL
) STRICT;

CREATE INDEX raised_event_change ON raised_event (change_id);
CREATE INDEX raised_event_subject ON raised_event (setting_id, subject, change_id);

CREATE TABLE change_field (
  client_id INTEGER NOT NULL,
  entity    TEXT NOT NULL,
  name      TEXT NOT NULL,
  PRIMARY KEY (client_id, entity, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_setting (
  id             INTEGER PRIMARY KEY,
  client_id      INTEGER NOT NULL,
  application_id INTEGER,
  event_type     TEXT NOT NULL,
  entity         TEXT NOT NULL,
  revision       INTEGER NOT NULL,
  deleted_ms     INTEGER,
  config         TEXT NOT NULL           -- JSON
) STRICT;

CREATE INDEX event_setting_client ON event_setting (client_id, event_type, entity);

-- Former revisions, so that "why did it (not) raise an event" can be answered for the past.
CREATE TABLE event_setting_revision (
  setting_id INTEGER NOT NULL,
  revision   INTEGER NOT NULL,
  client_id  INTEGER NOT NULL,
  config     TEXT NOT NULL,
  PRIMARY KEY (setting_id, revision)
) STRICT, WITHOUT ROWID;

CREATE TABLE change_source (
  name     TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,             -- the config version of its last change
  config   TEXT NOT NULL                 -- JSON
) STRICT, WITHOUT ROWID;

-- How far each source has been read.
CREATE TABLE source_state (
  source      TEXT PRIMARY KEY,
  position    TEXT,
  report      TEXT,                      -- JSON, by the reader
  reported_ms INTEGER
) STRICT, WITHOUT ROWID;
