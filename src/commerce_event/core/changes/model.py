"""Data changes, and the settings that say which of them raise a notification. Times (``_ms``) since 1970 in ms."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final, Literal

import msgspec

from commerce_event.core.changes.values import canonical, identity
from commerce_event.core.model import Filter

# ``read``: an existing row, read once as its last known values. ``truncate``: all rows of a table were deleted.
Operation = Literal["insert", "update", "delete", "read", "truncate"]
Values = dict[str, Any]
PARTS_MAX: Final = 1_000  # that one change may list in its key


class Change(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A row of a data table that was inserted, updated or deleted.

    A value that is not known is absent from ``before`` and ``after``. ``entity`` is None for a row whose table no
    source maps; ``note`` says then why.
    """

    client_id: int | None
    application_id: int | None = None
    entity: str | None
    operation: Operation
    key: Values
    before: Values | None = None
    after: Values | None = None
    at_ms: int | None = None  # when it happened, as the producer says
    idempotency_key: str | None = None
    source: str | None = None  # the name of the change source
    table: str | None = None  # in the source
    note: str | None = None  # why no entity is known

    @cached_property
    def row_key(self) -> str:
        """The identity of the row among those of its client: 12 and "12" name the same row."""
        key = {name: identity(value) for name, value in self.key.items()}
        return canonical([self.entity, self.application_id, key])


class StoredChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change as accepted. ``known`` are the last known values of its row at that time, None when there were none."""

    id: int
    accepted_ms: int
    config_version: int
    change: Change
    known: Values | None = None


class EventSetting(msgspec.Struct, frozen=True, kw_only=True):
    """Which changes of an entity raise a notification for a client. ``fields=None``: every field counts."""

    id: int
    client_id: int
    application_id: int | None = None  # None: every application that has no setting of its own
    event_type: str
    entity: str
    enabled: bool = True
    on_insert: bool = True
    on_update: bool = True
    on_delete: bool = True
    fields: tuple[str, ...] | None = None
    filter: Filter | None = None
    coalesce_s: float = 0.0  # repeated changes of the same thing within that time become one notification
    active_since_ms: int = 0  # when it was last switched on: older last known values do not count
    revision: int = 0  # config version since which this state is valid
    created_ms: int = 0
    updated_ms: int = 0
    deleted_ms: int | None = None

    @property
    def live(self) -> bool:
        return self.enabled and self.deleted_ms is None


class TableMapping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a table of a source is: the entity, and the column of each key and field."""

    entity: str
    key: dict[str, str]
    fields: dict[str, str] = {}
    application_id: int | dict[str, str] | None = None  # a number, or {"column": name}


class ChangeSource(msgspec.Struct, frozen=True, kw_only=True):
    """Where changes come from, and which columns are which entity, key, client and fields."""

    name: str
    client_id: int | None  # None: the column says it
    client_column: str | None = None
    tables: dict[str, TableMapping]  # by "schema.table"
    revision: int = 0  # the config version of its last change
    created_ms: int = 0
    updated_ms: int = 0

    @property
    def id(self) -> int:
        """The position in a list of sources, for cursors."""
        return self.revision


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source has been read, and what the reader last reported about itself (JSON)."""

    position: str | None = None
    report: str | None = None
    reported_ms: int | None = None


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification that a change raises. ``subject`` names what it is about, for merging repeated changes."""

    setting: EventSetting
    subject: str
    body: Mapping[str, Any]
