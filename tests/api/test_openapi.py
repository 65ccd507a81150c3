"""The OpenAPI document that is served: valid, complete, and the one the command prints."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from api_server import Api, expect
from openapi_spec_validator import OpenAPIV31SpecValidator

from commerce_event.api.field_descriptions import DESCRIPTIONS, EXCEPTIONS
from commerce_event.api.openapi import OPERATIONS, document
from commerce_event.cli.reference import openapi
from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES

CALLS = [
    (method, path, call)
    for path, methods in document()["paths"].items()
    for method, call in methods.items()
]  # fmt: skip
NAMES = [call["operationId"] for _, _, call in CALLS]


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(document()))).validate()


async def test_what_is_served_is_what_the_command_prints(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = await api.caller(None)
    served = expect(await stranger.get("/openapi.json"), 200)
    as_yaml = await stranger.get("/openapi.yaml")
    openapi()
    assert json.loads(capsys.readouterr().out) == served
    openapi(as_yaml=True)
    assert capsys.readouterr().out == as_yaml.text
    assert yaml.safe_load(as_yaml.text) == served


def test_every_event_has_a_component_of_its_own_name_and_a_webhook() -> None:
    assert set(EVENT_TYPES) <= set(document()["components"]["schemas"])
    assert list(document()["webhooks"]) == list(EVENT_TYPES)


def test_webhooks_are_sorted_into_the_five_categories() -> None:
    tags = {tag for item in document()["webhooks"].values() for tag in item["post"]["tags"]}
    assert tags == set(CATEGORIES)
    assert len(CATEGORIES) == 5


def test_every_tag_is_described() -> None:
    used = {tag for _, _, call in CALLS for tag in call["tags"]}
    assert used | set(CATEGORIES) == {tag["name"] for tag in document()["tags"]}


@pytest.mark.parametrize(("method", "path", "call"), CALLS, ids=NAMES)
def test_every_call_says_what_it_does_with_what_and_what_it_answers(
    method: str, path: str, call: dict[str, Any]
) -> None:
    assert call["summary"]
    assert call["description"]
    assert not [each["name"] for each in call.get("parameters", []) if not each.get("description")], (method, path)
    answers = {status: answer for status, answer in call["responses"].items() if "$ref" not in answer}
    assert not [status for status, answer in answers.items() if len(answer["description"]) < len("Durable")]


@pytest.mark.parametrize("name", document()["components"]["schemas"])
def test_every_schema_says_what_it_and_its_properties_mean(name: str) -> None:
    schema = document()["components"]["schemas"][name]
    assert schema["description"]
    assert not [each for each, about in schema["properties"].items() if not about.get("description")]


def test_every_meaning_that_is_written_down_is_used() -> None:
    """Names that are no more are struck from the glossary."""
    text = json.dumps(document(), ensure_ascii=False)
    assert not [
        each
        for each in (*DESCRIPTIONS.values(), *EXCEPTIONS.values())
        if json.dumps(each, ensure_ascii=False) not in text
    ]


def test_lists_are_named_after_what_they_list() -> None:
    names = set(document()["components"]["schemas"])
    assert {"EventList", "DeliveryList", "EndpointList", "ReplayList", "KeyList", "EventTypeList"} <= names
    assert not [name for name in names if "_" in name]


def test_every_call_of_the_registry_is_described_once() -> None:
    described = [(method.upper(), path) for method, path, _ in CALLS]
    assert len(NAMES) == len(set(NAMES))
    for operation in OPERATIONS:
        assert (operation.method, operation.path) in described


@pytest.mark.parametrize(("method", "path", "call"), CALLS, ids=NAMES)
def test_every_call_declares_what_may_go_wrong(method: str, path: str, call: dict[str, Any]) -> None:
    statuses = set(call["responses"])
    if not call["security"]:
        return
    assert {"401", "403", "500"} <= statuses
    if "{" in path:
        assert "404" in statuses
    if "requestBody" in call:
        assert {"400", "413", "415", "422"} <= statuses
    if method != "get" and call["operationId"] != "testEndpoint":
        assert "503" in statuses


def test_every_call_that_reads_the_store_may_say_that_it_is_not_there() -> None:
    silent = {"listEventTypes", "getEventType", "listEndpoints", "getEndpoint", "listKeys", "testEndpoint"}
    for _, path, call in CALLS:
        if path.startswith("/v1/") and call["operationId"] not in silent:
            assert "503" in call["responses"], call["operationId"]


def test_every_property_that_is_shown_is_described_by_the_one_document() -> None:
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(schemas)
    assert set(schemas) <= used | set(EVENT_TYPES)


def test_no_two_paths_differ_in_the_names_of_their_parameters_only() -> None:
    templates = [re.sub(r"\{[^}]*\}", "{}", path) for path in document()["paths"]]
    assert len(templates) == len(set(templates))


def test_path_parameters_are_those_of_the_path() -> None:
    for method, path, call in CALLS:
        named = {each["name"] for each in call.get("parameters", ()) if each["in"] == "path"}
        assert named == set(re.findall(r"\{([^}]*)\}", path)), (method, path)


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from schemas_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from schemas_in(each)


def test_arrays_are_described_without_tuples() -> None:
    for schema in schemas_in(document()):
        assert schema.get("items", {}) is not False
        assert "prefixItems" not in schema


def test_patterns_are_only_where_the_form_says_something() -> None:
    patterns = [schema["pattern"] for schema in schemas_in(document()) if isinstance(schema.get("pattern"), str)]
    assert set(patterns) == {"^[ -~]+$", "^t[A-Z][A-Za-z0-9]*$"}


def test_webhooks_need_no_key() -> None:
    assert [item["post"]["security"] for item in document()["webhooks"].values()] == [[]] * len(EVENT_TYPES)


def test_bodies_name_the_schemas_of_objects() -> None:
    """Generators make a class of each object, and its name of the operation: two without names would collide."""
    for method, path, call in CALLS:
        for media in call.get("requestBody", {}).get("content", {}).values():
            assert not [each for each in schemas_in(media["schema"]) if each.get("type") == "object"], (method, path)


def test_every_component_is_used() -> None:
    text = json.dumps(document())
    assert not [name for name in document()["components"]["responses"] if f'responses/{name}"' not in text]
