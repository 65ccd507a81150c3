"""Build the OpenAPI 3.1 document from the event types and the operations: webhooks and management API."""

import re
from collections.abc import Collection
from functools import cache, lru_cache
from typing import Any, Final

import msgspec
import yaml

from commerce_event import __version__
from commerce_event.accept.answers import AcceptedView, BatchView
from commerce_event.accept.publish import BATCH_MAX
from commerce_event.api import (
    activity,
    audit_log,
    books,
    catalogue,
    change_sources,
    changes,
    clients,
    dead_letters,
    deliveries,
    endpoint_impact,
    endpoint_preview,
    endpoint_stats,
    endpoint_test,
    endpoints,
    entity_fields,
    event_setting_preview,
    event_settings,
    events,
    explanations,
    incidents,
    keys,
    portal_links,
    refusals,
    replays,
    system,
    timelines,
    validation_modes,
)
from commerce_event.api.field_descriptions import describe
from commerce_event.api.operations import NoParams, Operation
from commerce_event.api.problem_types import ProblemTypeView
from commerce_event.changes.answers import ChangeBatchView, ChangeView
from commerce_event.contract.catalogue import CONTRACT, Catalogue
from commerce_event.contract.openapi import event_schemas, webhook_items
from commerce_event.core.problems import TITLES, ProblemBody
from commerce_event.http.problems import MEDIA_TYPE

OPERATIONS: Final[tuple[Operation, ...]] = (
    *events.OPERATIONS,
    *explanations.OPERATIONS,
    *timelines.OPERATIONS,
    *deliveries.OPERATIONS,
    *dead_letters.OPERATIONS,
    *replays.OPERATIONS,
    *refusals.OPERATIONS,
    *changes.OPERATIONS,
    *endpoints.OPERATIONS,
    *endpoint_preview.OPERATIONS,
    *endpoint_test.OPERATIONS,
    *endpoint_stats.OPERATIONS,
    *endpoint_impact.OPERATIONS,
    *catalogue.OPERATIONS,
    *entity_fields.OPERATIONS,
    *event_settings.OPERATIONS,
    *event_setting_preview.OPERATIONS,
    *change_sources.OPERATIONS,
    *incidents.OPERATIONS,
    *books.OPERATIONS,
    *validation_modes.OPERATIONS,
    *activity.OPERATIONS,
    *system.OPERATIONS,
    *audit_log.OPERATIONS,
    *clients.OPERATIONS,
    *portal_links.OPERATIONS,
    *keys.OPERATIONS,
)
# Problems that the HTTP server answers with before any call: invalid or slow HTTP, a URL or head that is too large, an
# unknown transfer coding, too many connections.
_SERVER_PROBLEMS: Final = (400, 408, 414, 431, 501, 503)
_COMMON_PROBLEMS: Final = (*_SERVER_PROBLEMS, 401, 403, 500)  # of every call that needs a key
_SECURITY: Final[list[dict[str, list[str]]]] = [{"key": []}]
_LOCATION: Final = {"description": "URL of the new resource", "schema": {"type": "string"}}
_CATALOGUES_KEPT: Final = 2  # of which the document is kept: before and after a change
_LISTING: Final = re.compile(rb"Listing_(\w+?)View_")  # msgspec's name of a generic type
_REF: Final = "#/components/schemas/{name}"
_PUBLISH_PROBLEMS: Final = (*_COMMON_PROBLEMS, 404, 409, 413, 415, 422)


@lru_cache(maxsize=_CATALOGUES_KEPT)
def document(catalogue: Catalogue = CONTRACT) -> dict[str, Any]:
    """Return the document as decoded JSON, with these event types.

    It is cached and shared: copy it before changing it.
    """
    fixed = _contract_document()
    if not catalogue.own:
        return fixed
    paths = dict(fixed["paths"])
    for path, item in _accepting(_references(), catalogue).items():
        paths[path] = {**paths[path], **item}
    components = fixed["components"]
    return {
        **fixed,
        "tags": [*_category_tags(catalogue), *_tags()],
        "webhooks": webhook_items(catalogue),
        "paths": paths,
        "components": {
            **components,
            "schemas": {**event_schemas(catalogue), **components["schemas"], **_envelopes(catalogue)},
        },
    }


