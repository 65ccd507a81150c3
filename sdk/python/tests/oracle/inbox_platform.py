"""The sender: posts signed events, repeats what is not acknowledged, and some of what is, as a platform does."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import random
import threading
import time
from typing import Final

from inbox_ledger import Ledger, Sent

SECRET: Final = "whsec_" + base64.b64encode(b"oracle-of-the-inbox-of-the-sdk!!").decode()
KEYS_PER_SENDER: Final = 8
_TIMEOUT_S: Final = 10.0
_POISON_TRIES: Final = 3  # of a receiver that works before it answers


class Platform:
    """Threads that send, each the events of its own keys in order."""

    def __init__(self, port: int, ledger: Ledger, *, senders: int, seed: int, has_dead_letters: bool) -> None:
        self._port = port
        self._ledger = ledger
        self._has_dead_letters = has_dead_letters
        self._ending = threading.Event()
        self._may_begin = threading.Event()
        self._may_begin.set()
        self._threads = [
            threading.Thread(target=self._send_events, args=(number, random.Random(f"{seed}/{number}")), daemon=True)
            for number in range(senders)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def hold(self, is_held: bool) -> None:
        """Begin no new events for now, so that the workers keep up."""
        if is_held:
            self._may_begin.clear()
        else:
            self._may_begin.set()

    def finish(self, timeout_s: float) -> bool:
        """Begin no more events; return whether all that began were acknowledged in time."""
        self._ending.set()
        self._may_begin.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _send_events(self, sender: int, rng: random.Random) -> None:
        done: list[Sent] = []
        while not self._ending.is_set():
            if not self._may_begin.wait(0.1):
                continue
            kind = rng.random()
            key = f"{sender}-{rng.randrange(KEYS_PER_SENDER)}" if rng.random() < 0.8 else None
            event = self._ledger.add(key, "refused" if kind < 0.04 else "poison" if kind < 0.08 else "work")
            self._send_until_acknowledged(event, rng)
            if event.is_acknowledged:
                done.append(event)
            if done and rng.random() < 0.2:
                self._post(rng.choice(done[-20:]))  # a late repeat
            time.sleep(rng.random() * 0.004)

    def _send_until_acknowledged(self, event: Sent, rng: random.Random) -> None:
        tries = 0
        while not event.is_acknowledged:
            if rng.random() < 0.1:
                self._post_twice(event)
            else:
                self._post(event)
            tries += 1
            if event.fate == "refused" or (event.fate == "poison" and not self._has_dead_letters):
                if tries >= _POISON_TRIES:
                    return
            elif not event.is_acknowledged:
                time.sleep(0.002)
        if rng.random() < 0.1:
            self._post(event)

    def _post_twice(self, event: Sent) -> None:
        """Send the same event from two connections at once."""
        second = threading.Thread(target=self._post, args=(event,), daemon=True)
        second.start()
        self._post(event)
        second.join()

    def _post(self, event: Sent) -> None:
        status: int | None = None
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", "/hook", *_request(event))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            pass  # killed before it answered
        finally:
            connection.close()
        self._ledger.note(event, status)


def _request(event: Sent) -> tuple[bytes, dict[str, str]]:
    event_type = "ShelfLabelPrinted" if event.key is None else "OrderConfirmedEvent"  # a type of one's own has no key
    body = {
        "ClientId": 1, "ApplicationId": 2, "OrderId": event.number, "OrderNo": event.fate, "Source": "WEB",
        "ClientOrderRef": event.key or "",
    }  # fmt: skip
    data = json.dumps(body).encode()
    now_s = int(time.time())
    signed = f"{event.id}.{now_s}.".encode() + (b"forged" if event.fate == "refused" else data)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return data, {
        "webhook-id": event.id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode(),
        "commerce-event-type": event_type,
    }
