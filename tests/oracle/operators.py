"""Actions of operators: make endpoints, rotate a secret, revoke a key, cancel, delete, replay."""

import time

import httpx
from client import pending_deliveries
from faulty_receiver import TRAP, Receivers
from ledger import Ledger, Subscription
from publishers import body_of
from servers import Server
from subscriptions import CANCELLED, DELETED, REPLAYED, ROTATED, as_asked, client_of, subscriptions

_REVOKED_S = 3.0  # until a key that was revoked on another node opens nothing any more
_REPLAYED_S = 60.0
_EVENT = "/v1/events/OrderConfirmedEvent"


def subscribe(server: Server, receivers: Receivers, ledger: Ledger) -> dict[str, str]:
    """Make the endpoints; return paths by endpoint id."""
    paths = {}
    with server.api() as api:
        ledger.subscriptions[TRAP] = Subscription(TRAP, wants_nothing=True)
        for wish in subscriptions():
            made = api.post("/v1/endpoints", json=as_asked(wish, receivers.url)).raise_for_status().json()
            receivers.secrets[wish.path] = [made["secret"]]
            ledger.subscriptions[wish.path] = wish
            paths[made["id"]] = wish.path
        for url in receivers.forbidden_urls:
            ledger.refused_addresses += 1
            answer = api.post("/v1/endpoints", json={"client_id": 2, "url": url, "event_types": ["*"]})
            if answer.status_code != 422:
                paths[answer.json().get("id", "")] = TRAP
                ledger.trapped.append(f"an endpoint at {url} was answered with {answer.status_code}")
    return paths


def rotate(server: Server, receivers: Receivers, ledger: Ledger, paths: dict[str, str]) -> None:
    """Give some endpoints a new secret; the former one ends after a second, or stays valid."""
    with server.api() as api:
        for endpoint_id, path in paths.items():
            if path in ROTATED:
                answer = api.post(f"/v1/endpoints/{endpoint_id}/rotate-secret", json={"overlap": ROTATED[path]})
                receivers.secrets[path].append(answer.raise_for_status().json()["secret"])
                ledger.rotated_at[path] = [time.monotonic()]


def drop(server: Server, ledger: Ledger, paths: dict[str, str]) -> None:
    """Cancel what is pending at one endpoint, and delete another one with all that is pending at it."""
    with server.api() as api:
        for endpoint_id, path in paths.items():
            if path == CANCELLED:
                for delivery_id in pending_deliveries(api, endpoint_id):
                    api.post(f"/v1/deliveries/{delivery_id}/cancel").raise_for_status()
            elif path == DELETED:
                api.delete(f"/v1/endpoints/{endpoint_id}").raise_for_status()
            else:
                continue
            ledger.dropped_at[path] = time.monotonic()


def make_and_revoke_key(servers: list[Server], ledger: Ledger) -> str:
    """Try a key of client 2 on every node, where it opens nothing of client 1, and then nothing at all; return it."""
    with servers[0].api() as api:
        made = api.post("/v1/keys", json={"role": "publish", "client_ids": [2], "name": "for a while"})
        key = made.raise_for_status().json()
        for server in servers:
            _expect(ledger, server, key["key"], 1, 403)
            _expect(ledger, server, key["key"], 2, 422)
        api.delete(f"/v1/keys/{key['id']}").raise_for_status()
    check_revoked(servers, ledger, key["key"])
    return str(key["key"])


def check_revoked(servers: list[Server], ledger: Ledger, key: str) -> None:
    for server in servers:
        _expect(ledger, server, key, 2, 401)


def _expect(ledger: Ledger, server: Server, key: str, client_id: int, status: int) -> None:
    """Publish an event that breaks the contract, so that nothing is stored. Other nodes need a moment to learn of a key."""
    number = next(number for number in range(1, 20) if client_of(number) == client_id)
    body = body_of(number).replace(b'"WEB"', b"5") if client_id == 2 else body_of(number)
    end = time.monotonic() + _REVOKED_S
    ledger.keys_asked += 1
    while True:
        headers = {"Authorization": f"Bearer {key}", "content-type": "application/json"}
        answer = httpx.post(f"{server.url}{_EVENT}", content=body, headers=headers, timeout=30.0)
        if answer.status_code == status:
            return
        if time.monotonic() > end:
            ledger.keys_honoured.append(f"{server.name} answered {answer.status_code}, not {status}")
            return
        time.sleep(0.05)


def replay(server: Server, ledger: Ledger, paths: dict[str, str]) -> None:
    """Have everything sent once more to one endpoint, and wait until it is queued."""
    [endpoint_id] = [each for each, path in paths.items() if path == REPLAYED]
    wanted = {
        "endpoint_id": endpoint_id,
        "since": "2000-01-01T00:00:00Z",
        "until": "2090-01-01T00:00:00Z",
        "only": "all",
    }
    ledger.replayed_at, ledger.replayed_path = time.monotonic(), REPLAYED
    with server.api() as api:
        found = api.post("/v1/replays", json=wanted).raise_for_status().json()
        end = time.monotonic() + _REPLAYED_S
        while found["queued_at"] is None and time.monotonic() < end:
            time.sleep(0.05)
            found = api.get(f"/v1/replays/{found['id']}").raise_for_status().json()
