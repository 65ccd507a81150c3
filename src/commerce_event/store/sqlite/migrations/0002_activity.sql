-- What happened in each minute (kept for days) and each hour (kept for months), for plots.

CREATE TABLE activity (
  step_s      INTEGER NOT NULL,
  start_ms    INTEGER NOT NULL,
  client_id   INTEGER NOT NULL,
  endpoint_id INTEGER NOT NULL,          -- 0: counts of events, not of attempts
  accepted    INTEGER NOT NULL,
  delivered   INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  dead        INTEGER NOT NULL,
  latency_0   INTEGER NOT NULL,          -- answered attempts, by upper bounds of their time
  latency_1   INTEGER NOT NULL,
  latency_2   INTEGER NOT NULL,
  latency_3   INTEGER NOT NULL,
  latency_4   INTEGER NOT NULL,
  latency_5   INTEGER NOT NULL,
  latency_6   INTEGER NOT NULL,
  latency_7   INTEGER NOT NULL,
  latency_8   INTEGER NOT NULL,
  latency_9   INTEGER NOT NULL,
  latency_10  INTEGER NOT NULL,
  pending     INTEGER NOT NULL,          -- this and the next two: the most seen during the step
  dead_letters INTEGER NOT NULL,
  oldest_ms   INTEGER NOT NULL,
  PRIMARY KEY (step_s, start_ms, client_id, endpoint_id)
) STRICT, WITHOUT ROWID;
