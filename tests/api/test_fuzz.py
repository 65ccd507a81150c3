"""Whatever is sent: no answer in the 500s, and every answer as the OpenAPI document says."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from api_server import ADMIN_KEY, example, running_api
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from commerce_event.api.openapi import document
from commerce_event.contract.catalogue import EVENT_TYPES

FEW = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MANY = settings(FEW, max_examples=150)
MORE = settings(FEW, max_examples=300)
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
AUTHORIZATION = {"Authorization": f"Bearer {ADMIN_KEY}"}


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """Send text as it is: schemathesis knows no JSON Lines of its own."""
    return str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one node for all examples, in a thread of its own: schemathesis calls are blocking."""
    address: list[str] = []
    ready, over = threading.Event(), threading.Event()

    async def serve(folder: Path) -> None:
        async with running_api(folder) as api:
            endpoint = await api.endpoint()
            await api.publish()
            await api.admin.post("/v1/replays", json={"endpoint_id": endpoint["id"], "since": "2020-01-01T00:00:00Z"})
            address.append(api.url)
            ready.set()
            while not over.is_set():
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=lambda: asyncio.run(serve(tmp_path_factory.mktemp("fuzz"))))
    thread.start()
    assert ready.wait(60)
    yield address[0]
    over.set()
    thread.join(60)
    assert not thread.is_alive()


@schema.parametrize()
@FEW
def test_every_call_answers_as_the_document_says(case: Any, server: str) -> None:
    case.call_and_validate(base_url=server, headers=AUTHORIZATION, checks=CHECKS, timeout=60)


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=60, verify=False, trust_env=False) as made:
        yield made


