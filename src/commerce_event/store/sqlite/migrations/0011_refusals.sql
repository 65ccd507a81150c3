-- Events that were refused, so that people can see why and accept them after all.

CREATE TABLE refusal (
  id            INTEGER PRIMARY KEY,   -- sorts by time
  at_ms         INTEGER NOT NULL,
  client_id     INTEGER,               -- NULL: not known
  owner         TEXT NOT NULL,         -- by whom the limits are counted
  type          TEXT,                  -- as it was sent
  key_id        INTEGER NOT NULL,      -- 0: the operator's own
  key_name      TEXT NOT NULL,
  status        INTEGER NOT NULL,
  detail        TEXT NOT NULL,
  faults        TEXT NOT NULL,         -- JSON
  size          INTEGER NOT NULL,      -- of body and faults, in bytes
  state         TEXT NOT NULL,
  accepting_for INTEGER,               -- the client for which an acceptance has begun
  accepting     INTEGER NOT NULL DEFAULT 0, -- how many acceptances have begun for it and not failed
  event_id      INTEGER,
  reason        TEXT,
  closed_ms     INTEGER,
  label         TEXT NOT NULL,         -- what people call its subject
  body          BLOB NOT NULL
) STRICT;

CREATE INDEX refusal_owner ON refusal (owner, state, id, size);
CREATE INDEX refusal_client ON refusal (client_id, id);
CREATE INDEX refusal_open ON refusal (client_id) WHERE state = 'open';
