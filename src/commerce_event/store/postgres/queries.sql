-- Journal ------------------------------------------------------------------------------------------------------

-- name: take_sequences
-- waits for other nodes that accept events of these clients; clients are sorted, so that no deadlock can arise
INSERT INTO client AS c (client_id, last_sequence)
SELECT * FROM unnest($1::bigint[], $2::bigint[])
ON CONFLICT (client_id) DO UPDATE SET last_sequence = c.last_sequence + excluded.last_sequence
RETURNING client_id, last_sequence, (SELECT value FROM meta WHERE name = 'config_version') AS config_version

-- name: unlocked_clients
-- the locks last as long as this statement
SELECT client_id FROM client WHERE client_id = ANY ($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED

-- name: return_sequences
UPDATE client SET last_sequence = last_sequence - unused.n
FROM unnest($1::bigint[], $2::bigint[]) AS unused (client_id, n)
WHERE client.client_id = unused.client_id

-- name: last_sequence
SELECT last_sequence FROM client WHERE client_id = $1

-- name: events_by_key
-- primary keys of event_key and event
SELECT k.client_id, k.key AS idempotency_key, e.id, e.sequence, e.match_count, e.type, e.body
FROM unnest($1::bigint[], $2::text[]) AS wanted (client_id, key)
CROSS JOIN LATERAL (
  SELECT * FROM event_key WHERE event_key.client_id = wanted.client_id AND event_key.key = wanted.key LIMIT 1) AS k
CROSS JOIN LATERAL (SELECT * FROM event WHERE event.id = k.event_id LIMIT 1) AS e

-- name: insert_events
WITH born AS (
  INSERT INTO event (id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count,
                     idempotency_key, traceparent, body, warnings)
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                       $8::integer[], $9::text[], $10::text[], $11::bytea[], $12::text[])
), with_order_key AS (
  INSERT INTO event_key (client_id, key, event_id)
  SELECT * FROM unnest($2::bigint[], $9::text[], $1::bigint[]) AS new (client_id, key, event_id) WHERE key IS NOT NULL
  ON CONFLICT (client_id, key) DO UPDATE SET event_id = excluded.event_id
)
INSERT INTO text_todo SELECT unnest($1::bigint[])

-- name: insert_deliveries
INSERT INTO queue (id, event_id, endpoint_id, client_id, attempt_count, failure_count, due_ms, run_id, leased_ms,
                   order_key, replay_id, replayed, turn, created_ms, bulk)
SELECT id, event_id, endpoint_id, client_id, attempt_count, 0, due_ms, run_id, leased_ms, order_key, replay_id, replayed,
       turn, created_ms, bulk
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::text[], $10::bigint[], $11::boolean[], $12::bigint[], $13::boolean[], $14::bigint[])
  AS new (id, event_id, endpoint_id, client_id, attempt_count, due_ms, run_id, leased_ms, order_key, replay_id, replayed,
          created_ms, bulk, turn)

-- name: add_counts
-- endpoints are sorted, so that no deadlock can arise
INSERT INTO delivery_counts AS c (slot, endpoint_id, client_id, matched, delivered, dead, cancelled, pending)
SELECT $1::integer, *
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
ON CONFLICT (endpoint_id, slot) DO UPDATE
SET matched = c.matched + excluded.matched, delivered = c.delivered + excluded.delivered, dead = c.dead + excluded.dead,
    cancelled = c.cancelled + excluded.cancelled, pending = c.pending + excluded.pending

-- Order keys ---------------------------------------------------------------------------------------------------

-- name: lock_order_keys
-- held to the end of the transaction; later statements see everything that the former holder committed
SELECT pg_advisory_xact_lock($1::integer, bucket) FROM unnest($2::integer[]) AS bucket

-- name: order_keys
-- primary keys; the key of a delivery never changes, so no lock is needed to read it
SELECT endpoint_id, order_key FROM delivery WHERE id = ANY ($1::bigint[]) AND order_key IS NOT NULL

-- name: pending_order_keys
-- index queue_order tells first whether an endpoint has any; then primary keys
SELECT DISTINCT endpoint_id, order_key FROM queue
WHERE EXISTS (SELECT FROM queue AS q WHERE q.endpoint_id = ANY ($2::bigint[]) AND q.order_key IS NOT NULL)
  AND id = ANY ($1::bigint[]) AND order_key IS NOT NULL

-- name: busy_order_keys
-- index queue_order
SELECT wanted.endpoint_id, wanted.order_key
FROM unnest($1::bigint[], $2::text[]) AS wanted (endpoint_id, order_key)
WHERE EXISTS (SELECT FROM queue AS q
              WHERE q.endpoint_id = wanted.endpoint_id
                AND hashtextextended(q.order_key, 0) = hashtextextended(wanted.order_key, 0)
                AND q.order_key = wanted.order_key)

-- name: release_next
-- index queue_order: the first of each key in the order of acceptance, independent of the clocks in the ids, unless one of the
-- key is due or leased already (index queue_turn)
UPDATE queue SET due_ms = $1
WHERE id = ANY (ARRAY (
  SELECT head.id
  FROM unnest($2::bigint[], $3::text[]) AS wanted (endpoint_id, order_key)
  CROSS JOIN LATERAL (
    SELECT q.id FROM queue AS q
    WHERE q.endpoint_id = wanted.endpoint_id
      AND hashtextextended(q.order_key, 0) = hashtextextended(wanted.order_key, 0) AND q.order_key = wanted.order_key
    ORDER BY q.turn, q.id LIMIT 1) AS head
  WHERE NOT EXISTS (
    SELECT FROM queue AS q
    WHERE q.endpoint_id = wanted.endpoint_id
      AND hashtextextended(q.order_key, 0) = hashtextextended(wanted.order_key, 0) AND q.order_key = wanted.order_key
      AND q.due_ms IS NOT NULL)))

-- Queue --------------------------------------------------------------------------------------------------------

-- name: backlog
-- a loose scan of index queue_due: one seek for each endpoint and kind, independent of the backlog
WITH RECURSIVE busy (endpoint_id, kind, due_ms) AS (
  (SELECT endpoint_id, kind, due_ms FROM queue ORDER BY endpoint_id, kind, due_ms LIMIT 1)
  UNION ALL
  SELECT next.* FROM busy
  CROSS JOIN LATERAL (
    SELECT q.endpoint_id, q.kind, q.due_ms FROM queue AS q
    WHERE (q.endpoint_id, q.kind) > (busy.endpoint_id, busy.kind)
    ORDER BY q.endpoint_id, q.kind, q.due_ms LIMIT 1) AS next
)
SELECT endpoint_id, kind, due_ms FROM busy WHERE due_ms IS NOT NULL

