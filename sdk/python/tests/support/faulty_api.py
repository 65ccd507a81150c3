"""A server that gives the events of client 1 as Commerce Event does, or fails as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

DEADLINE_S = 30.0


class FaultyApi:
    """Has ``events`` events, numbered from 1."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._failure: tuple[int, int, Mapping[str, str]] | None = None  # after how many requests, status, headers
        self._body: bytes | None = None
        self._changed = threading.Condition()
        self.requests = 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = api._answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_values: object) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> FaultyApi:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail_after(self, *, requests: int, status: int, headers: Mapping[str, str]) -> None:
        """Answer so many requests as usual, and later ones so."""
        with self._changed:
            self._failure = (self.requests + requests, status, headers)

    def recover(self) -> None:
        with self._changed:
            self._failure = None

    def answer_with(self, body: bytes) -> None:
        """Answer 200 with this."""
        self._body = body

    def wait_for(self, *, requests: int) -> None:
        """Return once so many requests have come in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.requests >= requests, DEADLINE_S)

    def _answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        with self._changed:
            failure = self._failure if self._failure is not None and self.requests >= self._failure[0] else None
            self.requests += 1
            self._changed.notify_all()
        if failure is not None:
            return failure[1], failure[2], b'{"detail": "Not now."}'
        if self._body is not None:
            return 200, {}, self._body
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        return 200, {}, json.dumps(self._page(int(query["after"]), int(query["limit"]))).encode()

    def _page(self, after: int, limit: int) -> dict[str, Any]:
        last = min(after + limit, self._events)
        items = [
            {
                "id": f"evt_{number:06d}", "sequence": number, "type": "JobCompletedEvent", "client_id": 1,
                "application_id": None, "accepted_at": "2026-01-01T00:00:00.000Z", "data": {"ClientId": 1},
            }
            for number in range(after + 1, last + 1)
        ]  # fmt: skip
        return {"items": items, "next_cursor": "more" if last < self._events else None}
