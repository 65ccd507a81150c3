"""How long first pages take in a store that holds much; run as a script, it prints the slowest last.

`measure_first_pages.py SQLITE-FILE-OR-POSTGRESQL-URL [EVENTS [DEAD]]`: the store is filled when it is empty, which takes minutes,
with as many events and about as many dead deliveries.
"""

import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import apsw
import asyncpg
from api_server import ADMIN_KEY, _Later, listening, plain_client

from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.ids import at_time
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.server import Node
from commerce_event.settings import Settings

FAILING: Final = 4  # the endpoint with most dead letters
CLIENTS: Final = 100  # client 1 has half of all events; each has one endpoint
DAYS: Final = 20
ROUNDS: Final = 5
DAY_MS: Final = 86_400_000
_KEY: Final = "cek_" + "A" * 43

HEALTH: Final = (
    f"INSERT INTO endpoint_health (endpoint_id, client_id, failures, failing_since_ms, last_failure_ms, last_status) "
    f"VALUES ({FAILING}, {FAILING}, 20000, {{now}} - 86400000, {{now}}, 500)"
)

# Event n, in the words of both engines; {…} are their own.
_CLIENT = "CASE WHEN n % 2 = 1 THEN 1 ELSE 2 + n % 99 END"
_STATE = (
    "CASE WHEN {client} = 4 AND n < 20000 OR {client} <> 4 AND n * 7919 % 1000 < {dead} THEN 'dead' WHEN n % 10000 = 8 THEN 'cancelled' WHEN n % 5000 = 9 OR n >= {all} - 20000 "
    "THEN 'pending' ELSE 'delivered' END"
)
_TYPE = "CASE WHEN n % 1000 = 3 THEN 'JobCompletedEvent' WHEN n % 3 = 0 THEN 'OrderConfirmedEvent' ELSE 'OrderCancelledEvent' END"
_BODY = (
    '\'{{"ClientId":\' || ({client}) || \',"OrderNo":"SO-\' || n || \'","ClientOrderRef":"B-\' || (n % 50000) || '
    '\'","FirstName":"Åsa","LastName":"Lind","Rows":[{{"PartNo":"P-\' || (n % 700) || \'","Quantity":2}}],"Notes":["\' || '
    "CASE WHEN n * 10 < {all} THEN 'Early' ELSE 'Late' END || '\",\"' || CASE WHEN {client} = 4 THEN 'Own' ELSE 'Others' END "
    "|| '\"]}}'"
)


