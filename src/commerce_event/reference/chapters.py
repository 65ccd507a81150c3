"""From the OpenAPI document to what the page shows."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES, EventType
from commerce_event.reference.answers import ANSWERS_BY_STATUS
from commerce_event.reference.examples import body_example, curl, example_of, named_example
from commerce_event.reference.model import Answer, Body, Chapters, Event, Model, Operation, Property, Tag
from commerce_event.reference.properties import Schema, Schemas, items_of, link_of, properties_of, property_of
from commerce_event.web.highlight import json_text

Document = Mapping[str, Any]

_METHODS: Final = ("get", "post", "patch", "delete")
_PLACES: Final = ("path", "query", "header")
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


def chapters(document: Document, roles: Mapping[str, str]) -> Chapters:
    """Return what the page shows of a document. ``roles`` says by operationId what a call's key must be allowed."""
    info = document["info"]
    schemas: Schemas = document["components"]["schemas"]
    by_category = {name: [each for each in EVENT_TYPES.values() if each.category == name] for name in CATEGORIES}
    return Chapters(
        title=info["title"],
        version=info["version"],
        description=info["description"],
        servers=tuple((server["url"], server.get("description", "")) for server in document["servers"]),
        groups=tuple((name, tuple(_event(document, each) for each in types)) for name, types in by_category.items()),
        tags=tuple(_tags(document, roles)),
        models=tuple(_model(name, schema, schemas) for name, schema in schemas.items()),
    )


def _event(document: Document, event_type: EventType) -> Event:
    operation = document["webhooks"][event_type.name]["post"]
    schemas = document["components"]["schemas"]
    return Event(
        name=event_type.name,
        kind=event_type.kind,
        description=operation["description"],
        order_keys=event_type.key.names,
        headers=tuple(_parameter(each, schemas) for each in operation["parameters"]),
        properties=tuple(properties_of(schemas[event_type.name], schemas)),
        example=json_text(operation["requestBody"]["content"][_JSON]["example"]),
        answers=tuple(_answers(document, operation)),
    )


def _tags(document: Document, roles: Mapping[str, str]) -> Iterator[Tag]:
    """Yield the tags of calls, in the document's order."""
    described = {tag["name"]: tag["description"] for tag in document["tags"] if tag["name"] not in CATEGORIES}
    calls: dict[str, list[Operation]] = {name: [] for name in described}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                raw = methods[method]
                calls[raw["tags"][0]].append(_operation(document, method, path, raw, roles))
    for name, operations in calls.items():
        yield Tag(name, described[name], tuple(operations))


def _operation(
    document: Document, method: str, path: str, raw: Mapping[str, Any], roles: Mapping[str, str]
) -> Operation:
    name = raw["operationId"]
    schemas = document["components"]["schemas"]
    content = raw.get("requestBody", {}).get("content", {})
    answers = list(_answers(document, raw))
    problems = {status for status, each in raw["responses"].items() if _PROBLEM in _response(document, each)["content"]}
    schema = content.get(_JSON, {}).get("schema")
    example = None if schema is None else body_example(name, schema, schemas)
    takes_key = bool(raw.get("security"))
    return Operation(
        id=name,
        method=method.upper(),
        path=path,
        summary=raw["summary"],
        description=raw.get("description", ""),
        role=roles.get(name, "") if takes_key else "",
        parameters=tuple(_parameters(raw.get("parameters", ()), schemas)),
        body=None if schema is None else _body(schema, raw["requestBody"], schemas),
        answers=tuple(each for each in answers if each.status not in problems),
        problems=tuple(each for each in answers if each.status in problems),
        curl=curl(method, path, example, takes_key=takes_key),
    )


def _body(schema: Schema, raw: Mapping[str, Any], schemas: Schemas) -> Body:
    made = schemas[link_of(schema)] if "$ref" in schema else (items_of(schema) or schema)
    return Body(
        link=link_of(schema),
        required=raw.get("required", False),
        is_list=schema.get("type") == "array",
        properties=tuple(properties_of(made, schemas)),
        choices=tuple(link_of(each) for each in schema.get("anyOf", ())),
        media_types=tuple(raw["content"]),
    )


def _parameters(raw: Any, schemas: Schemas) -> Iterator[tuple[str, tuple[Property, ...]]]:
    for place in _PLACES:
        found = tuple(_parameter(each, schemas) for each in raw if each["in"] == place)
        if found:
            yield place, found


def _parameter(raw: Mapping[str, Any], schemas: Schemas) -> Property:
    described = {**raw["schema"], "description": raw.get("description") or raw["schema"].get("description", "")}
    return property_of(raw["name"], described, schemas, required=raw.get("required", False))


def _answers(document: Document, operation: Mapping[str, Any]) -> Iterator[Answer]:
    schemas = document["components"]["schemas"]
    for status, raw in operation["responses"].items():
        response = _response(document, raw)
        schema = response["content"].get(_JSON, {}).get("schema", {})
        named: Schema = next((each for each in (schema, *schema.get("anyOf", ())) if "$ref" in each), {})
        example = ANSWERS_BY_STATUS.get((link_of(named), status)) or (example_of(named, schemas) if named else None)
        problem = response["content"].get(_PROBLEM, {}).get("schema", {})
        yield Answer(status, response["description"], link_of(named or problem), json_text(example) if example else "")


def _response(document: Document, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    shared = document["components"]["responses"]
    response = shared[raw["$ref"].rpartition("/")[2]] if "$ref" in raw else raw
    return {"content": {}, **response}


def _model(name: str, schema: Schema, schemas: Schemas) -> Model:
    return Model(
        name=name,
        description=schema.get("description", ""),
        properties=tuple(properties_of(schema, schemas, depth=0)),
        example=json_text(named_example(name, schemas)),
    )