def reserved_names() -> frozenset[str]:
    """Return the names of schemas and tags that no own event type and none of its categories may have."""
    schemas = _contract_document()["components"]["schemas"].keys() - CONTRACT.types.keys()
    return frozenset(schemas | {tag["name"] for tag in _tags()})


@lru_cache(maxsize=_CATALOGUES_KEPT)
def document_json(catalogue: Catalogue) -> bytes:
    return msgspec.json.encode(document(catalogue))


@cache
def _references() -> dict[Any, Any]:
    """Return the reference to the schema of each type."""
    types = _types()
    refs, _ = msgspec.json.schema_components(list(types), ref_template=_REF)
    return dict(zip(types, refs, strict=True))


@cache
def _contract_document() -> dict[str, Any]:
    """Return the document with the event types of the contract."""
    _, schemas = msgspec.json.schema_components(list(_types()), ref_template=_REF)
    shown = _references()
    paths: dict[str, Any] = {**_accepting(shown, CONTRACT), **_accepting_changes(shown)}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, shown)
    paths.update(_plain(shown))
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "Commerce Event",
            "version": __version__,
            "description": "Commerce events over webhooks: what receivers get, and the API that manages the server.",
            "contact": {"name": "Commerce Event", "url": "https://github.com/commerce-event/commerce-event"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [*_category_tags(CONTRACT), *_tags()],
        "webhooks": webhook_items(),
        "paths": paths,
        "components": {
            "schemas": {
                **event_schemas(),
                **_envelopes(CONTRACT),
                **{name: _described(name, each) for name, each in schemas.items()},
            },
            "responses": {
                _problem_name(status): {
                    "description": TITLES[status],
                    "content": {MEDIA_TYPE: {"schema": shown[ProblemBody]}},
                }
                for status in sorted(TITLES)
                if status != 405  # no call that the document describes
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key made with `commerce-event keys create`",
                }
            },
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(_LISTING.sub(rb"\1List", msgspec.json.encode(made)))
    _replace_tuples(plain)
    return plain


def _replace_tuples(schema: Any) -> None:
    """Describe each tuple as an array of its first item's type: few generators know ``prefixItems``."""
    if isinstance(schema, list):
        for each in schema:
            _replace_tuples(each)
    elif isinstance(schema, dict):
        if "prefixItems" in schema:
            schema["items"] = schema.pop("prefixItems")[0]
        for each in schema.values():
            _replace_tuples(each)


@lru_cache(maxsize=_CATALOGUES_KEPT)
def document_yaml(catalogue: Catalogue = CONTRACT) -> str:
    """Return the document as YAML. The first call is slow: do not call it in the event loop."""
    return as_yaml_text(document(catalogue))


def as_yaml_text(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _types() -> list[Any]:
    wanted: list[Any] = [AcceptedView, BatchView, ChangeView, ChangeBatchView, ProblemBody, ProblemTypeView]
    for operation in OPERATIONS:
        wanted += [each for each in operation.answers.values() if each is not None]
        if operation.body is not None:
            wanted.append(operation.body)
    return list(dict.fromkeys(wanted))


def _described(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with descriptions of its properties."""
    properties = {each: {"description": describe(name, each), **about} for each, about in schema["properties"].items()}
    return {**schema, "description": schema["description"].replace("``", "`"), "properties": properties}


def _operation(operation: Operation, shown: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "security": _SECURITY,
        "responses": _answers(operation, shown),
    }
    parameters = [*_path_parameters(operation.path), *_query_parameters(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": shown[operation.body]}},
        }
    return described


def _answers(operation: Operation, shown: dict[Any, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, kind in operation.answers.items():
        answers[str(status)] = {"description": "Done; no content" if kind is None else _first_sentence(kind)}
        if status in {201, 202}:
            answers[str(status)]["headers"] = {"Location": _LOCATION}
        if kind is not None:
            answers[str(status)]["content"] = {"application/json": {"schema": shown[kind]}}
    too_large = {413} if operation.body is not None else set()
    unwanted = {422} if operation.query is NoParams else set()
    return answers | _problems({*_COMMON_PROBLEMS, *operation.problems, *too_large, *unwanted})


def _problems(statuses: Collection[int]) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{_problem_name(status)}"} for status in sorted(statuses)}


def _first_sentence(kind: Any) -> str:
    """Return the first sentence of a type's docstring."""
    return str(getattr(kind, "__origin__", kind).__doc__).partition(". ")[0].rstrip(".")


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": describe(path, name),
            "schema": {"type": "string"},
        }
        for name in names
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = msgspec.json.schema(operation.query)["$defs"][operation.query.__name__]
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "in": "query",
            **({"required": True} if name in required else {}),
            "description": describe(operation.name, name),
            "schema": _without_null(about),
        }
        for name, about in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without null: a parameter is left out instead."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if "enum" in schema:
        return {
            key: [v for v in value if v is not None] if key == "enum" else value
            for key, value in schema.items()
            if key != "default"
        }
    return kinds[0] if len(kinds) == 1 else {key: value for key, value in schema.items() if value is not None}


def _category_tags(catalogue: Catalogue) -> list[dict[str, str]]:
    return [{"name": name, "description": f"Webhooks of the group {name}"} for name in catalogue.categories]


def _accepting(shown: dict[Any, Any], catalogue: Catalogue) -> dict[str, Any]:
    names = list(catalogue.types)
    accepted = {"application/json": {"schema": shown[AcceptedView]}}
    problems = _problems(_PUBLISH_PROBLEMS)
    one = {
        "operationId": "publishEvent",
        "tags": ["Accepting"],
        "summary": "Publish an event",
        "description": "202 once the event and its deliveries are durable. Receivers get the body byte for byte.",
        "security": _SECURITY,
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": describe("publishEvent", "id"),
                "example": "OrderConfirmedEvent",
                "schema": {"type": "string", "enum": names},
            },
            _key_header("Makes publishing again safe: the same key and event return the first event."),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [_ref(name) for name in names]}},
                "application/cloudevents+json": {"schema": _ref("CloudEvent")},
            },
        },
        "responses": {
            "200": {"description": "Accepted before", "content": accepted},
            "202": {"description": "Durable", "content": accepted},
            **problems,
        },
    }
    many = {
        "operationId": "publishEvents",
        "tags": ["Accepting"],
        "summary": "Publish many events",
        "description": f"Up to {BATCH_MAX}; one result each, in order. A single CloudEvent is answered like one event.",
        "security": _SECURITY,
        "parameters": [_key_header("For a request with one event; with several, use the `id` of each event.")],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "array", "items": _ref("BatchItem"), "maxItems": BATCH_MAX}},
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/cloudevents+json": {"schema": _ref("CloudEvent")},
                "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _ref("CloudEvent")}},
            },
        },
        "responses": {
            "200": {
                "description": "A result for each event",
                "content": {"application/json": {"schema": {"anyOf": [shown[BatchView], shown[AcceptedView]]}}},
            },
            "202": {"description": "The one CloudEvent is durable", "content": accepted},
            **problems,
        },
    }
    # One template for POST /v1/events/{EventType} and GET /v1/events/{id}: OpenAPI forbids two that differ in the name.
    return {"/v1/events/{id}": {"post": one}, "/v1/events": {"post": many}}


