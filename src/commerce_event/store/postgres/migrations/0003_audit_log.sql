-- Who changed what through the API or the screens; kept for a year or so.

CREATE TABLE audit_entry (
  id        bigint PRIMARY KEY,    -- sorts by time
  at_ms     bigint  NOT NULL,
  client_id integer,               -- NULL: it concerns no client in particular
  key_id    bigint  NOT NULL,      -- 0: the operator's own
  key_name  text NOT NULL,
  action    text NOT NULL,         -- the operation's name in the OpenAPI document
  target    text NOT NULL          -- the id of what was changed, as it is written outside
);

CREATE INDEX audit_entry_client ON audit_entry (client_id, id);
CREATE INDEX audit_entry_target ON audit_entry (target, id);
