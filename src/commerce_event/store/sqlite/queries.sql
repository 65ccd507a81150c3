-- Journal ------------------------------------------------------------------------------------------------------

-- name: events_by_key
-- unique index event_key
SELECT e.client_id, e.idempotency_key, e.id, e.sequence, e.match_count, e.type, e.body
FROM (VALUES {rows:2}) AS wanted CROSS JOIN event AS e
WHERE e.client_id = wanted.column1 AND e.idempotency_key = wanted.column2

-- name: last_sequence
SELECT last_sequence FROM client WHERE client_id = ?

-- name: put_sequences
INSERT INTO client (client_id, last_sequence) VALUES {rows:2}
ON CONFLICT (client_id) DO UPDATE SET last_sequence = excluded.last_sequence

-- name: insert_events
INSERT INTO event (id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count,
                   idempotency_key, traceparent, body, warnings)
VALUES {rows:12}

-- name: insert_deliveries
INSERT INTO delivery (id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, due_ms, run_id, leased_ms,
                      order_key, replay_id, replayed, created_ms, bulk)
SELECT column1, column2, column3, column4, 'pending', column5, 0, column6, column7, column8, column9, column10, column11,
       column12, column13
FROM (VALUES {rows:13})

-- Queue --------------------------------------------------------------------------------------------------------

-- name: backlog
-- a loose scan of index delivery_due: a few seeks for each endpoint with pending work, independent of the backlog
WITH RECURSIVE busy (endpoint_id) AS (
  SELECT min(endpoint_id) FROM delivery WHERE state = 'pending'
  UNION ALL
  SELECT (SELECT min(endpoint_id) FROM delivery WHERE state = 'pending' AND endpoint_id > busy.endpoint_id)
  FROM busy WHERE busy.endpoint_id IS NOT NULL
)
SELECT endpoint_id, kinds.column1 AS kind,
       (SELECT min(due_ms) FROM delivery INDEXED BY delivery_due
        WHERE state = 'pending' AND endpoint_id = busy.endpoint_id AND kind = kinds.column1 AND due_ms IS NOT NULL
       ) AS due_ms
FROM busy CROSS JOIN (VALUES (0), (1), (2)) AS kinds
WHERE endpoint_id IS NOT NULL AND due_ms IS NOT NULL

-- name: due
-- index delivery_due returns the oldest due first
SELECT d.id AS delivery_id, d.endpoint_id, d.attempt_count + 1 AS number, d.failure_count, d.replay_id,
       d.order_key IS NOT NULL AS has_order_key, d.bulk, d.run_id AS former_run_id, d.leased_ms,
       e.id AS event_id, e.client_id, e.sequence, e.type, e.traceparent, e.body
FROM (SELECT id AS due_id FROM delivery INDEXED BY delivery_due
      WHERE state = 'pending' AND endpoint_id = ? AND kind = ? AND due_ms <= ?
      ORDER BY due_ms LIMIT ?)
CROSS JOIN delivery AS d ON d.id = due_id
LEFT JOIN event AS e ON e.id = d.event_id

-- name: claim
UPDATE delivery SET attempt_count = attempt_count + 1, run_id = ?, due_ms = ?, leased_ms = ?
FROM (VALUES {rows:1}) AS claimed
WHERE delivery.id = claimed.column1

-- name: insert_attempts
INSERT INTO attempt (delivery_id, number, started_ms, duration_ms, status, error, response_headers, response_body,
                     details)
VALUES {rows:9}

-- name: count_held_claims
-- how many of these attempts (delivery, run, number) may still be settled
SELECT count(*) AS held FROM (VALUES {rows:3}) AS result CROSS JOIN delivery
WHERE delivery.id = result.column1 AND delivery.run_id = result.column2 AND delivery.attempt_count = result.column3

-- name: settle
UPDATE delivery SET state = result.column2, failure_count = result.column3, due_ms = result.column4,
       reason = result.column5, finished_ms = result.column6, run_id = NULL, leased_ms = NULL
FROM (VALUES {rows:6}) AS result
WHERE delivery.id = result.column1

-- name: record_health
-- ?: FAILING_FROM, SUCCESS_STEP_MS. One that stays healthy is left out
WITH settings (failing_from, success_step_ms) AS (VALUES (?, ?)), change AS (
  SELECT r.column1 AS endpoint_id, r.column2 AS first_failures, r.column3 AS first_since_ms,
         r.column4 AS first_success_ms, r.column5 AS failures, r.column6 AS failing_since_ms,
         r.column7 AS last_success_ms, r.column8 AS last_failure_ms, r.column9 AS last_status,
         r.column10 AS last_error, r.column11 AS last_cause, r.column12 AS former_since_ms,
         r.column13 AS former_until_ms,
         c.client_id, s.failing_from, s.success_step_ms
  FROM (VALUES {rows:13}) AS r CROSS JOIN settings AS s
  CROSS JOIN delivery_counts AS c ON c.endpoint_id = r.column1
)
INSERT INTO endpoint_health AS h (endpoint_id, client_id, failures, failing_since_ms, last_success_ms, last_failure_ms, last_status, last_error,
                                  last_cause, former_since_ms, former_until_ms)
