"""Callers of the API that publish numbered events, and repeat whatever got no clear answer."""

import threading
import time
from contextlib import ExitStack

import httpx
from ledger import Ledger, application_of
from servers import Server

_PATH = "/v1/events/OrderConfirmedEvent"
_AGAIN_S = 0.02
_PATIENCE_S = 2.0  # for an answer; then another server is asked


class Publishers:
    """Threads that take the servers in turn. A repeat has the same idempotency key."""

    def __init__(self, servers: list[Server], ledger: Ledger, count: int) -> None:
        self._servers = servers
        self._ledger = ledger
        self._lock = threading.Lock()
        self._next = 0
        self._ended = threading.Event()
        self.wrong: list[str] = []
        self.refused = 0  # with 503
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with ExitStack() as closing:
            clients = [closing.enter_context(server.api(_PATIENCE_S)) for server in self._servers]
            while not self._ended.is_set():
                with self._lock:
                    self._next += 1
                    number = turn = self._next
                while (event_id := self._publish(clients[turn % len(clients)], number)) is None:
                    turn += 1
                    time.sleep(_AGAIN_S)
                with self._lock:
                    self._ledger.acknowledged[number] = event_id

    def _publish(self, client: httpx.Client, number: int) -> str | None:
        body = {
            "ClientId": 1,
            "ApplicationId": application_of(number, len(self._ledger.application_paths)),
            "OrderId": number,
            "OrderNo": f"SO-{number}",
            "ClientOrderRef": "B",
            "Source": "WEB",
        }
        try:
            answer = client.post(_PATH, json=body, headers={"Idempotency-Key": f"order-{number}"})
        except httpx.TransportError:
            return None
        if answer.status_code == 503 and "retry-after" in answer.headers:
            self.refused += 1
            return None
        if answer.status_code not in {200, 202}:
            self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
            return None
        return str(answer.json()["id"])