-- name: claim
-- index queue_due; LIMIT and LATERAL keep the planner to one seek a row, regardless of its size estimates
WITH due AS MATERIALIZED (
  SELECT q.* FROM unnest($1::bigint[], $2::smallint[], $3::integer[]) AS wanted (endpoint_id, kind, count)
  CROSS JOIN LATERAL (
    SELECT id, event_id, endpoint_id, attempt_count, failure_count, due_ms, replay_id, run_id, leased_ms,
           order_key IS NOT NULL AS has_order_key, bulk
    FROM queue
    WHERE queue.endpoint_id = wanted.endpoint_id AND queue.kind = wanted.kind AND queue.due_ms <= $4
    ORDER BY queue.due_ms LIMIT wanted.count FOR UPDATE SKIP LOCKED) AS q
), leased AS (
  UPDATE queue SET attempt_count = attempt_count + 1, run_id = $5, due_ms = $6, leased_ms = $4
  WHERE id = ANY (ARRAY (SELECT id FROM due))
), lost AS (
  INSERT INTO attempt (event_id, delivery_id, number, started_ms, duration_ms, error, response_headers, response_body)
  SELECT event_id, id, attempt_count, leased_ms, greatest(0, $4 - leased_ms), $7, '[]', '' FROM due
  WHERE run_id IS NOT NULL
)
SELECT due.id AS delivery_id, due.endpoint_id, due.attempt_count + 1 AS number, due.failure_count, due.replay_id,
       due.has_order_key, due.bulk, e.id AS event_id, e.client_id, e.sequence, e.type, e.traceparent, e.body
FROM due LEFT JOIN LATERAL (SELECT * FROM event WHERE event.id = due.event_id LIMIT 1) AS e ON true
ORDER BY due.due_ms, due.id

-- name: settle
-- primary key of queue; results are sorted by delivery, so that no deadlock can arise
WITH held AS MATERIALIZED (
  SELECT r.*, q.event_id, q.endpoint_id, q.client_id, q.order_key, q.replay_id, q.replayed, q.turn, q.created_ms,
         q.bulk
  FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::integer[], $7::bigint[], $8::text[],
              $9::bigint[], $10::bigint[], $11::double precision[], $12::integer[], $13::text[], $14::text[],
              $15::bytea[], $16::text[])
    AS r (id, run_id, number, state, failure_count, due_ms, reason, finished_ms, started_ms, duration_ms, status, error,
          response_headers, response_body, details)
  CROSS JOIN LATERAL (
    SELECT * FROM queue WHERE queue.id = r.id AND queue.run_id = r.run_id AND queue.attempt_count = r.number
    LIMIT 1 FOR UPDATE) AS q
), recorded AS (
  INSERT INTO attempt (event_id, delivery_id, number, started_ms, duration_ms, status, error, response_headers,
                       response_body, details)
  SELECT event_id, id, number, started_ms, duration_ms, status, error, response_headers, response_body, details
  FROM held
), gone AS (
  DELETE FROM queue WHERE id = ANY (ARRAY (SELECT id FROM held WHERE state <> 'pending'))
), ended AS (
  INSERT INTO finished (id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, order_key, replay_id,
                        replayed, turn, reason, created_ms, finished_ms, bulk)
  SELECT id, event_id, endpoint_id, client_id, state, number, failure_count, order_key, replay_id, replayed, turn,
         reason, created_ms, finished_ms, bulk
  FROM held WHERE state <> 'pending'
), again AS (
  UPDATE queue SET failure_count = held.failure_count, due_ms = held.due_ms, run_id = NULL, leased_ms = NULL
  FROM held WHERE queue.id = held.id AND held.state = 'pending'
), counted AS (
  INSERT INTO delivery_counts AS c (slot, endpoint_id, client_id, matched, delivered, dead, cancelled, pending)
  SELECT $1::integer, endpoint_id, min(client_id), 0, count(*) FILTER (WHERE state = 'delivered'),
         count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'cancelled'), -count(*)
  FROM held WHERE state <> 'pending' GROUP BY endpoint_id ORDER BY endpoint_id
  ON CONFLICT (endpoint_id, slot) DO UPDATE
  SET delivered = c.delivered + excluded.delivered, dead = c.dead + excluded.dead,
      cancelled = c.cancelled + excluded.cancelled, pending = c.pending + excluded.pending
)
SELECT id, number, run_id, CASE WHEN state <> 'pending' THEN endpoint_id END AS endpoint_id, order_key FROM held

-- name: record_health
-- $1: FAILING_FROM, $2: SUCCESS_STEP_MS. Endpoints are sorted, so that no deadlock can arise. One that stays healthy is
-- left out, because its row would be locked: nodes that deliver to it would wait for each other's commits
WITH change AS MATERIALIZED (
  SELECT r.*, (SELECT client_id FROM delivery_counts AS c WHERE c.endpoint_id = r.endpoint_id LIMIT 1) AS client_id
  FROM unnest($3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::integer[], $8::bigint[], $9::bigint[],
              $10::bigint[], $11::integer[], $12::text[], $13::text[], $14::bigint[], $15::bigint[])
    AS r (endpoint_id, first_failures, first_since_ms, first_success_ms, failures, failing_since_ms, last_success_ms,
          last_failure_ms, last_status, last_error, last_cause, former_since_ms, former_until_ms)
)
INSERT INTO endpoint_health AS h (endpoint_id, client_id, failures, failing_since_ms, last_success_ms, last_failure_ms, last_status, last_error,
                                  last_cause, former_since_ms, former_until_ms)
SELECT endpoint_id, client_id, CASE WHEN first_success_ms IS NULL THEN first_failures ELSE failures END,
       CASE WHEN first_success_ms IS NULL THEN first_since_ms ELSE failing_since_ms END, last_success_ms,
       last_failure_ms, last_status, last_error, last_cause,
       CASE WHEN former_since_ms IS NULL AND first_success_ms IS NOT NULL AND first_failures >= $1::integer THEN first_since_ms
            ELSE former_since_ms END,
       CASE WHEN former_since_ms IS NULL AND first_success_ms IS NOT NULL AND first_failures >= $1::integer
            THEN first_success_ms ELSE former_until_ms END
FROM change WHERE client_id IS NOT NULL AND NOT EXISTS (
  SELECT FROM endpoint_health AS present
  WHERE present.endpoint_id = change.endpoint_id AND present.failures = 0 AND change.last_failure_ms IS NULL
    AND abs(change.last_success_ms - present.last_success_ms) < $2::bigint) ORDER BY endpoint_id
ON CONFLICT (endpoint_id) DO UPDATE SET (failures, failing_since_ms, last_success_ms, last_failure_ms, last_status,
                                         last_error, last_cause, former_since_ms, former_until_ms) = (
  SELECT CASE WHEN c.first_success_ms IS NULL THEN h.failures + c.first_failures ELSE c.failures END,
         CASE WHEN c.first_success_ms IS NULL THEN coalesce(h.failing_since_ms, c.first_since_ms)
              ELSE c.failing_since_ms END,
         coalesce(c.last_success_ms, h.last_success_ms), coalesce(c.last_failure_ms, h.last_failure_ms),
         CASE WHEN c.last_failure_ms IS NULL THEN h.last_status ELSE c.last_status END,
         CASE WHEN c.last_failure_ms IS NULL THEN h.last_error ELSE c.last_error END,
         CASE WHEN c.last_failure_ms IS NULL THEN h.last_cause ELSE c.last_cause END,
         CASE WHEN c.former_since_ms IS NOT NULL THEN c.former_since_ms
              WHEN c.first_success_ms IS NOT NULL AND h.failures + c.first_failures >= $1::integer
              THEN coalesce(h.failing_since_ms, c.first_since_ms) ELSE h.former_since_ms END,
         CASE WHEN c.former_since_ms IS NOT NULL THEN c.former_until_ms
              WHEN c.first_success_ms IS NOT NULL AND h.failures + c.first_failures >= $1::integer
              THEN c.first_success_ms ELSE h.former_until_ms END
  FROM change AS c WHERE c.endpoint_id = h.endpoint_id)

