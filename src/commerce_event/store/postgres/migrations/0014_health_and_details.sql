-- How endpoints answer, where attempts went, what a change of a setting changed, and names of clients.

CREATE TABLE endpoint_health (
  endpoint_id      bigint PRIMARY KEY,
  client_id        integer NOT NULL,
  failures         integer NOT NULL,  -- in a row
  failing_since_ms bigint,           -- the first of them
  last_success_ms  bigint,
  last_failure_ms  bigint,
  last_status      integer,           -- of the newest failure
  last_error       text,
  last_cause       text,              -- in words
  former_since_ms  bigint,           -- the last span of failures that has ended
  former_until_ms  bigint
) WITH (fillfactor = 50);

ALTER TABLE attempt ADD COLUMN details text;      -- JSON; NULL for most
ALTER TABLE audit_entry ADD COLUMN name text;     -- of the target, at the time
ALTER TABLE audit_entry ADD COLUMN changes text;  -- JSON [{field, before, after}, ...]
ALTER TABLE api_key ADD COLUMN expires_ms bigint;

CREATE TABLE key_use (
  key_id  bigint PRIMARY KEY,
  used_ms bigint NOT NULL
);

CREATE TABLE client_name (
  client_id integer PRIMARY KEY,
  name      text NOT NULL
);
