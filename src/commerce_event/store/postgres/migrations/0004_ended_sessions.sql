-- Sessions of the screens that were ended by signing out, kept until they would have ended by themselves.

CREATE TABLE ended_session (
  id      text COLLATE "C" PRIMARY KEY,
  ends_ms bigint NOT NULL
);
