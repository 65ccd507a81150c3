"""What needs no key, or belongs to operators: metrics, documents, keys, sign-in, screens."""

from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from benchmarks.isolation.caller import ENDPOINTS_MAX, SETUP_WORKERS, Caller, batch_of, order
from benchmarks.isolation.client import Request, call
from benchmarks.isolation.registry import Attack, scenario

_FORM: Final = "application/x-www-form-urlencoded"
_SCREENS: Final = ("/admin", "/admin/events", "/admin/endpoints", "/admin/dead", "/admin/types", "/admin/system")


@scenario()
async def metrics_scrapes(a: Caller) -> Attack:
    """Scrape `/metrics` without a key on 50 connections while a client has 200 endpoints.

    Limits: none on how often metrics are read.
    """
    await a.add_endpoints(ENDPOINTS_MAX)
    await a.publish(b"\n".join(batch_of(order(1)).split(b"\n")[:10]))
    return partial(a.flood, 50, lambda _: Request("GET", "/metrics"))


@scenario()
async def documents(a: Caller) -> Attack:
    """Read the OpenAPI document and the reference page without a key on 50 connections.

    Limits: none on how often they are read.
    """
    paths = ("/openapi.json", "/openapi.yaml", "/reference")
    return partial(a.flood, 50, lambda n: Request("GET", paths[n % len(paths)]))


@scenario()
async def wrong_keys(a: Caller) -> Attack:
    """Try ever new keys at the API on 100 connections.

    Limits: 64 KiB of a head, so that a key may be as long.
    """
    return partial(a.flood, 100, lambda n: Request("GET", "/v1/events", key=f"{n}-{'x' * 60_000}"))


@scenario()
async def sign_in_tries(a: Caller) -> Attack:
    """Try ever new keys at the sign-in screen on 50 connections.

    Limits: 10 tries a minute of an address, 8 KiB of a form.
    """

    def request(n: int) -> Request:
        form = urlencode({"key": f"{n}-{'x' * 8_000}", "next": "/admin"}).encode()
        return Request("POST", "/admin/sign-in", form, content_type=_FORM)

    return partial(a.flood, 50, request)


@scenario()
async def screens(a: Caller) -> Attack:
    """Load the screens of a client with 200 endpoints and events of 250 KB, in 20 sessions.

    Limits: 200 endpoints, 256 KiB of an event, 40 events of a page.
    """
    await a.add_endpoints(ENDPOINTS_MAX, description="d" * 500)
    events = await a.publish(b"\n".join(batch_of(order(1, X="a" * 250_000)).split(b"\n")[:40]))
    cookies = [await _session(a) for _ in range(20)]
    paths = [*_SCREENS, f"/admin/events/{events[0]}"]

    def request(n: int) -> Request:
        return Request("GET", paths[n % len(paths)], headers={"Cookie": cookies[n % len(cookies)]})

    return partial(a.flood, 20, request)


@scenario()
async def many_keys(a: Caller) -> Attack:
    """Make keys with 1,000 clients each and list them, while each key is used once.

    Limits: 1,000 clients of a key, no limit on keys. Only operators make keys.
    """
    body: dict[str, Any] = {"role": "read", "client_ids": list(range(1, 1_001)), "name": "n" * 100}

    def request(n: int) -> Request:
        if n % 4 == 0:
            return Request("GET", "/v1/keys?limit=200", key=a.admin_key)
        return Request("POST", "/v1/keys", body, a.admin_key)

    return partial(a.flood, SETUP_WORKERS, request)


async def _session(a: Caller) -> str:
    """Sign in at the screens; return the cookie."""
    form = urlencode({"key": a.key, "next": "/admin"}).encode()
    answer = await call(a.port, Request("POST", "/admin/sign-in", form, content_type=_FORM))
    if answer.status != 303:
        raise RuntimeError(f"signing in failed: {answer.status}")
    return answer.headers["set-cookie"].partition(";")[0]
