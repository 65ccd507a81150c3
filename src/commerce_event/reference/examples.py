"""Example values of the document's schemas, and the curl commands that send them."""

import re
import shlex
from typing import Any, Final

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.reference.change_examples import CHANGE_ID
from commerce_event.reference.properties import Schema, Schemas, items_of, link_of, without_null
from commerce_event.reference.response_examples import (
    AUDIT_ID,
    DELIVERY_ID,
    ENDPOINT_ID,
    EVENT_ID,
    EXAMPLES,
    JOB,
    KEY_ID,
    ORDER,
    REFUSAL_ID,
    REPLAY_ID,
    SETTING_ID,
    SOURCE_NAME,
)
from commerce_event.web.highlight import json_text

_DEPTH_MAX: Final = 16  # ends schemas that refer to themselves
_LISTING: Final = re.compile(r"(\w+)List")
_BODIES: Final[dict[str, Any]] = {
    "publishEvent": ORDER.example,
    "publishEvents": [{"type": each.name, "data": each.example} for each in (ORDER, JOB)],
}
_IN_PATH: Final = {
    "change-sources/{name}": f"change-sources/{SOURCE_NAME}",
    "event-settings/{id}": f"event-settings/{SETTING_ID}",
    "{name}": JOB.name,
    "{client_id}": str(ORDER.example["ClientId"]),
    "events/{id}": f"events/{EVENT_ID}",
    "deliveries/{id}": f"deliveries/{DELIVERY_ID}",
    "endpoints/{id}": f"endpoints/{ENDPOINT_ID}",
    "replays/{id}": f"replays/{REPLAY_ID}",
    "refusals/{id}": f"refusals/{REFUSAL_ID}",
    "audit/{id}": f"audit/{AUDIT_ID}",
    "keys/{id}": f"keys/{KEY_ID}",
    "changes/{id}": f"changes/{CHANGE_ID}",
    "incidents/{id}": f"incidents/{ENDPOINT_ID}",
    "timelines/{kind}": "timelines/order",
}


def body_example(operation: str, schema: Schema, schemas: Schemas) -> Any:
    """Return the body to send to the operation of that name."""
    return _BODIES[operation] if operation in _BODIES else example_of(schema, schemas)


def example_of(schema: Schema, schemas: Schemas, depth: int = 0) -> Any:
    """Return a value that the schema allows: a known example, or one made from the schema."""
    if depth > _DEPTH_MAX:
        return None
    inner = without_null(schema)
    name = link_of(inner)
    if name:
        return named_example(name, schemas, depth)
    given = [*inner.get("examples", ())[:1], inner.get("const"), inner.get("default"), *inner.get("enum", ())[:1]]
    chosen = next((value for value in given if value is not None), None)
    if chosen is not None:
        return chosen
    if "anyOf" in inner:
        return example_of(inner["anyOf"][0], schemas, depth + 1)
    return _example_of_type(inner, schemas, depth)


def named_example(name: str, schemas: Schemas, depth: int = 0) -> Any:
    """Return an example of the schema of that name."""
    if name in EVENT_TYPES:
        return EVENT_TYPES[name].example
    if name in EXAMPLES:
        return EXAMPLES[name]
    listing = _LISTING.fullmatch(name)
    if listing is not None:
        return {"items": [named_example(f"{listing[1]}View", schemas, depth + 1)], "next_cursor": None}
    return example_of(schemas[name], schemas, depth + 1)


def _example_of_type(schema: Schema, schemas: Schemas, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        return {name: example_of(each, schemas, depth + 1) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        places = [items_of(schema)] * schema.get("minItems", 1) if items_of(schema) else []
        return [example_of(each, schemas, depth + 1) for each in places]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "text")


def curl(method: str, path: str, body: Any, *, needs_key: bool) -> str:
    """Return the curl command of an operation."""
    for placeholder, value in _IN_PATH.items():
        path = path.replace(placeholder, value)
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f'curl {verb}"$COMMERCE_EVENT_URL{path}"']
    if needs_key:
        lines.append('-H "Authorization: Bearer $COMMERCE_EVENT_KEY"')
    if body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json_text(body))}")
    return " \\\n  ".join(lines)
