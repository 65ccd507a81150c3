"""Advisory locks. Their class is the product's own, so that they never meet other programs' locks in the database."""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from commerce_event.store.insert_rows import OrderKey
from commerce_event.store.postgres.sql import Connection, execute

RUNS: Final = 0x43455654  # held by every open store, with the number of its run
ORDER_KEYS: Final = RUNS + 1  # held by a transaction that decides which delivery of an order key is next
MAINTENANCE: Final = RUNS + 2
MIGRATION, WEEKS, MOVING, REFUSALS = range(4)  # keys of MAINTENANCE

_BUCKETS: Final = 1024  # bounds the locks of a transaction; two keys in one bucket only wait for each other


def run_key(run_id: int) -> int:
    """Return the lock key of a run; runs that are alive at the same time never have the same."""
    return run_id % 2**31


async def lock_order_keys(connection: Connection, keys: Iterable[OrderKey]) -> None:
    """Lock order keys to the end of the transaction, so that no other decides which of their deliveries is next."""
    buckets = sorted({crc32(f"{endpoint_id} {key}".encode()) % _BUCKETS for endpoint_id, key in keys})
    if buckets:
        await execute(connection, "lock_order_keys", ORDER_KEYS, buckets)
