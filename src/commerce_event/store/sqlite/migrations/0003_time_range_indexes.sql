-- Reading a client's events, and a time of the past, without walking through the rest.

CREATE INDEX event_client ON event (client_id, id, application_id);
-- An id tells the time of its event, but for those of a clock that was set: these few are found by their own time.
CREATE INDEX event_astray ON event (accepted_ms, id) WHERE abs((id >> 22) + 1577836800000 - accepted_ms) > 2000;
-- A delivery's id tells the time of its event, but for those that were made later: replays.
CREATE INDEX delivery_later ON delivery (event_id, id) WHERE (id - event_id) NOT BETWEEN 0 AND 8388608000;
