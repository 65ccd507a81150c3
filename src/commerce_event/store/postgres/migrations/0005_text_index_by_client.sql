-- A text leads to its client by a lexeme that no word is, "@4", so that a word is looked for among a client's own.

-- The texts without: those of older versions, until the nodes' maintenance has added it.
CREATE INDEX event_text_without_client ON event_text (event_id) WHERE NOT words @@ '''@'':*'::tsquery;
