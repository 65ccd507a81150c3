-- Data changes, the last known values of their rows, the notifications that they raise, and the settings for that.

CREATE TABLE change (
  id              bigint PRIMARY KEY,  -- sorts by time
  client_id       bigint,  -- NULL: not known
  entity          text COLLATE "C",  -- NULL: no source maps its table
  source          text COLLATE "C",
  accepted_ms     bigint NOT NULL,
  config_version  bigint NOT NULL,  -- which settings it was decided by
  idempotency_key text COLLATE "C",
  data            text NOT NULL,  -- JSON: operation, key, values
  known           text  -- JSON: the last known values of its row at that time
);

CREATE UNIQUE INDEX change_key ON change (client_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX change_client ON change (client_id, id);
CREATE INDEX change_client_entity ON change (client_id, entity, id) WHERE entity IS NOT NULL;
CREATE INDEX change_entity ON change (entity, id) WHERE entity IS NOT NULL;
CREATE INDEX change_by_source ON change (source, id) WHERE source IS NOT NULL;
CREATE INDEX change_unmapped ON change (id) WHERE entity IS NULL;
CREATE INDEX change_unmapped_client ON change (client_id, id) WHERE entity IS NULL;

CREATE TABLE change_row (
  client_id  bigint NOT NULL,
  entity     text COLLATE "C" NOT NULL,
  row_key    text COLLATE "C" NOT NULL,  -- JSON [entity, application, key], or its digest
  data       text NOT NULL,  -- JSON
  change_id  bigint NOT NULL,  -- the last change that wrote the row
  updated_ms bigint NOT NULL,
  PRIMARY KEY (client_id, entity, row_key)
) WITH (fillfactor = 80);

CREATE TABLE waiting_notification (
  setting_id      bigint NOT NULL,
  subject         text COLLATE "C" NOT NULL,  -- or its digest
  client_id       bigint NOT NULL,
  application_id  bigint,
  event_type      text NOT NULL,
  body            bytea NOT NULL,
  due_ms          bigint NOT NULL,
  first_change_id bigint NOT NULL,
  change_id       bigint NOT NULL,
  merged          bigint NOT NULL,
  PRIMARY KEY (setting_id, subject)
);

CREATE INDEX waiting_notification_due ON waiting_notification (client_id, due_ms, first_change_id);

CREATE TABLE raised_event (
  event_id        bigint PRIMARY KEY,  -- kept as long as the event
  client_id       bigint NOT NULL,
  setting_id      bigint NOT NULL,
  subject         text COLLATE "C" NOT NULL,  -- or its digest
  first_change_id bigint NOT NULL,
  change_id       bigint NOT NULL,
  merged          bigint NOT NULL
);

CREATE INDEX raised_event_change ON raised_event (change_id);
CREATE INDEX raised_event_subject ON raised_event (setting_id, subject, change_id);

CREATE TABLE change_field (
  client_id bigint NOT NULL,
  entity    text COLLATE "C" NOT NULL,
  name      text COLLATE "C" NOT NULL,
  PRIMARY KEY (client_id, entity, name)
);

CREATE TABLE event_setting (
  id             bigint PRIMARY KEY,
  client_id      bigint NOT NULL,
  application_id bigint,
  event_type     text COLLATE "C" NOT NULL,
  entity         text COLLATE "C" NOT NULL,
  revision       bigint NOT NULL,
  deleted_ms     bigint,
  config         text NOT NULL  -- JSON
);

CREATE INDEX event_setting_client ON event_setting (client_id, event_type, entity);

-- Former revisions, so that "why did it (not) raise an event" can be answered for the past.
CREATE TABLE event_setting_revision (
  setting_id bigint NOT NULL,
  revision   bigint NOT NULL,
  client_id  bigint NOT NULL,
  config     text NOT NULL,
  PRIMARY KEY (setting_id, revision)
);

CREATE TABLE change_source (
  name     text COLLATE "C" PRIMARY KEY,
  revision bigint NOT NULL,  -- the config version of its last change
  config   text NOT NULL  -- JSON
);

-- How far each source has been read.
CREATE TABLE source_state (
  source      text COLLATE "C" PRIMARY KEY,
  position    text,
  report      text,  -- JSON, by the reader
  reported_ms bigint
);