-- name: release_claims
-- the end of the lease tells a claim from a later one of the same run, which may have the same attempt number;
-- $6: how far it may have been moved since
UPDATE queue SET attempt_count = attempt_count - 1, due_ms = $1, run_id = NULL, leased_ms = NULL
FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::bigint[]) AS unsent (id, run_id, number, lease_until_ms)
WHERE queue.id = unsent.id AND queue.run_id = unsent.run_id AND queue.attempt_count = unsent.number
  AND queue.due_ms - unsent.lease_until_ms = ANY ($6::bigint[])

-- name: pending_of_endpoint
-- index queue_due
SELECT id FROM queue WHERE endpoint_id = $1 AND (run_id IS NULL OR due_ms <= $2) LIMIT $3

-- name: finish
-- primary key of queue. $6: also those that are leased
WITH held AS MATERIALIZED (
  SELECT * FROM queue WHERE id = ANY ($2::bigint[]) AND ($6::boolean OR run_id IS NULL OR due_ms <= $5)
  ORDER BY id FOR UPDATE
), lost AS (
  INSERT INTO attempt (event_id, delivery_id, number, started_ms, duration_ms, error, response_headers, response_body)
  SELECT event_id, id, attempt_count, leased_ms, greatest(0, $5 - leased_ms), $7, '[]', '' FROM held
  WHERE run_id IS NOT NULL
), gone AS (
  DELETE FROM queue WHERE id = ANY (ARRAY (SELECT id FROM held))
), ended AS (
  INSERT INTO finished (id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, order_key, replay_id,
                        replayed, turn, reason, created_ms, finished_ms, bulk)
  SELECT id, event_id, endpoint_id, client_id, $3, attempt_count, failure_count, order_key, replay_id, replayed, turn,
         $4, created_ms, $5, bulk
  FROM held
), counted AS (
  INSERT INTO delivery_counts AS c (slot, endpoint_id, client_id, matched, delivered, dead, cancelled, pending)
  SELECT $1::integer, endpoint_id, min(client_id), 0, 0, count(*) FILTER (WHERE $3 = 'dead'),
         count(*) FILTER (WHERE $3 = 'cancelled'), -count(*)
  FROM held GROUP BY endpoint_id ORDER BY endpoint_id
  ON CONFLICT (endpoint_id, slot) DO UPDATE
  SET dead = c.dead + excluded.dead, cancelled = c.cancelled + excluded.cancelled, pending = c.pending + excluded.pending
)
SELECT endpoint_id, order_key FROM held

-- name: lock_events_for_deliveries
-- retention waits for transactions that make deliveries of an event pending
SELECT id FROM event WHERE id = ANY ($1::bigint[]) ORDER BY id FOR KEY SHARE

-- name: events_of_finished
SELECT DISTINCT event_id FROM finished WHERE id = ANY ($1::bigint[])

-- name: requeue_pending
UPDATE queue SET failure_count = 0, due_ms = CASE WHEN due_ms IS NULL THEN NULL ELSE $2::bigint END,
       replay_id = coalesce($3::bigint, replay_id)
WHERE id = ANY ($1::bigint[]) AND run_id IS NULL
RETURNING id

-- name: finished_to_requeue
SELECT id, endpoint_id, client_id, order_key, state, turn FROM finished
WHERE id = ANY ($1::bigint[]) AND state <> 'delivered' ORDER BY id FOR UPDATE

-- name: requeue_finished
WITH back AS (
  DELETE FROM finished WHERE id = ANY ($1::bigint[]) RETURNING *
)
INSERT INTO queue (id, event_id, endpoint_id, client_id, attempt_count, failure_count, due_ms, order_key, replay_id,
                   replayed, turn, created_ms, bulk)
SELECT back.id, event_id, endpoint_id, client_id, attempt_count, 0, again.due_ms, order_key, coalesce($3, replay_id),
       replayed, turn, created_ms, bulk
FROM unnest($1::bigint[], $2::bigint[]) AS again (id, due_ms) JOIN back ON back.id = again.id

-- name: discard
WITH held AS MATERIALIZED (
  SELECT id, endpoint_id, client_id FROM finished WHERE id = ANY ($2::bigint[]) AND state = 'dead'
  ORDER BY id FOR UPDATE
), discarded AS (
  UPDATE finished SET state = 'cancelled', reason = $3, finished_ms = $4 WHERE id = ANY (ARRAY (SELECT id FROM held))
), counted AS (
  INSERT INTO delivery_counts AS c (slot, endpoint_id, client_id, matched, delivered, dead, cancelled, pending)
  SELECT $1::integer, endpoint_id, min(client_id), 0, 0, -count(*), count(*), 0
  FROM held GROUP BY endpoint_id ORDER BY endpoint_id
  ON CONFLICT (endpoint_id, slot) DO UPDATE
  SET dead = c.dead + excluded.dead, cancelled = c.cancelled + excluded.cancelled
)
SELECT count(*) FROM held

-- name: pending_of_replay
-- index queue_replay
SELECT id FROM queue WHERE replay_id = $1 LIMIT $2

-- name: vacuum_queue
VACUUM (SKIP_LOCKED) queue

-- name: shift_due
UPDATE queue SET due_ms = due_ms + $1 WHERE due_ms IS NOT NULL

-- Runs ---------------------------------------------------------------------------------------------------------

-- name: time_ms
SELECT extract(epoch FROM clock_timestamp())::double precision * 1000

-- name: claiming_runs
-- index queue_run: costs by what is in flight
SELECT DISTINCT run_id FROM queue WHERE run_id IS NOT NULL

-- name: live_runs
SELECT objid::bigint AS run_key FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $1::bigint::oid
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: lock_run
SELECT pg_try_advisory_lock($1, $2)

-- name: unlock_run
SELECT pg_advisory_unlock($1, $2)

-- name: unlock_all
SELECT pg_advisory_unlock_all()

-- name: notify
SELECT pg_notify($1, $2)

-- name: release_runs
-- index queue_run
WITH held AS MATERIALIZED (
  SELECT * FROM queue WHERE run_id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED
), lost AS (
  INSERT INTO attempt (event_id, delivery_id, number, started_ms, duration_ms, error, response_headers, response_body)
  SELECT event_id, id, attempt_count, leased_ms, greatest(0, $2 - leased_ms), $3, '[]', '' FROM held
), released AS (
  UPDATE queue SET due_ms = $2, run_id = NULL, leased_ms = NULL WHERE id = ANY (ARRAY (SELECT id FROM held))
)
SELECT count(*) FROM held

-- Registry -----------------------------------------------------------------------------------------------------

-- name: increment_meta
UPDATE meta SET value = value + 1 WHERE name = $1 RETURNING value

-- name: meta
SELECT value FROM meta WHERE name = $1

-- name: raise_last_id
UPDATE meta SET value = $1 WHERE name = 'last_id' AND value < $1

