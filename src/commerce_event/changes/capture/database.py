"""The followed database: connect, look at the slot, read it in steps, and let it advance."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from commerce_event.changes.capture.errors import CaptureError, NeedsPersonError, SlotChangedError, UnavailableError
from commerce_event.changes.capture.names import quoted, split_table
from commerce_event.changes.capture.position import lsn_text, parse_lsn
from commerce_event.changes.capture.values import SESSION
from commerce_event.settings import mask_password

_CONNECT_S: Final = 10.0
_COMMAND_S: Final = 30.0
_READ_S: Final = 600.0  # a step reads at most READ_MAX_BYTES of log, and what a long transaction holds back
_CLOSE_S: Final = 5.0
_SINCE: Final = 140_000  # PostgreSQL 14
FAILOVER_SINCE: Final = 170_000  # slots that standbys keep too
_FETCH_FIRST: Final = 100  # messages, until their size is known
_FETCH_MAX: Final = 1_000
_FETCH_BYTES: Final = 8 * 1024**2
READ_MAX_BYTES: Final = 256 * 1024**2  # of the log in one step
READ_MAX_ROWS: Final = 20_000  # messages in one step; a larger transaction is still read as a whole

_NO_SUCH_OBJECT: Final = "42704"
_NOT_IN_STATE: Final = "55000"
_IN_USE: Final = "55006"
# Connection, resources, intervention by an operator, the system, conflicts, internal: they may pass.
_TEMPORARY: Final = ("08", "53", "57", "58", "40", "XX")

# The driver has an internal error when the server ends the connection between two statements.
_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.TargetServerAttributeNotMatched,
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SETTINGS: Final = SESSION | {
    "application_name": "commerce-event capture",
    "idle_in_transaction_session_timeout": "10min",
    "jit": "off",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}

_CLUSTER: Final = """
SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS is_standby,
       current_setting('wal_level') AS wal_level, current_database() AS database,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_replicate,
       current_user AS user_name
"""
_IDENTITY: Final = """
SELECT (SELECT system_identifier FROM pg_control_system())::text AS system_id,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline
"""
_SLOT: Final = """
SELECT slot.restart_lsn::text, slot.confirmed_flush_lsn::text, slot.plugin, slot.wal_status,
       slot.database = current_database() AS is_here, pg_current_wal_flush_lsn()::text AS flushed,
       (pg_current_wal_lsn() - slot.restart_lsn)::bigint AS retained_bytes
FROM (VALUES (1)) AS one LEFT JOIN pg_replication_slots AS slot ON slot.slot_name = $1
"""
_KEEP_SIZE: Final = "SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"
_PEEK: Final = """
SELECT data FROM pg_logical_slot_peek_binary_changes(
    $1, $2::text::pg_lsn, $3, 'proto_version', '1', 'publication_names', $4)
