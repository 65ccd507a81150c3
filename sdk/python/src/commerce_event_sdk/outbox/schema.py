"""The table of the outbox, and the statement that adds a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from commerce_event_sdk.connections import Dialect

# Rows are read in the order of ``position``. An index of pending rows alone keeps that cheap among many dead ones.
_SQLITE: Final = (
    """CREATE TABLE IF NOT EXISTS commerce_event_outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    business_key TEXT,
    data TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead')),
    reason TEXT,
    dead_at TEXT
)""",
    """CREATE INDEX IF NOT EXISTS commerce_event_outbox_pending
    ON commerce_event_outbox (position) WHERE state = 'pending'""",
)
_POSTGRES: Final = (
    """CREATE TABLE IF NOT EXISTS commerce_event_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY,
    id text PRIMARY KEY,
    event_type text NOT NULL,
    business_key text,
    data text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead')),
    reason text,
    dead_at timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)""",
    """CREATE INDEX IF NOT EXISTS commerce_event_outbox_pending
    ON commerce_event_outbox (position) WHERE state = 'pending'""",
    """CREATE INDEX IF NOT EXISTS commerce_event_outbox_dead
    ON commerce_event_outbox (position) WHERE state = 'dead'""",
)
STATEMENTS: Final[Mapping[Dialect, Sequence[str]]] = {"sqlite": _SQLITE, "postgres": _POSTGRES}

ADD: Final = (
    "INSERT INTO commerce_event_outbox (id, event_type, business_key, data) "
    "VALUES (:id, :event_type, :business_key, :data)"
)