SELECT endpoint_id, client_id, CASE WHEN first_success_ms IS NULL THEN first_failures ELSE failures END,
       CASE WHEN first_success_ms IS NULL THEN first_since_ms ELSE failing_since_ms END, last_success_ms,
       last_failure_ms, last_status, last_error, last_cause,
       CASE WHEN former_since_ms IS NULL AND first_success_ms IS NOT NULL AND first_failures >= failing_from THEN first_since_ms
            ELSE former_since_ms END,
       CASE WHEN former_since_ms IS NULL AND first_success_ms IS NOT NULL AND first_failures >= failing_from
            THEN first_success_ms ELSE former_until_ms END
FROM change WHERE NOT EXISTS (
  SELECT 1 FROM endpoint_health AS present
  WHERE present.endpoint_id = change.endpoint_id AND present.failures = 0 AND change.last_failure_ms IS NULL
    AND abs(change.last_success_ms - present.last_success_ms) < change.success_step_ms)
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
              WHEN c.first_success_ms IS NOT NULL AND h.failures + c.first_failures >= failing_from
              THEN coalesce(h.failing_since_ms, c.first_since_ms) ELSE h.former_since_ms END,
         CASE WHEN c.former_since_ms IS NOT NULL THEN c.former_until_ms
              WHEN c.first_success_ms IS NOT NULL AND h.failures + c.first_failures >= failing_from
              THEN c.first_success_ms ELSE h.former_until_ms END
  FROM change AS c WHERE c.endpoint_id = h.endpoint_id)

-- name: release_claims
UPDATE delivery SET attempt_count = attempt_count - 1, due_ms = ?, run_id = NULL, leased_ms = NULL
FROM (VALUES {rows:3}) AS unsent
WHERE delivery.id = unsent.column1 AND delivery.run_id = unsent.column2 AND delivery.attempt_count = unsent.column3

-- name: order_keys
SELECT DISTINCT d.endpoint_id, d.order_key
FROM (VALUES {rows:1}) AS wanted CROSS JOIN delivery AS d
WHERE d.id = wanted.column1 AND d.order_key IS NOT NULL

-- name: existing_events
SELECT e.id FROM (VALUES {rows:1}) AS wanted CROSS JOIN event AS e WHERE e.id = wanted.column1

-- name: busy_order_keys
-- index delivery_order
SELECT DISTINCT wanted.column1 AS endpoint_id, wanted.column2 AS order_key
FROM (VALUES {rows:2}) AS wanted CROSS JOIN delivery AS d INDEXED BY delivery_order
WHERE d.state = 'pending' AND d.endpoint_id = wanted.column1 AND d.order_key = wanted.column2

-- name: release_next
-- index delivery_order: the earliest of the key, if none of the key is due or leased already
UPDATE delivery SET due_ms = ?1
WHERE id = (SELECT id FROM delivery INDEXED BY delivery_order
            WHERE state = 'pending' AND endpoint_id = ?2 AND order_key = ?3 ORDER BY id LIMIT 1)
  AND NOT EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_order
                  WHERE state = 'pending' AND endpoint_id = ?2 AND order_key = ?3 AND due_ms IS NOT NULL)

-- name: record_interrupted
-- index delivery_due, once at the start
INSERT INTO attempt (delivery_id, number, started_ms, duration_ms, status, error, response_headers, response_body)
SELECT id, attempt_count, leased_ms, max(0, ? - leased_ms), NULL, ?, '[]', x''
FROM delivery WHERE state = 'pending' AND run_id IS NOT NULL

-- name: release_former_claims
UPDATE delivery SET due_ms = ?, run_id = NULL, leased_ms = NULL WHERE state = 'pending' AND run_id IS NOT NULL

-- name: shift_due
UPDATE delivery SET due_ms = due_ms + ? WHERE state = 'pending' AND due_ms IS NOT NULL

-- name: pending_of_endpoint
SELECT id FROM delivery INDEXED BY delivery_due
WHERE state = 'pending' AND endpoint_id = ? AND (run_id IS NULL OR due_ms <= ?) LIMIT ?

-- name: deliveries_by_id
SELECT d.id, d.endpoint_id, d.state, d.attempt_count, d.due_ms, d.run_id, d.leased_ms, d.order_key
FROM (VALUES {rows:1}) AS wanted CROSS JOIN delivery AS d
WHERE d.id = wanted.column1

-- name: finish
UPDATE delivery SET state = ?, reason = ?, finished_ms = ?, due_ms = NULL, run_id = NULL, leased_ms = NULL
FROM (VALUES {rows:1}) AS ended
WHERE delivery.id = ended.column1

-- name: requeue
UPDATE delivery SET state = 'pending', failure_count = 0, due_ms = again.column2, reason = NULL, finished_ms = NULL,
       replay_id = coalesce(?, replay_id)
FROM (VALUES {rows:2}) AS again
WHERE delivery.id = again.column1

-- name: discard
UPDATE delivery SET state = 'cancelled', reason = ?, finished_ms = ?
FROM (VALUES {rows:1}) AS discarded
WHERE delivery.id = discarded.column1

-- name: pending_of_replay
-- index delivery_replay
SELECT id FROM delivery INDEXED BY delivery_replay WHERE replay_id = ? AND state = 'pending' LIMIT ?