"""
_ADVANCE: Final = "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)"
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('commerce-event capture ' || $1, 0))"
_TABLES: Final = "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = $1"
_PUBLICATION: Final = "SELECT pubviaroot FROM pg_publication WHERE pubname = $1"
_BASE_TYPES: Final = """
WITH RECURSIVE base AS (
    SELECT oid AS type_oid, oid AS base_oid, typbasetype FROM pg_type WHERE oid = ANY($1::oid[])
    UNION ALL
    SELECT base.type_oid, type.oid, type.typbasetype
    FROM base JOIN pg_type AS type ON type.oid = base.typbasetype
)
SELECT type_oid, base_oid FROM base WHERE typbasetype = 0
"""
_HISTORY: Final = "SELECT pg_read_file('pg_wal/' || $1 || '.history')"


class Cluster(NamedTuple):
    """Which database this is."""

    version: int
    database: str
    system_id: int
    timeline: int


class Slot(NamedTuple):
    """State of the replication slot, and of the log at the same moment. Log positions are numbers of bytes."""

    exists: bool
    is_lost: bool
    confirmed_lsn: int  # the slot has every transaction whose commit record begins here or later
    retained_bytes: int  # of log that the slot keeps from being deleted
    flushed_lsn: int


class SourceDatabase:
    """A connection to the followed database. Its methods raise CaptureError with a sentence for people."""

    def __init__(self, url: str, *, slot: str, publication: str) -> None:
        """Raises NeedsPersonError when ``url`` is no address of a PostgreSQL database."""
        if not url.startswith(("postgresql://", "postgres://")):
            raise NeedsPersonError("The database must be written as postgresql://user@host:5432/database")
        self.slot = slot
        self.publication = publication
        self.shown = mask_password(url)
        self._url = url
        self._connection: Connection | None = None

    async def connect(self) -> Cluster:
        """Connect to a primary that can be followed; return which one it is."""
        await self.close()
        fails_over = "," in self._url  # of several hosts, only one is the primary
        with self._errors():
            self._connection = await asyncpg.connect(
                self._url,
                timeout=_CONNECT_S,
                command_timeout=_COMMAND_S,
                server_settings=_SETTINGS,
                target_session_attrs=SessionAttribute.primary if fails_over else SessionAttribute.any,
            )
        row = await self.row(_CLUSTER)
        if row["version"] < _SINCE:
            raise NeedsPersonError(f"{self.shown} runs a PostgreSQL before 14; capture needs 14 or newer")
        if row["is_standby"]:
            raise UnavailableError(f"{self.shown} is a standby; name the primary, or all hosts separated by commas")
        if row["wal_level"] != "logical":
            raise NeedsPersonError(
                f"{self.shown} has wal_level = {row['wal_level']}; run there: ALTER SYSTEM SET wal_level = logical, "
                "and restart PostgreSQL"
            )
        if not row["may_replicate"]:
            name = quoted(row["user_name"])
            raise NeedsPersonError(
                f"The user {row['user_name']} may not read replication slots; run as a superuser: "
                f"ALTER ROLE {name} REPLICATION"
            )
        identity = await self.row(_IDENTITY)
        return Cluster(row["version"], row["database"], int(identity["system_id"]) % 2**64, identity["timeline"])

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=_CLOSE_S)
            except (*_LOST, asyncpg.PostgresError):
                connection.terminate()

    async def lock(self) -> bool:
        """Keep other captures from following the same slot until this connection ends. False if one does."""
        return bool(await self.value(_LOCK, self.slot))

    async def check_publication(self, tables: Iterable[str]) -> None:
        """Raise NeedsPersonError unless the publication exists and has the tables, partitioned ones by their root."""
        via_root = await self.value(_PUBLICATION, self.publication)
        if via_root is None:
            raise NeedsPersonError(
                f"There is no publication {self.publication} in {self.shown}; create it with --setup, or name another "
                "with --publication"
            )
        if not via_root:
            raise NeedsPersonError(
                "Changes of partitions would come under the partitions' names; run there: "
                f"ALTER PUBLICATION {quoted(self.publication)} SET (publish_via_partition_root = true)"
            )
        published = await self.published_tables()
        missing = sorted(table for table in tables if ".".join(split_table(table)) not in published)
        if missing:
            raise NeedsPersonError(
                f"The publication {self.publication} does not have {', '.join(missing)} of the source; add with --setup"
            )

    async def published_tables(self) -> set[str]:
        return {row[0] for row in await self.rows(_TABLES, self.publication)}

    async def slot_state(self) -> Slot:
        row = await self.row(_SLOT, self.slot)
        flushed = parse_lsn(row["flushed"])
        if row["plugin"] is None:
            return Slot(False, False, 0, 0, flushed)
        if row["plugin"] != "pgoutput":
            raise NeedsPersonError(
                f"The slot {self.slot} is of the plugin {row['plugin']}, not pgoutput; name another with --slot"
            )
        if not row["is_here"]:
            raise NeedsPersonError(f"The slot {self.slot} is of another database; name another with --slot")
        is_lost = row["wal_status"] == "lost" or row["restart_lsn"] is None
        confirmed = parse_lsn(row["confirmed_flush_lsn"] or "0/0")
        return Slot(True, is_lost, confirmed, row["retained_bytes"] or 0, flushed)

    async def retention_limit_bytes(self) -> int | None:
        """Return how much log slots may keep (max_slot_wal_keep_size); None: there is no limit."""
        megabytes = await self.value(_KEEP_SIZE)
        return None if megabytes < 0 else megabytes * 1024**2

    async def peek(self, up_to_lsn: int) -> AsyncGenerator[tuple[list[bytes], Slot], None]:
        """Yield messages of the slot in blocks, each with the slot's state after it was read.

        All of a transaction come, and at least READ_MAX_ROWS messages if there are so many. The slot stays where it is.
        A transaction stays open until the last block: do not wait long between blocks.
        """
        with self._errors():
            async with self._open().transaction(readonly=True):
                with self._errors():
                    cursor = await self._open().cursor(
                        _PEEK, self.slot, lsn_text(up_to_lsn), READ_MAX_ROWS, self.publication, timeout=_READ_S
                    )
                    wanted = _FETCH_FIRST
                    block = await cursor.fetch(wanted, timeout=_READ_S)
                state = await self.slot_state()
                while True:
                    messages = [row[0] for row in block]
                    yield messages, state
                    if len(block) < wanted:
                        return
                    wanted = _next_count(wanted, sum(map(len, messages)))
                    with self._errors():
                        block = await cursor.fetch(wanted)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Read the database as it is at the first statement inside the block; writing is refused."""
        with self._errors():
            async with self._open().transaction(isolation="repeatable_read", readonly=True):
                yield

    async def stream(self, sql: str) -> AsyncIterator[list[asyncpg.Record]]:
        """Yield the rows of a query of texts in blocks; needs a snapshot."""
        with self._errors():
            cursor = await self._open().cursor(sql, timeout=_READ_S)
            wanted = _FETCH_FIRST
            while block := await cursor.fetch(wanted, timeout=_READ_S):
                yield block
                wanted = _next_count(wanted, sum(len(value) for row in block for value in row if value))

    async def advance(self, lsn: int) -> None:
        """Advance the slot to ``lsn``; PostgreSQL can delete the log before it."""
        await self.value(_ADVANCE, self.slot, lsn_text(lsn), limit_s=_READ_S)

    async def base_types(self, type_oids: set[int]) -> dict[int, int]:
        """Return the type that each domain is based on; other types map to themselves."""
        found = {row["type_oid"]: row["base_oid"] for row in await self.rows(_BASE_TYPES, list(type_oids))}
        return {oid: found.get(oid, oid) for oid in type_oids}

    async def timeline_end(self, cluster: Cluster, timeline: int) -> int | None:
        """Return the log position up to which the history of ``timeline`` is also that of the cluster.

        None when this user may not read it.
        """
        try:
            text = await self.value(_HISTORY, f"{cluster.timeline:08X}")
        except CaptureError:
            return None
        ends = [line.split() for line in text.splitlines() if line[:1].isdigit()]
        return next((parse_lsn(fields[1]) for fields in ends if int(fields[0]) == timeline), 0)

    async def row(self, sql: str, *values: Any) -> asyncpg.Record:
        rows = await self.rows(sql, *values)
        return rows[0]

    async def value(self, sql: str, *values: Any, limit_s: float = _COMMAND_S) -> Any:
        rows = await self.rows(sql, *values, limit_s=limit_s)
        return rows[0][0] if rows else None

    async def rows(self, sql: str, *values: Any, limit_s: float = _COMMAND_S) -> list[asyncpg.Record]:
        with self._errors():
            return await self._open().fetch(sql, *values, timeout=limit_s)

    async def execute(self, sql: str) -> None:
        with self._errors():
            await self._open().execute(sql, timeout=_READ_S)

    def _open(self) -> Connection:
        if self._connection is None:
            raise UnavailableError(f"{self.shown} is not connected")
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of the driver into CaptureError."""
        try:
            yield
        except asyncpg.ClientConfigurationError as error:
            raise NeedsPersonError(f"{self.shown} is no address of a PostgreSQL database ({error})") from None
        except asyncpg.PostgresError as error:
            raise self._of_postgres(error) from None
        except _LOST as error:
            raise UnavailableError(f"{self.shown} cannot be reached ({error or type(error).__name__})") from None

    def _of_postgres(self, error: asyncpg.PostgresError) -> CaptureError:
        state = error.sqlstate or ""
        if state.startswith("28"):
            return NeedsPersonError(f"{self.shown} refused the login ({error}); check user and password")
        if state == _NO_SUCH_OBJECT and "publication" in str(error):
            return NeedsPersonError(
                f"{error} at the time of the next change in the log, so PostgreSQL cannot read it; create slot and "
                "publication again with --teardown and --setup, and continue with --accept-gap"
            )
        if state in {_NO_SUCH_OBJECT, _NOT_IN_STATE}:
            return SlotChangedError(f"{self.shown} cannot read the slot: {error}")
        if state == _IN_USE:
            return UnavailableError(f"{error}; this capture waits until it is free, or name another --slot")
        if state.startswith(_TEMPORARY):
            return UnavailableError(f"{self.shown} cannot answer now: {error}")
        return NeedsPersonError(f"{self.shown} reported: {error}")


def _next_count(count: int, size_bytes: int) -> int:
    """Return how many rows to fetch next, after ``count`` rows of this size together."""
    return max(1, min(_FETCH_MAX, _FETCH_BYTES * count // (size_bytes + 1)))
