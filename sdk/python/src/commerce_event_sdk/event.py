"""What every event class has, and the errors of a body that breaks the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Annotated, Any, ClassVar

from typing import TypeAlias  # isort: skip

Int32: TypeAlias = Annotated[int, "int32"]
Int64: TypeAlias = Annotated[int, "int64"]
Double: TypeAlias = Annotated[float, "double"]


class Category(str, Enum):
    """The groups of event types."""

    CUSTOMER = "Customer"
    ORDER = "Order"
    SYSTEM = "System"
    PRODUCT = "Product"
    SUPPLIER = "Supplier"


@dataclass(frozen=True, kw_only=True)
class CommerceEvent:
    """An event of the contract. Its attributes have the names of the properties on the wire.

    ``extra`` has the properties that the class does not know.
    """

    event_type: ClassVar[str]
    category: ClassVar[Category]
    key_prefix: ClassVar[str]
    key_properties: ClassVar[Sequence[str]]

    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def business_key(self) -> str | None:
        """What the event is about, such as ``order:884211``; events with the same key belong in order."""
        for name in self.key_properties:
            value = getattr(self, name)
            if value is not None:
                return f"{self.key_prefix}:{value}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as it looks on the wire, without absent properties."""
        known = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "extra"}
        return {**{name: value for name, value in known.items() if value is not None}, **self.extra}

    def to_json(self) -> bytes:
        """Return the event as UTF-8 JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class UnknownEvent:
    """An event of a type that this version of the SDK has no class for."""

    event_type: str
    data: Mapping[str, Any] = field(hash=False)

    @property
    def business_key(self) -> str | None:
        """Always None: what the event is about is not known."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as it looks on the wire."""
        return dict(self.data)


class InvalidEventError(ValueError):
    """A body is not JSON or breaks the contract. ``errors`` are (JSON pointer, message) pairs."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or 'the body'} {message}" for pointer, message in errors))
        self.errors = tuple(errors)
