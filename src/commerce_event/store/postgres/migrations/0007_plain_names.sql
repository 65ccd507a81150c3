-- Names that say what is stored: the run that claimed a delivery, the counts of an endpoint, events of skewed clocks.

ALTER TABLE queue RENAME COLUMN lease TO run_id;
ALTER INDEX queue_lease RENAME TO queue_run;
ALTER TABLE book RENAME TO delivery_counts;
ALTER INDEX book_pkey RENAME TO delivery_counts_pkey;
ALTER INDEX event_astray RENAME TO event_clock_skewed;
