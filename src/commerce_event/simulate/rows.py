"""The rows of the shop's data tables, and what changes in them, in the form of `POST /v1/changes`."""

from typing import Any, Final

import msgspec

Data = dict[str, Any]

# Tables whose changes come without the values before them, as from a database that does not log these.
WITHOUT_BEFORE: Final = frozenset({"tClientProductSkuOnHand", "tClientProductSkuPriceList"})


class SimulatedChange(msgspec.Struct, frozen=True):
    """A change of a row. ``body`` is what `POST /v1/changes` takes; ``at_s`` is seconds since the shop opened."""

    body: Data
    at_s: float


class Rows:
    """The rows of one client by table and key. Every change has an ``id``, so sending it again is safe."""

    def __init__(self, client_id: int, id_prefix: str) -> None:
        self._client_id = client_id
        self._id_prefix = id_prefix
        self._rows: dict[tuple[str, str], Data] = {}
        self._changes = 0
        self.made: list[Data] = []  # bodies of changes that were not taken yet

    def put(self, entity: str, key: Data, **values: Any) -> None:
        """Add a row that exists since before the shop opened: no change."""
        self._rows[_row_id(entity, key)] = values

    def of(self, entity: str, key: Data) -> Data:
        """Return the values of an existing row."""
        return self._rows[_row_id(entity, key)]

    def insert(self, entity: str, key: Data, **values: Any) -> None:
        self.put(entity, key, **values)
        self._change(entity, "insert", key, None, values)

    def update(self, entity: str, key: Data, **values: Any) -> None:
        """Set values of an existing row. A value that stays as it is makes a change too, as in a database."""
        row_id = _row_id(entity, key)
        before = self._rows[row_id]
        self._rows[row_id] = {**before, **values}
        self._change(entity, "update", key, before, self._rows[row_id])

    def delete(self, entity: str, key: Data) -> None:
        before = self._rows.pop(_row_id(entity, key))
        self._change(entity, "delete", key, before, None)

    def _change(self, entity: str, operation: str, key: Data, before: Data | None, after: Data | None) -> None:
        self._changes += 1
        body: Data = {
            "id": f"{self._id_prefix}-change-{self._changes}",
            "client_id": self._client_id,
            "entity": entity,
            "operation": operation,
            "key": key,
        }
        if before is not None and entity not in WITHOUT_BEFORE:
            body["before"] = before
        if after is not None:
            body["after"] = after
        self.made.append(body)


def _row_id(entity: str, key: Data) -> tuple[str, str]:
    return entity, msgspec.json.encode(key, order="deterministic").decode()
