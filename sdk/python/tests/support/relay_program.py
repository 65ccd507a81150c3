"""Run a relay that kills itself at a named point: ``relay_program.py DATABASE URL KEY POINT NUMBER``.

NUMBER says at which pass over the point. Without a point it publishes everything and ends.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from commerce_event_sdk import Client
from commerce_event_sdk.batch_sender import BatchSender
from commerce_event_sdk.outbox.postgres_store import PostgresOutboxStore
from commerce_event_sdk.outbox.relay import Relay
from commerce_event_sdk.outbox.sqlite_store import SqliteOutboxStore

STORES: tuple[Any, ...] = (SqliteOutboxStore, PostgresOutboxStore)
# (name, classes, method): the process may end before and after each call
STEPS: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("opening the database", STORES, "__init__"),
    ("acquiring the lock", STORES, "acquire"),
    ("reading messages", STORES, "read"),
    ("sending a request", (BatchSender,), "send"),
    ("connecting", (BatchSender,), "_connect"),
    ("writing a request", (http.client.HTTPConnection,), "request"),
    ("reading the head of an answer", (http.client.HTTPConnection,), "getresponse"),
    ("settling", STORES, "settle"),
)
COMMIT = "before the commit"
POINTS = [*(f"{side} {name}" for name, _, _ in STEPS for side in ("before", "after")), COMMIT]


class Killer:
    def __init__(self, point: str, number: int) -> None:
        self._point = point
        self._left = number

    def reach(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def instrument(killer: Killer) -> None:
    for name, classes, method in STEPS:
        for each in classes:
            setattr(each, method, _around(getattr(each, method), name, killer))
    for each in STORES:
        each._transaction = _transaction(each._transaction, killer)


def _around(original: Callable[..., Any], name: str, killer: Killer) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        killer.reach(f"before {name}")
        result = original(*arguments, **named)
        killer.reach(f"after {name}")
        return result

    return call


def _transaction(original: Callable[..., Any], killer: Killer) -> Callable[..., Any]:
    @contextmanager
    def transaction(store: Any) -> Iterator[None]:
        with original(store):
            yield
            killer.reach(COMMIT)

    return transaction


def main(database: str, url: str, key: str, point: str = "", number: str = "1") -> None:
    instrument(Killer(point, int(number)))
    with Client(url, key) as client:
        Relay(database, client, batch_events=4).run_until_idle()


if __name__ == "__main__":
    main(*sys.argv[1:])
