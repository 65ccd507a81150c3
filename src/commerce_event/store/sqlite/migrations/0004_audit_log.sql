-- Who changed what through the API or the screens; kept for a year or so.

CREATE TABLE audit_entry (
  id        INTEGER PRIMARY KEY,   -- sorts by time
  at_ms     INTEGER NOT NULL,
  client_id INTEGER,               -- NULL: it concerns no client in particular
  key_id    INTEGER NOT NULL,      -- 0: the operator's own
  key_name  TEXT NOT NULL,
  action    TEXT NOT NULL,         -- the operation's name in the OpenAPI document
  target    TEXT NOT NULL          -- the id of what was changed, as it is written outside
) STRICT;

CREATE INDEX audit_entry_client ON audit_entry (client_id, id);
CREATE INDEX audit_entry_target ON audit_entry (target, id);
