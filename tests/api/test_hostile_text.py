"""U+0000, lone surrogates and invalid UTF-8 in every text of every call, on both engines: refused, never a 500."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres
import pytest
from api_server import Api, example, running_api
from local_node import SECRET_KEY

from commerce_event.api.openapi import document
from commerce_event.core.clock import SystemClock

RAW = ["%00", "a%00b", "%ED%A0%80", "%FF", "%F4%8F%BF%BF"]
TEXTS = ["\0", "a\0b", "\ud800", "\U0010ffff"]
CALLS = [(path, method, call) for path, calls in document()["paths"].items() for method, call in calls.items()]
SCHEMAS = document()["components"]["schemas"]
PARTS = {"events": "evt", "deliveries": "dlv", "endpoints": "end", "replays": "rpl", "keys": "key"}


def addresses(path: str, call: dict[str, Any]) -> Iterator[str]:
    """Yield the call's path and query with a hostile text in each place."""
    prefix = PARTS.get(path.split("/")[2] if path.startswith("/v1/") else "", "")
    plain = path.replace("{id}", f"{prefix}_0000000000000").replace("{name}", "OrderConfirmedEvent")
    names = [each["name"] for each in call.get("parameters", ()) if each["in"] == "query"]
    for raw in RAW:
        if "{" in path:
            yield path.replace("{id}", raw).replace("{name}", raw)
            yield plain + raw
        yield from (f"{plain}?{name}={raw}" for name in [*names, "other"])
        yield f"{plain}?{raw}=1"


def sample(schema: dict[str, Any], depth: int = 0) -> Any:
    """Return a value of a schema, with every optional member."""
    if "$ref" in schema:
        return sample(SCHEMAS[schema["$ref"].rpartition("/")[2]], depth + 1)
    if "anyOf" in schema:
        return sample(next(each for each in schema["anyOf"] if each.get("type") != "null"), depth + 1)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object" and depth < 6:
        return {name: sample(each, depth + 1) for name, each in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [sample(schema.get("items", {}), depth + 1)]
    return {"integer": 1, "number": 1.5, "boolean": True}.get(str(schema.get("type")), "x")


def with_text(value: Any, text: str) -> Iterator[Any]:
    """Yield the value with the text in place of each of its members, and of each name."""
    yield text
    if isinstance(value, dict):
        for name, member in value.items():
            yield from ({**value, name: each} for each in with_text(member, text))
        yield {**value, text: 1}
    elif isinstance(value, list):
        yield from ([each] for each in with_text(value[0], text))


async def check(api: Api, method: str, path: str, body: bytes | None, media: str = "application/json") -> None:
    headers = {} if body is None else {"Content-Type": media}
    response = await api.admin.request(method.upper(), path, content=body, headers=headers)
    assert response.status_code < 500, (method, path, body, response.text)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_hostile_text_anywhere_in_any_call_is_no_server_error(engine: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {}
    if engine == "postgres":
        name = await postgres.TEMPLATE.copy(SystemClock())
        settings = {"store": postgres.in_database(postgres.server_url(), name), "secret_key": SECRET_KEY}
    async with running_api(tmp_path, **settings) as api:
        await api.publish()
        for path, method, call in CALLS:
            contents = call.get("requestBody", {}).get("content", {})
            for address in addresses(path, call):
                await check(api, method, address, b"{}" if contents else None)
            plain = path.replace("{id}", "OrderConfirmedEvent" if method == "post" else "x").replace("{name}", "x")
            for media, content in contents.items():
                value = example() if call["operationId"] == "publishEvent" else sample(content["schema"])
                for text in TEXTS:
                    for changed in with_text(value, text):
                        await check(api, method, plain, json.dumps(changed).encode(), media)
    if engine == "postgres":
        await postgres.drop(name)
