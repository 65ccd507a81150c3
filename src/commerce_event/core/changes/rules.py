"""Decide which notifications a change raises, by the settings of its client and the earlier values of its row.

A pure function of the three, so that accepting, explaining and previewing a change cannot differ.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET

from commerce_event.contract.entities import ENTITY_CHANGED, NOTIFICATIONS, NotificationSource
from commerce_event.core.changes.model import Change, EventSetting, Notification, Values
from commerce_event.core.changes.values import as_number, as_property, canonical, is_same, is_same_number
from commerce_event.core.filters import CompiledFilter, explain_filter_steps, finish
from commerce_event.core.routing import Rule

PreviousFrom = Literal["before", "last known", "none"]

ROW_NAMES_MAX: Final = 1_000
ROW_BYTES_MAX: Final = 256 * 1024  # of the last known values of a row, as JSON

_MINIMUM: Final = "MinimumValue"
_QUANTITY: Final = "QuantityBreak"  # names the subject of a price together with the key


class ActiveSetting:
    """A setting that is ready to be evaluated. Its filter is compiled when it is needed: that takes long."""

    def __init__(self, setting: EventSetting) -> None:
        self.setting = setting
        self.source = NOTIFICATIONS[setting.event_type]
        self.fields = None if setting.fields is None else frozenset(setting.fields)

    @cached_property
    def filter(self) -> CompiledFilter | None:
        """Raises InvalidFilterError."""
        return None if self.setting.filter is None else CompiledFilter(self.setting.filter)


class RowChange:
    """A change with the earlier values of its row.

    ``known`` are the last known values. The values before the change are those that the change itself gives; where it
    gives none, the last known ones count. A field whose earlier value is not known counts as changed.
    """

    def __init__(self, change: Change, known: Values | None) -> None:
        self.change = change
        self.known = known
        self.previous_from: PreviousFrom = "before" if change.before else "none" if known is None else "last known"
        self.previous: Values = {**(known or {}), **(change.before or {})}
        self.current: Values = self._current()
        self.changed = self._changed_fields()

    def _current(self) -> Values:
        """Return the values after the change; of a deleted row, the last ones."""
        change = self.change
        if change.operation == "delete":
            return self.previous
        return {**self.previous, **(change.after or {})} if change.operation == "update" else dict(change.after or {})

    def _changed_fields(self) -> frozenset[str]:
        """Return the fields that an update has changed."""
        if self.change.operation != "update" or not self.change.after:
            return frozenset()
        previous = self.previous
        return frozenset(
            [name for name, value in self.change.after.items() if not is_same(previous.get(name, UNSET), value)]
        )

    @property
    def row(self) -> Values | None:
        """The last known values from now on; None when the row is gone. Existing rows do not replace newer values.

        When partial updates have made a row too large, only the values of the last one are known from then on.
        """
        change = self.change
        if change.operation in {"delete", "truncate"}:
            return None
        if change.operation == "read" and self.known is not None:
            return self.known
        return self.current if self.known is None or _is_small(self.current) else dict(change.after or {})

    @cached_property
    def filter_data(self) -> Mapping[str, Any]:
        """Return what a filter sees: the values by name, and those before and after as ``before.X`` and ``after.X``."""
        data: dict[str, Any] = {**self.change.key, **self.current}
        before, after = self.previous, {} if self.change.operation == "delete" else self.current
        data |= {f"before.{name}": value for name, value in before.items()}
        data |= {f"after.{name}": value for name, value in after.items()}
        data["before"], data["after"] = before, after  # for paths such as $.after.Name
        return data

    def property(self, name: str, source: NotificationSource) -> Any:
        """Return a property of the notification from the key or the row; UNSET when neither has it."""
        value = self.change.key.get(name, UNSET)
        if value is UNSET:
            value = self.current.get(name, UNSET)
        return UNSET if value is UNSET or value is None else as_property(value, source.formats[name])


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a change raises for one setting, with the rules that were checked; all of them in an explanation."""

    setting: EventSetting
    rules: tuple[Rule, ...]
    notifications: tuple[Notification, ...] = ()

    @property
    def fired(self) -> bool:
        return bool(self.notifications)


def raise_steps(row: RowChange, settings: Sequence[ActiveSetting]) -> Generator[None, None, list[Notification]]:
    """Return what a change raises, in the order of the settings: one for each part that its key lists.

    Yields after each setting, and after each condition of a filter.
    """
    raised: list[Notification] = []
    for active in settings:
        if all(rule.passed for rule in _rules(row, active)) and (yield from _passes_filter(row, active)):
            raised += _notifications(row, active)
        yield
    return raised


def raise_notifications(row: RowChange, settings: Sequence[ActiveSetting]) -> list[Notification]:
    """Return what ``raise_steps`` returns."""
    return finish(raise_steps(row, settings))


