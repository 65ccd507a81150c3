"""Publishers: send numbered events, repeat those without a clear answer, send some that must be refused."""

import hashlib
import threading
import time
from contextlib import ExitStack
from typing import Any

import httpx
from ledger import FIRST_REFUSED, Ledger, Published
from servers import Server
from subscriptions import application_of, client_of, order_of

_PATH = "/v1/events/OrderConfirmedEvent"
_AGAIN_S = 0.02
_PATIENCE_S = 2.0  # for an answer; then another server is asked
_LAST_S = 60.0  # for what was begun when all are to stop
_REPEATED_EVERY, _CONFLICT_EVERY, _REFUSED_EVERY, _BATCH_EVERY = 7, 11, 13, 17
_OF_A_BATCH = 3
_BATCH_PATH = "/v1/events"


def body_of(number: int, name: str = "\\u00c5sa") -> bytes:
    """Return an event whose bytes change when it is parsed and serialised again."""
    return (
        f'{{ "OrderNo":"SO-{number}",  "ClientId":{client_of(number)},"OrderId":{order_of(number)},'
        f'"ApplicationId": {application_of(number)},"ClientOrderRef":"B","Source":"WEB",'
        f'"Extra":{{"Sum":1.50,"Name":"{name} Å"}}}}'
    ).encode()


def required_part_of(number: int) -> bytes:
    """Return what an endpoint gets of the event that selects no optional property."""
    return (
        f'{{"OrderNo":"SO-{number}","ClientId":{client_of(number)},"OrderId":{order_of(number)},'
        f'"ApplicationId":{application_of(number)},"ClientOrderRef":"B","Source":"WEB"}}'
    ).encode()


def refused_body(number: int) -> bytes:
    """Return an event that breaks the contract."""
    return body_of(FIRST_REFUSED + number).replace(b'"WEB"', b"5")


def key_of(number: int) -> str:
    """Return the event's key; now and then two clients use the same."""
    return f"order-{number - 1 if client_of(number) == 2 else number}"


def _line(body: bytes, key: str) -> bytes:
    """Return an item of a batch."""
    return b'{"type":"OrderConfirmedEvent","id":"%b","data":%b}' % (key.encode(), body)


class Publishers:
    """Threads that take the servers in turn. A repeat has the same idempotency key."""

    def __init__(self, servers: list[Server], ledger: Ledger, count: int) -> None:
        self._servers = servers
        self._ledger = ledger
        self._lock = threading.Lock()
        self._next = 0
        self._ended = threading.Event()
        self._give_up_at = 0.0
        self.told_to_wait = 0  # with 503
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing new, and wait until what was begun is acknowledged, for a limited time."""
        self._give_up_at = time.monotonic() + _LAST_S
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
                sent_at = time.monotonic()
                while (event_id := self._publish(clients[turn % len(clients)], number)) is None:
                    if self._ended.is_set() and time.monotonic() > self._give_up_at:
                        self._ledger.wrong_answers.append(f"number {number} was not taken to the end")
                        return
                    turn += 1
                    time.sleep(_AGAIN_S)
                if not event_id:
                    continue
                self._note(number, sent_at, event_id)
                self._ask_for_trouble(clients[(turn + 1) % len(clients)], number, event_id)
                if number % _BATCH_EVERY == 0:
                    self._publish_batch(clients)

    def _publish_batch(self, clients: list[httpx.Client]) -> None:
        """Publish several events in one request, with one among them that breaks the contract."""
        with self._lock:
            numbers = range(self._next + 1, self._next + 1 + _OF_A_BATCH)
            self._next += _OF_A_BATCH
        lines = [_line(body_of(number), key_of(number)) for number in numbers]
        lines.insert(1, _line(refused_body(numbers[0]), f"refused-{numbers[0]}"))
        sent_at, turn = time.monotonic(), numbers[0]
        while (items := self._send_batch(clients[turn % len(clients)], b"\n".join(lines))) is None:
            if self._ended.is_set() and time.monotonic() > self._give_up_at:
                self._ledger.wrong_answers.append(f"the batch of {numbers} was not taken to the end")
                return
            turn += 1
            time.sleep(_AGAIN_S)
        ids = [item.get("id", "") for item in items]
        self._ledger.turned_away += 1
        if len(ids) != len(lines) or ids.pop(1):
            self._ledger.not_turned_away.append(f"a batch with an item that breaks the contract: {items}")
            return
        for number, event_id in zip(numbers, ids, strict=True):
            if event_id:
                self._note(number, sent_at, event_id)
            else:
                self._ledger.wrong_answers.append(f"number {number} of a batch: {items}")

    def _send_batch(self, client: httpx.Client, body: bytes) -> list[dict[str, Any]] | None:
        """Return what became of each item, None when there was no clear answer, or one of them has to wait."""
        try:
            answer = client.post(_BATCH_PATH, content=body, headers={"content-type": "application/x-ndjson"})
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            self.told_to_wait += 1
            return None
        items: list[dict[str, Any]] = answer.json().get("items", [])
        return None if any(item["status"] == 503 for item in items) else items

    def _note(self, number: int, sent_at: float, event_id: str) -> None:
        event = Published(
            number,
            client_of(number),
            application_of(number),
            hashlib.sha256(body_of(number)).hexdigest(),
            sent_at,
            time.monotonic(),
            event_id,
            order_of(number),
            hashlib.sha256(required_part_of(number)).hexdigest(),
        )
        with self._lock:
            self._ledger.published[number] = event

    def _publish(self, client: httpx.Client, number: int) -> str | None:
        """Return the event's id, nothing when it was refused, None when there was no clear answer."""
        answer = self._send(client, body_of(number), key_of(number))
        if answer is None:
            return None
        if answer.status_code not in {200, 202}:
            self._ledger.wrong_answers.append(f"number {number}: {answer.status_code}: {answer.text[:200]}")
            return ""
        return str(answer.json()["id"])

    def _send(self, client: httpx.Client, body: bytes, key: str | None) -> httpx.Response | None:
        """Return the answer, None when there is none, or only that one has to wait."""
        headers = {"content-type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
        try:
            answer = client.post(_PATH, content=body, headers=headers)
        except httpx.TransportError:
            return None
        if answer.status_code == 503 and "retry-after" in answer.headers:
            self.told_to_wait += 1
            return None
        return answer

    def _ask_for_trouble(self, client: httpx.Client, number: int, event_id: str) -> None:
        """Use the key of an event again, on another node where there is one; and send what breaks the contract."""
        ledger = self._ledger
        if number % _REPEATED_EVERY == 0 and (answer := self._send(client, body_of(number), key_of(number))):
            ledger.repeats["the same"] += 1
            if (answer.status_code, answer.json().get("id")) != (200, event_id) or not answer.json()["duplicate"]:
                ledger.wrong_repeats.append(f"{event_id} once more: {answer.status_code} {answer.text[:200]}")
        if number % _CONFLICT_EVERY == 0 and (answer := self._send(client, body_of(number, "Eva"), key_of(number))):
            ledger.repeats["another body"] += 1
            if answer.status_code != 409:
                ledger.wrong_repeats.append(f"the key of {event_id} with another body: {answer.status_code}")
        if number % _REFUSED_EVERY == 0 and (answer := self._send(client, refused_body(number), None)):
            ledger.turned_away += 1
            if answer.status_code != 422:
                ledger.not_turned_away.append(f"what breaks the contract: {answer.status_code} {answer.text[:200]}")
