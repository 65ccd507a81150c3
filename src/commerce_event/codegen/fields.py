"""The properties of event types as generators of other languages need them: kinds, names and comments."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec

from commerce_event.contract.catalogue import EventType
from commerce_event.contract.schema import Format, Property

_COMMENT_WIDTH: Final = 100
_NUMBERS: Final = frozenset({"integer", "number"})
# Names of types that mean something else in one of the languages, or in the files that are generated, in lower case.
_RESERVED: Final = frozenset({
    "abstract", "and", "any", "array", "as", "bigint", "bool", "boolean", "break", "callable", "case", "catch",
    "class", "clone", "const", "continue", "declare", "default", "deserializationfeature", "die", "do",
    "double", "echo", "else", "elseif", "empty", "enddeclare", "endfor", "endforeach", "endif", "endswitch",
    "endwhile", "enum", "eval", "events", "exception", "exit", "extends", "false", "final", "finally", "float",
    "fn", "for", "foreach", "function", "global", "goto", "handler", "if", "implements", "include",
    "instanceof", "insteadof", "int", "int32converter", "int64", "int64converter", "integer", "interface",
    "ioexception", "isset", "iterable", "json", "jsonconverter", "jsonelement", "jsonexception", "jsonmapper",
    "jsonnode", "jsonproperty", "jsonpropertyname", "jsonpropertynameattribute", "jsonserializer",
    "jsonserializeroptions", "knownevent", "list", "long", "map", "mark", "match", "math", "mixed", "namespace",
    "never", "new", "none", "notrequired", "null", "number", "object", "or", "override", "parent", "parse",
    "print", "private", "protected", "public", "readonly", "record", "require", "return", "self", "set",
    "static", "string", "switch", "syntaxerror", "system", "throw", "tokens", "trait", "true", "try", "type",
    "typeddict", "typeerror", "unset", "use", "utf8jsonreader", "utf8jsonwriter", "var", "void", "while", "xor",
    "yield",
})  # fmt: skip


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A property of an event type. ``values`` are those known today; receivers must expect others."""

    name: str
    kind: Format
    is_nullable: bool  # may be absent or null
    description: str
    values: tuple[str | int, ...]


def fields_of(event_type: EventType) -> list[Field]:
    """Return the properties of an event type, in wire order."""
    schemas: dict[str, Any] = (event_type.own_schema or {}).get("properties", {})
    return [_field(each, schemas.get(each.name)) for each in event_type.fields]


def _field(prop: Property, own_schema: Any) -> Field:
    kind, is_nullable = prop.format, not prop.required
    if isinstance(own_schema, dict):
        given = own_schema.get("type", [])
        kinds = set(given if isinstance(given, list) else [given])
        is_nullable = is_nullable or not kinds or "null" in kinds
        kinds.discard("null")
        if kinds == _NUMBERS:
            kind = "double"
        elif len(kinds) != 1:
            kind = "any"
    return Field(
        name=prop.name,
        kind=kind,
        is_nullable=is_nullable,
        description=_description(prop),
        values=prop.values if kind in {"string", "int32", "int64"} else (),
    )


def _description(prop: Property) -> str:
    values = prop.values or prop.known_values
    known = f"Known values: {', '.join(map(str, values))}." if values and prop.format != "int32" else ""
    return " ".join(f"{prop.description} {known}".split())  # one line, also for the text of an own type


def comment_lines(text: str, width: int = _COMMENT_WIDTH) -> list[str]:
    """Return a text as lines that end no comment early in any of the languages: no control characters, no escapes."""
    plain = "".join(each for each in " ".join(text.split()) if each.isprintable())
    for found, harmless in (("\\", "\\\\"), ("*/", "* /"), ("?>", "? >")):
        plain = plain.replace(found, harmless)
    lines: list[str] = []
    for word in plain.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [each for each in lines if each]


def line_comments(text: str, indent: str) -> Iterator[str]:
    """Yield a text as comments that begin with ``//``."""
    yield from (f"{indent}// {line}" for line in comment_lines(text))


def type_names(types: Iterable[EventType]) -> dict[str, str]:
    """Return the name of the class of each event type: its own, with an underscore where that is taken."""
    found: dict[str, str] = {}
    used = set(_RESERVED)  # without case, as PHP compares
    for each in types:
        name = each.name
        while name.lower() in used:
            name += "_"
        used.add(name.lower())
        found[each.name] = name
    return found


def identifiers(names: Iterable[str], reserved: Collection[str] = (), *, capital: bool = False) -> dict[str, str]:
    """Return a unique identifier for each name: the name itself where it is one and is not reserved."""
    found: dict[str, str] = {}
    used = set(reserved)
    for name in names:
        text = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if not re.match(r"[A-Za-z]", text):
            text = f"P{text}"
        if capital:
            text = text[0].upper() + text[1:]
        while text in used:
            text += "_"
        used.add(text)
        found[name] = text
    return found


def quoted(text: str, *, ascii_only: bool = True) -> str:
    """Return a string literal for languages whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=ascii_only)
