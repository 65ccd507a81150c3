"""Read changes as producers send them to `POST /v1/changes`, and check each."""

import re
from collections.abc import Mapping
from typing import Any, Final

from commerce_event.accept.parse import check_idempotency_key
from commerce_event.accept.strict_json import load
from commerce_event.changes.errors import InvalidChangeError
from commerce_event.contract.entities import ENTITIES, NotificationSource, sources_of
from commerce_event.contract.near_names import nearest_name
from commerce_event.contract.properties import INT32_MAX, INT32_MIN, TABLE_NAME_PATTERN
from commerce_event.core.changes.model import PARTS_MAX, Change, Values
from commerce_event.core.clock import parse_rfc3339
from commerce_event.core.problems import Fault, RejectedError, child

NAMES_MAX: Final = 500  # of the fields of a row
_KEY_NAMES_MAX: Final = 10
_MEMBERS: Final = (
    "id", "client_id", "application_id", "entity", "operation", "key", "before", "after", "at",
)  # fmt: skip
_OPERATIONS: Final = ("insert", "update", "delete")
_TABLE_NAME: Final = re.compile(TABLE_NAME_PATTERN)
_FAULTS_MAX: Final = 20


def read_change(body: bytes) -> Change:
    """Return the change of a JSON object. Raises RejectedError with a pointer to each fault."""
    data = load(body)
    if type(data) is not dict:
        raise InvalidChangeError("A change is a JSON object.", [Fault("", "must be an object")])
    return _Reader(data).change()


class _Reader:
    """Reads one change and collects its faults."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._faults: list[Fault] = []

    def change(self) -> Change:
        data = self._data
        unknown = [name for name in data if name not in _MEMBERS]
        for name in unknown[:_FAULTS_MAX]:
            near = nearest_name(name, _MEMBERS)
            self._fault(child("", name), f"is unknown{f'; did you mean {near}?' if near else ''}")
        client_id = self._int32("client_id", required=True)
        application_id = self._int32("application_id")
        entity = self._entity()
        operation = data.get("operation")
        if operation not in _OPERATIONS:
            operation = None
            self._fault("/operation", f"must be one of {', '.join(_OPERATIONS)}")
        key = self._key()
        before, after = self._values("before"), self._values("after")
        if operation in {"insert", "update"} and after is None and "after" not in {f.pointer[1:] for f in self._faults}:
            self._fault("/after", f"is required: the values of the row after the {operation}")
        at_ms, key_id = self._at(), self._id()
        if not self._faults and entity is not None and key is not None:
            self._check_subject(entity, key, {**(before or {}), **(after or {})})
        if self._faults:
            places = "1 place" if len(self._faults) == 1 else f"{len(self._faults)} places"
            raise InvalidChangeError(f"The change is wrong in {places}.", self._faults[:_FAULTS_MAX])
        return Change(
            client_id=client_id,
            application_id=application_id,
            entity=entity,
            operation=operation,  # type: ignore[arg-type]  # checked above
            key=key or {},
            before=before,
            after=after,
            at_ms=at_ms,
            idempotency_key=key_id,
        )

    def _fault(self, pointer: str, message: str) -> None:
        self._faults.append(Fault(pointer, message))

    def _int32(self, name: str, *, required: bool = False) -> int | None:
        value = self._data.get(name)
        if value is None and not required:
            return None
        if type(value) is not int or not INT32_MIN <= value <= INT32_MAX:
            self._fault(
                f"/{name}", "is required: a whole number" if value is None else "must be a whole number (int32)"
            )
            return None
        return value

    def _entity(self) -> str | None:
        value = self._data.get("entity")
        if not isinstance(value, str) or not value:
            self._fault("/entity", "is required: the name of the data table, such as tClientCustomer")
            return None
        if value in ENTITIES:
            return value
        near = nearest_name(value, ENTITIES)
        if near is not None or len(value) > 100 or _TABLE_NAME.fullmatch(value) is None:
            hint = f"did you mean {near}?" if near else "write it like tClientCustomer"
            self._fault("/entity", f"is no known data table; {hint}")
            return None
        return value

    def _key(self) -> Values | None:
        value = self._data.get("key")
        if not isinstance(value, dict) or not 1 <= len(value) <= _KEY_NAMES_MAX:
            self._fault("/key", f'must be an object with 1 to {_KEY_NAMES_MAX} names, such as {{"CustomerId": 12}}')
            return None
        lists = 0
        for name, part in value.items():
            pointer = child("/key", name)
            if isinstance(part, list):
                lists += 1
                if name != "PartNo" or not 1 <= len(part) <= PARTS_MAX or not all(map(_is_scalar, part)):
                    self._fault(pointer, f"only PartNo may be a list, of 1 to {PARTS_MAX} part numbers")
            elif not _is_scalar(part):
                self._fault(pointer, "must be a text or a number")
        return value

    def _values(self, name: str) -> Values | None:
        value = self._data.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or len(value) > NAMES_MAX:
            self._fault(f"/{name}", f"must be an object with at most {NAMES_MAX} values by field name")
            return None
        return value

    def _at(self) -> int | None:
        value = self._data.get("at")
        if value is None:
            return None
        try:
            return parse_rfc3339(value)
        except (ValueError, TypeError, OverflowError):
            self._fault("/at", "must be a time such as 2026-01-31T12:00:00Z")
            return None

    def _id(self) -> str | None:
        value = self._data.get("id")
        if value is None:
            return None
        try:
            return check_idempotency_key(value if isinstance(value, str) else "")
        except RejectedError:
            self._fault("/id", "must be a text of 1 to 256 printable characters")
            return None

    def _check_subject(self, entity: str, key: Values, values: Values) -> None:
        """Check that the change names the subject of at least one notification of its entity."""
        sources = sources_of(entity)
        if not any(_names_subject(source, key, values) for source in sources):
            wanted = " or ".join(dict.fromkeys(" and ".join(source.key) for source in sources))
            self._fault("/key", f"a change of {entity} needs {wanted}")


def _names_subject(source: NotificationSource, key: Values, values: Values) -> bool:
    return all(key.get(name) is not None or values.get(name) is not None for name in source.key)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
