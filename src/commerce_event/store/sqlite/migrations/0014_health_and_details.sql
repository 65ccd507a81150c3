-- How endpoints answer, where attempts went, what a change of a setting changed, and names of clients.

CREATE TABLE endpoint_health (
  endpoint_id      INTEGER PRIMARY KEY,
  client_id        INTEGER NOT NULL,
  failures         INTEGER NOT NULL,  -- in a row
  failing_since_ms INTEGER,           -- the first of them
  last_success_ms  INTEGER,
  last_failure_ms  INTEGER,
  last_status      INTEGER,           -- of the newest failure
  last_error       TEXT,
  last_cause       TEXT,              -- in words
  former_since_ms  INTEGER,           -- the last span of failures that has ended
  former_until_ms  INTEGER
) STRICT;

ALTER TABLE attempt ADD COLUMN details TEXT;      -- JSON; NULL for most
ALTER TABLE audit_entry ADD COLUMN name TEXT;     -- of the target, at the time
ALTER TABLE audit_entry ADD COLUMN changes TEXT;  -- JSON [{field, before, after}, ...]
ALTER TABLE api_key ADD COLUMN expires_ms INTEGER;

CREATE TABLE key_use (
  key_id  INTEGER PRIMARY KEY,
  used_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE client_name (
  client_id INTEGER PRIMARY KEY,
  name      TEXT NOT NULL
) STRICT;
