"""Evaluate a batch of changes in order: what each raises, and what is stored of them."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from commerce_event.accept.commit_batcher import PendingEvent
from commerce_event.accept.turns import Steps
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.contract.entities import ENTITIES
from commerce_event.core.changes.model import Change, Notification, Values
from commerce_event.core.changes.rules import ActiveSetting, PreviousFrom, RowChange, raise_steps
from commerce_event.core.ids import IdMaker
from commerce_event.store.model import (
    ChangeBatch,
    FirstChange,
    KnownRow,
    NewChange,
    NewEvent,
    PositionWrite,
    RaisedEvent,
    RowWrite,
    WaitingNotification,
)

_EVENTS_MAX: Final = 200  # that one commit stores; what is raised beyond them waits for the next commits
_DELIVERIES_MAX: Final = 1_000
_FIELDS_MAX: Final = 20_000  # whose names are remembered
_FIELD_NAME_MAX: Final = 100

RowId = tuple[int, str]  # client and row key
IdempotencyId = tuple[int, str]  # client and idempotency key


class Settings(Protocol):
    """What evaluating needs from the registry."""

    def active_settings(self, client_id: int, entity: str, application_id: int | None) -> Sequence[ActiveSetting]:
        """Return the settings that count for changes of an entity."""
        ...

    def tracked_since(self, client_id: int, entity: str) -> int | None:
        """Return since when last known values are kept (ms); None: they are not."""
        ...


class Matcher(Protocol):
    """What evaluating needs from the intake of events."""

    def match_steps(self, event: PendingEvent) -> Steps[None]:
        """Match an event with endpoints. Yields after each small step."""
        ...


class Known(msgspec.Struct, frozen=True):
    """What the store knows about a batch of changes."""

    rows: dict[RowId, KnownRow]
    firsts: dict[IdempotencyId, FirstChange]


class ChangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change. ``waiting`` counts its notifications that are raised later."""

    outcome: Literal["new", "duplicate", "conflict"]
    id: int
    event_ids: tuple[int, ...] = ()
    waiting: int = 0
    previous_from: PreviousFrom = "none"
    note: str | None = None


class _Raised(msgspec.Struct, frozen=True):
    event: PendingEvent
    change_id: int
    notification: Notification


