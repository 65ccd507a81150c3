"""The generated models against the catalogue: each property of each type, with its type, in every language."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest
from receiver_programs import HOSTILE, event_types

from commerce_event.codegen.fields import comment_lines, fields_of, identifiers, type_names
from commerce_event.codegen.languages import BY_NAME, LANGUAGES
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.contract.own_types import own_type

# How a property is written, and the types of int32, int64, double and string there: always present, and absent or null.
PATTERNS: Final = {
    "typescript": (r"export interface (\w+) \{\n(.*?)\n\}", r"^  (?P<name>\w+)\??: (?P<type>.+);$"),
    "csharp": (
        r"public sealed class (\w+)\n\{\n(.*?)\n\}",
        r"^    public (?P<type>\S+) (?P<name>\w+) \{ get; init; \}",
    ),
    "java": (r"public record (\w+)\(\n(.*?)\) \{\}", r"^        @JsonProperty.* (?P<type>\w+) (?P<name>\w+)"),
    "go": (r"type (\w+) struct \{\n(.*?)\n\}", r'^\t\w+ (?P<type>\S+) `json:"(?P<name>\w+)"`'),
    "php": (r"final class (\w+)\n\{\n(.*?)\n    \) \{", r"^        public readonly (?P<type>\S+) \$(?P<name>\w+)"),
}
TYPES: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "typescript": {
        "int32": ("number", "number | null"), "int64": ("bigint", "bigint | null"),
        "double": ("number", "number | null"), "string": ("string", "string | null"),
    },
    "csharp": {
        "int32": ("int", "int?"), "int64": ("long", "long?"), "double": ("double", "double?"),
        "string": ("string", "string?"),
    },
    "java": {
        "int32": ("int", "Integer"), "int64": ("long", "Long"), "double": ("double", "Double"),
        "string": ("String", "String"),
    },
    "go": {
        "int32": ("int32", "*int32"), "int64": ("int64", "*int64"), "double": ("float64", "*float64"),
        "string": ("string", "*string"),
    },
    "php": {
        "int32": ("int", "?int"), "int64": ("int", "?int"), "double": ("float", "?float"),
        "string": ("string", "?string"),
    },
}  # fmt: skip


def found_models(language: str, text: str) -> dict[str, dict[str, str]]:
    """Return the types of the properties of each class."""
    of_class, of_property = PATTERNS[language]
    return {
        name: {each["name"]: each["type"] for each in re.finditer(of_property, inside, re.MULTILINE)}
        for name, inside in re.findall(of_class, text, re.DOTALL)
    }


@pytest.mark.parametrize("language", PATTERNS)
def test_models_have_every_property_of_the_catalogue_with_its_type(language: str) -> None:
    text = BY_NAME[language].model_file([*EVENT_TYPES.values()]).text
    wanted: dict[str, dict[str, Any]] = {
        name: {each.name: TYPES[language][each.format][not each.required] for each in event_type.fields}
        for name, event_type in EVENT_TYPES.items()
    }
    if language == "typescript":  # a closed list of values is a union that is open for others
        for name, event_type in EVENT_TYPES.items():
            for each in event_type.fields:
                if each.values:
                    known = " | ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in each.values)
                    wanted[name][each.name] = f"{known} | ({wanted[name][each.name]} & {{}})"

    assert found_models(language, text) == wanted


def test_models_mark_int64() -> None:
    types = [EVENT_TYPES["OrderConfirmedEvent"], EVENT_TYPES["JobCompletedEvent"]]

    assert '  ["OrderConfirmedEvent", ["OrderId"]],\n  ["JobCompletedEvent", []],' in (
        BY_NAME["typescript"].model_file(types).text
    )
    assert BY_NAME["php"].model_file(types).text.count("(64 bits)") == 1


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_models_describe_every_property(language: Any) -> None:
    if language.name == "python":
        return  # the classes are those of the SDK
    plain = " ".join(
        re.sub(r"^\s*(?://|/?\*+/?)", "", language.model_file([*EVENT_TYPES.values()]).text, flags=re.MULTILINE).split()
    )
    for event_type in EVENT_TYPES.values():
        assert event_type.description in plain
        for field in fields_of(event_type):
            assert field.description in plain


def test_python_event_types_are_the_classes_of_the_sdk_and_typed_dicts() -> None:
    import commerce_event_sdk

    module: dict[str, Any] = {}
    exec(BY_NAME["python"].model_file(event_types()).text, module)

    for name in EVENT_TYPES:
        assert module[name] is getattr(commerce_event_sdk, name)
    made = module["String_"]
    assert set(made.__annotations__) == {"ClientId", "ApplicationId", *HOSTILE["schema"]["properties"]}
    assert {"class", "String", "order_id", "Free", "ClientId"} >= made.__required_keys__ >= {"class", "String"}


def test_fields_of_an_own_type_follow_its_schema() -> None:
    fields = {each.name: (each.kind, each.is_nullable) for each in fields_of(own_type(**HOSTILE))}

    assert fields == {
        "ClientId": ("int32", False), "ApplicationId": ("int32", True), "class": ("string", False),
        "String": ("int64", False), "order-id": ("int64", True), "order_id": ("int64", True),
        "7 días`\"'\\": ("any", True), "Rate": ("double", True), "Done": ("boolean", True), "Lines": ("array", True),
        "Detail": ("object", True), "Free": ("any", True),
    }  # fmt: skip


def test_identifiers_are_unique_and_not_reserved() -> None:
    assert identifiers(["a-b", "a_b", "class", "7x", "_y", "ok"], {"class"}) == {
        "a-b": "a_b", "a_b": "a_b_", "class": "class_", "7x": "P7x", "_y": "P_y", "ok": "ok",
    }  # fmt: skip
    assert identifiers(["order", "Order"], capital=True) == {"order": "Order", "Order": "Order_"}


def test_type_names_differ_without_case() -> None:
    own = [own_type(**{**HOSTILE, "name": name}) for name in ("Map", "Export", "EXPORT")]

    assert type_names(own) == {"Map": "Map_", "Export": "Export", "EXPORT": "EXPORT_"}


@pytest.mark.parametrize("text", ["a */ b", "a ?> b", "a \u2028 b", "a \n b", "\\u002a/", "a\x00b\x85c"])
def test_comment_lines_never_end_a_comment(text: str) -> None:
    (line,) = comment_lines(text)

    assert "*/" not in line
    assert "?>" not in line
    assert line.isprintable()
    assert not re.search(r"(?<!\\)(?:\\\\)*\\u", line), "Java reads \\u everywhere"


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
@pytest.mark.parametrize("name", ["JobCompletedEvent", "SkuChangedNotification", "String"])
def test_handler_without_the_order_type_uses_the_first_type(language: Any, name: str) -> None:
    (chosen,) = [each for each in event_types() if each.name == name]
    handler = language.files([chosen])[0].text

    assert "OrderConfirmedEvent" not in handler
    assert "OrderId" not in handler
    column = {
        "JobCompletedEvent": "job_id INTEGER",
        "SkuChangedNotification": "part_no TEXT",
        "String": "string INTEGER",
    }
    assert column[name] in handler
