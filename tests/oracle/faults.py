"""The faults that a run does to servers, disk and database. Each function returns when the fault is over."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from database import Database
from disk import SmallDisk
from ledger import Ledger
from servers import Server

_PAUSE_S = {1: 2.0, 2: 8.0}  # by nodes: where another can take over, it is given the time to
_AWAY_S = 2.0
_SILENT_S = 0.3
_FULL_S = 3.0
_OFFSETS_S = (-3 * 3600, 0, 6 * 3600, 20 * 3600)  # apart by less than idempotency keys live


@dataclass
class World:
    """All that a fault can lay its hands on."""

    servers: list[Server]
    rng: random.Random
    ledger: Ledger
    database: Database | None = None
    disk: SmallDisk | None = None


def kill_one(world: World) -> None:
    server = world.rng.choice(world.servers)
    server.kill()
    server.start()


def kill_all(world: World) -> None:
    for server in world.servers:
        server.kill()
    for server in world.servers:
        server.start()


def pause(world: World) -> None:
    world.rng.choice(world.servers).pause(_PAUSE_S[len(world.servers)])


def set_clock(world: World) -> None:
    offset_s = world.rng.choice(_OFFSETS_S)
    world.ledger.offsets_s.append((time.monotonic(), offset_s))
    world.rng.choice(world.servers).set_clock(offset_s)


def fill_disk(world: World) -> None:
    assert world.disk is not None
    with world.disk.full():
        time.sleep(_FULL_S)
    if world.database is not None:
        world.database.ensure_running()


def cut_power(world: World) -> None:
    """What was not flushed is gone, for all that stands on the disk."""
    assert world.disk is not None
    world.disk.cut_power()
    for server in world.servers:
        server.kill()
    if world.database is not None:
        world.database.kill()
    world.disk.come_back()
    if world.database is not None:
        world.database.ensure_running()
    for server in world.servers:
        server.start()


def restart_database(world: World) -> None:
    assert world.database is not None
    world.database.restart(_AWAY_S)


def cut_connections(world: World) -> None:
    assert world.database is not None
    world.database.cut(_SILENT_S)


FAULTS: dict[str, Callable[[World], None]] = {
    "kill": kill_one,
    "kill-all": kill_all,
    "pause": pause,
    "clock": set_clock,
    "disk-full": fill_disk,
    "power-cut": cut_power,
    "database-restart": restart_database,
    "database-cut": cut_connections,
}
OF_A_DATABASE = ("database-restart", "database-cut")
OF_A_DISK = ("disk-full", "power-cut")


def possible(*, with_database: bool, with_disk: bool) -> tuple[str, ...]:
    """Return the faults that can be done here."""
    out_of_reach = (() if with_database else OF_A_DATABASE) + (() if with_disk else OF_A_DISK)
    return tuple(name for name in FAULTS if name not in out_of_reach)
