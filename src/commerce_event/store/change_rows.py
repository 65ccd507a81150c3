"""Build the rows of changes and their settings, and the records from them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from commerce_event.core.changes.model import Change, ChangeSource, EventSetting, Operation, StoredChange, Values
from commerce_event.store.model import (
    FIELDS_MAX,
    ChangeBatch,
    FirstChange,
    KnownRow,
    NewChange,
    PositionWrite,
    RaisedEvent,
    RowWrite,
    WaitingNotification,
)
from commerce_event.store.port import ChangesOutdatedError, PositionChangedError
from commerce_event.store.row_mapping import Row, build

FIELD_LENGTH_MAX: Final = 200  # longer names are not kept
_KEY_BYTES_MAX: Final = 500  # of a text in an index

_values: Final = msgspec.json.Decoder(dict[str, Any])
_settings: Final = msgspec.json.Decoder(EventSetting)
_sources: Final = msgspec.json.Decoder(ChangeSource)


class RowId(NamedTuple):
    """The primary key of the last known values of a row."""

    client_id: int
    entity: str
    key: str

    @classmethod
    def of(cls, client_id: int, row_key: str) -> "RowId":
        """``row_key`` is JSON ``[entity, application, key]``."""
        return cls(client_id, row_key.split('"', 2)[1], index_key(row_key))


def index_key(text: str) -> str:
    """Return a text that may be a key in an index: a long one is replaced by its digest."""
    if len(text) * 4 <= _KEY_BYTES_MAX:  # a character has at most 4 bytes
        return text
    encoded = text.encode()
    return text if len(encoded) <= _KEY_BYTES_MAX else f"sha256 {sha256(encoded).hexdigest()}"


# -- changes


class _Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a change holds that has no column of its own."""

    operation: Operation
    key: Values
    before: Values | None = None
    after: Values | None = None
    application_id: int | None = None
    at_ms: int | None = None
    table: str | None = None
    note: str | None = None


_data: Final = msgspec.json.Decoder(_Data)


def change_rows(changes: Iterable[NewChange]) -> list[tuple[Any, ...]]:
    """Return the rows of changes in the order in which transactions lock idempotency keys."""
    rows = [_change_row(each) for each in changes]
    rows.sort(key=lambda row: (row[1] or 0, row[6] or "", row[0]))
    return rows


def _change_row(new: NewChange) -> tuple[Any, ...]:
    change = new.change
    data = _Data(
        change.operation,
        change.key,
        change.before,
        change.after,
        change.application_id,
        change.at_ms,
        change.table,
        change.note,
    )
    return (
        new.id,
        change.client_id,
        change.entity,
        change.source,
        new.accepted_ms,
        new.config_version,
        change.idempotency_key,
        _json(data),
        None if new.known is None else _json(new.known),
    )


def stored_change(row: Row) -> StoredChange:
    known = None if row.known is None else _values.decode(row.known)
    return StoredChange(
        id=row.id, accepted_ms=row.accepted_ms, config_version=row.config_version, change=_change(row), known=known
    )


def first_change(row: Row, event_ids: Iterable[int]) -> FirstChange:
    return FirstChange(id=row.id, change=_change(row), event_ids=tuple(event_ids))


def _change(row: Row) -> Change:
    data = _data.decode(row.data)
    return Change(
        client_id=row.client_id,
        application_id=data.application_id,
        entity=row.entity,
        operation=data.operation,
        key=data.key,
        before=data.before,
        after=data.after,
        at_ms=data.at_ms,
        idempotency_key=row.idempotency_key,
        source=row.source,
        table=data.table,
        note=data.note,
    )


# -- last known values


class RowWrites:
    """The rows that a batch writes, by what becomes of them; each list in the order of the rows' ids."""

    def __init__(self, rows: Iterable[RowWrite]) -> None:
        self.expected: list[tuple[int, str, str, int]] = []  # id, expected change of those that exist
        self.added: list[tuple[Any, ...]] = []  # id, data, change, time
        self.changed: list[tuple[Any, ...]] = []  # the same
        self.deleted: list[RowId] = []
        self.absent: list[RowId] = []  # there was none, and there is none from now on
        for row_id, write in sorted([(RowId.of(each.client_id, each.key), each) for each in rows], key=_by_id):
            is_new = write.expected_change_id is None
            if write.expected_change_id is not None:
                self.expected.append((*row_id, write.expected_change_id))
            if write.values is None:
                (self.absent if is_new else self.deleted).append(row_id)
            else:
                row = (*row_id, _json(write.values), write.change_id, write.updated_ms)
                (self.added if is_new else self.changed).append(row)


