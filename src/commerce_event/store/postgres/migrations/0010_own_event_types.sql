-- Own event types, next to those of the contract.

CREATE TABLE own_event_type (
  name        text COLLATE "C" PRIMARY KEY,
  category    text NOT NULL,
  kind        text NOT NULL,
  description text NOT NULL,
  schema      text NOT NULL,             -- JSON Schema
  example     text NOT NULL,             -- JSON
  revision    bigint NOT NULL,           -- the config version of its last change
  created_ms  bigint NOT NULL,
  updated_ms  bigint NOT NULL
);
