"""Values that a schema allows, as a person would write them, and the commands that send them."""

import re
import shlex
from typing import Any, Final

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.reference.properties import Schema, Schemas, items_of, kind_of, link_of, without_null
from commerce_event.web.highlight import json_text

ORDER: Final = "OrderConfirmedEvent"
_JOB: Final = "JobCompletedEvent"
_DEPTH_MAX: Final = 16  # nothing is that deep: it ends what refers to itself
_TIME: Final = re.compile(r"(_at|since|until|start|expires)$")
# By the name of the call: bodies that say more than what the schema alone would give.
_BODIES: Final[dict[str, Any]] = {
    "publishEvent": EVENT_TYPES[ORDER].example,
    "publishEvents": [{"type": name, "data": EVENT_TYPES[name].example} for name in (ORDER, _JOB)],
    "changeEndpoint": {"enabled": False},
    "startReplay": {"endpoint_id": "end_0c1m5k8s40000", "since": "2026-01-31T00:00:00Z", "only": "failed"},
}
# By the name of a property, wherever it stands.
_NAMED: Final[dict[str, Any]] = {
    "id": "evt_0c1m5k8s40000", "event_id": "evt_0c1m5k8s40000", "endpoint_id": "end_0c1m5k8s40000",
    "delivery_id": "dlv_0c1m5k8s40000", "url": "https://erp.example.com/webhooks", "client_id": 1006,
    "application_id": 1042, "client_ids": [1006], "secret": "whsec_…", "key": "key_…",
    "description": "ERP: orders", "name": "shop", "next_cursor": None, "filter": None, "headers": {}, "type": ORDER,
    "event_types": ["Order"], "category": "Order", "sequence": 4711, "data": EVENT_TYPES[ORDER].example,
    "business_key": "order:884211", "replay_id": None, "error": None, "errors": [], "detail": "What to do about it.",
    "schema": {"title": ORDER, "type": "object"}, "example": EVENT_TYPES[ORDER].example,
}  # fmt: skip
_ID_OF: Final = {
    "DeliveryView": "dlv_0c1m5k8s40001", "DeliveryDetailView": "dlv_0c1m5k8s40001",
    "EndpointView": "end_0c1m5k8s40000", "NewEndpointView": "end_0c1m5k8s40000", "ReplayView": "rpl_0c1m5k8s40000",
    "KeyView": "key_0c1m5k8s40000", "NewKeyView": "key_0c1m5k8s40000",
}  # fmt: skip
_IN_PATH: Final = {"EventType": ORDER, "name": ORDER}
_ID_IN_PATH: Final = {
    "events": "evt_0c1m5k8s40000", "deliveries": "dlv_0c1m5k8s40001", "endpoints": "end_0c1m5k8s40000",
    "replays": "rpl_0c1m5k8s40000", "keys": "key_0c1m5k8s40000",
}  # fmt: skip


def body_example(name: str, schema: Schema, schemas: Schemas) -> Any:
    """Return what to send to the call of that name: what it needs, and what its fields give as examples."""
    if name in _BODIES:
        return _BODIES[name]
    made = schemas[link_of(schema)] if "$ref" in schema else schema
    required = set(made.get("required", ()))
    return {
        key: _member(key, each, schemas, 0)
        for key, each in made.get("properties", {}).items()
        if key in required or "examples" in each
    }


def example_of(schema: Schema, schemas: Schemas, depth: int = 0) -> Any:
    """Return a value of the schema with everything in it."""
    if depth > _DEPTH_MAX:
        return None
    inner = without_null(schema)
    given = [*inner.get("examples", ())[:1], inner.get("const"), inner.get("default"), *inner.get("enum", ())[:1]]
    chosen = next((value for value in given if value is not None), None)
    if chosen is not None:
        return chosen
    name = link_of(inner)
    if name:
        return _model_example(name, schemas, depth + 1)
    if "anyOf" in inner:
        return example_of(inner["anyOf"][0], schemas, depth + 1)
    return _plain(inner, schemas, depth)


def _model_example(name: str, schemas: Schemas, depth: int) -> Any:
    value = example_of(schemas[name], schemas, depth)
    if name in _ID_OF and isinstance(value, dict):
        value["id"] = _ID_OF[name]
    return value


def model_example(name: str, schemas: Schemas) -> str:
    """Return a named schema's example as JSON text."""
    return json_text(_model_example(name, schemas, 0))


def _plain(schema: Schema, schemas: Schemas, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        return {name: _member(name, each, schemas, depth) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        places = schema.get("prefixItems") or ([items_of(schema)] if items_of(schema) else [])
        return [example_of(each, schemas, depth + 1) for each in places]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "text")


def _member(name: str, schema: Schema, schemas: Schemas, depth: int) -> Any:
    if "examples" not in schema and name in _NAMED and _fits(_NAMED[name], schema):
        return _NAMED[name]
    if _TIME.search(name) and "string" in kind_of(schema):
        return "2026-01-31T12:00:00.000Z"
    return example_of(schema, schemas, depth + 1)


def _fits(value: Any, schema: Schema) -> bool:
    kind = {str: "string", int: "integer", dict: "object", list: "array", type(None): "null"}[type(value)]
    return kind in kind_of(schema)


def curl(method: str, path: str, body: Any, *, takes_key: bool) -> str:
    """Return the command that makes the call."""
    ids = _ID_IN_PATH.get(path.split("/")[2] if path.count("/") > 1 else "", "ID")
    filled = re.sub(r"{(\w+)}", lambda match: _IN_PATH.get(match[1], ids), path)
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f'curl {verb}"$COMMERCE_EVENT_URL{filled}"']
    if takes_key:
        lines.append('-H "Authorization: Bearer $COMMERCE_EVENT_KEY"')
    if body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json_text(body))}")
    return " \\\n  ".join(lines)