-- name: put_endpoint
INSERT INTO endpoint (id, client_id, revision, created_ms, updated_ms, deleted_ms, config, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, updated_ms = excluded.updated_ms,
  deleted_ms = excluded.deleted_ms, config = excluded.config, sealed = excluded.sealed

-- name: endpoint_revision_for_update
SELECT revision FROM endpoint WHERE id = $1 FOR UPDATE

-- name: endpoint_revision_for_share
-- changes of the endpoint wait to the end of the transaction
SELECT revision FROM endpoint WHERE id = $1 FOR SHARE

-- name: insert_endpoint_revision
INSERT INTO endpoint_revision (endpoint_id, revision, client_id, created_ms, updated_ms, deleted_ms, config)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: endpoints
SELECT id, client_id, revision, created_ms, updated_ms, deleted_ms, config, sealed FROM endpoint
WHERE revision > $1 ORDER BY id

-- name: endpoint_revisions
SELECT r.endpoint_id AS id, r.client_id, r.revision, r.created_ms, r.updated_ms, r.deleted_ms, r.config,
       ''::bytea AS sealed
FROM endpoint AS e
CROSS JOIN LATERAL (
  SELECT * FROM endpoint_revision
  WHERE endpoint_id = e.id AND revision <= $2 ORDER BY revision DESC LIMIT 1) AS r
WHERE e.client_id = $1
ORDER BY e.id

-- name: endpoint_at
SELECT endpoint_id AS id, client_id, revision, created_ms, updated_ms, deleted_ms, config, ''::bytea AS sealed
FROM (SELECT * FROM endpoint_revision WHERE endpoint_id = $1 ORDER BY revision DESC LIMIT $3) AS r
WHERE updated_ms <= $2 ORDER BY revision DESC LIMIT 1

-- name: put_key
INSERT INTO api_key (id, role, client_ids, name, digest, created_ms, revoked_ms, expires_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET role = excluded.role, client_ids = excluded.client_ids, name = excluded.name,
  digest = excluded.digest, revoked_ms = excluded.revoked_ms, expires_ms = excluded.expires_ms

-- name: keys
SELECT id, role, client_ids, name, digest, created_ms, revoked_ms, expires_ms FROM api_key ORDER BY id

-- name: note_key_uses
-- keys are sorted, so that no deadlock can arise
INSERT INTO key_use AS u (key_id, used_ms) SELECT * FROM unnest($1::bigint[], $2::bigint[])
ON CONFLICT (key_id) DO UPDATE SET used_ms = greatest(u.used_ms, excluded.used_ms)

-- name: key_uses
SELECT key_id, used_ms FROM key_use

-- name: put_client_name
INSERT INTO client_name (client_id, name) VALUES ($1, $2)
ON CONFLICT (client_id) DO UPDATE SET name = excluded.name

-- name: delete_client_name
DELETE FROM client_name WHERE client_id = $1

-- name: client_names
SELECT client_id, name FROM client_name ORDER BY client_id

-- name: end_session
INSERT INTO ended_session (id, ends_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING

-- name: delete_old_sessions
DELETE FROM ended_session WHERE ends_ms <= $1

-- name: ended_sessions
SELECT id FROM ended_session

-- Contract -----------------------------------------------------------------------------------------------------

-- name: put_validation
INSERT INTO validation (client_id, event_type, mode, revision, updated_ms) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (client_id, event_type) DO UPDATE SET mode = excluded.mode, revision = excluded.revision,
  updated_ms = excluded.updated_ms

-- name: delete_validation
DELETE FROM validation WHERE client_id = $1 AND event_type = $2

-- name: validation
SELECT client_id, event_type, mode, revision, updated_ms FROM validation ORDER BY revision

-- name: put_own_type
INSERT INTO own_event_type (name, category, kind, description, schema, example, revision, created_ms, updated_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (name) DO UPDATE SET category = excluded.category, kind = excluded.kind,
  description = excluded.description, schema = excluded.schema, example = excluded.example,
  revision = excluded.revision, updated_ms = excluded.updated_ms

-- name: delete_own_type
DELETE FROM own_event_type WHERE name = $1

-- name: delete_validation_of_type
DELETE FROM validation WHERE event_type = $1

-- name: has_events_of_type
-- index event_type, one search for each client
SELECT EXISTS (SELECT 1 FROM client AS c
               WHERE EXISTS (SELECT 1 FROM event AS e WHERE e.client_id = c.client_id AND e.type = $1))

-- name: own_type_revisions
SELECT name, revision FROM own_event_type ORDER BY name

-- name: own_types
SELECT name, category, kind, description, schema, example, revision, created_ms, updated_ms FROM own_event_type
WHERE name = ANY ($1::text[]) ORDER BY name

-- Replays ------------------------------------------------------------------------------------------------------

-- name: put_replay
INSERT INTO replay (id, client_id, endpoint_id, since_ms, until_ms, types, "only", state, cursor, looked_at, queued,
                    created_ms, finished_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, cursor = excluded.cursor, looked_at = excluded.looked_at,
  queued = excluded.queued, finished_ms = excluded.finished_ms

-- name: replay_progress
-- another node that runs the same replay waits to the end of the transaction, and then sees another cursor
SELECT state, cursor FROM replay WHERE id = $1 FOR UPDATE

-- name: replay_states
-- indexes queue_replay and finished_replay
SELECT state, count(*) AS count FROM delivery WHERE replay_id = $1 GROUP BY state

-- name: replay_ended_ms
-- index finished_replay
SELECT max(finished_ms) FROM finished WHERE replay_id = $1

-- name: replay
SELECT id, client_id, endpoint_id, since_ms, until_ms, types, "only", state, cursor, looked_at, queued, created_ms,
       finished_ms
FROM replay WHERE id = $1

-- Audit log ----------------------------------------------------------------------------------------------------

-- name: insert_audit_entry
INSERT INTO audit_entry (id, at_ms, client_id, key_id, key_name, action, target, detail, name, changes)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: audit_entry
SELECT id, at_ms, client_id, key_id, key_name, action, target, detail, name, changes FROM audit_entry WHERE id = $1

-- name: delete_old_audit_entries
-- the primary key
DELETE FROM audit_entry WHERE id < $1

-- Refusals -----------------------------------------------------------------------------------------------------

-- name: insert_refusals
INSERT INTO refusal (id, at_ms, client_id, owner, type, key_id, key_name, status, detail, faults, size, state,
                     accepting_for, event_id, reason, closed_ms, label, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                     $8::integer[], $9::text[], $10::text[], $11::integer[], $12::text[], $13::integer[],
                     $14::bigint[], $15::text[], $16::bigint[], $17::text[], $18::bytea[])
ON CONFLICT (id) DO NOTHING

-- name: lock_refusals
-- one transaction at a time counts refusals and deletes what is too much
SELECT pg_advisory_xact_lock($1, $2)

-- name: refusal_usage
-- index refusal_owner alone
SELECT owner, state, count(*) AS count, sum(size) AS size FROM refusal GROUP BY owner, state

-- name: delete_refusals_beyond
-- index refusal_owner alone: all but the newest
DELETE FROM refusal WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER newest AS place, sum(size) OVER newest AS total
    FROM refusal WHERE owner = $1 AND state = $2 WINDOW newest AS (ORDER BY id DESC)) AS ordered
  WHERE place > $3 OR total > $4)

-- name: refusal
SELECT id, at_ms, client_id, owner, type, key_id, key_name, status, detail, faults, size, state, accepting_for, event_id,
       reason, closed_ms, label, body
FROM refusal WHERE id = $1

-- name: begin_acceptance
UPDATE refusal SET accepting_for = coalesce(accepting_for, $2),
       accepting = accepting + CASE WHEN coalesce(accepting_for, $2) = $2 THEN 1 ELSE 0 END
WHERE id = $1 AND state = 'open' RETURNING accepting_for

-- name: cancel_acceptance
UPDATE refusal SET accepting = accepting - 1, accepting_for = CASE WHEN accepting > 1 THEN accepting_for END
WHERE id = $1 AND state = 'open' AND accepting > 0

-- name: accept_refusal
UPDATE refusal SET state = 'accepted', event_id = $2, closed_ms = $3 WHERE id = $1 AND state = 'open' RETURNING id

-- name: discard_refusal
UPDATE refusal SET state = 'discarded', reason = $2, closed_ms = $3
WHERE id = $1 AND state = 'open' AND accepting_for IS NULL RETURNING id

-- name: oldest_refusal_ms
SELECT at_ms FROM refusal ORDER BY id LIMIT 1

-- name: delete_old_refusals
-- the primary key: ids sort by time
DELETE FROM refusal WHERE id IN (SELECT id FROM refusal WHERE id < $1 ORDER BY id LIMIT $2) RETURNING id

-- Changes ------------------------------------------------------------------------------------------------------

-- name: change_rows
-- the primary key
SELECT r.client_id, r.entity, r.row_key, r.data, r.change_id, r.updated_ms
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS wanted (client_id, entity, row_key)
CROSS JOIN LATERAL (
  SELECT * FROM change_row
  WHERE change_row.client_id = wanted.client_id AND change_row.entity = wanted.entity
    AND change_row.row_key = wanted.row_key LIMIT 1) AS r

-- name: lock_change_rows
-- how many of these rows were last written by the expected change; they are sorted, so that no deadlock can arise
WITH held AS MATERIALIZED (
  SELECT FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) AS wanted (client_id, entity, row_key, expected)
  CROSS JOIN LATERAL (
    SELECT FROM change_row
    WHERE change_row.client_id = wanted.client_id AND change_row.entity = wanted.entity
      AND change_row.row_key = wanted.row_key AND change_row.change_id = wanted.expected
    LIMIT 1 FOR UPDATE) AS r
)
SELECT count(*) FROM held

-- name: add_change_rows
WITH added AS (
  INSERT INTO change_row (client_id, entity, row_key, data, change_id, updated_ms)
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
  ON CONFLICT (client_id, entity, row_key) DO NOTHING RETURNING 1
)
SELECT count(*) FROM added

-- name: put_change_rows
-- The rows are locked already. An upsert needs no plan: it finds each row by the primary key, for any statistics of
-- the table.
INSERT INTO change_row (client_id, entity, row_key, data, change_id, updated_ms)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
ON CONFLICT (client_id, entity, row_key) DO UPDATE
SET data = excluded.data, change_id = excluded.change_id, updated_ms = excluded.updated_ms

-- name: delete_change_rows
-- the rows are locked already
DELETE FROM change_row WHERE ctid = ANY (ARRAY (
  SELECT r.ctid FROM unnest($1::bigint[], $2::text[], $3::text[]) AS gone (client_id, entity, row_key)
  CROSS JOIN LATERAL (
    SELECT ctid FROM change_row
    WHERE change_row.client_id = gone.client_id AND change_row.entity = gone.entity
      AND change_row.row_key = gone.row_key LIMIT 1) AS r))

-- name: forget_change_rows
-- the primary key
DELETE FROM change_row WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM change_row WHERE client_id = $1 AND entity = $2 AND updated_ms < $3 LIMIT $4 FOR UPDATE SKIP LOCKED))
RETURNING 1

