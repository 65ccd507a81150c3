"""A server that takes events under idempotency keys, and now and then fails, before or after it has stored them."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from outbox_judge import Published


class EventServer:
    """Keeps what it took, in order."""

    def __init__(self, seed: int) -> None:
        self.published: dict[str, Published] = {}
        self.repeats = 0
        self.requests: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = server._take(body)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_values: object) -> None:
                """Write nothing."""

            def handle(self) -> None:
                with suppress(OSError):  # the relay was killed
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, body: bytes) -> tuple[int, bytes | None]:
        """Return an answer; None closes the connection without one."""
        with self._lock:
            kind = self._rng.random()
            if kind < 0.01:
                self.requests["turned away"] += 1
                return 503, b'{"title": "Unavailable", "detail": "Try later."}'
            if kind < 0.02:
                self.requests["cut before"] += 1
                return 0, None
            items = [self._store(index, json.loads(line)) for index, line in enumerate(body.splitlines())]
            if kind < 0.05:
                self.requests["cut after"] += 1
                return 0, None
            self.requests["answered"] += 1
            return 200, json.dumps({"items": items}).encode()

    def _store(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        data = item["data"]
        if data["OrderNo"] == "refused":
            return {"index": index, "status": 422, "title": "Refused", "detail": "Refused by the oracle.", "errors": []}
        is_known = item["id"] in self.published
        self.repeats += is_known
        self.published.setdefault(item["id"], Published(item["id"], data["OrderId"], data["ClientOrderRef"]))
        status = 200 if is_known else 202
        return {"index": index, "status": status, "id": item["id"], "duplicate": is_known, "deliveries": 0}