def _accepting_changes(shown: dict[Any, Any]) -> dict[str, Any]:
    answers = {"application/json": {"schema": {"anyOf": [shown[ChangeView], shown[ChangeBatchView]]}}}
    changes = {
        "operationId": "sendChanges",
        "tags": ["Changes"],
        "summary": "Send data changes",
        "description": (
            f"One object, an array or JSON Lines of up to {BATCH_MAX} changes. 202 once the change is durable with the "
            "notifications that it raised and their deliveries; for many, a result each, in order."
        ),
        "security": _SECURITY,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            _ref("NewChange"),
                            {"type": "array", "items": _ref("NewChange"), "maxItems": BATCH_MAX},
                        ]
                    }
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": {"description": "Accepted before, or a result for each change", "content": answers},
            "202": {"description": "Durable", "content": answers},
            **_problems((*_COMMON_PROBLEMS, 409, 413, 415, 422)),
        },
    }
    rows = {
        "operationId": "sendDebeziumEvents",
        "tags": ["Changes"],
        "summary": "Send change events of Debezium",
        "description": (
            "The JSON envelope, with or without its schema: one, an array or JSON Lines. All are stored together or "
            "none. A row that the source does not map is accepted and listed as unmapped. With `position`, it is "
            "stored in the same commit if the source is still at `after`; else the answer is 409 with its `position`."
        ),
        "security": _SECURITY,
        "parameters": [
            _change_parameter("source", required=True, example="crm"),
            _change_parameter("after"),
            _change_parameter("position"),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            _ref("DebeziumEvent"),
                            {"type": "array", "items": _ref("DebeziumEvent"), "maxItems": BATCH_MAX},
                        ]
                    }
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": {"description": "Accepted before, or a result for each", "content": answers},
            "202": {"description": "Durable", "content": answers},
            **_problems((*_COMMON_PROBLEMS, 404, 409, 413, 415, 422)),
        },
    }
    return {"/v1/changes": {"post": changes}, "/v1/changes/debezium": {"post": rows}}


