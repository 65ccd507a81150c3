"""Read the OpenAPI document into the content of the page."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from commerce_event.contract.catalogue import CONTRACT, Catalogue, EventType
from commerce_event.reference.examples import body_example, curl, example_of, named_example
from commerce_event.reference.model import (
    BodyDoc,
    EventDoc,
    OperationDoc,
    PropertyDoc,
    ReferencePage,
    ResponseDoc,
    SchemaDoc,
    TagDoc,
)
from commerce_event.reference.properties import Schema, Schemas, items_of, link_of, properties_of, property_of
from commerce_event.reference.response_examples import EXAMPLES_BY_STATUS
from commerce_event.web.highlight import json_text

Document = Mapping[str, Any]

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_LOCATIONS: Final = ("path", "query", "header")
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


def reference_page(document: Document, roles: Mapping[str, str], catalogue: Catalogue = CONTRACT) -> ReferencePage:
    """Return the content of the page. ``roles`` says by operationId which role an operation needs."""
    info = document["info"]
    components = document["components"]
    schemas: Schemas = {**components["schemas"], **{each.name: _plain_schema(each) for each in catalogue.own}}
    document = {**document, "components": {**components, "schemas": schemas}}
    return ReferencePage(
        title=info["title"],
        version=info["version"],
        description=info["description"],
        servers=tuple((server["url"], server.get("description", "")) for server in document["servers"]),
        groups=tuple(
            (name, tuple(_event(document, each) for each in types)) for name, types in catalogue.by_category()
        ),
        tags=tuple(_tags(document, roles, catalogue)),
        schemas=tuple(_schema(name, schema, schemas) for name, schema in schemas.items()),
    )


def _plain_schema(event_type: EventType) -> Schema:
    """Return what the page shows of the schema of an own event type, which may use any keyword."""
    return {
        "description": event_type.description,
        "type": "object",
        "properties": {
            field.name: {
                "type": field.json_type,
                "description": field.description,
                **({"enum": list(field.values)} if field.values else {}),
            }
            for field in event_type.fields
        },
        "required": [field.name for field in event_type.fields if field.required],
        "examples": [event_type.example],
    }


def _event(document: Document, event_type: EventType) -> EventDoc:
    operation = document["webhooks"][event_type.name]["post"]
    schemas = document["components"]["schemas"]
    return EventDoc(
        name=event_type.name,
        kind=event_type.kind,
        description=operation["description"],
        order_keys=event_type.key.names,
        headers=tuple(_parameter(each, schemas) for each in operation["parameters"]),
        properties=tuple(properties_of(schemas[event_type.name], schemas)),
        example=json_text(operation["requestBody"]["content"][_JSON]["example"]),
        responses=tuple(_responses(document, operation)),
    )


def _tags(document: Document, roles: Mapping[str, str], catalogue: Catalogue) -> Iterator[TagDoc]:
    """Yield the tags of operations, in the document's order."""
    described = {tag["name"]: tag["description"] for tag in document["tags"] if tag["name"] not in catalogue.categories}
    by_tag: dict[str, list[OperationDoc]] = {name: [] for name in described}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                raw = methods[method]
                by_tag[raw["tags"][0]].append(_operation(document, method, path, raw, roles))
    for name, operations in by_tag.items():
        yield TagDoc(name, described[name], tuple(operations))


def _operation(
    document: Document, method: str, path: str, raw: Mapping[str, Any], roles: Mapping[str, str]
) -> OperationDoc:
    name = raw["operationId"]
    schemas = document["components"]["schemas"]
    content = raw.get("requestBody", {}).get("content", {})
    responses = list(_responses(document, raw))
    problems = {status for status, each in raw["responses"].items() if _PROBLEM in _response(document, each)["content"]}
    schema = content.get(_JSON, {}).get("schema")
    example = None if schema is None else body_example(name, schema, schemas)
    needs_key = bool(raw.get("security"))
    return OperationDoc(
        id=name,
        method=method.upper(),
        path=path,
        summary=raw["summary"],
        description=raw.get("description", ""),
        role=roles.get(name, "") if needs_key else "",
        parameters=tuple(_parameters(raw.get("parameters", ()), schemas)),
        body=None if schema is None else _body(schema, raw["requestBody"], schemas),
        responses=tuple(each for each in responses if each.status not in problems),
        problems=tuple(each for each in responses if each.status in problems),
        curl=curl(method, _example_path(path, raw), example, needs_key=needs_key),
    )


def _example_path(path: str, raw: Mapping[str, Any]) -> str:
    """Return a path with the examples of its parameters and of the required ones of its query."""
    query = {}
    for parameter in raw.get("parameters", ()):
        if parameter["in"] == "path" and "example" in parameter:
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
        elif parameter["in"] == "query" and parameter.get("required"):
            query[parameter["name"]] = parameter["schema"]["examples"][0]
    return path + (f"?{urlencode(query)}" if query else "")


def _body(schema: Schema, raw: Mapping[str, Any], schemas: Schemas) -> BodyDoc:
    if any("$ref" not in each for each in schema.get("anyOf", ())):  # one, or a list of them
        schema = schema["anyOf"][0]
    named = items_of(schema) or schema
    inner = schemas[link_of(named)] if "$ref" in named else named
    return BodyDoc(
        link=link_of(named),
        required=raw.get("required", False),
        is_list=schema.get("type") == "array",
        properties=tuple(properties_of(inner, schemas)),
        choices=tuple(link_of(each) for each in schema.get("anyOf", ())),
        media_types=tuple(raw["content"]),
    )


def _parameters(raw: Any, schemas: Schemas) -> Iterator[tuple[str, tuple[PropertyDoc, ...]]]:
    for location in _LOCATIONS:
        found = tuple(_parameter(each, schemas) for each in raw if each["in"] == location)
        if found:
            yield location, found


def _parameter(raw: Mapping[str, Any], schemas: Schemas) -> PropertyDoc:
    described = {**raw["schema"], "description": raw.get("description") or raw["schema"].get("description", "")}
    return property_of(raw["name"], described, schemas, required=raw.get("required", False))


def _responses(document: Document, operation: Mapping[str, Any]) -> Iterator[ResponseDoc]:
    schemas = document["components"]["schemas"]
    for status, raw in operation["responses"].items():
        response = _response(document, raw)
        schema = response["content"].get(_JSON, {}).get("schema", {})
        named: Schema = next((each for each in (schema, *schema.get("anyOf", ())) if "$ref" in each), {})
        example = EXAMPLES_BY_STATUS.get((link_of(named), status)) or (example_of(named, schemas) if named else None)
        problem = response["content"].get(_PROBLEM, {}).get("schema", {})
        yield ResponseDoc(
            status, response["description"], link_of(named or problem), json_text(example) if example else ""
        )


def _response(document: Document, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    shared = document["components"]["responses"]
    response = shared[raw["$ref"].rpartition("/")[2]] if "$ref" in raw else raw
    return {"content": {}, **response}


def _schema(name: str, schema: Schema, schemas: Schemas) -> SchemaDoc:
    return SchemaDoc(
        name=name,
        description=schema.get("description", ""),
        properties=tuple(properties_of(schema, schemas, depth=0)),
        example=json_text(named_example(name, schemas)),
    )
