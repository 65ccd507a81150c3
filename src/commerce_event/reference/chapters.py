"""What the page shows, taken from the OpenAPI document: pure data, no markup."""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from commerce_event.contract.catalogue import CATEGORIES, EVENT_TYPES
from commerce_event.web.highlight import json_text

_METHODS: Final = ("get", "post", "patch", "delete")
_REF: Final = "#/components/schemas/"
_LIMITS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} members",
}
_INTEGERS: Final = {-(2**31), 2**31 - 1, -(2**63), 2**63 - 1}  # said by the format already
_DEPTH_MAX: Final = 4

Schema = Mapping[str, Any]


class Property(msgspec.Struct, frozen=True):
    """A line of a schema's table. ``link`` is the name of a schema of its own."""

    name: str
    kind: str
    format: str
    required: bool
    description: str
    values: tuple[str, ...]
    limits: str
    link: str


class Answer(msgspec.Struct, frozen=True):
    """A response."""

    status: str
    description: str
    link: str


class Event(msgspec.Struct, frozen=True):
    """A webhook."""

    name: str
    kind: str
    description: str
    headers: tuple[Property, ...]
    properties: tuple[Property, ...]
    example: str
    answers: tuple[Answer, ...]


class Operation(msgspec.Struct, frozen=True):
    """A management call."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[tuple[str, Property], ...]  # where it goes, and what it is
    body: str
    example: str
    answers: tuple[Answer, ...]
    curl: str


class Model(msgspec.Struct, frozen=True):
    """A schema."""

    name: str
    description: str
    properties: tuple[Property, ...]
    example: str


class Chapters(msgspec.Struct, frozen=True):
    """The whole page."""

    title: str
    version: str
    description: str
    servers: tuple[tuple[str, str], ...]
    groups: tuple[tuple[str, tuple[Event, ...]], ...]
    calls: tuple[tuple[str, tuple[Operation, ...]], ...]
    models: tuple[Model, ...]


def chapters(document: Mapping[str, Any]) -> Chapters:
    """Return what the page shows of a document."""
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    groups = [(name, [each for each in EVENT_TYPES.values() if each.category == name]) for name in CATEGORIES]
    by_tag: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                operation = _operation(document, method, path, methods[method])
                by_tag.setdefault(methods[method].get("tags", ["System"])[0], []).append(operation)
    return Chapters(
        title=document["info"]["title"],
        version=document["info"]["version"],
        description=document["info"]["description"],
        servers=tuple((server["url"], server.get("description", "")) for server in document["servers"]),
        groups=tuple((name, tuple(_event(document, each.name, each.kind) for each in types)) for name, types in groups),
        calls=tuple((tag, tuple(operations)) for tag, operations in by_tag.items()),
        models=tuple(_model(name, schema, schemas) for name, schema in schemas.items()),
    )


def _event(document: Mapping[str, Any], name: str, kind: str) -> Event:
    operation = document["webhooks"][name]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    schema = document["components"]["schemas"][name]
    return Event(
        name=name,
        kind=kind,
        description=operation["description"],
        headers=tuple(_parameter(each) for each in operation["parameters"]),
        properties=tuple(_properties(schema)),
        example=json_text(content["example"]),
        answers=tuple(_answers(document, operation)),
    )


def _operation(document: Mapping[str, Any], method: str, path: str, raw: Mapping[str, Any]) -> Operation:
    content = raw.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    body = _link(schema)
    example = content.get("example") or (_example(schema, document["components"]["schemas"]) if schema else None)
    shown = "" if example is None else json_text(example)
    return Operation(
        id=raw.get("operationId") or f"{method}-{path.strip('/').replace('/', '-')}",
        method=method.upper(),
        path=path,
        summary=raw.get("summary", ""),
        description=raw.get("description", ""),
        parameters=tuple((each["in"], _parameter(each)) for each in raw.get("parameters", ())),
        body=body,
        example=shown,
        answers=tuple(_answers(document, raw)),
        curl=_curl(method, path, example, needs_key=bool(raw.get("security"))),
    )


def _model(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> Model:
    return Model(
        name=name,
        description=schema.get("description", ""),
        properties=tuple(_properties(schema)),
        example=json_text(EVENT_TYPES[name].example if name in EVENT_TYPES else _example(schema, schemas)),
    )


def _parameter(raw: Mapping[str, Any]) -> Property:
    described = {**raw["schema"], "description": raw.get("description") or raw["schema"].get("description", "")}
    return _property(raw["name"], described, required=raw.get("required", False))


def _properties(schema: Schema) -> Iterator[Property]:
    required = set(schema.get("required", ()))
    for name, each in schema.get("properties", {}).items():
        yield _property(name, each, required=name in required)


def _property(name: str, schema: Schema, *, required: bool) -> Property:
    inner = _without_null(schema)
    values = inner.get("enum") or ([inner["const"]] if "const" in inner else [])
    return Property(
        name=name,
        kind=_kind(schema),
        format=inner.get("format", ""),
        required=required,
        description=schema.get("description", "") or inner.get("description", ""),
        values=tuple(str(value) for value in values),
        limits=", ".join(_limits(inner)),
        link=_link(inner) or _link(_items(inner)),
    )


def _limits(schema: Schema) -> Iterator[str]:
    for key, text in _LIMITS.items():
        if key in schema and schema[key] not in _INTEGERS:
            yield text.format(schema[key])
    if "default" in schema and schema["default"] is not None:
        yield f"{msgspec.json.encode(schema['default']).decode()} when left out"


def _kind(schema: Schema) -> str:
    if "$ref" in schema:
        return _link(schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    kind = schema.get("type", "string" if "enum" in schema else "any")
    if kind == "array" and _items(schema):
        return f"array of {_kind(_items(schema))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _items(schema: Schema) -> Schema:
    """Return what an array holds; of one with places of their own (pairs, say) what the first place holds."""
    items = schema.get("items")
    return items if isinstance(items, Mapping) else next(iter(schema.get("prefixItems", ())), {})


def _link(schema: Schema) -> str:
    return str(schema.get("$ref", "")).removeprefix(_REF)


def _without_null(schema: Schema) -> Schema:
    members = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return members[0] if len(members) == 1 else schema


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Answer]:
    for status, raw in operation["responses"].items():
        response = raw
        if "$ref" in raw:
            response = document["components"]["responses"][raw["$ref"].rpartition("/")[2]]
        contents = list(response.get("content", {}).values())
        yield Answer(status, response["description"], _link(contents[0].get("schema", {})) if contents else "")


def _example(schema: Schema, schemas: Mapping[str, Schema], depth: int = 0) -> Any:
    """Return a value that the schema allows, as a reader would write it."""
    if depth > _DEPTH_MAX:
        return None
    given = [
        schema.get("default"),
        schema.get("const"),
        *(schema.get("examples") or [])[:1],
        *schema.get("enum", [])[:1],
    ]
    chosen = next((value for value in given if value is not None), None)
    if chosen is not None:
        return chosen
    if "$ref" in schema:
        name = _link(schema)
        return EVENT_TYPES[name].example if name in EVENT_TYPES else _example(schemas[name], schemas, depth + 1)
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas, depth + 1)
    return _plain_example(schema, schemas, depth)


def _plain_example(schema: Schema, schemas: Mapping[str, Schema], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        members = schema.get("properties", {})
        return {name: _named(name, each, schemas, depth) for name, each in members.items()}
    if kind == "array":
        return [_example(_items(schema), schemas, depth + 1)] if _items(schema) else []
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "text")


_BY_NAME: Final[dict[str, Any]] = {
    "id": "evt_0c1m5k8s40000", "event_id": "evt_0c1m5k8s40000", "endpoint_id": "end_0c1m5k8s40000",
    "replay_id": "rpl_0c1m5k8s40000", "url": "https://erp.example.com/webhooks", "client_id": 1,
    "secret": "whsec_…", "key": "key_…", "description": "ERP: orders", "name": "shop", "next_cursor": None,
    "filter": None, "headers": {}, "data": {"ClientId": 1},
}  # fmt: skip


def _named(name: str, schema: Schema, schemas: Mapping[str, Schema], depth: int) -> Any:
    if name in _BY_NAME and "examples" not in schema:
        return _BY_NAME[name]
    if re.search(r"(_at|since|until|start)$", name) and "string" in _kind(schema):
        return "2026-01-31T12:00:00.000Z"
    return _example(schema, schemas, depth + 1)


def _curl(method: str, path: str, example: Any, *, needs_key: bool) -> str:
    shown = re.sub(r"{(\w+)}", lambda match: _IN_PATH.get(match[1], match[1]), path)
    parts = ["curl"] + (["-X", method.upper()] if method != "get" else [])
    lines = [" ".join([*parts, f'"$COMMERCE_EVENT_URL{shown}"'])]
    if needs_key:
        lines.append('-H "Authorization: Bearer $COMMERCE_EVENT_KEY"')
    if example is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(msgspec.json.encode(example).decode())}")
    return " \\\n  ".join(lines)


_IN_PATH: Final = {"EventType": "OrderConfirmedEvent", "name": "OrderConfirmedEvent", "id": "ID"}
