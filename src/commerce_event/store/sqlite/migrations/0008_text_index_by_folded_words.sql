-- The text index holds words that are folded before they are indexed (core/search_words). Texts of older versions stay in
-- their index until maintenance has indexed them anew, newest first: those up to meta.text_former_to.

ALTER TABLE event_text RENAME TO event_text_former;
CREATE VIRTUAL TABLE event_text USING fts5 (client, value, content = '', contentless_delete = 1, tokenize = 'ascii');
INSERT INTO meta SELECT 'text_former_to', value FROM meta WHERE name = 'text_indexed_to';
