"""Sample the resources and metrics of every node during a run."""

import re
import threading
import time
from typing import Any

import httpx
import psutil
from ledger import Ledger, Sample
from servers import Server

_EVERY_S = 0.7
_PATIENCE_S = 2.0
_OLDEST = re.compile(r"^commerce_event_oldest_due_age_seconds\{[^}]*\} (\S+)", re.MULTILINE)


class Watch:
    """A thread that takes samples until it is told to stop."""

    def __init__(self, servers: list[Server], ledger: Ledger) -> None:
        self._servers = servers
        self._ledger = ledger
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def take(self, *, quiet: bool) -> None:
        """Take a sample of every node now. ``quiet``: there was no fault before, or all is over."""
        for server in self._servers:
            with server.api(_PATIENCE_S) as api:
                self._sample(server, api, quiet=quiet)

    def _run(self) -> None:
        clients = [server.api(_PATIENCE_S) for server in self._servers]
        while not self._ended.wait(_EVERY_S):
            for server, api in zip(self._servers, clients, strict=True):
                self._sample(server, api, quiet=False)
        for api in clients:
            api.close()

    def _sample(self, server: Server, api: httpx.Client, *, quiet: bool) -> None:
        try:
            process = psutil.Process(server.pid)
            used = process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()
        except psutil.Error:
            return  # it was killed just now
        oldest_due_s, unbalanced = None, ""
        try:
            books = api.get("/v1/books").raise_for_status().json()
            oldest_due_s = max(map(float, _OLDEST.findall(api.get("/metrics").raise_for_status().text)), default=0.0)
            unbalanced = _unbalanced(books)
        except httpx.HTTPError:
            pass
        sample = Sample(time.monotonic(), server.name, *used, server.log_mb(), oldest_due_s, unbalanced, quiet)
        self._ledger.samples.append(sample)


def _unbalanced(books: dict[str, Any]) -> str:
    """Return what is wrong with the delivery counts, by the server's own word or by our sum."""
    if not books["balanced"]:
        return "the server says that its delivery counts do not balance"
    for book in books["items"]:
        if book["matched"] != book["delivered"] + book["dead"] + book["cancelled"] + book["pending"]:
            return f"the sum is wrong: {book}"
    return ""
