-- Own event types, next to those of the contract.

CREATE TABLE own_event_type (
  name        TEXT PRIMARY KEY,
  category    TEXT NOT NULL,
  kind        TEXT NOT NULL,
  description TEXT NOT NULL,
  schema      TEXT NOT NULL,             -- JSON Schema
  example     TEXT NOT NULL,             -- JSON
  revision    INTEGER NOT NULL,          -- the config version of its last change
  created_ms  INTEGER NOT NULL,
  updated_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
