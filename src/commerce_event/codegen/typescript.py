"""TypeScript: an interface for each event type, and a reader that keeps int64 exact as bigint."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.codegen.fields import Field, comment_lines, fields_of, quoted, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EventType

_TYPES: Final = {
    "int32": "number", "int64": "bigint", "double": "number", "string": "string", "boolean": "boolean",
    "object": "Record<string, unknown>", "array": "unknown[]", "any": "unknown",
}  # fmt: skip
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def models(types: Iterable[EventType]) -> str:
    """Return the module with an interface for each event type."""
    listed = list(types)
    names = type_names(listed)
    interfaces = "\n".join(line for each in listed for line in _interface(names[each.name], each))
    union = "\n".join(f'  | {{ type: "{each.name}"; data: {names[each.name]} }}' for each in listed)
    int64 = "\n".join(f'  ["{each.name}", [{_int64(each)}]],' for each in listed)
    return template("typescript/events.ts", INTERFACES=interfaces, UNION=union, INT64=int64)


def _interface(name: str, event_type: EventType) -> Iterator[str]:
    yield from _comment(event_type.description, "")
    yield f"export interface {name} {{"
    for field in fields_of(event_type):
        yield from _comment(field.description, "  ")
        key = field.name if _IDENTIFIER.fullmatch(field.name) else quoted(field.name)
        yield f"  {key}{'?' if field.is_nullable else ''}: {_type(field)}{' | null' if field.is_nullable else ''};"
    yield "}\n"


def _comment(text: str, indent: str) -> Iterator[str]:
    lines = comment_lines(text)
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}" for line in lines)
        yield f"{indent} */"


def _type(field: Field) -> str:
    kind = _TYPES[field.kind]
    if not field.values or kind == "bigint":
        return kind
    known = " | ".join(quoted(each) if isinstance(each, str) else str(each) for each in field.values)
    return f"{known} | ({kind} & {{}})"  # others are allowed, and editors still complete the known ones


def _int64(event_type: EventType) -> str:
    return ", ".join(quoted(each.name) for each in fields_of(event_type) if each.kind == "int64")
