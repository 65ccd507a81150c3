-- Bulk deliveries, which wait in a queue of their own. Only the pending deliveries are rewritten.

ALTER TABLE finished ADD COLUMN bulk boolean NOT NULL DEFAULT false;
ALTER TABLE queue ADD COLUMN bulk boolean NOT NULL DEFAULT false;
DROP INDEX queue_due;
ALTER TABLE queue DROP COLUMN retrying, ADD COLUMN kind smallint NOT NULL -- DeliveryKind
  GENERATED ALWAYS AS (CASE WHEN bulk THEN 2 WHEN attempt_count > 0 THEN 1 ELSE 0 END) STORED;
CREATE INDEX queue_due ON queue (endpoint_id, kind, due_ms);