def _by_id(pair: tuple[RowId, RowWrite]) -> RowId:
    return pair[0]


def known_rows(rows: Iterable[Row], asked: Mapping[RowId, tuple[int, str]]) -> dict[tuple[int, str], KnownRow]:
    """Return the rows that were found by the keys with which they were asked for."""
    return {
        asked[RowId(row.client_id, row.entity, row.row_key)]: KnownRow(
            values=_values.decode(row.data), change_id=row.change_id, updated_ms=row.updated_ms
        )
        for row in rows
    }


def check_count(count: int, expected: int) -> None:
    """Raise ChangesOutdatedError unless as many rows as expected were written."""
    if count != expected:
        raise ChangesOutdatedError


# -- notifications


def merge_waiting(waiting: Iterable[WaitingNotification]) -> list[tuple[Any, ...]]:
    """Return the rows of waiting notifications by setting and subject; the later ones are merged into the first."""
    merged: dict[tuple[int, str], WaitingNotification] = {}
    for each in waiting:
        key = (each.setting_id, index_key(each.subject))
        first = merged.get(key)
        merged[key] = msgspec.structs.replace(
            each,
            subject=key[1],
            due_ms=each.due_ms if first is None else first.due_ms,
            first_change_id=each.first_change_id if first is None else first.first_change_id,
            merged=each.merged + (0 if first is None else first.merged),
        )
    return [msgspec.structs.astuple(merged[key]) for key in sorted(merged)]


def waiting(row: Row) -> WaitingNotification:
    return build(WaitingNotification, row)


def released_rows(released: Iterable[WaitingNotification]) -> list[tuple[int, str, int, int]]:
    """Return setting, subject, and the expected change and number of changes, in the order of their keys.

    The number shows that a change with a lower id was merged later: another node may have accepted it.
    """
    return sorted([(each.setting_id, index_key(each.subject), each.change_id, each.merged) for each in released])


def raised_rows(raised: Iterable[RaisedEvent], new_ids: frozenset[int]) -> list[tuple[Any, ...]]:
    """Return the rows of raised events, of those that were stored now."""
    return [
        msgspec.structs.astuple(msgspec.structs.replace(each, subject=index_key(each.subject)))
        for each in raised
        if each.event_id in new_ids
    ]


def raised(row: Row) -> RaisedEvent:
    return build(RaisedEvent, row)


def new_fields(batch: ChangeBatch, known: Iterable[Row]) -> list[tuple[int, str, str]]:
    """Return the fields to store, at most FIELDS_MAX of a client and an entity with the known ones."""
    seen = {(row.client_id, row.entity, row.name) for row in known}
    counts = Counter([field[:2] for field in seen])
    added = []
    for field in dict.fromkeys(batch.fields):
        fits = len(field[2]) <= FIELD_LENGTH_MAX and "\0" not in field[2]  # PostgreSQL has no text with U+0000
        if fits and field not in seen and counts[field[:2]] < FIELDS_MAX:
            counts[field[:2]] += 1
            added.append(field)
    return sorted(added)


# -- sources and settings


def check_positions(positions: Sequence[PositionWrite], stored: Mapping[str, str | None]) -> None:
    """Raise PositionChangedError for a source that is not at the expected position."""
    for each in positions:
        present = stored.get(each.source)
        if present != each.expected:
            raise PositionChangedError(each.source, present)


def setting_row(setting: EventSetting) -> tuple[Any, ...]:
    return (
        setting.id,
        setting.client_id,
        setting.application_id,
        setting.event_type,
        setting.entity,
        setting.revision,
        setting.deleted_ms,
        _json(setting),
    )


def setting(row: Row) -> EventSetting:
    return _settings.decode(row.config)


def source_row(source: ChangeSource) -> tuple[Any, ...]:
    return (source.name, source.revision, _json(source))


def source(row: Row) -> ChangeSource:
    return _sources.decode(row.config)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
