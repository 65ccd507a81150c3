"""Seeded bugs: what receivers get wrong, put into the inbox one at a time, each with the rule that must be broken."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

from commerce_event_sdk.delivery import Delivery
from commerce_event_sdk.inbox import Inbox, messages, worker
from commerce_event_sdk.inbox.rules import Candidate


class Bug(NamedTuple):
    """A bug, the beginning of the violation that it must cause, and the mode of the receiver that it is in."""

    put_in: Callable[[], None]
    rule: str
    mode: str


BUGS: dict[str, Bug] = {}


def put_in(name: str) -> None:
    """Put a bug into this process; "none" is none."""
    if name != "none":
        BUGS[name].put_in()


def _bug(rule: str, mode: str = "worker") -> Callable[[Callable[[], None]], Callable[[], None]]:
    def remember(put: Callable[[], None]) -> Callable[[], None]:
        BUGS[put.__name__] = Bug(put, rule, mode)
        return put

    return remember


@_bug("lost")
def acknowledges_before_the_commit() -> None:
    def later(inbox: Inbox, delivery: Delivery, key: str | None) -> None:
        time.sleep(0.02)
        before(inbox, delivery, key)

    def put(inbox: Inbox, delivery: Delivery, key: str | None = None) -> bool:
        threading.Thread(target=later, args=(inbox, delivery, key), daemon=True).start()
        return True

    async def put_async(inbox: Inbox, delivery: Delivery, key: str | None = None) -> bool:
        return put(inbox, delivery, key)

    before = Inbox.put
    _set(Inbox, "put", put)
    _set(Inbox, "put_async", put_async)


@_bug("lost", mode="accept")
def records_the_id_before_the_work() -> None:
    def accept(inbox: Inbox, connection: Any, webhook_id: str) -> bool:
        is_new = before(inbox, connection, webhook_id)
        connection.commit()
        time.sleep(0.005)
        return is_new

    before = Inbox.accept
    _set(Inbox, "accept", accept)


@_bug("doubled", mode="accept")
def records_the_id_after_the_work() -> None:
    def accept(inbox: Inbox, connection: Any, webhook_id: str) -> bool:
        is_new = inbox.message(webhook_id) is None
        later = threading.Timer(0.02, record, (inbox, connection, webhook_id))
        later.daemon = True
        later.start()
        return is_new

    def record(inbox: Inbox, connection: Any, webhook_id: str) -> None:
        path = inbox.database._path  # type: ignore[attr-defined]
        with closing(sqlite3.connect(path, timeout=5)) as own, own:
            own.execute("BEGIN IMMEDIATE")
            before(inbox, own, webhook_id)

    before = Inbox.accept
    _set(Inbox, "accept", accept)


@_bug("doubled")
def has_no_fencing() -> None:
    _set(messages, "is_mine", lambda _session, _message: True)
    finish = messages.FINISH.replace(" AND claim = :claim", "")
    _set(messages, "FINISH", finish)


@_bug("doubled")
def commits_the_work_before_the_message_is_done() -> None:
    def finish_begun(attempts: Any, message: Any) -> None:
        attempts._session.raw.commit()
        time.sleep(0.005)
        attempts._session.begin()
        before(attempts, message)

    before = worker._Attempts._finish_begun
    _set(worker._Attempts, "_finish_begun", finish_begun)


@_bug("doubled")
def takes_a_repeat_for_a_new_event() -> None:
    def new_message(delivery: Delivery, key: str | None, now: float) -> Any:
        return before(replace(delivery, message_id=f"{delivery.message_id}"), key, now)._replace(
            id=f"{delivery.message_id}/{uuid.uuid4().hex}"
        )

    from commerce_event_sdk import inbox

    before = inbox.new_message  # type: ignore[attr-defined]
    _set(inbox, "new_message", new_message)


@_bug("order")
def ignores_the_key() -> None:
    _set(Candidate, "is_blocked", False)


@_bug("dead letter is not visible")
def forgets_dead_letters() -> None:
    _set(messages, "_MARK_DEAD", messages._MARK_DEAD.replace("'dead'", "'done'"))


def _set(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"the bug is about {name}, which is gone"
    setattr(owner, name, value)
