"""The tables of the inbox, as SQL, and how a table of an earlier version becomes the present one.

Times are seconds since 1970 (UTC), so that the same statements run on both databases: read them with
``to_timestamp(received_at)`` in PostgreSQL and ``datetime(received_at, 'unixepoch')`` in SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from commerce_event_sdk.connections import Dialect

SCHEMA_VERSION: Final = 1

# `position` is the order of arrival. `next_attempt_at` is when a pending message may be claimed: while it is claimed,
# that is when the claim expires. `claim` is the random text of the claim that the message runs under.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS commerce_event_inbox (
    position {identity} PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    event_type TEXT,
    client_id BIGINT,
    business_key TEXT,
    sequence BIGINT,
    headers TEXT,
    body {bytes},
    received_at DOUBLE PRECISION NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'dead')),
    attempt_count INTEGER NOT NULL DEFAULT 0,
    next_attempt_at DOUBLE PRECISION,
    claim TEXT,
    error TEXT,
    finished_at DOUBLE PRECISION
);
CREATE INDEX IF NOT EXISTS commerce_event_inbox_due
    ON commerce_event_inbox (next_attempt_at, position) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS commerce_event_inbox_key
    ON commerce_event_inbox (business_key, position) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS commerce_event_inbox_dead
    ON commerce_event_inbox (position) WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS commerce_event_inbox_finished
    ON commerce_event_inbox (finished_at) WHERE state = 'done';
CREATE TABLE IF NOT EXISTS commerce_event_inbox_positions (
    source TEXT PRIMARY KEY,
    position BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS commerce_event_inbox_schema (
    version INTEGER PRIMARY KEY
)"""

_TYPES: Final[Mapping[Dialect, Mapping[str, str]]] = {
    "sqlite": {"identity": "INTEGER", "bytes": "BLOB"},
    "postgres": {"identity": "BIGINT GENERATED ALWAYS AS IDENTITY", "bytes": "BYTEA"},
}

# What makes the tables of a version those of the next; the version that they come from is the key.
UPGRADES: Final[Mapping[Dialect, Mapping[int, Sequence[str]]]] = {"sqlite": {}, "postgres": {}}

READ_VERSION: Final = "SELECT max(version) FROM commerce_event_inbox_schema"
WRITE_VERSION: Final = "INSERT INTO commerce_event_inbox_schema (version) VALUES (:version) ON CONFLICT DO NOTHING"


def create_statements(dialect: Dialect) -> list[str]:
    """Return the statements that make the tables where they are missing, without the version."""
    return [each.strip() for each in _TABLES.format(**_TYPES[dialect]).split(";")]


def schema_sql(dialect: Dialect) -> str:
    """Return the SQL of a migration that makes the tables of this version."""
    version = WRITE_VERSION.replace(":version", str(SCHEMA_VERSION))
    return ";\n".join([*create_statements(dialect), version]) + ";\n"


def statements_from(dialect: Dialect, version: int | None) -> list[str]:
    """Return what a database needs whose tables have the version; None: it has no tables.

    Raises ValueError for a version later than this one.
    """
    if version is None:
        return create_statements(dialect)
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"the tables of the inbox have version {version}; this commerce-event-sdk knows up to {SCHEMA_VERSION}: "
            "update it in every program that shares the inbox"
        )
    upgrades = UPGRADES[dialect]
    return [each for step in range(version, SCHEMA_VERSION) for each in upgrades[step]]