def _change_parameter(name: str, *, required: bool = False, example: str = "00000000016B3748/0") -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": describe("sendDebeziumEvents", name),
        "schema": {"type": "string", "maxLength": 200, "examples": [example]},
    }


def _debezium_schema() -> dict[str, Any]:
    properties: dict[str, Any] = {
        "op": {"type": "string", "enum": ["c", "u", "d", "r", "t", "m"]},
        "before": {"type": ["object", "null"]},
        "after": {"type": ["object", "null"]},
        "source": {"type": "object"},
        "ts_ms": {"type": "integer", "format": "int64"},
    }
    return {
        "type": "object",
        "description": "A data change event of Debezium, with or without its schema around it.",
        "properties": properties,
        "required": [],
        "additionalProperties": True,
    }


def _new_change_schema() -> dict[str, Any]:
    values = {"type": ["object", "null"]}
    properties: dict[str, Any] = {
        "id": {"type": ["string", "null"], "minLength": 1, "maxLength": 256},
        "client_id": {"type": "integer", "format": "int32"},
        "application_id": {"type": ["integer", "null"], "format": "int32"},
        "entity": {"type": "string", "pattern": "^t[A-Z][A-Za-z0-9]*$", "examples": ["tClientCustomer"]},
        "operation": {"type": "string", "enum": ["insert", "update", "delete"]},
        "key": {"type": "object", "minProperties": 1, "maxProperties": 10},
        "before": values,
        "after": values,
        "at": {"type": ["string", "null"], "format": "date-time"},
    }
    return {
        "type": "object",
        "description": "A row of a data table that was inserted, updated or deleted.",
        "properties": properties,
        "required": ["client_id", "entity", "operation", "key"],
        "additionalProperties": False,
    }


