-- Deliveries that ended badly, by client and by event: a page of them costs the same however many there are.

CREATE INDEX finished_ended_client ON finished (client_id, state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX finished_ended_event ON finished (state, event_id, client_id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX finished_ended_client_event ON finished (client_id, state, event_id) WHERE state IN ('dead', 'cancelled');