-- name: row_entities
-- a loose scan of the primary key: a seek for each pair
WITH RECURSIVE found (client_id, entity) AS (
  (SELECT client_id, entity FROM change_row ORDER BY client_id, entity LIMIT 1)
  UNION ALL
  SELECT next.* FROM found
  CROSS JOIN LATERAL (
    SELECT r.client_id, r.entity FROM change_row AS r WHERE (r.client_id, r.entity) > (found.client_id, found.entity)
    ORDER BY r.client_id, r.entity LIMIT 1) AS next
)
SELECT client_id, entity FROM found

-- name: insert_changes
-- rows are sorted by idempotency key, so that no deadlock can arise
INSERT INTO change (id, client_id, entity, source, accepted_ms, config_version, idempotency_key, data, known)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
                     $9::text[])

-- name: changes_by_key
-- unique index change_key
SELECT c.id, c.client_id, c.entity, c.source, c.idempotency_key, c.data,
       ARRAY (SELECT event_id FROM raised_event AS r WHERE r.change_id = c.id AND r.merged = 1 ORDER BY event_id)
         AS event_ids
FROM unnest($1::bigint[], $2::text[]) AS wanted (client_id, key)
CROSS JOIN LATERAL (
  SELECT * FROM change WHERE change.client_id = wanted.client_id AND change.idempotency_key = wanted.key LIMIT 1) AS c

-- name: change
SELECT id, client_id, entity, source, accepted_ms, config_version, idempotency_key, data, known FROM change
WHERE id = $1

-- name: oldest_change_ms
SELECT accepted_ms FROM change ORDER BY id LIMIT 1

-- name: delete_old_changes
-- the primary key: ids sort by time
DELETE FROM change WHERE id = ANY (ARRAY (
  SELECT id FROM change WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING id

-- name: put_waiting
-- notifications are sorted, so that no deadlock can arise
INSERT INTO waiting_notification AS w (setting_id, subject, client_id, application_id, event_type, body, due_ms,
                                       first_change_id, change_id, merged)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[])
ON CONFLICT (setting_id, subject) DO UPDATE
SET application_id = excluded.application_id, event_type = excluded.event_type, body = excluded.body,
    first_change_id = least(w.first_change_id, excluded.first_change_id),
    change_id = greatest(w.change_id, excluded.change_id), merged = w.merged + excluded.merged

-- name: release_waiting
-- notifications are locked in the order of their keys, so that no deadlock can arise
WITH held AS MATERIALIZED (
  SELECT w.place
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS released (setting_id, subject, change_id, merged)
  CROSS JOIN LATERAL (
    SELECT ctid AS place FROM waiting_notification
    WHERE waiting_notification.setting_id = released.setting_id AND waiting_notification.subject = released.subject
      AND waiting_notification.change_id = released.change_id AND waiting_notification.merged = released.merged
    LIMIT 1 FOR UPDATE) AS w
), gone AS (
  DELETE FROM waiting_notification WHERE ctid = ANY (ARRAY (SELECT place FROM held))
)
SELECT count(*) FROM held

-- name: waiting
-- the primary key
SELECT w.setting_id, w.subject, w.client_id, w.application_id, w.event_type, w.body, w.due_ms, w.first_change_id,
       w.change_id, w.merged
FROM unnest($1::bigint[], $2::text[]) AS wanted (setting_id, subject)
CROSS JOIN LATERAL (
  SELECT * FROM waiting_notification
  WHERE waiting_notification.setting_id = wanted.setting_id AND waiting_notification.subject = wanted.subject
  LIMIT 1) AS w

-- name: due_waiting
-- index waiting_notification_due: a seek for each client; the clients take turns
WITH RECURSIVE clients (client_id) AS (
  SELECT min(client_id) FROM waiting_notification
  UNION ALL
  SELECT (SELECT min(client_id) FROM waiting_notification AS w WHERE w.client_id > clients.client_id)
  FROM clients WHERE clients.client_id IS NOT NULL
)
SELECT setting_id, subject, w.client_id, application_id, event_type, body, due_ms, first_change_id, change_id, merged
FROM clients CROSS JOIN LATERAL (
  SELECT first.*, row_number() OVER (ORDER BY first.due_ms, first.first_change_id) AS turn
  FROM waiting_notification AS first
  WHERE first.client_id = clients.client_id AND first.due_ms <= $1
  ORDER BY first.due_ms, first.first_change_id LIMIT $2
) AS w
ORDER BY turn, due_ms, first_change_id LIMIT $2

-- name: end_waiting
-- the primary key
UPDATE waiting_notification SET due_ms = $2 WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM waiting_notification WHERE setting_id = $1 AND due_ms > $2 LIMIT $3 FOR UPDATE SKIP LOCKED))
RETURNING 1

