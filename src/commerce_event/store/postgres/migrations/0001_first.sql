-- The journal, the queue, the registry and the delivery counts. Times are milliseconds since 1970 UTC.
-- Tables in parts ("PARTITION BY") have a part for each week of their events, made ahead by the nodes; `…_rest` takes
-- what no week was made for, so that an insert never fails. Retention drops weeks whole.

CREATE TABLE meta (
  name  text PRIMARY KEY,
  value bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO meta VALUES ('config_version', 0), ('last_id', 0), ('run', 0);

-- The row of a client is locked from the giving of a sequence to its commit: no gap, and visible in order.
CREATE TABLE client (
  client_id     bigint PRIMARY KEY,
  last_sequence bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE event (
  id              bigint PRIMARY KEY,    -- sorts by time, so rows are appended
  client_id       bigint NOT NULL,
  sequence        bigint NOT NULL,       -- 1, 2, 3 ... for each client
  type            text COLLATE "C" NOT NULL,
  application_id  bigint,
  accepted_ms     bigint NOT NULL,
  config_version  bigint NOT NULL,       -- which endpoint revisions it was matched against
  match_count     integer NOT NULL,      -- deliveries it was created with
  idempotency_key text COLLATE "C",
  traceparent     text,
  body            bytea NOT NULL         -- byte for byte what was sent
) PARTITION BY RANGE (id);

CREATE INDEX event_sequence ON event (client_id, sequence);
CREATE INDEX event_client ON event (client_id, id);
CREATE INDEX event_type ON event (client_id, type, id);
-- Rows lie in the order that they came in, so a few bytes for each stretch of them lead to a time.
CREATE INDEX event_accepted ON event USING brin (accepted_ms) WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE event_rest PARTITION OF event DEFAULT;

-- Idempotency keys over all weeks. An entry whose event is gone is free.
CREATE TABLE event_key (
  client_id bigint NOT NULL,
  key       text COLLATE "C" NOT NULL,
  event_id  bigint NOT NULL,
  PRIMARY KEY (client_id, key)
);

-- Values of the payload, for "find the order by its number". Filled behind the journal, from text_todo.
CREATE TABLE event_text (
  event_id bigint PRIMARY KEY,
  words    tsvector NOT NULL,            -- leads to candidates
  folded   text COLLATE "C" NOT NULL     -- all words in their order: decides
) PARTITION BY RANGE (event_id);

CREATE INDEX event_text_words ON event_text USING gin (words);
CREATE TABLE event_text_rest PARTITION OF event_text DEFAULT;

CREATE TABLE text_todo (
  event_id bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- The queue: unfinished deliveries and nothing else, so what is finished costs a claim nothing.
CREATE TABLE queue (
  id            bigint PRIMARY KEY,
  event_id      bigint NOT NULL,
  endpoint_id   bigint NOT NULL,
  client_id     bigint NOT NULL,
  attempt_count integer NOT NULL,
  retrying      boolean NOT NULL GENERATED ALWAYS AS (attempt_count > 0) STORED,
  failure_count integer NOT NULL,
  due_ms        bigint,                  -- while leased: when the lease runs out; NULL: an earlier one of its key goes first
  lease         bigint,                  -- the run that is sending it
  leased_ms     bigint,
  order_key     text COLLATE "C",
  replay_id     bigint,
  replayed      boolean NOT NULL,        -- created by a replay, not by its event
  turn          bigint NOT NULL,         -- the client's last sequence when it was made: orders those of a key
  created_ms    bigint NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

CREATE INDEX queue_due ON queue (endpoint_id, retrying, due_ms);
CREATE INDEX queue_event ON queue (event_id);
CREATE INDEX queue_lease ON queue (lease) WHERE lease IS NOT NULL;
CREATE INDEX queue_replay ON queue (replay_id) WHERE replay_id IS NOT NULL;
-- A hash, because a key may be longer than an index row.
CREATE INDEX queue_order ON queue (endpoint_id, hashtextextended(order_key, 0), turn, id) WHERE order_key IS NOT NULL;
CREATE INDEX queue_turn ON queue (endpoint_id, hashtextextended(order_key, 0))
  WHERE order_key IS NOT NULL AND due_ms IS NOT NULL;

CREATE TABLE finished (
  id            bigint NOT NULL,
  event_id      bigint NOT NULL,
  endpoint_id   bigint NOT NULL,
  client_id     bigint NOT NULL,
  state         text COLLATE "C" NOT NULL CHECK (state IN ('delivered', 'dead', 'cancelled')),
  attempt_count integer NOT NULL,
  failure_count integer NOT NULL,
  order_key     text COLLATE "C",
  replay_id     bigint,
  replayed      boolean NOT NULL,
  turn          bigint NOT NULL,
  reason        text,
  created_ms    bigint NOT NULL,
  finished_ms   bigint NOT NULL,
  PRIMARY KEY (id, event_id)
) PARTITION BY RANGE (event_id);

CREATE INDEX finished_event ON finished (event_id);
CREATE INDEX finished_endpoint ON finished (endpoint_id, id);
CREATE INDEX finished_client ON finished (client_id, id);
CREATE INDEX finished_when ON finished (endpoint_id, finished_ms);
CREATE INDEX finished_ended ON finished (state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX finished_ended_endpoint ON finished (endpoint_id, state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX finished_replay ON finished (replay_id, state) WHERE replay_id IS NOT NULL;
CREATE TABLE finished_rest PARTITION OF finished DEFAULT;

-- Every delivery, wherever it is kept.
CREATE VIEW delivery AS
SELECT id, event_id, endpoint_id, client_id, 'pending'::text AS state, attempt_count, failure_count, due_ms,
       lease IS NOT NULL AS leased, order_key, replay_id, replayed, NULL::text AS reason, created_ms,
       NULL::bigint AS finished_ms
FROM queue
UNION ALL
SELECT id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, NULL, false, order_key, replay_id,
       replayed, reason, created_ms, finished_ms
FROM finished;

CREATE TABLE attempt (
  event_id         bigint NOT NULL,
  delivery_id      bigint NOT NULL,
  number           integer NOT NULL,
  started_ms       bigint NOT NULL,
  duration_ms      double precision NOT NULL,
  status           integer,
  error            text,
  response_headers text NOT NULL,        -- JSON [[name, value], ...]
  response_body    bytea NOT NULL,
  PRIMARY KEY (delivery_id, number, event_id)
) PARTITION BY RANGE (event_id);

CREATE INDEX attempt_event ON attempt (event_id);
CREATE TABLE attempt_rest PARTITION OF attempt DEFAULT;

CREATE TABLE endpoint (
  id         bigint PRIMARY KEY,
  client_id  bigint NOT NULL,
  revision   bigint NOT NULL,
  created_ms bigint NOT NULL,
  updated_ms bigint NOT NULL,
  deleted_ms bigint,
  config     text NOT NULL,              -- JSON
  sealed     bytea NOT NULL              -- secrets and static headers, encrypted
);

-- Former revisions, so that "why was it (not) sent" can be answered for the past. Secrets are not kept here.
CREATE TABLE endpoint_revision (
  endpoint_id bigint NOT NULL,
  revision    bigint NOT NULL,
  client_id   bigint NOT NULL,
  created_ms  bigint NOT NULL,
  updated_ms  bigint NOT NULL,
  deleted_ms  bigint,
  config      text NOT NULL,
  PRIMARY KEY (endpoint_id, revision)
);

CREATE TABLE api_key (
  id         bigint PRIMARY KEY,
  role       text NOT NULL,
  client_ids bigint[],                   -- NULL: every client
  name       text NOT NULL,
  digest     bytea NOT NULL,
  created_ms bigint NOT NULL,
  revoked_ms bigint
);

CREATE TABLE replay (
  id          bigint PRIMARY KEY,
  client_id   bigint NOT NULL,
  endpoint_id bigint NOT NULL,
  since_ms    bigint NOT NULL,
  until_ms    bigint NOT NULL,
  types       text[] NOT NULL,           -- {}: every type
  "only"      text NOT NULL,
  state       text NOT NULL,
  cursor      bigint NOT NULL,
  looked_at   bigint NOT NULL,
  queued      bigint NOT NULL,
  created_ms  bigint NOT NULL,
  finished_ms bigint
);

-- The delivery counts of an endpoint, kept in the commit that changes it: matched = delivered + dead + cancelled + pending.
-- They are the sum of several rows, so that nodes, and accepting and recording, do not wait for each other.
CREATE TABLE book (
  endpoint_id bigint NOT NULL,
  slot        integer NOT NULL,
  client_id   bigint NOT NULL,
  matched     bigint NOT NULL,
  delivered   bigint NOT NULL,
  dead        bigint NOT NULL,
  cancelled   bigint NOT NULL,
  pending     bigint NOT NULL,
  PRIMARY KEY (endpoint_id, slot)
) WITH (fillfactor = 50);

-- What happened in each minute (kept for days) and each hour (kept for months), for plots.
CREATE TABLE activity (
  step_s       integer NOT NULL,
  start_ms     bigint NOT NULL,
  client_id    bigint NOT NULL,
  endpoint_id  bigint NOT NULL,          -- 0: counts of events, not of attempts
  accepted     bigint NOT NULL,
  delivered    bigint NOT NULL,
  failed       bigint NOT NULL,
  dead         bigint NOT NULL,
  latency_0    bigint NOT NULL,          -- answered attempts, by upper bounds of their time
  latency_1    bigint NOT NULL,
  latency_2    bigint NOT NULL,
  latency_3    bigint NOT NULL,
  latency_4    bigint NOT NULL,
  latency_5    bigint NOT NULL,
  latency_6    bigint NOT NULL,
  latency_7    bigint NOT NULL,
  latency_8    bigint NOT NULL,
  latency_9    bigint NOT NULL,
  latency_10   bigint NOT NULL,
  pending      bigint NOT NULL,          -- this and the next two: the most seen during the step
  dead_letters bigint NOT NULL,
  oldest_ms    bigint NOT NULL,
  PRIMARY KEY (step_s, start_ms, client_id, endpoint_id)
) WITH (fillfactor = 70);
