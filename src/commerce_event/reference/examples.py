"""Values for the schemas of the document, and the commands that send them."""

import re
import shlex
from typing import Any, Final

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.reference import answers
from commerce_event.reference.properties import Schema, Schemas, items_of, link_of, without_null
from commerce_event.web.highlight import json_text

_DEPTH_MAX: Final = 16  # nothing is that deep: it ends what refers to itself
_LISTING: Final = re.compile(r"(\w+)List")
_BODIES: Final[dict[str, Any]] = {
    "publishEvent": answers.ORDER.example,
    "publishEvents": [{"type": each.name, "data": each.example} for each in (answers.ORDER, answers.JOB)],
}
_IN_PATH: Final = {
    "{EventType}": answers.ORDER.name,
    "{name}": answers.JOB.name,
    "events/{id}": f"events/{answers.EVENT_ID}",
    "deliveries/{id}": f"deliveries/{answers.DELIVERY_ID}",
    "endpoints/{id}": f"endpoints/{answers.ENDPOINT_ID}",
    "replays/{id}": f"replays/{answers.REPLAY_ID}",
    "keys/{id}": f"keys/{answers.KEY_ID}",
}


def body_example(call: str, schema: Schema, schemas: Schemas) -> Any:
    """Return what to send to the call of that name."""
    return _BODIES[call] if call in _BODIES else example_of(schema, schemas)


def example_of(schema: Schema, schemas: Schemas, depth: int = 0) -> Any:
    """Return a value that the schema allows: one that we know of, or one made from the schema alone."""
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
    return _plain(inner, schemas, depth)


def named_example(name: str, schemas: Schemas, depth: int = 0) -> Any:
    """Return a value of the schema of that name."""
    if name in EVENT_TYPES:
        return EVENT_TYPES[name].example
    if name in answers.ANSWERS:
        return answers.ANSWERS[name]
    listing = _LISTING.fullmatch(name)
    if listing is not None:
        return {"items": [named_example(f"{listing[1]}View", schemas, depth + 1)], "next_cursor": None}
    return example_of(schemas[name], schemas, depth + 1)


def _plain(schema: Schema, schemas: Schemas, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        return {name: example_of(each, schemas, depth + 1) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        places = schema.get("prefixItems") or ([items_of(schema)] if items_of(schema) else [])
        return [example_of(each, schemas, depth + 1) for each in places]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "text")


def curl(method: str, path: str, body: Any, *, takes_key: bool) -> str:
    """Return the command that makes the call."""
    for place, value in _IN_PATH.items():
        path = path.replace(place, value)
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f'curl {verb}"$COMMERCE_EVENT_URL{path}"']
    if takes_key:
        lines.append('-H "Authorization: Bearer $COMMERCE_EVENT_KEY"')
    if body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json_text(body))}")
    return " \\\n  ".join(lines)
