"""PostgresStore: the store port on one PostgreSQL database that several nodes share."""

from collections.abc import Callable
from typing import Final

from commerce_event.core.clock import Clock, SharedClock
from commerce_event.store.model import Notice, StoreInfo
from commerce_event.store.port import StoreBrokenError
from commerce_event.store.postgres.activity import PostgresActivity
from commerce_event.store.postgres.audit_log import PostgresAuditLog
from commerce_event.store.postgres.change_settings import PostgresChangeSettings
from commerce_event.store.postgres.changes import PostgresChanges
from commerce_event.store.postgres.cluster import Cluster
from commerce_event.store.postgres.connections import Address, check_server, close, durability
from commerce_event.store.postgres.contract import PostgresContract
from commerce_event.store.postgres.executor import Executor
from commerce_event.store.postgres.history import PostgresHistory
from commerce_event.store.postgres.journal import PostgresJournal
from commerce_event.store.postgres.maintenance import PostgresMaintenance
from commerce_event.store.postgres.migration_record import refuse_half_moved
from commerce_event.store.postgres.queue import PostgresQueue
from commerce_event.store.postgres.refusals import PostgresRefusals
from commerce_event.store.postgres.registry import PostgresRegistry
from commerce_event.store.postgres.schema import migrate
from commerce_event.store.postgres.sql import Connection, fetch_value

_LOST_AFTER_S: Final = 5.0  # longer than a node that was cut off takes to reconnect


class PostgresStore:
    """The engine of several nodes. Every call is a transaction of its own.

    ``on_notice`` is called on the event loop when another node made work ("work") or changed endpoints or keys
    ("config"), and after this node was cut off from the database for a while.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, lost_after_s: float = _LOST_AFTER_S) -> None:
        """A SharedClock follows the database's; what a node was sending is due again ``lost_after_s`` after its end.

        Raises StoreRefusedError when ``url`` is no address of a PostgreSQL database.
        """
        self.on_notice: Callable[[Notice], None] | None = None
        self._address = Address(url)
        clock = clock or SharedClock()
        self._cluster = Cluster(self._address, clock, self._on_notice, lost_after_s=lost_after_s)
        self._executor = Executor()
        self._version = ""
        self._schema = 0
        self.journal = PostgresJournal(self._executor, self._cluster)
        self.queue = PostgresQueue(self._executor, self._cluster)
        self.registry = PostgresRegistry(self._executor, self._cluster)
        self.contract = PostgresContract(self._executor, self._cluster)
        self.history = PostgresHistory(self._executor)
        self.activity = PostgresActivity(self._executor)
        self.audit_log = PostgresAuditLog(self._executor)
        self.refusals = PostgresRefusals(self._executor)
        self.changes = PostgresChanges(self._executor, self._cluster)
        self.change_settings = PostgresChangeSettings(self._executor, self._cluster)
        self.maintenance = PostgresMaintenance(self._executor, self._cluster, clock)

    async def open(self) -> None:
        """Check the server, migrate, join the other nodes. Raises StoreRefusedError with the remedy."""
        with self._address.refusals():
            connection = await self._address.connect()
            try:
                self._version = await check_server(connection, self._address)
                await refuse_half_moved(connection, self._address)
                await self._migrate(connection)
                await self._cluster.enter(connection)
                await self._executor.open(self._address)
            except BaseException:
                await self._close()
                await close(connection)
                raise

    async def _migrate(self, other: Connection) -> None:
        connection = await self._address.connect_without_timeout()  # an index of a large table takes long
        try:
            await self._address.check_sessions(connection, other)
            self._schema = await migrate(connection, self._address)
        finally:
            await close(connection)

    async def close(self) -> None:
        await self._executor.finish()
        await self.journal.close()
        await self._close()

    async def _close(self) -> None:
        await self._cluster.leave()
        await self._executor.close()

    async def failed(self) -> StoreBrokenError:
        return await self._executor.failed()

    @property
    def run_id(self) -> int:
        return self._cluster.run_id

    @property
    def nodes(self) -> int:
        return self._cluster.nodes

    async def info(self) -> StoreInfo:
        async def work(connection: Connection) -> StoreInfo:
            return StoreInfo(
                engine="postgresql",
                version=self._version,
                location=str(self._address),
                schema_version=self._schema,
                durability=await durability(connection),
                size_bytes=await fetch_value(connection, "database_size"),
                free_bytes=None,
            )

        return await self._executor.read(work)

    async def last_id(self) -> int:
        return int(await self._executor.read(lambda connection: fetch_value(connection, "last_id")))

    def _on_notice(self, notice: str) -> None:
        if self.on_notice is not None and not self._executor.closed:
            self.on_notice("config" if notice == "config" else "work")
