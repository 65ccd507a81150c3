-- Events that were refused, so that people can see why and accept them after all.

CREATE TABLE refusal (
  id            bigint PRIMARY KEY,    -- sorts by time
  at_ms         bigint NOT NULL,
  client_id     integer,               -- NULL: not known
  owner         text NOT NULL,         -- by whom the limits are counted
  type          text,                  -- as it was sent
  key_id        bigint NOT NULL,       -- 0: the operator's own
  key_name      text NOT NULL,
  status        integer NOT NULL,
  detail        text NOT NULL,
  faults        text NOT NULL,         -- JSON
  size          integer NOT NULL,      -- of body and faults, in bytes
  state         text NOT NULL,
  accepting_for integer,               -- the client for which an acceptance has begun
  accepting     integer NOT NULL DEFAULT 0, -- how many acceptances have begun for it and not failed
  event_id      bigint,
  reason        text,
  closed_ms     bigint,
  label         text NOT NULL,         -- what people call its subject
  body          bytea NOT NULL
);

CREATE INDEX refusal_owner ON refusal (owner, state, id) INCLUDE (size);
CREATE INDEX refusal_client ON refusal (client_id, id);
CREATE INDEX refusal_open ON refusal (client_id) WHERE state = 'open';
