"""The number of a run, and the advisory lock that shows the other nodes that the run is alive."""

from typing import Final

from commerce_event.core.ids import NODE_BITS
from commerce_event.store.port import StoreRefusedError
from commerce_event.store.postgres.connections import Address
from commerce_event.store.postgres.locks import RUNS, run_key
from commerce_event.store.postgres.sql import Connection, execute, fetch_column, fetch_value

_NODES_MAX: Final = 2**NODE_BITS


class RunLock:
    """This run's number and lock. The lock is held for as long as the connection stands."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.run_id = 0
        self.is_held = False

    async def take_number(self, connection: Connection) -> None:
        """Take a number whose part in ids differs from that of every run that is alive or still has claims.

        Raises StoreRefusedError when as many nodes run as ids can tell apart.
        """
        for _ in range(_NODES_MAX):
            self.run_id = int(await fetch_value(connection, "increment_meta", "run"))
            await self.lock(connection)  # before reading the others: of two runs that start at once, one sees the other
            if not self.is_held:  # the counter was set back, as when a copy of the database replaced it
                continue
            others = await live_run_keys(connection) - {run_key(self.run_id)}
            others |= set(await fetch_column(connection, "claiming_runs"))
            if self.run_id % _NODES_MAX not in {other % _NODES_MAX for other in others}:
                return
            await execute(connection, "unlock_run", RUNS, run_key(self.run_id))
        raise StoreRefusedError(f"{self._address} has {_NODES_MAX} nodes already; stop one of them first")

    async def lock(self, connection: Connection) -> None:
        """Try to lock. It fails until the server has noticed that the run's former connection is gone."""
        self.is_held = await fetch_value(connection, "lock_run", RUNS, run_key(self.run_id))

    async def is_alone(self, connection: Connection) -> bool:
        """Tell whether no other run is alive."""
        return await live_run_keys(connection) <= {run_key(self.run_id)}


async def live_run_keys(connection: Connection) -> set[int]:
    """Return the lock keys of all runs that are alive."""
    return set(await fetch_column(connection, "live_runs", RUNS))
