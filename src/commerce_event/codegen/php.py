"""PHP: a class for each event type; integers are int, which has 64 bits, and absent values are null."""

from collections.abc import Iterable, Iterator
from typing import Final

from commerce_event.codegen.fields import Field, fields_of, identifiers, line_comments, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EventType

_TYPES: Final = {
    "int32": "int", "int64": "int", "double": "float", "string": "string", "boolean": "bool",
    "object": "array", "array": "array", "any": "mixed",
}  # fmt: skip


def models(types: Iterable[EventType]) -> str:
    """Return the file with a class for each event type."""
    listed = list(types)
    names = type_names(listed)
    classes = "\n".join(line for each in listed for line in _class(names[each.name], each))
    cases = "\n".join(f"        '{each.name}' => {names[each.name]}::from($data)," for each in listed)
    return template("php/events.php", CLASSES=classes, CASES=cases)


def _class(name: str, event_type: EventType) -> Iterator[str]:
    fields = fields_of(event_type)
    attributes = identifiers((each.name for each in fields), {"this"})
    yield from line_comments(event_type.description, "")
    yield f"final class {name}\n{{\n    public function __construct("
    for field in sorted(fields, key=lambda each: each.is_nullable):
        yield from line_comments(_description(field), "        ")
        default = " = null" if field.is_nullable else ""
        yield f"        public readonly {_type(field)} ${attributes[field.name]}{default},"
    yield "    ) {\n    }\n"
    yield "    public static function from(array $data): self\n    {\n        return new self("
    for field in fields:
        value = f"$data[{_quoted(field.name)}]"
        yield f"            {attributes[field.name]}: {value}{' ?? null' if field.is_nullable else ''},"
    yield "        );\n    }\n}\n"


def _description(field: Field) -> str:
    return f"{field.description} (64 bits)".strip() if field.kind == "int64" else field.description


def _type(field: Field) -> str:
    kind = _TYPES[field.kind]
    return f"?{kind}" if field.is_nullable and kind != "mixed" else kind


def _quoted(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{plain}'"
