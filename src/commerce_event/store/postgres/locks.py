"""Advisory locks, all in a class of their own so that they meet nobody else's in the same database."""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

from commerce_event.store.insert_rows import Turn
from commerce_event.store.postgres.sql import Connection, run

RUNS: Final = 0x43455654  # held by every open store, by number of its run
TURNS: Final = RUNS + 1  # held by a transaction over whose turn it is
UPKEEP: Final = RUNS + 2
MIGRATION, WEEKS, MOVING = range(3)  # keys of UPKEEP

_BUCKETS: Final = 1024  # bounds how many a transaction holds; two keys in one bucket only wait for each other


def run_key(run_number: int) -> int:
    """Return the key of a run; run numbers in use at the same time are never so far apart that two meet."""
    return run_number % 2**31


async def lock_turns(connection: Connection, turns: Iterable[Turn]) -> None:
    """Be alone, to the end of the transaction, in saying whose turn it is among deliveries of these order keys."""
    buckets = sorted({crc32(f"{endpoint_id} {key}".encode()) % _BUCKETS for endpoint_id, key in turns})
    if buckets:
        await run(connection, "lock_turns", TURNS, buckets)
