-- Validation modes, warnings of events that broke the contract, and what a change of the audit log changed.

CREATE TABLE validation (
  client_id  INTEGER NOT NULL,
  event_type TEXT NOT NULL,              -- a name, a category or *
  mode       TEXT NOT NULL CHECK (mode IN ('reject', 'warn', 'off')),
  revision   INTEGER NOT NULL,           -- the config version of its last change
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (client_id, event_type)
) STRICT, WITHOUT ROWID;

ALTER TABLE event ADD COLUMN warnings TEXT;      -- JSON [{"pointer": "/OrderNo", "message": "..."}, ...]
ALTER TABLE audit_entry ADD COLUMN detail TEXT;  -- what it was before and after
