"""C#: a class for each event type; integers of 64 bits are long, absent values are null."""

from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.codegen.fields import Field, fields_of, identifiers, line_comments, quoted, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EventType

_TYPES: Final = {
    "int32": "int", "int64": "long", "double": "double", "string": "string", "boolean": "bool",
    "object": "JsonElement", "array": "JsonElement", "any": "JsonElement",
}  # fmt: skip
_DEFAULTS: Final = {"string": ' = "";'}  # of properties that are always there
_KEYWORDS: Final = frozenset({
    "abstract", "as", "base", "bool", "break", "byte", "case", "catch", "char", "checked", "class", "const",
    "continue", "decimal", "default", "delegate", "do", "double", "else", "enum", "event", "explicit", "extern",
    "false", "finally", "fixed", "float", "for", "foreach", "goto", "if", "implicit", "in", "int", "interface",
    "internal", "is", "lock", "long", "namespace", "new", "null", "object", "operator", "out", "override",
    "params", "private", "protected", "public", "readonly", "ref", "return", "sbyte", "sealed", "short",
    "sizeof", "stackalloc", "static", "string", "struct", "switch", "this", "throw", "true", "try", "typeof",
    "uint", "ulong", "unchecked", "unsafe", "ushort", "using", "virtual", "void", "volatile", "while", "Equals",
    "Finalize", "GetHashCode", "GetType", "MemberwiseClone", "ReferenceEquals", "ToString",
})  # fmt: skip


def models(types: Iterable[EventType]) -> str:
    """Return the file with a class for each event type."""
    listed = list(types)
    names = type_names(listed)
    classes = "\n".join(line for each in listed for line in _class(names[each.name], each))
    cases = "\n".join(f'        "{each.name}" => Read<{names[each.name]}>(body),' for each in listed)
    return template("csharp/Events.cs", CLASSES=classes, CASES=cases)


def _class(name: str, event_type: EventType) -> Iterator[str]:
    fields = fields_of(event_type)
    # A member must not have the name of its class.
    attributes = identifiers((each.name for each in fields), _KEYWORDS | {name})
    yield from line_comments(event_type.description, "")
    yield f"public sealed class {name}\n{{"
    for field in fields:
        yield from line_comments(field.description, "    ")
        default = "" if field.is_nullable else _DEFAULTS.get(field.kind, "")
        yield f"    [JsonPropertyName({quoted(field.name)})]"
        yield f"    public {_type(field)} {attributes[field.name]} {{ get; init; }}{default}"
    yield "}\n"


def _type(field: Field) -> str:
    return f"{_TYPES[field.kind]}{'?' if field.is_nullable else ''}"
