"""The tables to move, with the source of their rows and an order that both sides share."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

Row = tuple[Any, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the target. Its rows are read from the source in the order of ``key``, which no two share."""

    name: str
    source: str  # what SQLite reads from
    where: str = "true"
    columns: Mapping[str, str]  # column of the target: expression over the source
    key: tuple[str, ...]
    collation: str = ""  # of a text key, so that the target sorts as the source does
    converters: Mapping[str, Callable[[Any], Any]] = {}  # for values that the two engines store in different forms
    hashed: frozenset[str] = frozenset()  # columns of bytes, compared by their SHA-256
    unchecked: frozenset[str] = frozenset()  # computed from other columns while moving

    @property
    def checked(self) -> tuple[str, ...]:
        """The columns that are compared at the end."""
        return tuple(name for name in self.columns if name not in self.unchecked)

    def key_of(self, row: Row) -> Row:
        places = list(self.columns)
        return tuple(row[places.index(name)] for name in self.key)


def _names(text: str, **others: str) -> dict[str, str]:
    """Return columns with the same name on both sides, and others with their expressions."""
    return {name: name for name in text.split()} | others


def _list(text: str | None) -> list[Any] | None:
    return None if text is None else msgspec.json.decode(text, type=list[Any])


def _without_nul(text: str | None) -> str | None:
    """Return text that PostgreSQL can hold: older versions accepted U+0000 in names."""
    return None if text is None else text.replace("\0", "\ufffd")


_COUNTS: Final = " ".join(f"latency_{n}" for n in range(11))
_DELIVERY: Final = (
    "id event_id endpoint_id client_id attempt_count failure_count order_key replay_id replayed created_ms bulk"
)
# The client's last sequence when the delivery was made. The plus makes SQLite walk the primary key, which ends soon.
_TURN: Final = """CASE WHEN replayed
  THEN coalesce((SELECT sequence FROM event AS e WHERE e.id < delivery.id AND +e.client_id = delivery.client_id
                 ORDER BY e.id DESC LIMIT 1), 0)
  ELSE (SELECT sequence FROM event AS e WHERE e.id = delivery.event_id) END"""

