-- Reading a time of the past without walking through the rest.

-- An id tells the time of its event, but for those of a clock that was set: these few are found by their own time.
CREATE INDEX event_astray ON event (accepted_ms, id) WHERE abs((id >> 22) + 1577836800000 - accepted_ms) > 2000;
DROP INDEX event_accepted;
-- A delivery's id tells the time of its event, but for those that were made later: replays.
CREATE INDEX queue_later ON queue (event_id, id) WHERE (id - event_id) NOT BETWEEN 0 AND 8388608000;
CREATE INDEX finished_later ON finished (event_id, id) WHERE (id - event_id) NOT BETWEEN 0 AND 8388608000;
