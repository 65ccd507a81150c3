"""Create, remove and inspect what a capture needs in the database: a publication and a replication slot."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from commerce_event.changes.capture.change_server import Source
from commerce_event.changes.capture.database import FAILOVER_SINCE, SourceDatabase
from commerce_event.changes.capture.errors import NeedsPersonError, UnavailableError
from commerce_event.changes.capture.follow import retention_warning
from commerce_event.changes.capture.names import quoted, split_table
from commerce_event.changes.capture.position import lsn_text

# A table and its partitions. Without a replica identity, PostgreSQL refuses updates of a table in a publication.
_TABLE: Final = """
SELECT root.relkind::text AS kind, root.relpersistence::text AS persistence, leaf.oid::regclass::text AS leaf,
       leaf.relkind = 'r' AS has_rows, leaf.relreplident::text AS identity,
       (SELECT array_agg(attname::text) FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
        WHERE indrelid = leaf.oid AND CASE leaf.relreplident WHEN 'i' THEN indisreplident ELSE indisprimary END
       ) AS identity_columns
FROM pg_class AS root
JOIN pg_namespace AS schema ON schema.oid = root.relnamespace
JOIN pg_class AS leaf ON leaf.oid = root.oid OR leaf.oid IN (SELECT relid FROM pg_partition_tree(root.oid))
WHERE schema.nspname = $1 AND root.relname = $2
"""
_CREATE_SLOT: Final = "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput')"
_CREATE_FAILOVER_SLOT: Final = (
    "SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)"
)
_DROP_SLOT: Final = "SELECT pg_drop_replication_slot($1)"
_PUBLICATION_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)"
_SLOT_S: Final = 600.0


class Inspection(NamedTuple):
    """State of a capture, and sentences about what needs attention."""

    state: dict[str, Any]
    warnings: list[str]


async def set_up(database: SourceDatabase, source: Source, say: Callable[[str], None]) -> None:
    """Create the publication for the tables of the source, then the slot. What exists is kept. ``say`` gets each step.

    Raises CaptureError.
    """
    cluster = await database.connect()
    if not source.columns:
        raise NeedsPersonError(f"The source {source.name} has no tables; add them to it first")
    for table in source.columns:
        await _check_table(database, table, source.owner_columns[table], say)
    await _publish(database, source, say)
    slot = await database.slot_state()
    if slot.exists and not slot.is_lost:
        say(f"The slot {database.slot} exists, from {lsn_text(slot.confirmed_lsn)} on.")
        return
    if slot.is_lost:
        await database.value(_DROP_SLOT, database.slot)
        say(f"Dropped the slot {database.slot}, which was invalidated.")
    say(f"Creating the slot {database.slot}; this waits for transactions that are running.")
    create = _CREATE_FAILOVER_SLOT if cluster.version >= FAILOVER_SINCE else _CREATE_SLOT
    lsn = await database.value(create, database.slot, limit_s=_SLOT_S)
    say(f"Created the slot {database.slot}, from {lsn} on.")
    if await database.retention_limit_bytes() is None:
        say(
            "max_slot_wal_keep_size sets no limit: while no capture runs, the log that is kept for it can fill the "
            "disk. To limit it: ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'"
        )
    if source.position is not None:
        say(
            f"The source was captured up to {lsn_text(source.position.lsn)} before. Changes since then are not in the "
            "new slot: continue with --accept-gap, and read the rows again with --backfill."
        )


async def tear_down(database: SourceDatabase, say: Callable[[str], None]) -> None:
    """Remove the slot, then the publication. Raises CaptureError."""
    await database.connect()
    if not await database.lock():
        raise UnavailableError(f"A capture follows the slot {database.slot}; stop it first")
    if (await database.slot_state()).exists:
        await database.value(_DROP_SLOT, database.slot)
        say(f"Dropped the slot {database.slot}.")
    else:
        say(f"There is no slot {database.slot}.")
    if await database.value(_PUBLICATION_EXISTS, database.publication):
        await database.execute(f"DROP PUBLICATION {quoted(database.publication)}")
        say(f"Dropped the publication {database.publication}.")
    else:
        say(f"There is no publication {database.publication}.")


async def inspect(database: SourceDatabase, source: Source) -> Inspection:
    """Return how the slot is, and what needs attention. Changes nothing. Raises CaptureError."""
    await database.connect()
    slot = await database.slot_state()
    limit = await database.retention_limit_bytes()
    is_followed = not await database.lock()
    stored = source.position
    warnings = []
    if not slot.exists:
        warnings.append(f"There is no slot {database.slot}; create it with --setup")
    elif slot.is_lost:
        warnings.append(f"The slot {database.slot} was invalidated; create it again with --setup")
    elif not is_followed:
        warnings.append(
            f"Nothing follows the slot {database.slot}, and the database keeps its log for it; start the capture, or "
            "remove the slot with --teardown"
        )
    retention = retention_warning(slot, limit)
    if retention is not None:
        warnings.append(retention)
    state = {
        "source": source.name,
        "slot": database.slot,
        "slot_state": "missing" if not slot.exists else "lost" if slot.is_lost else "ok",
        "publication": database.publication,
        "is_followed": is_followed,
        "position": None if stored is None else lsn_text(stored.lsn),
        "lag_bytes": None if stored is None else max(0, slot.flushed_lsn - stored.lsn),
        "retained_bytes": slot.retained_bytes,
        "retained_max_bytes": limit,
    }
    return Inspection(state, warnings)


async def _check_table(
    database: SourceDatabase, table: tuple[str, str], owner_columns: frozenset[str], say: Callable[[str], None]
) -> None:
    """Raise NeedsPersonError for a table that cannot be captured; say what its changes will lack."""
    name = ".".join(table)
    rows = await database.rows(_TABLE, *table)
    if not rows or rows[0]["kind"] not in {"r", "p"}:
        raise NeedsPersonError(f"{database.shown} has no table {name}, which the source names")
    if rows[0]["persistence"] != "p":
        raise NeedsPersonError(f"The table {name} is unlogged or temporary, so its changes are not in the log")
    for row in rows:
        has_identity = row["identity"] == "f" or (row["identity"] != "n" and row["identity_columns"])
        if row["has_rows"] and not has_identity:
            raise NeedsPersonError(
                f"The table {row['leaf']} has no primary key: once it is in a publication, PostgreSQL refuses its "
                "updates and deletes. Add a primary key, or run there: "
                f"ALTER TABLE {row['leaf']} REPLICA IDENTITY FULL"
            )
    partial = [row for row in rows if row["has_rows"] and row["identity"] != "f"]
    if not partial:
        return
    say(f"{name}: updates come without the values before (REPLICA IDENTITY is not FULL); the last known row counts.")
    missing = sorted({column for row in partial for column in owner_columns.difference(row["identity_columns"])})
    if missing:
        say(
            f"{name}: deletes come without {', '.join(missing)}, which the source needs to find client and key, so "
            f"they will be unmapped. To log these columns: ALTER TABLE {quoted(*table)} REPLICA IDENTITY FULL"
        )


async def _publish(database: SourceDatabase, source: Source, say: Callable[[str], None]) -> None:
    publication = quoted(database.publication)
    options = "(publish_via_partition_root = true)"
    if not await database.value(_PUBLICATION_EXISTS, database.publication):
        tables = ", ".join(quoted(*table) for table in source.columns)
        await database.execute(f"CREATE PUBLICATION {publication} FOR TABLE {tables} WITH {options}")
        say(f"Created the publication {database.publication} for {', '.join(source.tables)}.")
        return
    published = await database.published_tables()
    missing = [table for table in source.tables if table not in published]
    if missing:
        tables = ", ".join(quoted(*split_table(table)) for table in missing)
        await database.execute(f"ALTER PUBLICATION {publication} ADD TABLE {tables}")
        say(f"Added {', '.join(missing)} to the publication {database.publication}.")
    else:
        say(f"The publication {database.publication} has the tables of the source.")
    others = sorted(published - set(source.tables))
    if others:
        say(f"The publication also has {', '.join(others)}, which the source does not name: unmapped changes.")
    await database.execute(f"ALTER PUBLICATION {publication} SET {options}")