-- name: next_waiting_ms
-- index waiting_notification_due: a seek for each client
WITH RECURSIVE clients (client_id) AS (
  SELECT min(client_id) FROM waiting_notification
  UNION ALL
  SELECT (SELECT min(client_id) FROM waiting_notification AS w WHERE w.client_id > clients.client_id)
  FROM clients WHERE clients.client_id IS NOT NULL
)
SELECT min((SELECT min(due_ms) FROM waiting_notification AS w WHERE w.client_id = clients.client_id)) FROM clients

-- name: shift_waiting
UPDATE waiting_notification SET due_ms = due_ms + $1

-- name: insert_raised
INSERT INTO raised_event (event_id, client_id, setting_id, subject, first_change_id, change_id, merged)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])

-- name: raised
SELECT event_id, client_id, setting_id, subject, first_change_id, change_id, merged FROM raised_event
WHERE event_id = $1

-- name: raised_by
-- index raised_event_change
SELECT event_id, client_id, setting_id, subject, first_change_id, change_id, merged FROM raised_event
WHERE change_id = $1 ORDER BY event_id LIMIT $2

-- name: raised_for
-- index raised_event_subject
SELECT event_id, client_id, setting_id, subject, first_change_id, change_id, merged FROM raised_event
WHERE setting_id = $1 AND subject = $2 AND change_id >= $3 AND first_change_id <= $3 ORDER BY change_id LIMIT 1

-- name: change_fields
-- the primary key
SELECT f.client_id, f.entity, f.name
FROM unnest($1::bigint[], $2::text[]) AS wanted (client_id, entity)
CROSS JOIN LATERAL (
  SELECT * FROM change_field
  WHERE change_field.client_id = wanted.client_id AND change_field.entity = wanted.entity
  ORDER BY change_field.name LIMIT 10000) AS f

-- name: insert_change_fields
-- names are sorted, so that no deadlock can arise
INSERT INTO change_field (client_id, entity, name) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
ON CONFLICT DO NOTHING

-- Event settings and change sources ----------------------------------------------------------------------------

-- name: put_event_setting
INSERT INTO event_setting (id, client_id, application_id, event_type, entity, revision, deleted_ms, config)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET client_id = excluded.client_id, application_id = excluded.application_id,
  event_type = excluded.event_type, entity = excluded.entity, revision = excluded.revision,
  deleted_ms = excluded.deleted_ms, config = excluded.config

-- name: event_setting_revision
SELECT revision FROM event_setting WHERE id = $1

-- name: insert_event_setting_revision
INSERT INTO event_setting_revision (setting_id, revision, client_id, config) VALUES ($1, $2, $3, $4)

-- name: has_other_event_setting
-- index event_setting_client
SELECT EXISTS (SELECT FROM event_setting
               WHERE client_id = $1 AND event_type = $2 AND entity = $3 AND application_id IS NOT DISTINCT FROM $4::bigint
                 AND id <> $5 AND deleted_ms IS NULL)

-- name: event_settings
SELECT config FROM event_setting WHERE revision > $1 ORDER BY id

-- name: event_settings_at
SELECT r.config
FROM event_setting AS s
CROSS JOIN LATERAL (
  SELECT config FROM event_setting_revision AS r WHERE r.setting_id = s.id AND r.revision <= $2
  ORDER BY r.revision DESC LIMIT 1) AS r
WHERE s.client_id = $1 ORDER BY s.id

-- name: has_change_source
SELECT EXISTS (SELECT FROM change_source WHERE name = $1)

-- name: put_change_source
INSERT INTO change_source (name, revision, config) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, config = excluded.config

-- name: delete_change_source
DELETE FROM change_source WHERE name = $1

-- name: delete_source_state
DELETE FROM source_state WHERE source = $1

-- name: change_source_revisions
SELECT name, revision FROM change_source ORDER BY name

-- name: change_sources
SELECT config FROM change_source WHERE $1::text[] IS NULL OR name = ANY ($1) ORDER BY name

-- name: source_states
SELECT source, position, report, reported_ms FROM source_state ORDER BY source

-- name: lock_source_positions
-- sources are sorted, so that no deadlock can arise; a row is made for a source that has none
INSERT INTO source_state (source) SELECT unnest($1::text[])
ON CONFLICT (source) DO UPDATE SET source = excluded.source RETURNING source, position

-- name: put_source_positions
INSERT INTO source_state (source, position) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (source) DO UPDATE SET position = excluded.position

-- name: put_source_report
INSERT INTO source_state (source, report, reported_ms) VALUES ($1, $2, $3)
ON CONFLICT (source) DO UPDATE SET report = excluded.report, reported_ms = excluded.reported_ms

-- History ------------------------------------------------------------------------------------------------------

-- name: event
SELECT id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent,
       body, warnings
FROM event WHERE id = $1

-- name: events_by_id
SELECT id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent,
       body, warnings
FROM event WHERE id = ANY ($1::bigint[])

-- name: last_sequences
-- primary key
SELECT client_id, last_sequence FROM client WHERE client_id = ANY ($1::bigint[])

-- name: events_after
-- index event_sequence
SELECT id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent,
       body, warnings
FROM event WHERE client_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3

-- name: delivery
SELECT id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, due_ms, leased, order_key, replay_id,
       reason, created_ms, finished_ms
FROM delivery WHERE id = $1

-- name: attempts
SELECT number, started_ms, duration_ms, status, error, response_headers, response_body, details
FROM attempt WHERE delivery_id = $1 ORDER BY number DESC LIMIT $2

-- name: recent_attempts
-- index finished_when
SELECT a.number, a.started_ms, a.duration_ms, a.status, a.error, a.response_headers, a.response_body, a.details
FROM (SELECT id, event_id, attempt_count, finished_ms FROM finished
      WHERE endpoint_id = $1 ORDER BY finished_ms DESC LIMIT $2) AS f
CROSS JOIN LATERAL (
  SELECT * FROM attempt
  WHERE attempt.delivery_id = f.id AND attempt.number = f.attempt_count AND attempt.event_id = f.event_id
  LIMIT 1) AS a
ORDER BY f.finished_ms DESC

-- name: deliveries_of_events
-- indexes queue_event and finished_event
SELECT id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, due_ms, leased, order_key, replay_id,
       reason, created_ms, finished_ms
FROM delivery WHERE event_id = ANY ($1::bigint[]) ORDER BY event_id DESC, id DESC LIMIT $2

-- name: oldest_pending
-- index queue_due
SELECT d.id, d.event_id, d.endpoint_id, d.client_id, d.state, d.attempt_count, d.failure_count, d.due_ms, d.leased,
       d.order_key, d.replay_id, d.reason, d.created_ms, d.finished_ms
FROM unnest($1::bigint[]) AS wanted (endpoint_id)
CROSS JOIN LATERAL (
  SELECT n.id FROM (SELECT id FROM queue WHERE queue.endpoint_id = wanted.endpoint_id
                    ORDER BY kind, due_ms LIMIT $2) AS n ORDER BY n.id LIMIT $3) AS oldest
