"""Python: the event classes of `commerce_event_sdk.models`, and pydantic models with the same names."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.contract.catalogue import EventType
from commerce_event.contract.schema import Property

_TYPES: Final = {"int32": "Int32", "int64": "Int64", "double": "Double", "string": "str"}
_HEAD: Final = '''"""The event types of the contract. This file is generated: change the contract instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from commerce_event_sdk.event import Category, CommerceEvent, Double, Int32, Int64
'''


_PYDANTIC_HEAD: Final = '''"""The event types of the contract as pydantic models. Generated from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from commerce_event_sdk.event import Category

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Double = Annotated[float, Field(allow_inf_nan=False)]


class CommerceEvent(BaseModel):
    """An event of the contract. Properties that the class does not know are kept in ``model_extra``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", use_attribute_docstrings=True)

    event_type: ClassVar[str]
    category: ClassVar[Category]
    key_prefix: ClassVar[str]
    key_properties: ClassVar[tuple[str, ...]]

    @property
    def business_key(self) -> str | None:
        """What the event is about, such as ``order:884211``; events with the same key belong in order."""
        values = (getattr(self, name) for name in self.key_properties)
        return next((f"{self.key_prefix}:{value}" for value in values if value is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as it looks on the wire, without absent properties."""
        return self.model_dump(exclude_none=True)

    def to_json(self) -> bytes:
        """Return the event as UTF-8 JSON, without absent properties."""
        return self.model_dump_json(exclude_none=True).encode()
'''


def models(types: Iterable[EventType]) -> str:
    """Return the module with a dataclass for each event type of the contract."""
    return _module(_HEAD, "@dataclass(frozen=True, kw_only=True)\n", list(types))


def pydantic_models(types: Iterable[EventType]) -> str:
    """Return the module with a pydantic model for each event type of the contract."""
    return _module(_PYDANTIC_HEAD, "", list(types))


def _module(head: str, decorator: str, types: list[EventType]) -> str:
    classes = "".join(f"\n\n{decorator}{_class(each)}" for each in types)
    by_name = "".join(f'        "{each.name}": {each.name},\n' for each in types)
    table = f"MODELS: Mapping[str, type[CommerceEvent]] = MappingProxyType(\n    {{\n{by_name}    }}\n)\n"
    return f"{head}{classes}\n\n{table}"


def _class(event_type: EventType) -> str:
    lines = [
        f"class {event_type.name}(CommerceEvent):",
        *_docstring(event_type.description),
        "",
        f'    event_type: ClassVar[str] = "{event_type.name}"',
        f"    category: ClassVar[Category] = Category.{event_type.category.upper()}",
        f'    key_prefix: ClassVar[str] = "{event_type.key.prefix}"',
        f"    key_properties: ClassVar[tuple[str, ...]] = ({_listed(event_type.key.names)})",
        "",
    ]
    for each in event_type.fields:
        lines += [f"    {_attribute(each)}", *_docstring(_meaning(each))]
    return "\n".join(lines) + "\n"


def _listed(names: Iterable[str]) -> str:
    """Return the items of a tuple; one alone needs a comma."""
    items = [f'"{name}"' for name in names]
    return ", ".join(items) + ("," if len(items) == 1 else "")


def _attribute(field: Property) -> str:
    kind = _TYPES[field.format]
    return f"{field.name}: {kind}" if field.required else f"{field.name}: {kind} | None = None"


def _meaning(field: Property) -> str:
    known = [str(value) for value in field.values or field.known_values]
    if not known or field.format == "int32":  # the description of a number says what its values mean
        return field.description
    return f"{field.description} Known values: {', '.join(known)}."


def _docstring(text: str) -> Iterator[str]:
    one_line = f'    """{text}"""'
    if len(one_line) <= 120:
        yield one_line
        return
    first, *rest = textwrap.wrap(text, 113)
    yield f'    """{first}'
    yield from textwrap.wrap(" ".join(rest), 116, initial_indent="    ", subsequent_indent="    ")
    yield '    """'
