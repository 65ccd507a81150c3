"""Find out what an event setting would have raised over past changes."""

from collections.abc import Generator, Sequence
from typing import Any, Final

import msgspec

from commerce_event.core.changes.model import EventSetting, Notification, StoredChange, Values
from commerce_event.core.changes.rules import ActiveSetting, RowChange, applicable, raise_steps
from commerce_event.core.changes.setting_table import compile_setting

CHANGES_MAX: Final = 100_000  # that are evaluated
NOTIFICATIONS_MAX: Final = 100_000  # that are counted: one change may raise one for each part in its key
SAMPLES_MAX: Final = 20
_MEMORY_MAX: Final = 32 * 1024 * 1024  # bytes of last known values and of what waits
_ENTRY_SIZE: Final = 200  # bytes, about, of an entry in addition to its text


class Sample(msgspec.Struct, kw_only=True):
    """A notification that would have been raised: with the values of the last change that was merged into it."""

    change_id: int
    at_ms: int  # when that change was accepted
    body: Any
    merged: int = 1  # changes


class _Window(msgspec.Struct):
    """The time in which further changes of the same thing are merged into a notification."""

    until_ms: int
    sample: Sample | None  # None: it is not one of the first


class Preview:
    """Evaluates one setting over changes, as accepting them would with the setting on from the first of them."""

    def __init__(self, setting: EventSetting, others: Sequence[EventSetting] = ()) -> None:
        """``others`` are the other settings of the client for that type and entity: they may take its place."""
        self._active = ActiveSetting(msgspec.structs.replace(setting, enabled=True, deleted_ms=None))
        self._all = [self._active, *filter(None, map(compile_setting, others))]
        self._applications = {other.application_id for other in others}
        self._counts: dict[int | None, bool] = {}  # by application: whether the setting counts for it
        self._rows: dict[str, bytes] = {}
        self._windows: dict[str, _Window] = {}
        self._size = 0  # of both, in bytes
        self.bytes_seen = 0  # of the rows' values, so that less is read at once when they are large
        self.changes = 0
        self.notifications = 0
        self.samples: list[Sample] = []
        self.truncated = False

    def steps(self, page: Sequence[StoredChange]) -> Generator[None, None, None]:
        """Evaluate some changes, oldest first. ``truncated`` is set when a bound ends it early.

        Yields after each small step.
        """
        for stored in page:
            if self.changes >= CHANGES_MAX or self.notifications >= NOTIFICATIONS_MAX or self._size > _MEMORY_MAX:
                self.truncated = True
                return
            yield from self._evaluate(stored)
            yield

    def _evaluate(self, stored: StoredChange) -> Generator[None, None, None]:
        self.changes += 1
        change = stored.change
        if change.operation == "truncate":
            return
        key = change.row_key
        kept = self._rows.get(key)
        known: Values | None = None if kept is None else msgspec.json.decode(kept)
        row = RowChange(change, known)
        self._remember(key, row.row)
        if change.operation != "read" and self._counts_for(change.application_id):
            for notification in (yield from raise_steps(row, [self._active])):
                self._raise(notification, stored)

    def _counts_for(self, application_id: int | None) -> bool:
        application = application_id if application_id in self._applications else None
        if self._active.setting.application_id is not None:
            return application_id == self._active.setting.application_id
        if application not in self._counts:
            self._counts[application] = self._active in applicable(self._all, application)
        return self._counts[application]

    def _remember(self, key: str, values: Values | None) -> None:
        kept = self._rows.pop(key, None)
        if kept is not None:
            self._size -= len(key) + len(kept) + _ENTRY_SIZE
        if values is not None:
            self._rows[key] = made = msgspec.json.encode(values)
            self.bytes_seen += len(made)
            self._size += len(key) + len(made) + _ENTRY_SIZE

    def _raise(self, notification: Notification, stored: StoredChange) -> None:
        subject = notification.subject
        window = self._windows.get(subject)
        if window is not None and stored.accepted_ms < window.until_ms:
            if window.sample is not None:
                window.sample.change_id, window.sample.at_ms = stored.id, stored.accepted_ms
                window.sample.body = notification.body
                window.sample.merged += 1
            return
        self.notifications += 1
        sample = None
        if len(self.samples) < SAMPLES_MAX:
            sample = Sample(change_id=stored.id, at_ms=stored.accepted_ms, body=notification.body)
            self.samples.append(sample)
        coalesce_ms = round(self._active.setting.coalesce_s * 1000)
        if coalesce_ms:
            self._size += 0 if window is not None else len(subject) + _ENTRY_SIZE
            self._windows[subject] = _Window(stored.accepted_ms + coalesce_ms, sample)