-- name: count_new_deliveries
INSERT INTO delivery_counts (endpoint_id, client_id, matched, delivered, dead, cancelled, pending)
SELECT column1, column2, column3, 0, 0, 0, column3 FROM (VALUES {rows:3}) WHERE true
ON CONFLICT (endpoint_id) DO UPDATE SET matched = matched + excluded.matched, pending = pending + excluded.pending

-- name: move_counts
UPDATE delivery_counts SET delivered = delivered + moved.column2, dead = dead + moved.column3,
       cancelled = cancelled + moved.column4, pending = pending + moved.column5
FROM (VALUES {rows:5}) AS moved
WHERE delivery_counts.endpoint_id = moved.column1

-- Registry -----------------------------------------------------------------------------------------------------

-- name: increment_meta
UPDATE meta SET value = value + 1 WHERE name = ? RETURNING value

-- name: meta
SELECT value FROM meta WHERE name = ?

-- name: put_meta
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: delete_meta
DELETE FROM meta WHERE name = ?

-- name: raise_meta
UPDATE meta SET value = max(value, ?) WHERE name = ?

-- name: put_endpoint
INSERT INTO endpoint (id, client_id, revision, created_ms, updated_ms, deleted_ms, config, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, updated_ms = excluded.updated_ms,
  deleted_ms = excluded.deleted_ms, config = excluded.config, sealed = excluded.sealed

-- name: endpoint_revision
SELECT revision FROM endpoint WHERE id = ?

-- name: insert_endpoint_revision
INSERT INTO endpoint_revision (endpoint_id, revision, client_id, created_ms, updated_ms, deleted_ms, config)
VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: endpoints
SELECT id, client_id, revision, created_ms, updated_ms, deleted_ms, config, sealed FROM endpoint
WHERE revision > ? ORDER BY id

-- name: endpoint_revisions
SELECT r.endpoint_id AS id, r.client_id, r.revision, r.created_ms, r.updated_ms, r.deleted_ms, r.config, x'' AS sealed
FROM endpoint AS e CROSS JOIN endpoint_revision AS r ON r.endpoint_id = e.id
WHERE e.client_id = ?1
  AND r.revision = (SELECT max(revision) FROM endpoint_revision WHERE endpoint_id = e.id AND revision <= ?2)
ORDER BY e.id

-- name: endpoint_at
SELECT endpoint_id AS id, client_id, revision, created_ms, updated_ms, deleted_ms, config, x'' AS sealed
FROM (SELECT * FROM endpoint_revision WHERE endpoint_id = ?1 ORDER BY revision DESC LIMIT ?3)
WHERE updated_ms <= ?2 ORDER BY revision DESC LIMIT 1

-- name: put_key
INSERT INTO api_key (id, role, client_ids, name, digest, created_ms, revoked_ms, expires_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET role = excluded.role, client_ids = excluded.client_ids, name = excluded.name,
  digest = excluded.digest, revoked_ms = excluded.revoked_ms, expires_ms = excluded.expires_ms

-- name: keys
SELECT id, role, client_ids, name, digest, created_ms, revoked_ms, expires_ms FROM api_key ORDER BY id

-- name: note_key_uses
INSERT INTO key_use (key_id, used_ms) VALUES {rows:2}
ON CONFLICT (key_id) DO UPDATE SET used_ms = max(used_ms, excluded.used_ms)

-- name: key_uses
SELECT key_id, used_ms FROM key_use

-- name: put_client_name
INSERT INTO client_name (client_id, name) VALUES (?, ?) ON CONFLICT (client_id) DO UPDATE SET name = excluded.name

-- name: delete_client_name
DELETE FROM client_name WHERE client_id = ?

-- name: client_names
SELECT client_id, name FROM client_name ORDER BY client_id

-- name: end_session
INSERT INTO ended_session (id, ends_ms) VALUES (?, ?) ON CONFLICT (id) DO NOTHING

-- name: delete_old_sessions
DELETE FROM ended_session WHERE ends_ms <= ?

-- name: ended_sessions
SELECT id FROM ended_session

-- Contract -----------------------------------------------------------------------------------------------------

-- name: put_validation
INSERT INTO validation (client_id, event_type, mode, revision, updated_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (client_id, event_type) DO UPDATE SET mode = excluded.mode, revision = excluded.revision,
  updated_ms = excluded.updated_ms

-- name: delete_validation
DELETE FROM validation WHERE client_id = ? AND event_type = ?

-- name: validation
SELECT client_id, event_type, mode, revision, updated_ms FROM validation ORDER BY revision

-- name: put_own_type
INSERT INTO own_event_type (name, category, kind, description, schema, example, revision, created_ms, updated_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET category = excluded.category, kind = excluded.kind,
  description = excluded.description, schema = excluded.schema, example = excluded.example,
  revision = excluded.revision, updated_ms = excluded.updated_ms

-- name: delete_own_type
DELETE FROM own_event_type WHERE name = ?

-- name: delete_validation_of_type
DELETE FROM validation WHERE event_type = ?

-- name: has_events_of_type
-- index event_type, one search for each client
SELECT EXISTS (SELECT 1 FROM client AS c
               WHERE EXISTS (SELECT 1 FROM event AS e WHERE e.client_id = c.client_id AND e.type = ?))

-- name: own_type_revisions
SELECT name, revision FROM own_event_type ORDER BY name

-- name: own_types
SELECT name, category, kind, description, schema, example, revision, created_ms, updated_ms FROM own_event_type
WHERE name IN (SELECT value FROM json_each(?)) ORDER BY name

-- Replays ------------------------------------------------------------------------------------------------------

-- name: put_replay
INSERT INTO replay (id, client_id, endpoint_id, since_ms, until_ms, types, only, state, cursor, looked_at, queued,
                    created_ms, finished_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, cursor = excluded.cursor, looked_at = excluded.looked_at,
  queued = excluded.queued, finished_ms = excluded.finished_ms

-- name: replay_progress
SELECT state, cursor FROM replay WHERE id = ?

-- name: replay_states
-- index delivery_replay
SELECT state, count(*) AS count FROM delivery WHERE replay_id = ? GROUP BY state

-- name: replay_ended_ms
-- index delivery_replay
SELECT max(finished_ms) FROM delivery WHERE replay_id = ?

-- name: replay
SELECT id, client_id, endpoint_id, since_ms, until_ms, types, only, state, cursor, looked_at, queued, created_ms,
       finished_ms
FROM replay WHERE id = ?

-- Audit log ----------------------------------------------------------------------------------------------------

-- name: insert_audit_entry
INSERT INTO audit_entry (id, at_ms, client_id, key_id, key_name, action, target, detail, name, changes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: audit_entry
SELECT id, at_ms, client_id, key_id, key_name, action, target, detail, name, changes FROM audit_entry WHERE id = ?

-- name: delete_old_audit_entries
-- the primary key
DELETE FROM audit_entry WHERE id < ?

-- Refusals -----------------------------------------------------------------------------------------------------

-- name: insert_refusals
INSERT INTO refusal (id, at_ms, client_id, owner, type, key_id, key_name, status, detail, faults, size, state,
                     accepting_for, event_id, reason, closed_ms, label, body)
VALUES {rows:18}
ON CONFLICT (id) DO NOTHING

-- name: refusal_usage
-- index refusal_owner alone
SELECT owner, state, count(*) AS count, sum(size) AS size FROM refusal GROUP BY owner, state

-- name: delete_refusals_beyond
-- index refusal_owner alone: all but the newest
DELETE FROM refusal WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER newest AS place, sum(size) OVER newest AS total
    FROM refusal WHERE owner = ? AND state = ? WINDOW newest AS (ORDER BY id DESC))
  WHERE place > ? OR total > ?)

-- name: refusal
SELECT id, at_ms, client_id, owner, type, key_id, key_name, status, detail, faults, size, state, accepting_for, event_id,
       reason, closed_ms, label, body
FROM refusal WHERE id = ?

-- name: begin_acceptance
UPDATE refusal SET accepting_for = coalesce(accepting_for, ?2),
       accepting = accepting + CASE WHEN coalesce(accepting_for, ?2) = ?2 THEN 1 ELSE 0 END
WHERE id = ?1 AND state = 'open' RETURNING accepting_for

-- name: cancel_acceptance
UPDATE refusal SET accepting = accepting - 1, accepting_for = CASE WHEN accepting > 1 THEN accepting_for END
WHERE id = ? AND state = 'open' AND accepting > 0

-- name: accept_refusal
UPDATE refusal SET state = 'accepted', event_id = ?2, closed_ms = ?3 WHERE id = ?1 AND state = 'open' RETURNING id

-- name: discard_refusal
UPDATE refusal SET state = 'discarded', reason = ?2, closed_ms = ?3
WHERE id = ?1 AND state = 'open' AND accepting_for IS NULL RETURNING id

-- name: oldest_refusal_ms
SELECT at_ms FROM refusal ORDER BY id LIMIT 1

-- name: delete_old_refusals
-- the primary key: ids sort by time
DELETE FROM refusal WHERE id IN (SELECT id FROM refusal WHERE id < ? ORDER BY id LIMIT ?) RETURNING id

-- Changes ------------------------------------------------------------------------------------------------------

-- name: change_rows
-- the primary key
SELECT r.client_id, r.entity, r.row_key, r.data, r.change_id, r.updated_ms
FROM (VALUES {rows:3}) AS wanted CROSS JOIN change_row AS r
WHERE r.client_id = wanted.column1 AND r.entity = wanted.column2 AND r.row_key = wanted.column3

-- name: count_change_rows
-- how many of these rows there are
SELECT count(*) AS count FROM (VALUES {rows:3}) AS wanted CROSS JOIN change_row AS r
WHERE r.client_id = wanted.column1 AND r.entity = wanted.column2 AND r.row_key = wanted.column3

-- name: count_expected_change_rows
-- how many of these rows were last written by the expected change
SELECT count(*) AS count FROM (VALUES {rows:4}) AS wanted CROSS JOIN change_row AS r
WHERE r.client_id = wanted.column1 AND r.entity = wanted.column2 AND r.row_key = wanted.column3
  AND r.change_id = wanted.column4

-- name: put_change_rows
INSERT INTO change_row (client_id, entity, row_key, data, change_id, updated_ms) VALUES {rows:6}
ON CONFLICT (client_id, entity, row_key) DO UPDATE
SET data = excluded.data, change_id = excluded.change_id, updated_ms = excluded.updated_ms

-- name: delete_change_rows
DELETE FROM change_row WHERE (client_id, entity, row_key) IN (VALUES {rows:3})

-- name: forget_change_rows
-- the primary key
DELETE FROM change_row WHERE rowid IN (
  SELECT rowid FROM change_row WHERE client_id = ? AND entity = ? AND updated_ms < ? LIMIT ?) RETURNING 1

-- name: row_entities
-- a loose scan of the primary key: a seek for each pair
WITH RECURSIVE found (row) AS (
  SELECT (SELECT rowid FROM change_row ORDER BY client_id, entity LIMIT 1)
  UNION ALL
  SELECT (SELECT next.rowid FROM change_row AS present CROSS JOIN change_row AS next
          WHERE present.rowid = found.row AND (next.client_id, next.entity) > (present.client_id, present.entity)
          ORDER BY next.client_id, next.entity LIMIT 1)
  FROM found WHERE row IS NOT NULL
)
SELECT r.client_id, r.entity FROM found CROSS JOIN change_row AS r ON r.rowid = found.row

-- name: insert_changes
INSERT INTO change (id, client_id, entity, source, accepted_ms, config_version, idempotency_key, data, known)
VALUES {rows:9}

-- name: changes_by_key
-- unique index change_key
SELECT c.id, c.client_id, c.entity, c.source, c.idempotency_key, c.data,
       (SELECT json_group_array(event_id ORDER BY event_id) FROM raised_event AS r
        WHERE r.change_id = c.id AND r.merged = 1) AS event_ids
FROM (VALUES {rows:2}) AS wanted CROSS JOIN change AS c
WHERE c.client_id = wanted.column1 AND c.idempotency_key = wanted.column2

-- name: change
SELECT id, client_id, entity, source, accepted_ms, config_version, idempotency_key, data, known FROM change
WHERE id = ?

-- name: oldest_change_ms
SELECT accepted_ms FROM change ORDER BY id LIMIT 1

-- name: delete_old_changes
-- the primary key: ids sort by time
DELETE FROM change WHERE id IN (SELECT id FROM change WHERE id < ? ORDER BY id LIMIT ?) RETURNING id

-- name: put_waiting
INSERT INTO waiting_notification (setting_id, subject, client_id, application_id, event_type, body, due_ms,
                                  first_change_id, change_id, merged)
VALUES {rows:10}
ON CONFLICT (setting_id, subject) DO UPDATE
SET application_id = excluded.application_id, event_type = excluded.event_type, body = excluded.body,
    first_change_id = min(first_change_id, excluded.first_change_id), change_id = max(change_id, excluded.change_id),
    merged = merged + excluded.merged

-- name: count_expected_waiting
-- how many of these notifications have the expected newest change, and have merged as many
SELECT count(*) AS count FROM (VALUES {rows:4}) AS wanted CROSS JOIN waiting_notification AS w
WHERE w.setting_id = wanted.column1 AND w.subject = wanted.column2 AND w.change_id = wanted.column3
  AND w.merged = wanted.column4

-- name: delete_waiting
DELETE FROM waiting_notification WHERE (setting_id, subject, change_id, merged) IN (VALUES {rows:4})

-- name: waiting
-- the primary key
SELECT w.setting_id, w.subject, w.client_id, w.application_id, w.event_type, w.body, w.due_ms, w.first_change_id,
       w.change_id, w.merged
FROM (VALUES {rows:2}) AS wanted CROSS JOIN waiting_notification AS w
WHERE w.setting_id = wanted.column1 AND w.subject = wanted.column2

-- name: due_waiting
-- index waiting_notification_due: a seek for each client; the clients take turns
WITH RECURSIVE clients (client_id) AS (
  SELECT min(client_id) FROM waiting_notification
  UNION ALL
  SELECT (SELECT min(client_id) FROM waiting_notification AS w WHERE w.client_id > clients.client_id)
  FROM clients WHERE clients.client_id IS NOT NULL
), due AS (
  SELECT w.*, row_number() OVER (PARTITION BY w.client_id ORDER BY w.due_ms, w.first_change_id) AS turn
  FROM clients JOIN waiting_notification AS w ON w.rowid IN (
    SELECT rowid FROM waiting_notification AS first
    WHERE first.client_id = clients.client_id AND first.due_ms <= ?1
    ORDER BY first.due_ms, first.first_change_id LIMIT ?2
  )
)
SELECT setting_id, subject, client_id, application_id, event_type, body, due_ms, first_change_id, change_id, merged
FROM due ORDER BY turn, due_ms, first_change_id LIMIT ?2

-- name: end_waiting
-- the primary key
UPDATE waiting_notification SET due_ms = ? WHERE rowid IN (
  SELECT rowid FROM waiting_notification WHERE setting_id = ? AND due_ms > ? LIMIT ?) RETURNING 1

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
UPDATE waiting_notification SET due_ms = due_ms + ?

-- name: insert_raised
INSERT INTO raised_event (event_id, client_id, setting_id, subject, first_change_id, change_id, merged)
VALUES {rows:7}

-- name: raised
SELECT event_id, client_id, setting_id, subject, first_change_id, change_id, merged FROM raised_event
WHERE event_id = ?

-- name: raised_by
-- index raised_event_change
SELECT event_id, client_id, setting_id, subject, first_change_id, change_id, merged FROM raised_event
WHERE change_id = ? ORDER BY event_id LIMIT ?

-- name: raised_for
-- index raised_event_subject
SELECT event_id, client_id, setting_id, subject, first_change_id, change_id, merged FROM raised_event
WHERE setting_id = ?1 AND subject = ?2 AND change_id >= ?3 AND first_change_id <= ?3 ORDER BY change_id LIMIT 1

-- name: delete_raised
DELETE FROM raised_event WHERE event_id = ?

-- name: change_fields
-- the primary key
SELECT f.client_id, f.entity, f.name FROM (VALUES {rows:2}) AS wanted CROSS JOIN change_field AS f
WHERE f.client_id = wanted.column1 AND f.entity = wanted.column2 ORDER BY f.name

-- name: insert_change_fields
INSERT INTO change_field (client_id, entity, name) VALUES {rows:3} ON CONFLICT DO NOTHING

-- Event settings and change sources ----------------------------------------------------------------------------

-- name: put_event_setting
INSERT INTO event_setting (id, client_id, application_id, event_type, entity, revision, deleted_ms, config)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET client_id = excluded.client_id, application_id = excluded.application_id,
  event_type = excluded.event_type, entity = excluded.entity, revision = excluded.revision,
  deleted_ms = excluded.deleted_ms, config = excluded.config

-- name: event_setting_revision
SELECT revision FROM event_setting WHERE id = ?

-- name: insert_event_setting_revision
INSERT INTO event_setting_revision (setting_id, revision, client_id, config) VALUES (?, ?, ?, ?)

-- name: has_other_event_setting
-- index event_setting_client
SELECT EXISTS (SELECT 1 FROM event_setting
               WHERE client_id = ? AND event_type = ? AND entity = ? AND application_id IS ? AND id <> ?
                 AND deleted_ms IS NULL)

-- name: event_settings
SELECT config FROM event_setting WHERE revision > ? ORDER BY id

-- name: event_settings_at
SELECT r.config
FROM event_setting AS s CROSS JOIN event_setting_revision AS r ON r.setting_id = s.id
WHERE s.client_id = ?1
  AND r.revision = (SELECT max(revision) FROM event_setting_revision WHERE setting_id = s.id AND revision <= ?2)
ORDER BY s.id

-- name: has_change_source
SELECT EXISTS (SELECT 1 FROM change_source WHERE name = ?)

-- name: put_change_source
INSERT INTO change_source (name, revision, config) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, config = excluded.config

-- name: delete_change_source
DELETE FROM change_source WHERE name = ?

-- name: delete_source_state
DELETE FROM source_state WHERE source = ?

-- name: change_source_revisions
SELECT name, revision FROM change_source ORDER BY name

-- name: change_sources
SELECT config FROM change_source WHERE ?1 IS NULL OR name IN (SELECT value FROM json_each(?1)) ORDER BY name

-- name: source_states
SELECT source, position, report, reported_ms FROM source_state ORDER BY source

-- name: source_positions
SELECT s.source, s.position FROM (VALUES {rows:1}) AS wanted CROSS JOIN source_state AS s
WHERE s.source = wanted.column1

-- name: put_source_positions
INSERT INTO source_state (source, position) VALUES {rows:2}
ON CONFLICT (source) DO UPDATE SET position = excluded.position

-- name: put_source_report
INSERT INTO source_state (source, report, reported_ms) VALUES (?, ?, ?)
ON CONFLICT (source) DO UPDATE SET report = excluded.report, reported_ms = excluded.reported_ms

-- History ------------------------------------------------------------------------------------------------------

-- name: event
SELECT id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent,
       body, warnings
FROM event WHERE id = ?

-- name: events_by_id
SELECT id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent,
       body, warnings
FROM event WHERE id IN (SELECT value FROM json_each(?))

-- name: last_sequences
-- primary key
SELECT client_id, last_sequence FROM client WHERE client_id IN (SELECT value FROM json_each(?))

-- name: events_after
-- unique index event_sequence
SELECT id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent,
       body, warnings
FROM event WHERE client_id = ? AND sequence > ? ORDER BY sequence LIMIT ?

-- name: delivery
SELECT id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, due_ms, run_id IS NOT NULL AS leased,
       order_key, replay_id, reason, created_ms, finished_ms
FROM delivery WHERE id = ?

-- name: attempts
SELECT number, started_ms, duration_ms, status, error, response_headers, response_body, details
FROM attempt WHERE delivery_id = ? ORDER BY number DESC LIMIT ?

-- name: recent_attempts
-- index delivery_finished
SELECT a.number, a.started_ms, a.duration_ms, a.status, a.error, a.response_headers, a.response_body, a.details
FROM (SELECT id, attempt_count FROM delivery INDEXED BY delivery_finished
      WHERE endpoint_id = ? AND finished_ms IS NOT NULL ORDER BY finished_ms DESC LIMIT ?) AS d
CROSS JOIN attempt AS a ON a.delivery_id = d.id AND a.number = d.attempt_count

-- name: deliveries_of_events
-- index delivery_event
SELECT d.id, d.event_id, d.endpoint_id, d.client_id, d.state, d.attempt_count, d.failure_count, d.due_ms,
       d.run_id IS NOT NULL AS leased, d.order_key, d.replay_id, d.reason, d.created_ms, d.finished_ms
FROM json_each(?) AS wanted CROSS JOIN delivery AS d ON d.event_id = wanted.value
ORDER BY d.event_id DESC, d.id DESC LIMIT ?

-- name: oldest_pending
-- index delivery_due, which has the ids
SELECT d.id, d.event_id, d.endpoint_id, d.client_id, d.state, d.attempt_count, d.failure_count, d.due_ms,
       d.run_id IS NOT NULL AS leased, d.order_key, d.replay_id, d.reason, d.created_ms, d.finished_ms
FROM json_each(?1) AS wanted
CROSS JOIN delivery AS d ON d.id IN (
  SELECT id FROM (SELECT id FROM delivery INDEXED BY delivery_due
                  WHERE state = 'pending' AND endpoint_id = wanted.value LIMIT ?2) ORDER BY id LIMIT ?3)
ORDER BY d.id

-- name: delivery_states
-- index delivery_event; the ids come as JSON, here and below
SELECT d.event_id, d.client_id, d.state, count(*) AS count
FROM json_each(?) AS wanted CROSS JOIN delivery AS d ON d.event_id = wanted.value GROUP BY d.event_id, d.state

-- name: events_with_delivery
-- index delivery_event
SELECT DISTINCT d.event_id FROM json_each(?2) AS wanted
CROSS JOIN delivery AS d INDEXED BY delivery_event ON d.event_id = wanted.value
WHERE d.endpoint_id = ?1

-- name: dead_with_errors
-- index delivery_ended_endpoint
SELECT n.id, n.reason, a.error
FROM (SELECT id, reason, attempt_count FROM delivery INDEXED BY delivery_ended_endpoint
      WHERE endpoint_id = ? AND state = 'dead' AND state IN ('dead', 'cancelled') AND id < ?
      ORDER BY id DESC LIMIT ?) AS n
LEFT JOIN attempt AS a ON a.delivery_id = n.id AND a.number = n.attempt_count
ORDER BY n.id DESC

-- name: endpoint_health
SELECT endpoint_id, client_id, failures, failing_since_ms, last_success_ms, last_failure_ms, last_status, last_error,
       last_cause, former_since_ms, former_until_ms
FROM endpoint_health ORDER BY endpoint_id

-- name: last_attempts
SELECT d.id AS delivery_id, a.number, a.started_ms, a.duration_ms, a.status, a.error, a.details
FROM json_each(?) AS wanted CROSS JOIN delivery AS d ON d.id = wanted.value
CROSS JOIN attempt AS a ON a.delivery_id = d.id AND a.number = d.attempt_count

-- name: replays_with
-- index delivery_replay
SELECT value FROM json_each(?1) AS wanted
WHERE EXISTS (SELECT 1 FROM delivery WHERE replay_id = wanted.value AND replay_id IS NOT NULL AND state = ?2)

-- name: delivery_counts
SELECT c.endpoint_id, c.client_id, c.matched, c.delivered, c.dead, c.cancelled, c.pending,
       (SELECT min((SELECT min(due_ms) FROM delivery INDEXED BY delivery_due
                    WHERE state = 'pending' AND endpoint_id = c.endpoint_id AND kind = kinds.column1
                      AND due_ms IS NOT NULL))
        FROM (VALUES (0), (1), (2)) AS kinds) AS oldest_due_ms
FROM delivery_counts AS c ORDER BY c.endpoint_id

-- name: pending_count
SELECT total(pending) FROM delivery_counts

-- name: count_pending
-- index delivery_due alone: costs by backlog, so only a recount asks for it
SELECT endpoint_id, count(*) AS pending FROM delivery INDEXED BY delivery_due
WHERE state = 'pending' GROUP BY endpoint_id

-- Activity -----------------------------------------------------------------------------------------------------

-- name: add_activity
INSERT INTO activity (step_s, start_ms, client_id, endpoint_id, accepted, delivered, failed, dead,
  latency_0, latency_1, latency_2, latency_3, latency_4, latency_5, latency_6, latency_7, latency_8, latency_9, latency_10, pending, dead_letters, oldest_ms)
SELECT * FROM (VALUES {rows:22}) WHERE true
ON CONFLICT (step_s, start_ms, client_id, endpoint_id) DO UPDATE SET
  accepted = accepted + excluded.accepted, delivered = delivered + excluded.delivered, failed = failed + excluded.failed,
  dead = dead + excluded.dead, latency_0 = latency_0 + excluded.latency_0, latency_1 = latency_1 + excluded.latency_1,
  latency_2 = latency_2 + excluded.latency_2, latency_3 = latency_3 + excluded.latency_3, latency_4 = latency_4 + excluded.latency_4,
  latency_5 = latency_5 + excluded.latency_5, latency_6 = latency_6 + excluded.latency_6, latency_7 = latency_7 + excluded.latency_7,
  latency_8 = latency_8 + excluded.latency_8, latency_9 = latency_9 + excluded.latency_9, latency_10 = latency_10 + excluded.latency_10,
  pending = max(pending, excluded.pending), dead_letters = max(dead_letters, excluded.dead_letters),
  oldest_ms = max(oldest_ms, excluded.oldest_ms)

-- name: delete_old_activity
DELETE FROM activity WHERE step_s = ? AND start_ms < ?

-- name: activity_by_step
-- the primary key; the clients come as JSON, NULL for all
SELECT start_ms, sum(accepted) AS accepted, sum(delivered) AS delivered, sum(failed) AS failed, sum(dead) AS dead,
       sum(latency_0) AS latency_0, sum(latency_1) AS latency_1, sum(latency_2) AS latency_2, sum(latency_3) AS latency_3,
       sum(latency_4) AS latency_4, sum(latency_5) AS latency_5, sum(latency_6) AS latency_6, sum(latency_7) AS latency_7,
       sum(latency_8) AS latency_8, sum(latency_9) AS latency_9, sum(latency_10) AS latency_10,
       sum(pending) AS pending, sum(dead_letters) AS dead_letters, max(oldest_ms) AS oldest_ms
FROM activity
WHERE step_s = ?1 AND start_ms >= ?2 AND (?3 IS NULL OR endpoint_id = ?3)
  AND (?4 IS NULL OR client_id IN (SELECT value FROM json_each(?4)))
GROUP BY start_ms ORDER BY start_ms

-- name: activity_by_endpoint
-- the primary key; the clients come as JSON, NULL for all
SELECT endpoint_id, client_id, sum(accepted) AS accepted, sum(delivered) AS delivered, sum(failed) AS failed,
       sum(dead) AS dead,
       sum(latency_0) AS latency_0, sum(latency_1) AS latency_1, sum(latency_2) AS latency_2, sum(latency_3) AS latency_3,
       sum(latency_4) AS latency_4, sum(latency_5) AS latency_5, sum(latency_6) AS latency_6, sum(latency_7) AS latency_7,
       sum(latency_8) AS latency_8, sum(latency_9) AS latency_9, sum(latency_10) AS latency_10
FROM activity
WHERE step_s = ?1 AND start_ms >= ?2 AND endpoint_id <> 0
  AND (?3 IS NULL OR client_id IN (SELECT value FROM json_each(?3)))
GROUP BY endpoint_id, client_id

-- Maintenance --------------------------------------------------------------------------------------------------

-- name: verify_counts
SELECT e.id, e.match_count, (SELECT count(*) FROM delivery AS d WHERE d.event_id = e.id AND d.replayed = 0) AS count
FROM event AS e WHERE e.id > ? ORDER BY e.id LIMIT ?

-- name: last_id
SELECT max((SELECT value FROM meta WHERE name = 'last_id'),
           coalesce((SELECT max(id) FROM event), 0), coalesce((SELECT max(id) FROM delivery), 0),
           coalesce((SELECT max(id) FROM endpoint), 0), coalesce((SELECT max(id) FROM api_key), 0),
           coalesce((SELECT max(id) FROM replay), 0), coalesce((SELECT max(id) FROM audit_entry), 0),
           coalesce((SELECT max(id) FROM refusal), 0),
           coalesce((SELECT max(id) FROM change), 0), coalesce((SELECT max(id) FROM event_setting), 0))

-- name: oldest_ms
SELECT accepted_ms FROM event ORDER BY id LIMIT 1

-- name: oldest_events
SELECT e.id, e.accepted_ms,
       EXISTS (SELECT 1 FROM delivery AS d WHERE d.event_id = e.id AND d.state = 'pending') AS is_pending
FROM event AS e WHERE e.id > ? ORDER BY e.id

-- name: has_pending
SELECT EXISTS (SELECT 1 FROM delivery WHERE event_id = ? AND state = 'pending')

-- name: delete_attempts
DELETE FROM attempt WHERE delivery_id IN (SELECT id FROM delivery WHERE event_id = ?)

-- name: delete_deliveries
DELETE FROM delivery WHERE event_id = ?

-- name: delete_text
DELETE FROM event_text WHERE rowid = ?

-- name: delete_event
DELETE FROM event WHERE id = ?

-- name: events_to_index
SELECT id, client_id, body FROM event WHERE id > ? ORDER BY id LIMIT ?

-- name: events_to_index_anew
SELECT id, client_id, body FROM event WHERE id <= ? ORDER BY id DESC LIMIT ?

-- name: is_next_to_index
-- whether the index ends at ?1, and ?3 events follow up to ?2
SELECT (SELECT value FROM meta WHERE name = 'text_indexed_to') = ?1
       AND (SELECT count(*) FROM event WHERE id > ?1 AND id <= ?2) = ?3

-- name: index_text
-- events that were deleted since are left out
INSERT INTO event_text (rowid, client, value)
SELECT e.id, e.client_id, text.column2 FROM (VALUES {rows:2}) AS text CROSS JOIN event AS e WHERE e.id = text.column1

-- name: drop_former_texts
DROP TABLE event_text_former

-- name: count_unindexed
SELECT count(*) FROM (SELECT 1 FROM event WHERE id > ? LIMIT ?)
