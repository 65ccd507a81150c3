"""The webhooks of the OpenAPI 3.1 document: one webhook and one schema for each event type."""

from copy import deepcopy
from typing import Any, Final

from commerce_event.contract.catalogue import CONTRACT, Catalogue, EventType

_HEADERS: Final = (
    ("webhook-id", True, "string", "The same for all attempts of a delivery: use it to recognise duplicates."),
    ("webhook-timestamp", True, "integer", "When this attempt was signed, in seconds since 1970 (UTC)."),
    ("webhook-signature", True, "string", "Signatures of Standard Webhooks, separated by spaces."),
    ("commerce-event-type", True, "string", "Name of the event type."),
    ("commerce-event-attempt", True, "integer", "Number of this attempt, from 1."),
    ("commerce-event-sequence", True, "integer", "Position among all events of the client, without gaps."),
    ("commerce-event-origin", True, "string", "Identifies the installation that sends."),
    ("commerce-event-replay", False, "string", "Present when the delivery belongs to a replay."),
    ("traceparent", False, "string", "Trace context (W3C) of the request that published the event."),
)
_RESPONSES: Final = (
    ("200", "Received. Any other 2xx means the same."),
    ("410", "The receiver wants no more events: the endpoint is disabled."),
    ("429", "Too many requests. The event is sent again after the time in Retry-After."),
    ("5XX", "The receiver failed. The event is sent again later."),
)


def event_schemas(catalogue: Catalogue = CONTRACT) -> dict[str, Any]:
    """Return JSON Schemas by event name, for ``components.schemas``."""
    return {name: _schema(event_type) for name, event_type in catalogue.types.items()}


def webhook_items(catalogue: Catalogue = CONTRACT) -> dict[str, Any]:
    """Return the ``webhooks`` object; its bodies refer to ``event_schemas()`` under ``components.schemas``."""
    return {name: {"post": _operation(event_type)} for name, event_type in catalogue.types.items()}


def _schema(event_type: EventType) -> dict[str, Any]:
    """Return the schema of a type for its place in the document, where its definitions have another address."""
    schema = event_type.schema()
    if event_type.is_own:
        schema = _rebase_references(schema, f"#/components/schemas/{event_type.name}")
        schema.pop("$schema", None)
    return schema


def _rebase_references(schema: Any, place: str) -> Any:
    if isinstance(schema, list):
        return [_rebase_references(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {name: _rebase_references(value, place) for name, value in schema.items()}
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = moved["$ref"].replace("#", place, 1)
    return moved


def _operation(event_type: EventType) -> dict[str, Any]:
    body = {
        "schema": {"$ref": f"#/components/schemas/{event_type.name}"},
        "example": deepcopy(event_type.example),  # YAML would refer to the one of the schema
    }
    return {
        "operationId": f"receive{event_type.name}",
        "tags": [event_type.category],
        "summary": event_type.name,
        "description": event_type.description,
        "security": [],  # the signature is in the headers
        "parameters": [
            {"name": name, "in": "header", "required": required, "schema": {"type": kind}, "description": text}
            for name, required, kind, text in _HEADERS
        ],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {status: {"description": text} for status, text in _RESPONSES},
    }