class Evaluation:
    """The changes of one commit. A later change sees the row as an earlier one has left it."""

    def __init__(
        self, settings: Settings, intake: Matcher, id_maker: IdMaker, seen: "SeenFields", known: Known, now_ms: int
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._ids = id_maker
        self._seen = seen
        self._known = known
        self._now_ms = now_ms
        self._answers: list[ChangeAnswer] = []
        self._changes: list[NewChange] = []
        self._firsts: dict[IdempotencyId, FirstChange] = dict(known.firsts)
        self._rows: dict[RowId, RowWrite] = {}
        self._waiting: dict[tuple[int, str], WaitingNotification] = {}
        self._raised: list[_Raised] = []
        self._deliveries = 0
        self._is_full = False  # what is raised from now on waits for the next commits
        self._fields: set[tuple[int, str, str]] = set()

    @property
    def events(self) -> list[PendingEvent]:
        """The events that are stored in the same commit, matched with endpoints."""
        return [each.event for each in self._raised]

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def deferred(self) -> list[WaitingNotification]:
        """What was raised beyond what one commit stores: it is due at once."""
        return [each for each in self._waiting.values() if each.due_ms <= self._now_ms]

    def steps(self, changes: Sequence[Change], config_version: int) -> Steps[None]:
        """Evaluate the changes. Yields after each small step."""
        for change in changes:
            first = self._first_of(change)
            if first is not None:
                outcome: Literal["duplicate", "conflict"] = (
                    "duplicate" if _is_same(first.change, change) else "conflict"
                )
                self._answers.append(ChangeAnswer(outcome=outcome, id=first.id, event_ids=first.event_ids))
            else:
                yield from self._evaluate(change, config_version)
            yield

    def batch(self, events: Sequence[NewEvent], position: PositionWrite | None) -> ChangeBatch:
        """Return what is stored with the events, which have their ids now."""
        raised = [
            RaisedEvent(
                event_id=event.id,
                client_id=event.client_id,
                setting_id=each.notification.setting.id,
                subject=each.notification.subject,
                first_change_id=each.change_id,
                change_id=each.change_id,
            )
            for each, event in zip(self._raised, events, strict=True)
        ]
        return ChangeBatch(
            changes=self._changes,
            rows=[row for row in self._rows.values() if row.values is not None or row.expected_change_id is not None],
            waiting=list(self._waiting.values()),
            raised=raised,
            fields=sorted(self._fields),
            positions=() if position is None else (position,),
        )

    def answers(self, events: Sequence[NewEvent]) -> list[ChangeAnswer]:
        """Return an answer for each change, now that the batch is stored with these events."""
        self._seen.add(self._fields)
        by_change: dict[int, list[int]] = {}
        for each, event in zip(self._raised, events, strict=True):
            by_change.setdefault(each.change_id, []).append(event.id)
        return [
            msgspec.structs.replace(answer, event_ids=tuple(by_change[answer.id]))
            if answer.id in by_change and not answer.event_ids
            else answer
            for answer in self._answers
        ]

    def _first_of(self, change: Change) -> FirstChange | None:
        if change.client_id is None or change.idempotency_key is None:
            return None
        return self._firsts.get((change.client_id, change.idempotency_key))

    def _evaluate(self, change: Change, config_version: int) -> Steps[None]:
        change_id = self._ids.next(self._now_ms)
        known, notifications, waiting = None, [], 0
        previous_from: PreviousFrom = "none"
        if change.client_id is not None and change.entity is not None and change.operation != "truncate":
            tracked_ms = self._settings.tracked_since(change.client_id, change.entity)
            row_id = None if tracked_ms is None else (change.client_id, change.row_key)
            known = None if row_id is None else self._known_values(row_id, tracked_ms)
            row = RowChange(change, known)
            previous_from = row.previous_from
            if change.operation != "read":
                settings = self._settings.active_settings(change.client_id, change.entity, change.application_id)
                notifications = yield from raise_steps(row, settings)
            if row_id is not None:
                self._write_row(row_id, change_id, row.row)
            if row_id is not None or change.entity in ENTITIES:  # there is no end of other names
                self._fields |= self._seen.new(change)
        for notification in notifications:
            waiting += yield from self._raise(notification, change, change_id)
        self._changes.append(
            NewChange(
                id=change_id,
                change=change,
                known=known,
                accepted_ms=self._now_ms,
                config_version=config_version,
            )
        )
        if change.client_id is not None and change.idempotency_key is not None:
            first = FirstChange(id=change_id, change=change, event_ids=())
            self._firsts[change.client_id, change.idempotency_key] = first
        self._answers.append(
            ChangeAnswer(outcome="new", id=change_id, waiting=waiting, previous_from=previous_from, note=change.note)
        )

    def _known_values(self, row_id: RowId, tracked_ms: int | None) -> Values | None:
        """Return the last known values of a row, unless they are from before it was tracked."""
        written = self._rows.get(row_id)
        if written is not None:
            return written.values
        row = self._known.rows.get(row_id)
        return None if row is None or tracked_ms is None or row.updated_ms < tracked_ms else row.values

    def _write_row(self, row_id: RowId, change_id: int, values: Values | None) -> None:
        stored = self._known.rows.get(row_id)
        self._rows[row_id] = RowWrite(
            client_id=row_id[0],
            key=row_id[1],
            values=values,
            change_id=change_id,
            updated_ms=self._now_ms,
            expected_change_id=None if stored is None else stored.change_id,
        )

    def _raise(self, notification: Notification, change: Change, change_id: int) -> Steps[int]:
        """Add the event of a notification, or queue it as waiting; return how many were queued."""
        body = msgspec.json.encode(notification.body)
        setting = notification.setting
        if setting.coalesce_s > 0:
            self._wait(notification, body, change, change_id, self._now_ms + round(setting.coalesce_s * 1000))
            return 1
        event = pending_event(setting.event_type, change.client_id, change.application_id, body)
        if not self._is_full:
            yield from self._intake.match_steps(event)
            yield
            if not self._raised or self._deliveries + event.delivery_count <= _DELIVERIES_MAX:
                self._deliveries += event.delivery_count
                self._raised.append(_Raised(event, change_id, notification))
                self._is_full = len(self._raised) >= _EVENTS_MAX
                return 0
            self._is_full = True  # also for smaller events: no newer one may come before this one
        alone = msgspec.structs.replace(notification, subject=f"{notification.subject}#{change_id}")
        self._wait(alone, body, change, change_id, self._now_ms)
        return 1

    def _wait(self, notification: Notification, body: bytes, change: Change, change_id: int, due_ms: int) -> None:
        """Queue a waiting notification; merge it into the one of its subject that waits already."""
        setting = notification.setting
        pair = (setting.id, notification.subject)
        earlier = self._waiting.get(pair)
        self._waiting[pair] = WaitingNotification(
            setting_id=setting.id,
            subject=notification.subject,
            client_id=_client_of(change),
            application_id=change.application_id,
            event_type=setting.event_type,
            body=body,
            due_ms=due_ms if earlier is None else earlier.due_ms,
            first_change_id=change_id if earlier is None else earlier.first_change_id,
            change_id=change_id,
            merged=1 if earlier is None else earlier.merged + 1,
        )


class SeenFields:
    """A bounded set of the field names that changes had. Settings are checked against them."""

    def __init__(self) -> None:
        self._names: set[tuple[int, str, str]] = set()

    def new(self, change: Change) -> set[tuple[int, str, str]]:
        """Return the names of a change that are not remembered, with its client and entity."""
        client_id, entity = change.client_id, change.entity
        if client_id is None or entity is None:
            return set()
        names = {*change.key, *(change.before or ()), *(change.after or ())}
        found = {(client_id, entity, name) for name in names if len(name) <= _FIELD_NAME_MAX and "\0" not in name}
        return found - self._names

    def add(self, names: Iterable[tuple[int, str, str]]) -> None:
        """Remember names that are stored."""
        if len(self._names) > _FIELDS_MAX:
            self._names.clear()
        self._names.update(names)


def row_ids(changes: Sequence[Change], settings: Settings) -> list[RowId]:
    """Return the rows whose last known values count for these changes."""
    found: dict[RowId, None] = {}
    for change in changes:
        if change.client_id is None or change.entity is None or change.operation == "truncate":
            continue
        if settings.tracked_since(change.client_id, change.entity) is not None:
            found[change.client_id, change.row_key] = None
    return list(found)


def idempotency_ids(changes: Sequence[Change]) -> list[IdempotencyId]:
    return [
        (change.client_id, change.idempotency_key)
        for change in changes
        if change.client_id is not None and change.idempotency_key is not None
    ]


def pending_event(event_type: str, client_id: int | None, application_id: int | None, body: bytes) -> PendingEvent:
    """Return the event of a notification as the intake takes it."""
    if client_id is None:
        raise ValueError("a notification has a client")
    return PendingEvent(client_id, EVENT_TYPES[event_type], application_id, None, body, bulk=True)


def _client_of(change: Change) -> int:
    if change.client_id is None:
        raise ValueError("the change has no client")
    return change.client_id


def _is_same(first: Change, change: Change) -> bool:
    """Tell whether a change repeats the first one of its idempotency key.

    The key of a source's row has the row itself in it: it is the same one, also when the source maps it otherwise now.
    """
    if change.source is not None and change.source == first.source:
        return True
    return (first.entity, first.operation, first.key, first.before, first.after) == (
        change.entity,
        change.operation,
        change.key,
        change.before,
        change.after,
    )