CROSS JOIN LATERAL (SELECT * FROM delivery WHERE delivery.id = oldest.id LIMIT 1) AS d
ORDER BY d.id

-- name: delivery_states
-- indexes queue_event and finished_event
SELECT event_id, client_id, state, count(*) AS count FROM delivery WHERE event_id = ANY ($1::bigint[])
GROUP BY event_id, client_id, state

-- name: events_with_delivery
-- indexes queue_event and finished_event
SELECT DISTINCT event_id FROM delivery WHERE event_id = ANY ($2::bigint[]) AND endpoint_id = $1

-- name: dead_with_errors
-- index finished_ended_endpoint
SELECT n.id, n.reason, a.error
FROM (SELECT id, event_id, reason, attempt_count FROM finished
      WHERE endpoint_id = $1 AND state = 'dead' AND id < $2 ORDER BY id DESC LIMIT $3) AS n
LEFT JOIN LATERAL (
  SELECT error FROM attempt
  WHERE attempt.delivery_id = n.id AND attempt.number = n.attempt_count AND attempt.event_id = n.event_id
  LIMIT 1) AS a ON true
ORDER BY n.id DESC

-- name: endpoint_health
SELECT endpoint_id, client_id, failures, failing_since_ms, last_success_ms, last_failure_ms, last_status, last_error,
       last_cause, former_since_ms, former_until_ms
FROM endpoint_health ORDER BY endpoint_id

-- name: last_attempts
SELECT d.id AS delivery_id, a.number, a.started_ms, a.duration_ms, a.status, a.error, a.details
FROM (SELECT id, event_id, attempt_count FROM delivery WHERE id = ANY ($1::bigint[])) AS d
CROSS JOIN LATERAL (
  SELECT * FROM attempt
  WHERE attempt.delivery_id = d.id AND attempt.number = d.attempt_count AND attempt.event_id = d.event_id
  LIMIT 1) AS a

-- name: replays_with
-- indexes queue_replay and finished_replay
SELECT wanted.id FROM unnest($1::bigint[]) AS wanted (id)
WHERE CASE WHEN $2::text = 'pending' THEN EXISTS (SELECT FROM queue WHERE queue.replay_id = wanted.id)
           ELSE EXISTS (SELECT FROM finished WHERE finished.replay_id = wanted.id AND finished.state = $2) END

-- name: delivery_counts
-- one statement, so one snapshot. $1: count the pending deliveries in the queue, which costs by backlog
SELECT c.endpoint_id, c.client_id, c.matched, c.delivered, c.dead, c.cancelled,
       CASE WHEN $1::boolean THEN coalesce(counted.pending, 0) ELSE c.pending END AS pending,
       (SELECT min(first.due_ms) FROM (VALUES (0::smallint), (1::smallint), (2::smallint)) AS kinds (kind)
        CROSS JOIN LATERAL (
          SELECT q.due_ms FROM queue AS q
          WHERE q.endpoint_id = c.endpoint_id AND q.kind = kinds.kind AND q.due_ms IS NOT NULL
          ORDER BY q.due_ms LIMIT 1) AS first) AS oldest_due_ms
FROM (SELECT endpoint_id, min(client_id) AS client_id, sum(matched)::bigint AS matched,
             sum(delivered)::bigint AS delivered, sum(dead)::bigint AS dead, sum(cancelled)::bigint AS cancelled,
             sum(pending)::bigint AS pending
      FROM delivery_counts GROUP BY endpoint_id) AS c
LEFT JOIN (SELECT endpoint_id, count(*) AS pending FROM queue WHERE $1::boolean GROUP BY endpoint_id) AS counted
  ON counted.endpoint_id = c.endpoint_id
ORDER BY c.endpoint_id

-- name: count_unindexed
SELECT count(*) FROM (SELECT FROM text_todo LIMIT $1) AS few

-- name: former_text
-- index event_text_former: the last text by the words of an older version. Ordered, so that the planner uses that index
SELECT event_id FROM event_text WHERE word_rule = 1 ORDER BY event_id DESC LIMIT 1

