-- The text index holds words that are folded by core/search_words, which is rule 2. Texts of older versions, by rule 1, are
-- found by that rule until the nodes' maintenance has indexed them anew, newest first.

ALTER TABLE event_text ADD COLUMN word_rule smallint NOT NULL DEFAULT 1;
CREATE INDEX event_text_former ON event_text (event_id) WHERE word_rule = 1;
