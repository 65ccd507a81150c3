"""Bugs for the oracle of changes: what they make wrong is what a change is compared with, or what it raises.

They show in a short run with kills in which settings are switched; one of them needs two nodes.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from judge_changes import COMPARED, TOO_MANY
from seeded import Bug, _every, _wrap

from commerce_event.changes.evaluation import Evaluation
from commerce_event.changes.release import NotificationRelease
from commerce_event.core.changes import rules
from commerce_event.core.changes.setting_table import SettingTable
from commerce_event.store import change_rows
from commerce_event.store.model import ChangeBatch, NewEvent, PositionWrite, WaitingNotification
from commerce_event.store.postgres import changes as postgres_changes

replace = msgspec.structs.replace

CHANGE_BUGS: dict[str, Bug] = {}


def _bug(
    told_by: str, engine: str = "sqlite", faults: tuple[str, ...] = ("kill",)
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """After each fault, settings are switched: what was off is on after the second."""

    def remember(put_in: Callable[[], None]) -> Callable[[], None]:
        CHANGE_BUGS[put_in.__name__] = Bug(put_in, told_by, engine, faults)
        return put_in

    return remember


@_bug(COMPARED)
def last_known_values_not_in_the_commit_of_their_change() -> None:
    """Now and then a change is stored without the row that it leaves."""
    now_and_then = _every(4)

    def batch(before: Any, self: Evaluation, events: Sequence[NewEvent], position: PositionWrite | None) -> ChangeBatch:
        found: ChangeBatch = before(self, events, position)
        return replace(found, rows=[]) if now_and_then() else found

    _wrap(Evaluation, "batch", batch)


@_bug(COMPARED)
def last_known_values_lost_when_a_node_starts() -> None:
    """What was known before a restart is not used after it, so a crossing is raised once more."""
    started_ms = time.time_ns() // 1_000_000

    def known_values(before: Any, self: Evaluation, change: Any, tracked_ms: int) -> Any:
        return before(self, change, max(tracked_ms, started_ms))

    _wrap(Evaluation, "_known_values", known_values)


@_bug(TOO_MANY)
def waiting_notification_raised_twice() -> None:
    """Its event is stored, and it still waits."""
    now_and_then = _every(3)

    class _Kept(list[WaitingNotification]):
        """What is raised and not released."""

    def commit_of(before: Any, self: NotificationRelease, released: Sequence[WaitingNotification]) -> Any:
        return before(self, _Kept(released) if now_and_then() else released)

    def released_rows(before: Any, released: Any) -> Any:
        return [] if isinstance(released, _Kept) else before(released)

    _wrap(NotificationRelease, "_commit_of", commit_of)
    _wrap(change_rows, "released_rows", released_rows)


@_bug(TOO_MANY)
def numbers_compared_as_they_are_written() -> None:
    """10 and "10.00" are two prices."""

    def is_same_number(before: Any, one: Any, other: Any) -> bool:
        return bool(one == other)

    _wrap(rules, "is_same_number", is_same_number)


@_bug(COMPARED, faults=("kill", "kill"))
def values_from_before_a_setting_was_off_count() -> None:
    """What was known when a setting was switched off counts when it is on again."""

    def tracked_since(before: Any, self: SettingTable, client_id: int, entity: str) -> int | None:
        return None if before(self, client_id, entity) is None else 0

    _wrap(SettingTable, "tracked_since", tracked_since)


@_bug(COMPARED, engine="postgres")
def rows_written_over_those_of_another_node() -> None:
    """A change is compared with what its row was before another node changed it."""

    def check_count(before: Any, count: int, expected: int) -> None:
        pass

    _wrap(postgres_changes, "check_count", check_count)
