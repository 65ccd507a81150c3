"""A tenant that does the worst that its limits allow, while the servers suffer: a client of its own, judged by no rule.

What it causes has to fall on itself. Its receivers hang, or redirect to ever new names; its filters are costly; its
batches are refused item by item; it searches. Its work is paced, so that a slow machine is not the fault that is found.
"""

import asyncio
import itertools
import threading
import time
from typing import Any

import httpx
from servers import Server

CLIENT = 4
_HANGING = 8  # endpoints
_PAUSE_S = 0.25
_PATIENCE_S = 2.0
_LAST_S = 60.0
_TEXT = "a" * 20_000
_FILTERS = 50
_REFUSED = 300  # items of a batch
_LATER = ["1h"] * 50  # nothing of it dies during a run


class WorstTenant:
    """A thread that acts until it is told to stop, with receivers of its own."""

    def __init__(self, servers: list[Server]) -> None:
        self._servers = servers
        self._names = itertools.count(1)
        self._answered = 0
        self._ended = threading.Event()
        self._port = 0
        listening = threading.Event()
        self._receiving = threading.Thread(target=lambda: asyncio.run(self._listen(listening)), daemon=True)
        self._receiving.start()
        listening.wait()
        self._key, self._endpoints = self._subscribe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and delete the endpoints: what waits for them is cancelled. Raises SystemExit when that fails."""
        self._ended.set()
        self._thread.join()
        if not self._answered:
            raise SystemExit("the worst tenant got no answer, so it did nothing")
        end = time.monotonic() + _LAST_S
        for endpoint_id in self._endpoints:
            while not self._delete(endpoint_id):
                if time.monotonic() > end:
                    raise SystemExit("the endpoints of the worst tenant cannot be deleted")
                time.sleep(_PAUSE_S)
        self._loop.call_soon_threadsafe(self._over.set)
        self._receiving.join()

    def _delete(self, endpoint_id: str) -> bool:
        try:
            with self._servers[0].api() as api:
                return api.delete(f"/v1/endpoints/{endpoint_id}").status_code in {204, 404}
        except httpx.TransportError:
            return False

    async def _listen(self, listening: threading.Event) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._receive, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        listening.set()
        await self._over.wait()
        server.close()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Redirect to a name that was never looked up before, or answer nothing."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b" /redirects " in head.split(b"\r\n", 1)[0]:
                name = f"n{next(self._names)}.worst.invalid"
                writer.write(f"HTTP/1.1 307 See\r\nLocation: http://{name}/\r\nContent-Length: 0\r\n\r\n".encode())
            while await reader.read(65536):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _subscribe(self) -> tuple[str, list[str]]:
        costly = {"any": [{"ClientOrderRef": {"contains": "a" * 200 + f"b{each}"}} for each in range(_FILTERS)]}
        wishes: list[dict[str, Any]] = [{"url": f"/hangs/{each}"} for each in range(_HANGING)]
        wishes += [{"url": "/redirects"}, {"url": "/never", "filter": costly}]
        with self._servers[0].api() as api:
            wanted = {"role": "manage", "client_ids": [CLIENT], "name": "the worst tenant"}
            key = api.post("/v1/keys", json=wanted).raise_for_status().json()["key"]
            made = []
            for wish in wishes:
                url = f"http://127.0.0.1:{self._port}{wish['url']}"
                more = {"client_id": CLIENT, "event_types": ["*"], "timeout_s": 1.0, "retry_schedule": _LATER}
                answer = api.post("/v1/endpoints", json={**more, **wish, "url": url})
                made.append(answer.raise_for_status().json()["id"])
        return key, made

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        actions = itertools.cycle([self._publish, self._publish, self._batch, self._publish, self._search])
        clients = [httpx.Client(base_url=each.url, headers=headers, timeout=_PATIENCE_S) for each in self._servers]
        for number, client, act in zip(itertools.count(1), itertools.cycle(clients), actions, strict=False):
            if self._ended.wait(_PAUSE_S):
                break
            try:
                act(client, number)
                self._answered += 1
            except httpx.TransportError:
                pass  # a server was killed, or keeps the tenant waiting
        for client in clients:
            client.close()

    def _publish(self, client: httpx.Client, number: int) -> None:
        event = {"ClientId": CLIENT, "ApplicationId": 1, "OrderId": number, "OrderNo": f"W-{number}", "Source": "WEB"}
        client.post("/v1/events/OrderConfirmedEvent", json={**event, "ClientOrderRef": _TEXT})

    def _batch(self, client: httpx.Client, _: int) -> None:
        lines = b'{"type":"OrderConfirmdEvent","data":{"ClientId":"4"}}\n' * _REFUSED
        client.post("/v1/events", content=lines, headers={"content-type": "application/x-ndjson"})

    def _search(self, client: httpx.Client, _: int) -> None:
        client.get("/v1/events", params={"q": "W", "client_id": CLIENT})