# Small tables first, so that errors show early.
TABLES: Final = (
    Table(
        name="meta",
        source="meta",
        where="name NOT IN ('text_indexed_to', 'text_former_to', 'boot', 'clock_ahead_ms')",
        columns=_names("name value"),
        key=("name",),
        collation=' COLLATE "C"',
    ),
    Table(name="client", source="client", columns=_names("client_id last_sequence"), key=("client_id",)),
    Table(
        name="endpoint",
        source="endpoint",
        columns=_names("id client_id revision created_ms updated_ms deleted_ms config sealed"),
        key=("id",),
        hashed=frozenset({"sealed"}),
    ),
    Table(
        name="endpoint_revision",
        source="endpoint_revision",
        columns=_names("endpoint_id revision client_id created_ms updated_ms deleted_ms config"),
        key=("endpoint_id", "revision"),
    ),
    Table(
        name="api_key",
        source="api_key",
        columns=_names("id role client_ids name digest created_ms revoked_ms expires_ms"),
        key=("id",),
        converters={"client_ids": _list, "name": _without_nul},
        hashed=frozenset({"digest"}),
    ),
    Table(name="key_use", source="key_use", columns=_names("key_id used_ms"), key=("key_id",)),
    Table(name="client_name", source="client_name", columns=_names("client_id name"), key=("client_id",)),
    Table(
        name="ended_session",
        source="ended_session",
        columns=_names("id ends_ms"),
        key=("id",),
        collation=' COLLATE "C"',
    ),
    Table(
        name="validation",
        source="validation",
        columns=_names("client_id event_type mode revision updated_ms"),
        key=("client_id", "event_type"),
    ),
    Table(
        name="own_event_type",
        source="own_event_type",
        columns=_names("name category kind description schema example revision created_ms updated_ms"),
        key=("name",),
        collation=' COLLATE "C"',
    ),
    Table(
        name="audit_entry",
        source="audit_entry",
        columns=_names("id at_ms client_id key_id key_name action target detail name changes"),
        key=("id",),
        converters={"key_name": _without_nul, "target": _without_nul, "name": _without_nul},
    ),
    Table(
        name="refusal",
        source="refusal",
        columns=_names(
            "id at_ms client_id owner type key_id key_name status detail faults size state accepting_for "
            "accepting event_id reason closed_ms label body"
        ),
        key=("id",),
        converters={"key_name": _without_nul},
        hashed=frozenset({"body"}),
    ),
    Table(
        name="event_setting",
        source="event_setting",
        columns=_names("id client_id application_id event_type entity revision deleted_ms config"),
        key=("id",),
    ),
    Table(
        name="event_setting_revision",
        source="event_setting_revision",
        columns=_names("setting_id revision client_id config"),
        key=("setting_id", "revision"),
    ),
    Table(name="change_source", source="change_source", columns=_names("name revision config"), key=("name",)),
    Table(
        name="source_state",
        source="source_state",
        columns=_names("source position report reported_ms"),
        key=("source",),
    ),
    Table(
        name="change_field",
        source="change_field",
        columns=_names("client_id entity name"),
        key=("client_id", "entity", "name"),
    ),
    Table(
        name="waiting_notification",
        source="waiting_notification",
        columns=_names(
            "setting_id subject client_id application_id event_type body due_ms first_change_id change_id merged"
        ),
        key=("setting_id", "subject"),
        hashed=frozenset({"body"}),
    ),
    Table(
        name="change_row",
        source="change_row",
        columns=_names("client_id entity row_key data change_id updated_ms"),
        key=("client_id", "entity", "row_key"),
    ),
    Table(
        name="change",
        source="change",
        columns=_names("id client_id entity source accepted_ms config_version idempotency_key data known"),
        key=("id",),
    ),
    Table(
        name="raised_event",
        source="raised_event",
        columns=_names("event_id client_id setting_id subject first_change_id change_id merged"),
        key=("event_id",),
    ),
    Table(
        name="replay",
        source="replay",
        columns=_names(
            "id client_id endpoint_id since_ms until_ms types only state cursor looked_at queued created_ms finished_ms"
        ),
        key=("id",),
        converters={"types": _list},
    ),
    Table(
        name="delivery_counts",
        source="delivery_counts",
        columns=_names("endpoint_id client_id matched delivered dead cancelled pending", slot="0"),
        key=("endpoint_id",),
    ),
    Table(
        name="endpoint_health",
        source="endpoint_health",
        columns=_names(
            "endpoint_id client_id failures failing_since_ms last_success_ms last_failure_ms last_status last_error "
            "last_cause former_since_ms former_until_ms"
        ),
        key=("endpoint_id",),
        converters={"last_error": _without_nul, "last_cause": _without_nul},
    ),
    Table(
        name="activity",
        source="activity",
        columns=_names(
            "step_s start_ms client_id endpoint_id accepted delivered failed dead "
            f"{_COUNTS} pending dead_letters oldest_ms"
        ),
        key=("step_s", "start_ms", "client_id", "endpoint_id"),
    ),
    Table(
        name="event",
        source="event",
        columns=_names(
            "id client_id sequence type application_id accepted_ms config_version match_count idempotency_key "
            "traceparent body warnings"
        ),
        key=("id",),
        hashed=frozenset({"body"}),
    ),
    Table(
        name="event_key",
        source="event",
        where="idempotency_key IS NOT NULL",
        columns=_names("client_id", key="idempotency_key", event_id="id"),
        key=("event_id",),
    ),
    Table(
        name="event_text",
        source="event",
        columns={"event_id": "id", "client_id": "client_id", "body": "body"},
        key=("event_id",),
        unchecked=frozenset({"client_id", "body"}),
    ),
    Table(
        name="queue",
        source="delivery NOT INDEXED",
        where="state = 'pending'",
        columns=_names(f"{_DELIVERY} due_ms run_id leased_ms", turn=_TURN),
        key=("id",),
        converters={"replayed": bool, "bulk": bool},
    ),
    Table(
        name="finished",
        source="delivery NOT INDEXED",
        where="state <> 'pending'",
        columns=_names(f"{_DELIVERY} state reason finished_ms", turn=_TURN),
        key=("id",),
        converters={"replayed": bool, "bulk": bool},
    ),
    Table(
        name="attempt",
        source="attempt CROSS JOIN delivery ON delivery.id = attempt.delivery_id",
        columns={
            "event_id": "delivery.event_id",
            "delivery_id": "attempt.delivery_id",
            "number": "attempt.number",
            "response_headers": "coalesce(attempt.response_headers, '[]')",
            "response_body": "coalesce(attempt.response_body, x'')",
            **{name: f"attempt.{name}" for name in ("started_ms", "duration_ms", "status", "error", "details")},
        },
        key=("delivery_id", "number"),
        converters={"error": _without_nul},
        hashed=frozenset({"response_body"}),
    ),
)
