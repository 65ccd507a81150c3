-- Sessions of the screens that were ended by signing out, kept until they would have ended by themselves.

CREATE TABLE ended_session (
  id      TEXT PRIMARY KEY,
  ends_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
