"""Send changes of few rows from several threads, to all nodes in turn, until each is acknowledged."""

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
from change_model import SentChange, Values
from servers import Server

_AGAIN_S = 0.05
_PAUSE_S = 0.03  # between two requests of a thread: judging costs more than sending
_PATIENCE_S = 5.0
_LAST_S = 60.0
_IN_A_REQUEST = 8
_REPEATED_EVERY, _CONFLICT_EVERY = 4, 9
_LONG_LIST, _LONG_LIST_EVERY = 230, 9  # parts: more events than one commit of the product takes
_PATH = "/v1/changes"


class Changes:
    """Invents changes of a few rows, so that every row changes often. Before-values are given now and then."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._number = self._categories = 0

    def next(self) -> Values:
        self._number += 1
        rng = self._rng
        entity = rng.choice(_ENTITIES)
        values = self._values(entity)
        operation = rng.choices(("insert", "update", "delete"), (1, 8, 1))[0]
        body: Values = {
            "id": f"change-{self._number}",
            "client_id": rng.choice((1, 1, 2)),
            "entity": entity,
            "operation": operation,
            "key": self._key(entity),
        }
        if entity == "tCategory":
            self._categories += 1
            if self._categories % _LONG_LIST_EVERY == 0:
                body |= {
                    "client_id": 1,
                    "operation": "insert",
                    "key": {"PartNo": [f"L-{n}" for n in range(_LONG_LIST)]},
                }
                operation = "insert"
        if entity == "tClientCustomer" and rng.random() < 0.4:
            body["application_id"] = rng.choice((1, 2))
        if operation != "insert" and rng.random() < 0.35:
            body["before"] = self._some(self._values(entity))
        if operation != "delete":
            body["after"] = (values if operation == "insert" else self._some(values)) | {"Serial": self._number}
        return body

    def _some(self, values: Values) -> Values:
        return {name: value for name, value in values.items() if self._rng.random() < 0.8}

    def _part(self) -> str:
        return f"P-{self._rng.randint(1, 3)}"

    def _key(self, entity: str) -> Values:
        rng = self._rng
        if entity in {"tClientCustomer", "tClientCustomerAddress"}:
            return {"CustomerId": rng.randint(1, 3)}
        if entity == "tClientProductSkuPriceList":
            return {"PartNo": self._part(), "PricelistId": rng.randint(1, 2)}
        if entity == "tClientProductSkuOnHand":
            return {"PartNo": self._part(), "WarehouseId": 1, "LocationId": rng.randint(1, 2)}
        if entity == "tCategory":
            return {"CategoryId": 1, "PartNo": [f"C-{part}" for part in range(rng.randint(1, 4))] + ["C-0"]}
        return {"SupplierId": 7, "PartNo": self._part()}

    def _values(self, entity: str) -> Values:
        rng = self._rng
        if entity in {"tClientCustomer", "tClientCustomerAddress"}:
            return {"FirstName": rng.choice(("Åsa", "Eva")), "Email": rng.choice("ab"), "Visits": rng.randint(1, 99)}
        if entity == "tClientProductSkuPriceList":
            price = rng.choice((10, 10.0, "10.00", 12.5, "12.50", 99))
            return {"PriceSaleValue": price, "QuantityBreak": rng.choice((1.0, 1.0, 10)), "PricelistCode": "STD"}
        if entity == "tClientProductSkuOnHand":
            on_hand = rng.choice((0, 3, 4.0, 5, "5", 6, 20))
            return {"OnHandValue": on_hand, "MinimumValue": rng.choice((5, 5, 4)), "WarehouseCode": "GBG"}
        if entity == "tCategory":
            return {"Name": rng.choice(("Tools", "Garden")), "SortOrder": rng.randint(1, 9)}
        return {"CostValue": rng.choice((1, 2, 2.0, 3)), "OnHandValue": rng.randint(0, 3), "Level": rng.choice((2, 8))}


_ENTITIES = (
    "tClientCustomer",
    "tClientCustomerAddress",
    "tClientProductSkuPriceList",
    "tClientProductSkuPriceList",
    "tClientProductSkuOnHand",
    "tClientProductSkuOnHand",
    "tCategory",
    "tSupplierProductSku",
    "tSupplierProductSkuOnHand",
)


class ChangeStream:
    """Threads that send changes. A change that was not acknowledged is sent again, to another node if there is one."""

    def __init__(self, servers: list[Server], seed: int, keys: list[str]) -> None:
        """Every key has a thread of its own: nodes take changes of different keys at the same time."""
        self._servers = servers
        self._changes = Changes(seed)
        self._lock = threading.Lock()
        self._gate = threading.Condition()
        self._busy = 0
        self._closed = self._ended = False
        self._limit = 0
        self._give_up_at = float("inf")
        self.epoch = 0
        self.sent: list[SentChange] = []
        self.repeated = self.conflicts = self.told_to_wait = 0
        self.wrong_answers: list[str] = []
        self.wrong_repeats: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(turn, key), daemon=True) for turn, key in enumerate(keys)
        ]
        for thread in self._threads:
            thread.start()

    def allow(self, count: int) -> None:
        """Allow about so many more to be sent, so that a long fault does not make judging long."""
        with self._gate:
            self._limit = len(self.sent) + count
            self._gate.notify_all()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait until everything that was begun is acknowledged, without sending more. A new epoch begins."""
        with self._gate:
            self._closed = True
            self._gate.wait_for(lambda: not self._busy)
        yield
        self.epoch += 1
        with self._gate:
            self._closed = False
            self._gate.notify_all()

    def stop(self) -> None:
        self._give_up_at = time.monotonic() + _LAST_S
        with self._gate:
            self._ended = True
            self._gate.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, turn: int, key: str) -> None:
        with ExitStack() as closing:
            clients = [closing.enter_context(server.api(_PATIENCE_S)) for server in self._servers]
            for client in clients:
                client.headers["authorization"] = f"Bearer {key}"
            while self._enter():
                try:
                    with self._lock:
                        bodies = [self._changes.next() for _ in range(1 + turn % _IN_A_REQUEST)]
                    self._send(clients, turn, bodies)
                except Exception as error:
                    self.wrong_answers.append(f"{type(error).__name__}: {error}")
                finally:
                    self._leave()
                turn += 1
                time.sleep(_PAUSE_S)

    def _enter(self) -> bool:
        with self._gate:
            self._gate.wait_for(lambda: self._ended or not (self._closed or len(self.sent) >= self._limit))
            self._busy += not self._ended
            return not self._ended

    def _leave(self) -> None:
        with self._gate:
            self._busy -= 1
            self._gate.notify_all()

    def _send(self, clients: list[httpx.Client], turn: int, bodies: list[Values]) -> None:
        first_try, epoch, sent_at = True, self.epoch, time.monotonic()
        while (items := self._post(clients[turn % len(clients)], bodies)) is None:
            if time.monotonic() > self._give_up_at:
                self.wrong_answers.append(f"{bodies[0]['id']} was not taken to the end")
                return
            first_try = False
            turn += 1
            time.sleep(_AGAIN_S)
        if [item["status"] for item in items if item["status"] not in {200, 202}] or len(items) != len(bodies):
            self.wrong_answers.append(f"{bodies[0]['id']} and {len(bodies) - 1} more: {json.dumps(items)[:300]}")
            return
        for body, item in zip(bodies, items, strict=True):
            is_first = first_try and item["status"] == 202
            events, waiting = tuple(item["events"]), item.get("waiting", 0)
            change = SentChange(item["id"], body, epoch, is_first, events, waiting, sent_at, time.monotonic())
            with self._lock:
                self.sent.append(change)
        self._send_again(clients[(turn + 1) % len(clients)], change)

    def _send_again(self, client: httpx.Client, change: SentChange) -> None:
        """Send an acknowledged change once more, or another one with its id."""
        number = int(change.body["id"].removeprefix("change-"))
        if number % _REPEATED_EVERY == 0 and (items := self._post(client, [change.body])):
            self.repeated += 1
            [item] = items
            same = (item["status"], item.get("id"), item.get("duplicate")) == (200, change.id, True)
            # what waited at first may have been raised since
            if not same or (change.answered_first and not set(change.at_once) <= set(item["events"])):
                self.wrong_repeats.append(f"{change.id} with {change.at_once} once more: {item}")
        if number % _CONFLICT_EVERY == 0:
            other = {**change.body, "after": {"Serial": -1}, "operation": "update"}
            if items := self._post(client, [other]):
                self.conflicts += 1
                if items[0]["status"] != 409:
                    self.wrong_repeats.append(f"the id of {change.id} for another change: {items[0]}")

    def _post(self, client: httpx.Client, bodies: list[Values]) -> list[dict[str, Any]] | None:
        """Return what became of each change; None when there was no answer, or only that one has to wait."""
        lines = "\n".join(json.dumps(body) for body in bodies)
        try:
            answer = client.post(_PATH, content=lines, headers={"content-type": "application/x-ndjson"})
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            self.told_to_wait += 1
            return None
        if answer.status_code != 200:
            self.wrong_answers.append(f"{answer.status_code}: {answer.text[:300]}")
            return []
        items: list[dict[str, Any]] = answer.json()["items"]
        return items
