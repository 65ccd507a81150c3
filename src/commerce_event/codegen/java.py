"""Java: a record for each event type; integers of 64 bits are long, absent values are null."""

from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.codegen.fields import Field, fields_of, identifiers, line_comments, quoted, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EventType

# A primitive for what is always there, and the class for what may be null.
_TYPES: Final = {
    "int32": ("int", "Integer"), "int64": ("long", "Long"), "double": ("double", "Double"),
    "boolean": ("boolean", "Boolean"), "string": ("String", "String"),
    "object": ("JsonNode", "JsonNode"), "array": ("JsonNode", "JsonNode"), "any": ("JsonNode", "JsonNode"),
}  # fmt: skip
_KEYWORDS: Final = frozenset({
    "abstract", "assert", "boolean", "break", "byte", "case", "catch", "char", "class", "const", "continue",
    "default", "do", "double", "else", "enum", "extends", "false", "final", "finally", "float", "for", "goto",
    "if", "implements", "import", "instanceof", "int", "interface", "long", "native", "new", "null", "package",
    "private", "protected", "public", "return", "short", "static", "strictfp", "super", "switch",
    "synchronized", "this", "throw", "throws", "transient", "true", "try", "void", "volatile", "while", "clone",
    "finalize", "getClass", "hashCode", "notify", "notifyAll", "toString", "wait",
})  # fmt: skip


def models(types: Iterable[EventType]) -> str:
    """Return the file with a record for each event type."""
    listed = list(types)
    names = type_names(listed)
    records = "\n".join(line for each in listed for line in _record(names[each.name], each))
    cases = "\n".join(f'            case "{each.name}" -> {names[each.name]}.class;' for each in listed)
    return template("java/src/main/java/Events.java", RECORDS=records, CASES=cases)


def _record(name: str, event_type: EventType) -> Iterator[str]:
    fields = fields_of(event_type)
    components = identifiers((each.name for each in fields), _KEYWORDS)
    yield from line_comments(event_type.description, "    ")
    yield f"    public record {name}("
    for field in fields:
        yield from line_comments(field.description, "        ")
        end = "," if field is not fields[-1] else ") {}"
        yield f"        @JsonProperty({quoted(field.name)}) {_type(field)} {components[field.name]}{end}"
    yield ""


def _type(field: Field) -> str:
    return _TYPES[field.kind][field.is_nullable]