names = st.sampled_from([
    "Content-Type", "Idempotency-Key", "webhook-id", "ce-id", "ce-type", "ce-specversion", "ce-source", "traceparent",
    "Content-Encoding", "X-Other", "Accept", "Expect", "Authorization",
])  # fmt: skip
media = st.sampled_from([
    "application/json", "application/x-ndjson", "application/cloudevents+json", "application/cloudevents-batch+json",
    "application/jsonl", "application/json;charset=utf-8", "text/plain", ";;=", "application/json;charset",
])  # fmt: skip
# Field values as HTTP allows them: no control characters, no space at the ends.
values = st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if byte > 32 and byte != 127))
paths = st.one_of(st.just("/v1/events"), st.sampled_from(list(EVENT_TYPES)).map(lambda name: f"/v1/events/{name}"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def answer(client: httpx.Client, path: str, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    request = client.build_request("POST", path, content=content, headers=headers)
    response = client.send(request)
    assert response.status_code < 500, (response.status_code, response.text)
    if response.status_code >= 400:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["status"] == response.status_code


@MORE
@given(path=paths, body=st.binary(max_size=200), type_=media, extra=st.dictionaries(names, values, max_size=4))
def test_random_bytes_under_random_headers_are_refused_politely(
    client: httpx.Client, path: str, body: bytes, type_: str, extra: dict[str, bytes]
) -> None:
    headers = {b"authorization": AUTHORIZATION["Authorization"].encode(), b"content-type": type_.encode()}
    headers |= {name.lower().encode(): value for name, value in extra.items() if name != "Expect"}
    answer(client, path, body, list(headers.items()))


HOST = b"Host: shop\r\n"
OWN = HOST + f"Authorization: Bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\n".encode()
EVENT = msgspec.json.encode(example())
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def post(body: bytes, *lines: bytes, path: bytes = b"/v1/events/OrderConfirmedEvent", chunks: int = 0) -> bytes:
    """Return a request with this body, in pieces of so many bytes or whole."""
    framing = b"Transfer-Encoding: chunked" if chunks else b"Content-Length: %d" % len(body)
    pieces = [body[start : start + chunks] for start in range(0, len(body), chunks)] if chunks else []
    framed = b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]) + b"0\r\nX-After: y\r\n\r\n"
    return b"POST %b HTTP/1.1\r\n" % path + OWN + b"\r\n".join([*lines, framing, b"", framed if chunks else body])


WISH = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
ITEM = b'[{"type":"OrderConfirmedEvent","data":' + EVENT + b"}]"
REQUESTS = [
    (202, post(EVENT)),
    (202, post(EVENT, chunks=100)),
    (202, post(EVENT, *WISH)),
    (202, post(EVENT, *WISH, chunks=7)),
    (200, post(ITEM, path=b"/v1/events")),
    (400, post(GET)),
    (400, post(GET, *WISH)),
    (400, post(GET, chunks=5)),
    (404, post(EVENT, path=b"/v1/events/Nothing")),
    (404, post(EVENT, path=b"/nothing")),
    (200, GET),
    (200, GET[:-2] + b"\r\n".join([*WISH, b"", b""])),
]


@MORE
@given(
    sent=st.lists(st.sampled_from(REQUESTS), max_size=8),
    cuts=st.lists(st.integers(0, 3_000), max_size=12).map(sorted),
)
def test_requests_that_share_a_connection_are_answered_in_order_wherever_it_is_cut(
    server: str, sent: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    whole = b"".join([raw for _, raw in sent]) + LAST
    address = ("127.0.0.1", int(server.rpartition(":")[2]))
    with socket.create_connection(address, timeout=60) as connection, connection.makefile("rb") as answers:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in pairwise([0, *cuts, len(whole)]):
            connection.sendall(whole[start:end])
        said = answers.read()
    statuses = [int(each[:3]) for each in said.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [*(status for status, _ in sent), 200]


@MANY
@given(
    type_=st.sampled_from(list(EVENT_TYPES)),
    changes=st.dictionaries(st.text(max_size=12), json_values, max_size=3),
    data=st.data(),
)
def test_events_with_anything_in_them_are_accepted_or_refused_never_broken(
    client: httpx.Client, type_: str, changes: dict[str, Any], data: st.DataObject
) -> None:
    event = {**example(type_), **changes}
    name = data.draw(st.sampled_from(list(event)))
    event[name] = data.draw(json_values)
    response = None
    with suppress(ValueError):  # httpx writes no lone surrogates
        response = client.post(f"/v1/events/{type_}", json=event, headers=AUTHORIZATION)
    assert response is None or response.status_code in {202, 400, 422, 413}


@MANY
@given(
    field=st.sampled_from([
        "client_id", "url", "event_types", "headers", "filter", "retry_schedule", "timeout_s", "jitter", "rate_limit",
        "max_in_flight", "application_id", "description", "signing", "ordering",
    ]),
    value=json_values,
)  # fmt: skip
def test_endpoints_with_anything_in_them_are_made_or_refused_never_broken(
    client: httpx.Client, field: str, value: Any
) -> None:
    wanted = {"client_id": 5, "url": "https://a.example/", "event_types": ["*"], "enabled": False, field: value}
    response = client.post("/v1/endpoints", json=wanted, headers=AUTHORIZATION)
    assert response.status_code in {201, 400, 422}, response.text
    if response.status_code == 201:
        made = response.json()["id"]
        assert client.get(f"/v1/endpoints/{made}", headers=AUTHORIZATION).status_code == 200
        assert client.delete(f"/v1/endpoints/{made}", headers=AUTHORIZATION).status_code == 204


@MANY
@given(
    filter_=st.dictionaries(
        st.sampled_from(["OrderNo", "not", "any", "all", "$.a.b", "OrderId"]), json_values, max_size=3
    )
)
def test_filters_with_anything_in_them_are_kept_or_pointed_at(client: httpx.Client, filter_: dict[str, Any]) -> None:
    wanted = {"client_id": 6, "url": "https://a.example/", "event_types": ["Order"], "filter": filter_, "enabled": True}
    response = client.post("/v1/endpoints", json=wanted, headers=AUTHORIZATION)
    assert response.status_code in {201, 422}, response.text
    if response.status_code == 201:
        made = response.json()["id"]
        published = client.post("/v1/events/OrderConfirmedEvent", json=example(client_id=6), headers=AUTHORIZATION)
        assert published.status_code == 202
        why = client.get(f"/v1/events/{published.json()['id']}/explain", headers=AUTHORIZATION)
        assert why.status_code == 200
        assert client.delete(f"/v1/endpoints/{made}", headers=AUTHORIZATION).status_code == 204
