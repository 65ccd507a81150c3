-- Deliveries that ended badly, by client and by event: a page of them costs the same however many there are.

CREATE INDEX delivery_ended_client ON delivery (client_id, state, id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX delivery_ended_event ON delivery (state, event_id, client_id) WHERE state IN ('dead', 'cancelled');
CREATE INDEX delivery_ended_client_event ON delivery (client_id, state, event_id) WHERE state IN ('dead', 'cancelled');