def rows(events: int, dead: int, first_ms: int, series: str) -> str:
    """Return a SELECT of what each event is made of, named."""
    step_ms = DAYS * DAY_MS // events
    body = _BODY.format(client=_CLIENT, all=events)
    state = _STATE.format(client=_CLIENT, all=events, dead=1000 * dead // events)
    return (
        f"SELECT n, {first_ms} + n * {step_ms} AS ms, "
        f"(({at_time(first_ms)} >> 22) + n * {step_ms}) << 22 AS id, {_CLIENT} AS client, {_TYPE} AS type, "
        f"{state} AS state, {body} AS body FROM {series}"
    )


def fill_sqlite(path: Path, events: int, dead: int, first_ms: int) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF")
    numbers = (
        "(WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < "
        f"{events - 1}) SELECT n FROM number)"
    )
    connection.execute(f"CREATE TEMP TABLE made AS {rows(events, dead, first_ms, numbers)}")
    with connection:
        connection.execute(
            "INSERT INTO event (id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent, body) SELECT id, client, row_number() OVER (PARTITION BY client ORDER BY n), type, n % 5, ms, 1, 1, "
            "NULL, NULL, CAST(body AS BLOB) FROM made ORDER BY id"
        )
        connection.execute(
            "INSERT INTO delivery (id, event_id, endpoint_id, client_id, state, attempt_count, failure_count, due_ms, run_id, leased_ms, order_key, replay_id, replayed, reason, created_ms, finished_ms, bulk) SELECT id + 1, id, client, client, state, 1, 0, iif(state = 'pending', ms, NULL), NULL, "
            "NULL, NULL, NULL, 0, NULL, ms, iif(state = 'pending', NULL, ms + 20), 0 FROM made ORDER BY id"
        )
        connection.execute(
            "INSERT INTO attempt (delivery_id, number, started_ms, duration_ms, status, error, response_headers, response_body) SELECT id + 1, 1, ms, 5.0, iif(state = 'dead', 500, 200), NULL, '[]', x'' FROM made "
            "WHERE state <> 'pending' ORDER BY id"
        )
        connection.execute(
            "INSERT INTO delivery_counts SELECT client, client, count(*), sum(state = 'delivered'), sum(state = 'dead'), "
            "sum(state = 'cancelled'), sum(state = 'pending') FROM made GROUP BY client"
        )
        connection.execute("INSERT INTO client SELECT client, count(*) FROM made GROUP BY client")
        connection.execute(HEALTH.format(now=first_ms + DAYS * DAY_MS))
    connection.close()


async def fill_postgres(url: str, events: int, dead: int, first_ms: int) -> None:
    connection = await asyncpg.connect(url, server_settings={"search_path": "commerce_event"}, command_timeout=3600)
    made = rows(events, dead, first_ms, f"generate_series(0::bigint, {events - 1}) AS number (n)")
    for statement in (
        f"CREATE TEMP TABLE made AS {made}",
        "INSERT INTO event (id, client_id, sequence, type, application_id, accepted_ms, config_version, match_count, idempotency_key, traceparent, body) SELECT id, client, row_number() OVER (PARTITION BY client ORDER BY n), type, n % 5, ms, 1, 1, "
        "NULL, NULL, convert_to(body, 'UTF8') FROM made ORDER BY id",
        "INSERT INTO finished SELECT id + 1, id, client, client, state, 1, 0, NULL, NULL, false, n, NULL, ms, ms + 20 "
        "FROM made WHERE state <> 'pending' ORDER BY id",
        "INSERT INTO queue (id, event_id, endpoint_id, client_id, attempt_count, failure_count, due_ms, replayed, turn, "
        "created_ms) SELECT id + 1, id, client, client, 1, 0, ms, false, n, ms FROM made WHERE state = 'pending'",
        "INSERT INTO attempt (id, delivery_id, number, started_ms, duration_ms, status, error, response_headers, response_body) SELECT id, id + 1, 1, ms, 5.0, CASE WHEN state = 'dead' THEN 500 ELSE 200 END, NULL, '[]', '' "
        "FROM made WHERE state <> 'pending' ORDER BY id",
        "INSERT INTO delivery_counts SELECT client, 0, client, count(*), count(*) FILTER (WHERE state = 'delivered'), "
        "count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'cancelled'), "
        "count(*) FILTER (WHERE state = 'pending') FROM made GROUP BY client",
        "INSERT INTO client SELECT client, count(*) FROM made GROUP BY client",
        HEALTH.format(now=first_ms + DAYS * DAY_MS),
        "INSERT INTO text_todo SELECT id FROM made",
        "ANALYZE",
    ):
        await connection.execute(statement)
    await connection.close()


def pages(events: int, first_ms: int, a_key: str) -> list[str]:
    """Return the addresses of first pages, those of the screens last."""

    def time_of(start: float, end: float) -> str:
        moments = (rfc3339(round(first_ms + share * DAYS * DAY_MS)) for share in (start, end))
        return "since={}&until={}".format(*moments)

    endpoint, event = ids.encode("end", 1), ids.encode("evt", at_time(first_ms))
    lists = [
        "", "client_id=1", "client_id=4", "state=pending", "state=dead", "state=cancelled", "state=delivered",
        "client_id=4&state=pending", "client_id=4&state=dead", "client_id=4&state=delivered", "client_id=1&state=dead",
        "type=JobCompletedEvent", "client_id=1&type=JobCompletedEvent,OrderCancelledEvent", "client_id=1&application_id=7",
        "application_id=7", "application_id=3", time_of(0.1, 0.11), "client_id=1&" + time_of(0.1, 0.9),
        "client_id=4&" + time_of(0.1, 0.1001), time_of(0.5, 0.50000001), time_of(-1, -0.5), "type=SubscriptionFailedEvent",
        f"q=SO-{events // 2}", f"q=SO{events // 2}", f"q={events // 2}", "q=SO123", "q=Lind", "q=P-13", "q=B-777", "q=nowhere", "q=nowhere1", "client_id=4&q=Lind", "client_id=4&q=P-13",
        "client_id=1&q=P-13&state=dead", "q=Lind&" + time_of(0.1, 0.11),
        "q=Early", "client_id=1&q=Early", "client_id=4&q=Early", "client_id=4&q=Others", "client_id=1&q=Own",
        "client_id=4&q=Others&type=JobCompletedEvent", "client_id=4&q=nowhere", "client_id=4&q=Lind%20P-13", "q=Lind%20P-13",
        "q=L", "client_id=4&q=Other", "q=Lind&state=dead", "client_id=4&q=Lind&state=dead", "q=nowhere&state=dead", "type=JobCompletedEvent&state=dead",
        "type=SubscriptionFailedEvent&state=dead", "client_id=1&type=OrderConfirmedEvent&state=dead",
    ]  # fmt: skip
    deliveries = [
        "", "client_id=4", "client_id=1&state=dead", "client_id=4&state=dead", "client_id=4&state=pending", "state=pending",
        "state=dead", f"endpoint_id={endpoint}", f"endpoint_id={endpoint}&state=pending",
        f"endpoint_id={endpoint}&state=dead", f"endpoint_id={endpoint}&state=delivered", f"event_id={event}",
    ]  # fmt: skip
    return [
        *(f"/v1/events?{query}" for query in lists),
        "/v1/events?client_id=1&after=1000",
        *(f"/v1/deliveries?{query}" for query in deliveries),
        *(f"/v1/dead-letters{query}" for query in ("", "?client_id=1", "?client_id=4", f"?endpoint_id={endpoint}")),
        *(f"/v1/timelines/order?value={value}&client_id=1" for value in (f"SO-{events // 2 + 1}", "B-777", "SO-1")),
        f"/v1/timelines/order?value=SO-{events // 2}",
        *("/v1/incidents", "/v1/incidents?state=ended", f"/v1/incidents/{endpoint}"),
        *("/v1/books", "/v1/activity?span=week", f"/v1/endpoints/{endpoint}/stats"),
        *(f"/v1/events/{event}", f"/v1/events/{event}/deliveries", f"/v1/events/{event}/explain"),
        *(f"/admin{path}" for path in ("", "/events", "/endpoints", "/dead", "/replays", "/types", "/keys", "/system")),
        *(f"/admin/events?q={text}" for text in ("Lind", "P-13")),
        *(
            "/admin/events?state=dead",
            "/admin/dead?client_id=1",
            "/admin/dead?client_id=4",
            f"/admin/endpoints/{endpoint}",
            f"/admin/events/{event}",
            *(f"/admin/orders/{value}?client_id=1" for value in (f"SO-{events // 2 + 1}", "B-777")),
            *(f"/admin/events?q={value}" for value in (f"SO-{events // 2 + 1}", "B-777")),
            f"/admin/incidents/{endpoint}",
            a_key,
            *new_screens(events),
        ),
    ]


def new_screens(events: int) -> list[str]:
    """Return the addresses of timelines, incidents, the palette, exports and what is shown next to them."""
    order, many = f"SO-{events // 2 + 1}", "P-13"  # one event; thousands
    failing = ids.encode("end", FAILING)
    return [
        *(f"/v1/timelines/order?value={value}" for value in (order, "B-777", "nowhere1")),
        *(f"/v1/timelines/part?value={many}&client_id={client}" for client in (1, 4)),
        *("/v1/incidents", f"/v1/incidents/{failing}", f"/v1/endpoints/{failing}/impact", "/v1/clients", "/v1/audit"),
        *(
            f"/admin/{path}"
            for path in (f"orders/{order}?client_id=1", "orders/B-777?client_id=1", f"parts/{many}?client_id=1")
        ),
        *(f"/admin/palette?q={text}" for text in ("", order, many, "Lind", "777")),
        *(f"/admin/incidents/{failing}", f"/admin/endpoints/{failing}/off", f"/admin/endpoints/{failing}/delete"),
        *(f"/admin/{name}/export?format=csv" for name in ("events", "dead", "endpoints")),
        *("/admin/events/export?format=jsonl&client_id=4", "/admin/audit", "/admin/refusals", "/reference"),
    ]


async def main(place: str, events: int, dead: int) -> None:
    postgres = place.startswith("postgresql")
    settings = Settings(
        store=place if postgres else f"sqlite:///{place}", admin_key=ADMIN_KEY, secret_key=_KEY, hold_deliveries=True,
        retention_s=0.0,
    )  # fmt: skip
    app = _Later()
    async with listening(app) as served:
        first_ms = await filled(settings, place, events, dead, postgres=postgres)
        node = Node(settings)
        await node.start(own_addresses=frozenset({(served.host, served.port)}))
        app.app = node.app
        try:
            for client in range(1, CLIENTS + 1):
                if node.registry.endpoint(client) is None:
                    await node.registry.save(an_endpoint(client))
            begin_s = time.perf_counter()
            while await node.store.maintenance.index_text(1_000):
                pass
            print(f"the rest of the text index took {time.perf_counter() - begin_s:.1f} s", file=sys.stderr)
            begin_s = time.perf_counter()
            await node.maintenance.counts.verify()
            print(f"a recount takes {(time.perf_counter() - begin_s) * 1000:.0f} ms", file=sys.stderr)
            await measure(f"http://127.0.0.1:{served.port}", pages(events, first_ms, "/v1/keys"))
        finally:
            await node.stop()


async def filled(settings: Settings, place: str, events: int, dead: int, *, postgres: bool) -> int:
    """Fill the store unless it is; return the time of its first event."""
    node = Node(settings)
    await node.start()
    found = await node.store.history.events_after(1, 0, 1)
    await node.stop()
    if found:
        return found[0].accepted_ms - DAYS * DAY_MS // events
    first_ms = time.time_ns() // 1_000_000 - DAYS * DAY_MS
    if postgres:
        await fill_postgres(place, events, dead, first_ms)
    else:
        fill_sqlite(Path(place), events, dead, first_ms)
    return first_ms


def an_endpoint(number: int) -> Endpoint:
    return Endpoint(
        id=number, client_id=number, url=f"https://shop-{number}.example/hook", event_types=("*",),
        secrets=(Secret(new_secret("hmac")),),
    )  # fmt: skip


async def measure(url: str, addresses: list[str]) -> None:
    async with plain_client(url, {"Authorization": f"Bearer {ADMIN_KEY}"}) as client:
        client.timeout = 60
        await client.post("/admin/sign-in", data={"key": ADMIN_KEY})
        found: list[tuple[float, str, Any]] = []
        for address in addresses:
            took: list[float] = []
            for _ in range(ROUNDS):
                begin_s = time.perf_counter()
                response = await client.get(address)
                took.append((time.perf_counter() - begin_s) * 1000)
            found.append((statistics.median(took), address, response.status_code))
        for median, address, status in sorted(found):
            print(f"{median:8.1f} ms  {status}  {address}")


if __name__ == "__main__":
    events = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    asyncio.run(main(sys.argv[1], events, int(sys.argv[3]) if len(sys.argv) > 3 else events // 1000))
