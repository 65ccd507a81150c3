"""The reference page shows the document: valid examples, every property, commands that can be pasted."""

import json
import shlex
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from commerce_event.api.openapi import OPERATIONS, document
from commerce_event.reference.examples import curl, example_of, named_example
from commerce_event.reference.from_openapi import reference_page
from commerce_event.reference.model import OperationDoc
from commerce_event.reference.properties import properties_of, property_of, type_text
from commerce_event.reference.response_examples import EXAMPLES

DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
PAGE = reference_page(DOCUMENT, {each.name: each.needs for each in OPERATIONS})
CALLS = {each.id: each for tag in PAGE.tags for each in tag.operations}


def faults(value: Any, schema: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def sent_by(call: OperationDoc) -> list[str]:
    return shlex.split(call.curl.replace("\\\n", " "))


@pytest.mark.parametrize("name", SCHEMAS)
def test_named_example_is_valid_for_its_schema(name: str) -> None:
    assert faults(named_example(name, SCHEMAS), {"$ref": f"#/components/schemas/{name}"}) == []


def test_examples_have_every_required_property() -> None:
    for name, example in EXAMPLES.items():
        missing = set(SCHEMAS[name].get("required", ())) - set(example)
        assert name in SCHEMAS
        assert not missing, name


@pytest.mark.parametrize(("path", "method"), [(p, m) for p, calls in DOCUMENT["paths"].items() for m in calls])
def test_curl_command_makes_the_request(path: str, method: str) -> None:
    raw = DOCUMENT["paths"][path][method]
    call = CALLS[raw["operationId"]]
    words = sent_by(call)

    address = next(word for word in words if word.startswith("$COMMERCE_EVENT_URL"))
    assert "{" not in address
    assert (f"-X {method.upper()}" in call.curl) is (method != "get")
    assert ("Authorization: Bearer $COMMERCE_EVENT_KEY" in words) is bool(raw["security"])
    if "requestBody" in raw:
        body = json.loads(words[words.index("-d") + 1])
        assert faults(body, raw["requestBody"]["content"]["application/json"]["schema"]) == []
    else:
        assert "-d" not in words


def test_operation_response_is_either_success_or_problem() -> None:
    for calls in DOCUMENT["paths"].values():
        for raw in calls.values():
            call = CALLS[raw["operationId"]]
            assert {each.status for each in call.responses} | {each.status for each in call.problems} == set(
                raw["responses"]
            )
            assert all(each.status >= "4" and each.link == "ProblemBody" for each in call.problems)
            assert all(each.status < "4" for each in call.responses)


def test_publish_responses_show_duplicate_and_new_event() -> None:
    shown = {each.status: json.loads(each.example) for each in CALLS["publishEvent"].responses}

    assert (shown["200"]["duplicate"], shown["202"]["duplicate"]) == (True, False)


def test_operation_names_the_role_that_it_needs() -> None:
    assert CALLS["createEndpoint"].role == "manage"
    assert CALLS["listEvents"].role == "read"
    assert CALLS["isAlive"].role == ""


def test_properties_of_body_include_those_of_its_objects() -> None:
    inner = {"type": "object", "properties": {"deep": {"type": "string", "maxLength": 1}}, "required": ["deep"]}
    schemas = {"Inner": inner}
    schema = {"properties": {"list": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}}}

    (shown,) = properties_of(schema, schemas)

    assert (shown.kind, shown.link, shown.required) == ("array of Inner", "Inner", False)
    assert [(each.name, each.required, each.limits) for each in shown.inside] == [("deep", True, "at most 1 character")]


def test_recursive_schema_has_properties_and_example() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    schemas = {"Node": node}

    assert list(properties_of(node, schemas))
    assert example_of({"$ref": "#/components/schemas/Node"}, schemas).keys() == {"next"}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "array", "items": {"type": "string"}}, "array of string"),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, "array of string"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        ({"enum": ["a"]}, "string"),
        ({}, "any"),
    ],
)
def test_type_text_of_schema(schema: dict[str, Any], kind: str) -> None:
    assert type_text(schema) == kind


@pytest.mark.parametrize(
    ("schema", "limits"),
    [
        (
            {"type": "integer", "minimum": 1, "maximum": 1000, "default": 32},
            "at least 1, at most 1,000, 32 by default",
        ),
        ({"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1, "format": "int32"}, ""),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "default": None}, "more than 0"),
        ({"type": "array", "items": {}, "minItems": 1}, "at least 1 item"),
        ({"type": "string", "default": ""}, ""),
        ({"type": "boolean", "default": False}, "false by default"),
    ],
)
def test_property_limits_leave_out_those_of_the_format(schema: dict[str, Any], limits: str) -> None:
    assert property_of("x", schema, {}, required=False).limits == limits


def test_property_values_are_closed_or_known() -> None:
    (event,) = (each for _, events in PAGE.groups for each in events if each.name == "SkuChangedNotification")
    changed = next(each for each in event.properties if each.name == "EntityChanged")
    (job,) = (each for _, events in PAGE.groups for each in events if each.name == "JobCompletedEvent")
    status = next(each for each in job.properties if each.name == "StatusId")

    assert "tCategory" in changed.known_values
    assert changed.values == ()
    assert status.values == ("1", "2", "3", "4", "5", "6")


def test_curl_quotes_in_body_survive_the_shell() -> None:
    line = curl("post", "/v1/x", {"name": "it's"}, needs_key=False)

    assert json.loads(shlex.split(line.replace("\\\n", " "))[-1]) == {"name": "it's"}