def _envelopes(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schemas of envelopes of an event. They have names, because code generators make a class of each."""
    item = {
        "type": {"type": "string", "enum": list(catalogue.types)},
        "data": {"type": "object"},
        "id": {"type": "string", "minLength": 1, "maxLength": 256},
    }
    cloud_event = {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "type": {"type": "string"},
        "source": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "object"},
        "data_base64": {"type": "string"},
    }
    described = (
        ("BatchItem", "An event of a batch.", item, ["type", "data"], False),
        (
            "CloudEvent",
            "A CloudEvent 1.0 in structured mode.",
            cloud_event,
            ["specversion", "type", "source", "id"],
            True,
        ),
    )
    made = {"NewChange": _new_change_schema(), "DebeziumEvent": _debezium_schema()}
    return {name: _described(name, schema) for name, schema in made.items()} | {
        name: _described(
            name,
            {
                "type": "object",
                "description": text,
                "properties": properties,
                "required": required,
                "additionalProperties": others,
            },
        )
        for name, text, properties, required, others in described
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _key_header(description: str) -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[ -~]+$"},
        "description": description,
    }


def _plain(shown: dict[Any, Any]) -> dict[str, Any]:
    """Return the calls that need no key."""
    json, text = ("application/json",), ("application/openmetrics-text", "text/plain")
    described = (
        ("/healthz", "isAlive", "Check that the process is alive", "Answers as long as the event loop runs.", json),
        ("/readyz", "isReady", "Check that the server is ready", "Answers 503 while publishing would.", json),
        (
            "/metrics",
            "readMetrics",
            "Read metrics",
            "In OpenMetrics, or as `text/plain` if `Accept` prefers it.",
            text,
        ),
        ("/openapi.json", "readOpenapi", "Read this document", "In JSON.", json),
        (
            "/openapi.yaml",
            "readOpenapiYaml",
            "Read this document as YAML",
            "The same document in YAML.",
            ("application/yaml",),
        ),
    )
    items: dict[str, Any] = {"/problems/{name}": {"get": _problem_page(shown)}}
    for path, name, summary, description, media in described:
        answers: dict[str, Any] = {"200": {"description": summary, "content": {each: {"schema": {}} for each in media}}}
        call = {"operationId": name, "tags": ["Monitoring"], "summary": summary, "description": description}
        items[path] = {"get": {**call, "security": [], "responses": answers | _problems(_SERVER_PROBLEMS)}}
    return items


def _problem_page(shown: dict[Any, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": shown[ProblemTypeView]}}
    return {
        "operationId": "explainProblem",
        "tags": ["Monitoring"],
        "summary": "Explain a problem",
        "description": "The `type` of every problem is the path of this call.",
        "security": [],
        "parameters": _path_parameters("/problems/{name}"),
        "responses": {
            "200": {"description": "The meaning and the remedy", "content": content},
            **_problems({*_SERVER_PROBLEMS, 404}),
        },
    }


def _tags() -> list[dict[str, str]]:
    return [
        {"name": "Accepting", "description": "Publish events"},
        {"name": "Events", "description": "Read accepted events"},
        {"name": "Deliveries", "description": "Deliveries, their attempts, and dead letters"},
        {"name": "Replays", "description": "Send past events again"},
        {"name": "Refused events", "description": "Events that were not accepted: find, accept or discard them"},
        {"name": "Changes", "description": "Data changes, and the notifications that they raise"},
        {"name": "Endpoints", "description": "Where events are sent"},
        {"name": "Catalogue", "description": "Event types of the contract, and your own"},
        {"name": "Event settings", "description": "Which data changes raise a notification"},
        {"name": "Change sources", "description": "Which tables and columns changes come from"},
        {"name": "Validation", "description": "What happens to events that break the contract"},
        {"name": "Clients", "description": "Names of clients, and links that open the screens for one of them"},
        {"name": "Keys", "description": "API keys"},
        {"name": "Audit log", "description": "Changes and who made them"},
        {"name": "Monitoring", "description": "Health, metrics and activity"},
    ]


def _problem_name(status: int) -> str:
    return TITLES[status].title().replace(" ", "")
