"""Read the final state from the servers: API, metrics and screens."""

import hashlib
import json
import random
import re
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
from ledger import Attempt, Delivery, Ledger, Stored
from servers import KEY, Server
from worst_tenant import CLIENT as WORST

SETTLE_S = 90.0
_DETAILED_MAX = 20_000  # deliveries that took more than one attempt: those of them whose attempts are asked for
_SAMPLED = 1_500  # others whose attempts are asked for
_CALLERS = 3
_CLIENTS = (1, 2, 3)
_ATTEMPTS = re.compile(r"^commerce_event_attempts_total\{[^}]*\} (\S+)", re.MULTILINE)
_DEAD = re.compile(r'^commerce_event_deliveries\{[^}]*state="dead"[^}]*\} (\S+)', re.MULTILINE)
_TAGS = re.compile(r"<[^>]*>")


def settle(server: Server, ledger: Ledger, quiet_s: float, but_for: Collection[str] = ()) -> None:
    """Wait until nothing is pending but for some endpoints, as long as something still happens."""
    with server.api() as api:
        end, seen, since = time.monotonic() + SETTLE_S, -1, time.monotonic()
        while (pending := _pending(api, but_for)) and time.monotonic() < min(end, since + quiet_s):
            if len(ledger.arrivals) != seen:
                seen, since = len(ledger.arrivals), time.monotonic()
            time.sleep(0.2)
        ledger.pending = pending


def _pending(api: httpx.Client, but_for: Collection[str]) -> int:
    books = api.get("/v1/books").raise_for_status().json()["items"]
    return sum(book["pending"] for book in books if book["endpoint_id"] not in but_for)


def pending_deliveries(api: httpx.Client, endpoint_id: str) -> list[str]:
    return [each["id"] for each in _all(api, "/v1/deliveries", state="pending", endpoint_id=endpoint_id)]


def ask(servers: list[Server], ledger: Ledger, paths: dict[str, str], secrets: list[str]) -> None:
    """Write down what a server says: events, deliveries, attempts, dead letters, endpoints. ``secrets`` are looked for."""
    server = servers[-1]
    with server.api() as api:
        ledger.stored = [event for client_id in _CLIENTS for event in _events(api, client_id)]
        found = list(_all(api, "/v1/deliveries"))
        ledger.deliveries = [_delivery(each, paths) for each in found if each["client_id"] != WORST]
        ledger.attempts_of_the_worst = sum(each["attempt_count"] for each in found if each["client_id"] == WORST)
        ledger.switched_off = {
            paths[each["id"]]: each["disabled_reason"] or "by hand"
            for each in _all(api, "/v1/endpoints")
            if not each["enabled"] and paths[each["id"]] != "/switched-off"
        }
        overview = _overview(server)
        ledger.dead_said = _dead_said(api, overview)
        ledger.attempts_counted = sum(_attempts_counted(each) for each in servers)
        ledger.counting_since = min(s.started_at for s in servers), max(s.ready_at for s in servers)
        shown = {name: api.get(name).text for name in ("/v1/endpoints", "/v1/keys", "/metrics", "/v1/deliveries")}
    _read_attempts(server, ledger)
    shown |= {"/admin": overview} | {f"the log of {each.name}": each.log_text() for each in servers}
    for where, text in shown.items():
        ledger.exposed += [f"in {where}: {secret[:9]}…" for secret in secrets if secret.removeprefix("whsec_") in text]


def _all(api: httpx.Client, address: str, **query: Any) -> Iterator[dict[str, Any]]:
    cursor: str | None = ""
    while cursor is not None:
        params = {**query, "limit": 200, **({"cursor": cursor} if cursor else {})}
        page = api.get(address, params=params).raise_for_status().json()
        yield from page["items"]
        cursor = page["next_cursor"]


def _events(api: httpx.Client, client_id: int) -> Iterator[Stored]:
    """Yield a client's events in the order in which they were accepted."""
    after = 0
    while True:
        query = {"client_id": client_id, "after": after, "limit": 200}
        text = api.get("/v1/events", params=query).raise_for_status().text
        items = json.loads(text)["items"]
        if not items:
            return
        at = 0
        for item in items:
            at = text.index('"data":', text.index(item["id"], at)) + len('"data":')
            _, end = json.JSONDecoder().raw_decode(text, at)
            digest = hashlib.sha256(text[at:end].encode()).hexdigest()
            yield Stored(
                item["id"], client_id, item["sequence"], int(item["data"]["OrderNo"].removeprefix("SO-")), digest
            )
        after = items[-1]["sequence"]


def _delivery(item: dict[str, Any], paths: dict[str, str]) -> Delivery:
    return Delivery(
        item["id"],
        item["event_id"],
        paths[item["endpoint_id"]],
        item["state"],
        item["attempt_count"],
        item["reason"],
        item["replay_id"] is not None,
    )


def _read_attempts(server: Server, ledger: Ledger) -> None:
    """Read the attempts of deliveries with more than one, up to a limit, and of a sample of the others."""
    eventful = [each for each in ledger.deliveries if each.attempt_count != 1 or each.state != "delivered"]
    smooth = [each for each in ledger.deliveries if each.attempt_count == 1 and each.state == "delivered"]
    rng = random.Random(len(ledger.deliveries))
    chosen = rng.sample(eventful, min(_DETAILED_MAX, len(eventful))) + rng.sample(smooth, min(_SAMPLED, len(smooth)))

    def read(part: list[Delivery]) -> None:
        with server.api() as api:
            for delivery in part:
                found = api.get(f"/v1/deliveries/{delivery.id}").raise_for_status().json()["attempts"]
                delivery.attempts = [_attempt(each) for each in found]

    with ThreadPoolExecutor(_CALLERS) as callers:
        list(callers.map(read, [chosen[turn::_CALLERS] for turn in range(_CALLERS)]))


def _attempt(item: dict[str, Any]) -> Attempt:
    started_s = datetime.fromisoformat(item["started_at"]).timestamp()
    return Attempt(item["number"], started_s, item["duration_ms"] / 1000, item["status"], item["error"])


def _overview(server: Server) -> str:
    """Sign in as people do, and return the first screen."""
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=30.0) as browser:
        return browser.post("/admin/sign-in", data={"key": KEY}).raise_for_status().text


def _dead_said(api: httpx.Client, overview: str) -> dict[str, int]:
    figure = re.search(r"Dead letters\s+([\d,]+)", _TAGS.sub(" ", overview))
    return {
        "the list": sum(1 for _ in _all(api, "/v1/deliveries", state="dead")),
        "/v1/dead-letters": sum(group["count"] for group in api.get("/v1/dead-letters").json()["items"]),
        "/v1/books": sum(book["dead"] for book in api.get("/v1/books").json()["items"]),
        "/metrics": _counted(api),
        "the overview": -1 if figure is None else int(figure[1].replace(",", "")),
    }


def _attempts_counted(server: Server) -> int:
    """Return how many attempts a node says that it made since its start."""
    with server.api() as api:
        return int(sum(map(float, _ATTEMPTS.findall(api.get("/metrics").raise_for_status().text))))


def _counted(api: httpx.Client) -> int:
    """Return the number of dead deliveries in the metrics, once they agree with the counts or after a time limit."""
    wanted = sum(book["dead"] for book in api.get("/v1/books").json()["items"])
    end = time.monotonic() + 15.0
    while True:
        said = int(sum(map(float, _DEAD.findall(api.get("/metrics").text))))
        if said == wanted or time.monotonic() > end:
            return said
        time.sleep(0.3)