-- name: texts_without_client
-- index event_text_without_client: whether there are texts of schema 4 and before, which do not name their client
SELECT EXISTS (SELECT FROM event_text WHERE NOT words @@ '''@'':*'::tsquery)

-- name: unindexed_events
-- events that are not in the text index yet, newest first
SELECT event_id FROM text_todo WHERE event_id < $1 ORDER BY event_id DESC LIMIT $2

-- Activity -----------------------------------------------------------------------------------------------------

-- name: add_activity
-- rows of one call may belong to one step; they are sorted, so that no deadlock can arise
INSERT INTO activity AS a (step_s, start_ms, client_id, endpoint_id, accepted, delivered, failed, dead, latency_0, latency_1, latency_2, latency_3,
                           latency_4, latency_5, latency_6, latency_7, latency_8, latency_9, latency_10,
                           pending, dead_letters, oldest_ms)
SELECT $1::integer, start_ms - start_ms % ($1::integer * 1000), client_id, endpoint_id,
       sum(accepted), sum(delivered), sum(failed), sum(dead), sum(latency_0), sum(latency_1), sum(latency_2),
       sum(latency_3), sum(latency_4), sum(latency_5), sum(latency_6), sum(latency_7), sum(latency_8),
       sum(latency_9), sum(latency_10),
       max(pending), max(dead_letters), max(oldest_ms)
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
            $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],
            $21::bigint[], $22::bigint[])
  AS new (start_ms, client_id, endpoint_id, accepted, delivered, failed, dead, latency_0, latency_1, latency_2, latency_3, latency_4, latency_5,
           latency_6, latency_7, latency_8, latency_9, latency_10, pending, dead_letters, oldest_ms)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
ON CONFLICT (step_s, start_ms, client_id, endpoint_id) DO UPDATE
SET accepted = a.accepted + excluded.accepted, delivered = a.delivered + excluded.delivered, failed = a.failed +
    excluded.failed, dead = a.dead + excluded.dead, latency_0 = a.latency_0 + excluded.latency_0, latency_1 =
    a.latency_1 + excluded.latency_1, latency_2 = a.latency_2 + excluded.latency_2, latency_3 = a.latency_3 +
    excluded.latency_3, latency_4 = a.latency_4 + excluded.latency_4, latency_5 = a.latency_5 +
    excluded.latency_5, latency_6 = a.latency_6 + excluded.latency_6, latency_7 = a.latency_7 +
    excluded.latency_7, latency_8 = a.latency_8 + excluded.latency_8, latency_9 = a.latency_9 +
    excluded.latency_9, latency_10 = a.latency_10 + excluded.latency_10,
    pending = greatest(a.pending, excluded.pending), dead_letters = greatest(a.dead_letters,
    excluded.dead_letters), oldest_ms = greatest(a.oldest_ms, excluded.oldest_ms)

-- name: delete_old_activity
DELETE FROM activity WHERE step_s = $1 AND start_ms < $2

-- name: activity_by_step
-- primary key
SELECT start_ms, sum(accepted)::bigint AS accepted, sum(delivered)::bigint AS delivered,
       sum(failed)::bigint AS failed, sum(dead)::bigint AS dead,
       sum(latency_0)::bigint AS latency_0, sum(latency_1)::bigint AS latency_1, sum(latency_2)::bigint AS latency_2,
       sum(latency_3)::bigint AS latency_3, sum(latency_4)::bigint AS latency_4, sum(latency_5)::bigint AS latency_5,
       sum(latency_6)::bigint AS latency_6, sum(latency_7)::bigint AS latency_7, sum(latency_8)::bigint AS latency_8,
       sum(latency_9)::bigint AS latency_9, sum(latency_10)::bigint AS latency_10,
       sum(pending)::bigint AS pending, sum(dead_letters)::bigint AS dead_letters, max(oldest_ms) AS oldest_ms
FROM activity
WHERE step_s = $1 AND start_ms >= $2 AND ($3::bigint IS NULL OR endpoint_id = $3)
  AND ($4::bigint[] IS NULL OR client_id = ANY ($4))
GROUP BY start_ms ORDER BY start_ms

-- name: activity_by_endpoint
-- primary key
SELECT endpoint_id, client_id, sum(accepted)::bigint AS accepted, sum(delivered)::bigint AS delivered,
       sum(failed)::bigint AS failed, sum(dead)::bigint AS dead,
       sum(latency_0)::bigint AS latency_0, sum(latency_1)::bigint AS latency_1, sum(latency_2)::bigint AS latency_2,
       sum(latency_3)::bigint AS latency_3, sum(latency_4)::bigint AS latency_4, sum(latency_5)::bigint AS latency_5,
       sum(latency_6)::bigint AS latency_6, sum(latency_7)::bigint AS latency_7, sum(latency_8)::bigint AS latency_8,
       sum(latency_9)::bigint AS latency_9, sum(latency_10)::bigint AS latency_10
FROM activity
WHERE step_s = $1 AND start_ms >= $2 AND endpoint_id <> 0 AND ($3::bigint[] IS NULL OR client_id = ANY ($3))
GROUP BY endpoint_id, client_id

-- Maintenance --------------------------------------------------------------------------------------------------

-- name: verify_counts
SELECT e.id, e.match_count, (SELECT count(*) FROM delivery AS d WHERE d.event_id = e.id AND NOT d.replayed) AS count
FROM event AS e WHERE e.id > $1 ORDER BY e.id LIMIT $2

-- name: last_id
SELECT greatest((SELECT max(id) FROM event), (SELECT max(id) FROM queue), (SELECT max(id) FROM finished),
                (SELECT max(id) FROM endpoint), (SELECT max(id) FROM api_key), (SELECT max(id) FROM replay),
                (SELECT max(id) FROM audit_entry), (SELECT max(id) FROM refusal), (SELECT max(id) FROM change),
                (SELECT max(id) FROM event_setting),
                (SELECT value FROM meta WHERE name = 'last_id'))

-- name: oldest_ms
SELECT accepted_ms FROM event ORDER BY id LIMIT 1

-- name: oldest_events
SELECT e.id, e.accepted_ms, EXISTS (SELECT FROM queue AS q WHERE q.event_id = e.id) AS is_pending
FROM event AS e WHERE e.id > $1 AND e.id < $2 ORDER BY e.id LIMIT $3

-- name: lock_events_to_delete
SELECT id FROM event WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED

-- name: without_pending
SELECT event.id FROM unnest($1::bigint[]) AS event (id)
WHERE NOT EXISTS (SELECT FROM queue AS q WHERE q.event_id = event.id)

-- name: delete_events
WITH attempts AS (DELETE FROM attempt WHERE event_id = ANY ($1::bigint[])),
     deliveries AS (DELETE FROM finished WHERE event_id = ANY ($1::bigint[])),
     texts AS (DELETE FROM event_text WHERE event_id = ANY ($1::bigint[])),
     todo AS (DELETE FROM text_todo WHERE event_id = ANY ($1::bigint[])),
     raised AS (DELETE FROM raised_event WHERE event_id = ANY ($1::bigint[])),
     events AS (DELETE FROM event WHERE id = ANY ($1::bigint[]) RETURNING id, client_id, idempotency_key)
DELETE FROM event_key AS k USING events AS e
WHERE k.client_id = e.client_id AND k.key = e.idempotency_key AND k.event_id = e.id

-- name: take_unindexed
-- the next events until their payloads sum up to $2 bytes, at least one
WITH next AS MATERIALIZED (
  SELECT event_id FROM text_todo ORDER BY event_id LIMIT $1 FOR UPDATE SKIP LOCKED
), sized AS (
  SELECT event_id, sum(size) OVER (ORDER BY event_id) - size AS before
  FROM next CROSS JOIN LATERAL (
    SELECT coalesce((SELECT octet_length(body) FROM event WHERE id = event_id LIMIT 1), 0) AS size) AS event
)
DELETE FROM text_todo WHERE event_id = ANY (ARRAY (SELECT event_id FROM sized WHERE before < $2))
RETURNING event_id

-- name: events_to_index
-- retention waits, so that no text stays without its event
SELECT id, client_id, body FROM event WHERE id = ANY ($1::bigint[]) ORDER BY id FOR KEY SHARE

-- name: insert_texts
INSERT INTO event_text (event_id, words, folded, word_rule)
SELECT event_id, array_to_tsvector(string_to_array(words, ' ')), folded, 2
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (event_id, words, folded)

-- name: take_former_texts
-- index event_text_former; the newest first, until their payloads sum up to $2 bytes, at least one
WITH next AS MATERIALIZED (
  SELECT event_id FROM event_text WHERE word_rule = 1 ORDER BY event_id DESC LIMIT $1 FOR UPDATE SKIP LOCKED
), sized AS (
  SELECT event_id, sum(size) OVER (ORDER BY event_id DESC) - size AS before
  FROM next CROSS JOIN LATERAL (
    SELECT coalesce((SELECT octet_length(body) FROM event WHERE id = event_id LIMIT 1), 0) AS size) AS event
)
SELECT event_id FROM sized WHERE before < $2

-- name: update_texts
UPDATE event_text AS t
SET words = array_to_tsvector(string_to_array(new.words, ' ')), folded = new.folded, word_rule = 2
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (event_id, words, folded)
WHERE t.event_id = new.event_id

-- name: weeks
SELECT substring(c.relname FROM 'event_(\d{8})$') AS monday FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'event'::regclass AND c.relname ~ '^event_\d{8}$' ORDER BY 1

-- name: has_pending_between
-- index queue_event
SELECT EXISTS (SELECT FROM queue WHERE event_id >= $1 AND event_id < $2)

-- name: delete_keys_and_raised
WITH next AS MATERIALIZED (
  SELECT id, client_id, idempotency_key FROM event WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3
), deleted AS (
  DELETE FROM event_key AS k USING next AS e
  WHERE k.client_id = e.client_id AND k.key = e.idempotency_key AND k.event_id = e.id
), raised AS (
  DELETE FROM raised_event WHERE event_id = ANY (ARRAY (SELECT id FROM next))
)
SELECT count(*) AS count, max(id) AS last_id FROM next

-- name: delete_unindexed
DELETE FROM text_todo WHERE event_id >= $1 AND event_id < $2

-- Server -------------------------------------------------------------------------------------------------------

-- name: server
SELECT current_setting('server_version_num')::integer AS version_number, current_setting('server_version') AS version,
       pg_is_in_recovery() AS is_standby, current_setting('server_encoding') AS encoding

-- name: setting
SELECT current_setting($1)

-- name: backend
SELECT pg_backend_pid()

-- name: database_size
SELECT pg_database_size(current_database())