def explain_steps(row: RowChange, settings: Sequence[ActiveSetting]) -> Generator[None, None, list[Decision]]:
    """Return what ``raise_steps`` decides, with every rule, even after one has failed. Yields as it does."""
    decisions: list[Decision] = []
    for active in settings:
        rules = list(_rules(row, active))
        if active.filter is not None:
            explanation = yield from explain_filter_steps(active.setting.filter or {}, row.filter_data)
            rules.append(Rule("filter", explanation.passed, active.setting.filter, explanation.conditions))
        fired = all(rule.passed for rule in rules)
        notifications = tuple(_notifications(row, active)) if fired else ()
        decisions.append(Decision(setting=active.setting, rules=tuple(rules), notifications=notifications))
        yield
    return decisions


def explain_change(row: RowChange, settings: Sequence[ActiveSetting]) -> list[Decision]:
    """Return what ``explain_steps`` returns."""
    return finish(explain_steps(row, settings))


def applicable(settings: Sequence[ActiveSetting], application_id: int | None) -> list[ActiveSetting]:
    """Return the settings of a client and an entity that count for an application.

    A setting of the application itself replaces the one of all applications, for each event type.
    """
    own = {active.setting.event_type for active in settings if active.setting.application_id == application_id}
    return [
        active
        for active in settings
        if active.setting.application_id == application_id
        or (active.setting.application_id is None and active.setting.event_type not in own)
    ]


def _is_small(values: Values) -> bool:
    return len(values) <= ROW_NAMES_MAX and len(msgspec.json.encode(values)) <= ROW_BYTES_MAX


def _rules(row: RowChange, active: ActiveSetting) -> Iterator[Rule]:
    """Yield the rules but for the filter, one after the other."""
    setting, source, operation = active.setting, active.source, row.change.operation
    yield Rule("enabled", setting.live, "on", "on" if setting.live else "off")
    wanted = [name for name in ("insert", "update", "delete") if getattr(setting, f"on_{name}")]
    yield Rule("operation", operation in wanted, wanted, operation)
    if operation == "update" and source.rule != "break_point":
        counted = row.changed if active.fields is None else row.changed & active.fields
        yield Rule("fields", bool(counted), setting.fields or "any", sorted(row.changed))
    if source.rule == "value" and source.value is not None:
        yield _value_rule(row, source.value)
    elif source.rule == "break_point" and source.value is not None:
        yield _break_point_rule(row, source.value)
    missing = [name for name in sorted(source.required) if _is_missing(row, name, source)]
    yield Rule("properties", not missing, sorted(source.required), {"missing": missing})


def _is_list(row: RowChange, name: str) -> bool:
    return isinstance(row.change.key.get(name), list)


def _is_missing(row: RowChange, name: str, source: NotificationSource) -> bool:
    if not _is_list(row, name):
        return row.property(name, source) is UNSET
    return any(as_property(part, source.formats[name]) is UNSET for part in row.change.key[name])


def _value_rule(row: RowChange, name: str) -> Rule:
    """The value differs as a number: 10 and 10.00 are one price."""
    before, after = row.previous.get(name, UNSET), row.current.get(name, UNSET)
    found = [None if value is UNSET else value for value in (before, after)]
    if row.change.operation == "delete":
        return Rule("value", True, name, found)
    changed = after is not UNSET and (
        row.change.operation == "insert" or before is UNSET or not is_same_number(before, after)
    )
    return Rule("value", changed, name, found)


def _break_point_rule(row: RowChange, name: str) -> Rule:
    """Stock is at its minimum or below it now, and was not before."""
    now = _is_low(row.current, name)
    before = _is_low(row.previous, name)
    found = {
        "before": [row.previous.get(name), row.previous.get(_MINIMUM)],
        "after": [row.current.get(name), row.current.get(_MINIMUM)],
    }
    passed = row.change.operation != "delete" and now is True and before is not True
    return Rule("break_point", passed, f"{name} reaches or falls below {_MINIMUM}", found)


def _is_low(values: Values, name: str) -> bool | None:
    """Tell whether stock is at its minimum or below it; None when one of the two is not known."""
    on_hand, minimum = as_number(values.get(name)), as_number(values.get(_MINIMUM))
    return None if on_hand is None or minimum is None else on_hand <= minimum


def _passes_filter(row: RowChange, active: ActiveSetting) -> Generator[None, None, bool]:
    return True if active.filter is None else (yield from active.filter.steps(row.filter_data))


def _notifications(row: RowChange, active: ActiveSetting) -> Iterator[Notification]:
    """Yield a notification for each part that the key lists; one when it lists none."""
    source, change = active.source, row.change
    head: dict[str, Any] = {"ClientId": change.client_id}
    if change.application_id is not None:
        head["ApplicationId"] = change.application_id
    lists = [name for name in source.key if _is_list(row, name)]
    parts = [as_property(part, source.formats[lists[0]]) for part in change.key[lists[0]]] if lists else [None]
    for part in dict.fromkeys(parts):  # 12 and "12" are one part
        body = dict(head)
        for name in source.formats:
            if name in head:
                continue
            if name == ENTITY_CHANGED:
                value: Any = change.entity
            elif lists and name == lists[0]:
                value = part
            else:
                value = row.property(name, source)
            if value is not UNSET:
                body[name] = value
        subject = canonical([change.application_id, *[body.get(name) for name in (*source.key, _QUANTITY)]])
        yield Notification(setting=active.setting, subject=subject, body=body)
