-- Bulk deliveries, which wait in a queue of their own.

ALTER TABLE delivery ADD COLUMN bulk INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN kind INTEGER AS (CASE WHEN bulk THEN 2 ELSE attempt_count > 0 END) VIRTUAL; -- DeliveryKind
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (endpoint_id, kind, due_ms) WHERE state = 'pending';
