"""Go: a struct for each event type; integers of 64 bits are int64, absent values are nil."""

from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.codegen.fields import Field, fields_of, identifiers, line_comments, quoted, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EventType

_TYPES: Final = {
    "int32": "int32", "int64": "int64", "double": "float64", "string": "string", "boolean": "bool",
    "object": "json.RawMessage", "array": "json.RawMessage", "any": "json.RawMessage",
}  # fmt: skip


def models(types: Iterable[EventType]) -> str:
    """Return the file with a struct for each event type."""
    listed = list(types)
    names = type_names(listed)
    structs = "\n".join(line for each in listed for line in _struct(names[each.name], each))
    cases = "\n".join(f'\tcase "{each.name}":\n\t\treturn decode[{names[each.name]}](body)' for each in listed)
    return template("go/events.go", STRUCTS=structs, CASES=cases)


def _struct(name: str, event_type: EventType) -> Iterator[str]:
    yield from line_comments(event_type.description, "")
    yield f"type {name} struct {{"
    fields = fields_of(event_type)
    attributes = identifiers((each.name for each in fields), capital=True)
    section: list[tuple[str, str, str]] = []  # lines without a comment between them, which gofmt aligns
    for field in fields:
        comment = list(line_comments(field.description, "\t"))
        if comment:
            yield from _aligned(section)
            section = []
        yield from comment
        section.append((attributes[field.name], _type(field), _tag(field.name)))
    yield from _aligned(section)
    yield "}\n"


def _aligned(lines: list[tuple[str, str, str]]) -> Iterator[str]:
    name_width = max((len(name) for name, _, _ in lines), default=0)
    type_width = max((len(kind) for _, kind, _ in lines), default=0)
    yield from (f"\t{name:{name_width}} {kind:{type_width}} {tag}" for name, kind, tag in lines)


def _type(field: Field) -> str:
    kind = _TYPES[field.kind]
    return f"*{kind}" if field.is_nullable and kind != "json.RawMessage" else kind


def _tag(name: str) -> str:
    tag = f"json:{quoted(name, ascii_only=False)}"
    return quoted(tag, ascii_only=False) if "`" in tag else f"`{tag}`"
