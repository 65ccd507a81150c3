"""Measure what evaluating a change costs with few and with very many settings of other clients."""

import statistics
import time
from collections.abc import Iterator
from typing import Final

from commerce_event.bench.report import Figure, at_most
from commerce_event.core.changes.model import Change, EventSetting
from commerce_event.core.changes.rules import RowChange, raise_notifications
from commerce_event.core.changes.setting_table import SettingTable

_COUNTS: Final = (10, 1_000, 100_000)
_ENTITIES: Final = ("tClientCustomer", "tClientCustomerAddress", "tClientCustomerFlag", "tClientCustomerInfo")
_CHANGES: Final = 500
_TURNS: Final = 15


def measure_setting_cost() -> Iterator[Figure]:
    """Yield the cost of a change of one client, with that many settings of others; the tables take turns."""
    tables = {count: _table(count) for count in _COUNTS}
    costs_us: dict[int, list[float]] = {count: [] for count in _COUNTS}
    changes = [
        Change(
            client_id=1,
            entity="tClientCustomer",
            operation="update",
            key={"CustomerId": number},
            before={"FirstName": "Anna", "City": "Lund"},
            after={"FirstName": "Eva", "City": "Lund"},
        )
        for number in range(_CHANGES)
    ]
    for _ in range(_TURNS):
        for count, table in tables.items():
            start = time.perf_counter()
            for change in changes:
                raise_notifications(RowChange(change, None), table.active(1, "tClientCustomer", None))
            costs_us[count].append((time.perf_counter() - start) / _CHANGES * 1e6)
    fewest = statistics.median(costs_us[_COUNTS[0]])
    for count, costs in costs_us.items():
        cost = statistics.median(costs)
        name = f"evaluating a change, {count:,} settings of others"
        yield Figure(name, cost, "µs/change")
        yield Figure(f"of that with {_COUNTS[0]}", cost / fewest, "ratio", name, **at_most(1.2, cost / fewest))


def _table(others: int) -> SettingTable:
    settings = [_setting(number, 2 + number // len(_ENTITIES), number) for number in range(others)]
    return SettingTable([*settings, _setting(others, 1, 0)])


def _setting(setting_id: int, client_id: int, number: int) -> EventSetting:
    return EventSetting(
        id=setting_id + 1,
        client_id=client_id,
        event_type="CustomerChangedNotification",
        entity=_ENTITIES[number % len(_ENTITIES)],
    )
