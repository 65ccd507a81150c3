-- Validation modes, warnings of events that broke the contract, and what a change of the audit log changed.

CREATE TABLE validation (
  client_id  integer NOT NULL,
  event_type text COLLATE "C" NOT NULL,  -- a name, a category or *
  mode       text NOT NULL CHECK (mode IN ('reject', 'warn', 'off')),
  revision   bigint NOT NULL,            -- the config version of its last change
  updated_ms bigint NOT NULL,
  PRIMARY KEY (client_id, event_type)
);

ALTER TABLE event ADD COLUMN warnings text;      -- JSON [{"pointer": "/OrderNo", "message": "..."}, ...]
ALTER TABLE audit_entry ADD COLUMN detail text;  -- what it was before and after
