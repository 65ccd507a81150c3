"""Python: the event classes of `commerce_event_sdk`, and a TypedDict for each own event type."""

from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.codegen.fields import Field, comment_lines, fields_of, quoted, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EventType

_TYPES: Final = {
    "int32": "int", "int64": "int", "double": "float", "string": "str", "boolean": "bool",
    "object": "dict[str, Any]", "array": "list[Any]", "any": "Any",
}  # fmt: skip


def models(types: Iterable[EventType]) -> str:
    """Return the module with all event types. Integers of Python have any size, so int64 is exact."""
    listed = list(types)
    own = [each for each in listed if each.is_own]
    names = type_names(own)
    imported = [f"    {each.name} as {each.name}," for each in listed if not each.is_own]
    lines = ["from typing import Any, NotRequired, TypedDict\n"] if own else []
    if imported:
        lines += ["from commerce_event_sdk import (", *imported, ")"]
    for each in own:
        lines += _typed_dict(names[each.name], each)
    return template("python/event_types.py", MODELS="\n".join(lines))


def _typed_dict(name: str, event_type: EventType) -> Iterator[str]:
    yield "\n"
    yield from (f"# {line}" for line in comment_lines(event_type.description))
    yield f"{name} = TypedDict(\n    {quoted(name)},\n    {{"
    for field in fields_of(event_type):
        yield from (f"        # {line}" for line in comment_lines(field.description))
        yield f"        {quoted(field.name)}: {_type(field)},"
    yield "    },\n)"


def _type(field: Field) -> str:
    kind = _TYPES[field.kind]
    if not field.is_nullable:
        return kind
    return f"NotRequired[{kind}]" if kind == "Any" else f"NotRequired[{kind} | None]"
