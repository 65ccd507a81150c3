-- Names that say what is stored: the run that claimed a delivery, the counts of an endpoint, events of skewed clocks.

ALTER TABLE delivery RENAME COLUMN lease TO run_id;
ALTER TABLE book RENAME TO delivery_counts;
DROP INDEX event_astray;
CREATE INDEX event_clock_skewed ON event (accepted_ms, id) WHERE abs((id >> 22) + 1577836800000 - accepted_ms) > 2000;
