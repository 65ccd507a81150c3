"""The books balance after whatever happens: a random life of a store beside a model in plain Python."""

import random
from collections import Counter
from pathlib import Path

import pytest
from stores import START_MS, SqliteEngine, new_event, result

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Replay, Scope
from commerce_event.store.model import Claimed, ClaimRequest, NewDelivery
from commerce_event.store.port import Store

ENDPOINTS = (7, 8, 9)
EVERYONE = Scope.everyone()


class Life:
    """Does things to a store and notes what state every delivery must be in."""

    def __init__(self, store: Store, engine: SqliteEngine, seed: int) -> None:
        self.store = store
        self.engine = engine
        self.rng = random.Random(seed)
        self.state: dict[int, str] = {}
        self.endpoint: dict[int, int] = {}
        self.events: list[int] = []
        self.held: list[Claimed] = []
        self.now_ms = START_MS
        self.replays = 0

    async def accept(self) -> None:
        batch = [
            new_event(
                *self.rng.sample(ENDPOINTS, self.rng.randint(0, 3)),
                order_key=self.rng.choice([None, "a", "b"]),
                at_ms=self.now_ms,
            )
            for _ in range(self.rng.randint(1, 20))
        ]
        for event, answer in zip(batch, await self.store.journal.accept(batch), strict=True):
            assert answer.outcome == "new"
            self.events.append(event.id)
            for delivery in event.deliveries:
                self.state[delivery.id], self.endpoint[delivery.id] = "pending", delivery.endpoint_id

    async def claim(self) -> None:
        wants = [ClaimRequest(self.rng.choice(ENDPOINTS), self.rng.random() < 0.5, self.rng.randint(1, 9))]
        claimed = await self.store.queue.claim(wants, now_ms=self.now_ms, lease_until_ms=self.now_ms + 1_000)
        assert all(self.state[each.delivery_id] == "pending" for each in claimed)
        self.held += claimed

    async def settle(self) -> None:
        self.rng.shuffle(self.held)
        taken, self.held = self.held[:10], self.held[10:]
        states = [self.rng.choice(["delivered", "dead", "pending"]) for _ in taken]
        batch = {
            each.delivery_id: result(each, state, due_ms=self.now_ms if state == "pending" else None)  # type: ignore[arg-type]
            for each, state in zip(taken, states, strict=True)
        }
        for settlement, ours in zip(batch.values(), await self.store.queue.settle(list(batch.values())), strict=True):
            if ours:
                self.state[settlement.delivery_id] = settlement.state

    async def release_claims(self) -> None:
        taken, self.held = self.held[:3], self.held[3:]
        await self.store.queue.release_claims(taken, now_ms=self.now_ms)

    async def cancel(self) -> None:
        some = self.some()
        pending = [each for each in some if self.state[each] == "pending"]
        assert await self.store.queue.cancel(some, reason="test", now_ms=self.now_ms) == len(pending)
        self.state.update(dict.fromkeys(pending, "cancelled"))

    async def requeue(self) -> None:
        ended = [each for each in self.some() if self.state[each] in {"dead", "cancelled"}]
        assert await self.store.queue.requeue(ended, now_ms=self.now_ms) == len(ended)
        self.state.update(dict.fromkeys(ended, "pending"))

    async def finish_pending(self) -> None:
        endpoint = self.rng.choice(ENDPOINTS)
        before = await self.count(endpoint, "dead")
        ended = await self.store.queue.finish_pending(
            endpoint, state="dead", reason="gone", now_ms=self.now_ms, limit=2
        )
        assert await self.count(endpoint, "dead") == before + ended
        await self.relearn()

    async def replay(self) -> None:
        if not self.events:
            return
        self.replays += 1
        ids = IdMaker(after=await self.store.last_id())
        replay = Replay(
            id=self.replays, client_id=1, endpoint_id=7, since_ms=0, until_ms=self.now_ms, types=(), only="all",
            state="done", cursor=0, looked_at=1, queued=1, created_ms=0, finished_ms=0,
        )  # fmt: skip
        delivery = NewDelivery(max(ids.next(START_MS), max(self.state, default=0) + 1), 7)
        await self.store.queue.add_deliveries(
            [delivery], [self.rng.choice(self.events)], replay=replay, now_ms=self.now_ms
        )
        self.state[delivery.id], self.endpoint[delivery.id] = "pending", 7

    async def restart(self) -> None:
        await self.store.close()
        self.store = await self.engine.open()

    async def wait(self) -> None:
        self.now_ms += self.rng.choice([1, 500, 5_000])
        self.engine.clock.ms = self.now_ms

    def some(self) -> list[int]:
        return self.rng.sample(sorted(self.state), min(len(self.state), 5))

    async def count(self, endpoint: int, state: str) -> int:
        return sum(
            getattr(book, state)
            for book in await self.store.history.delivery_counts(EVERYONE)
            if book.endpoint_id == endpoint
        )

    async def relearn(self) -> None:
        """Which deliveries a step took is the engine's choice: read it back, one by one."""
        for delivery_id in self.state:
            delivery = await self.store.history.delivery(delivery_id, EVERYONE)
            assert delivery is not None
            self.state[delivery_id] = delivery.state

    async def check(self) -> None:
        """The kept accounts, the queue itself and the model must say the same."""
        for recount in (False, True):
            books = {
                book.endpoint_id: book for book in await self.store.history.delivery_counts(EVERYONE, recount=recount)
            }
            wanted = Counter((self.endpoint[each], state) for each, state in self.state.items())
            for endpoint, book in books.items():
                assert book.difference == 0
                for state in ("delivered", "dead", "cancelled", "pending"):
                    assert getattr(book, state) == wanted[endpoint, state], (endpoint, state, recount)
        assert (await self.store.maintenance.verify_counts(after_id=0, limit=10_000)).wrong == ()


STEPS = ["accept", "accept", "claim", "claim", "settle", "settle", "release_claims", "cancel", "requeue", "finish_pending",
         "replay", "restart", "wait", "wait"]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
async def test_books_balance_through_a_random_life(tmp_path: Path, seed: int) -> None:
    engine = SqliteEngine(tmp_path)
    life = Life(await engine.open(), engine, seed)
    for _ in range(60):
        await getattr(life, life.rng.choice(STEPS))()
        await life.check()

    while pending := [each for each, state in life.state.items() if state == "pending"]:
        before = len(pending)
        life.held.clear()
        life.now_ms += 10_000
        for endpoint in ENDPOINTS:
            for retrying in (False, True):
                claimed = await life.store.queue.claim(
                    [ClaimRequest(endpoint, retrying, 500)], now_ms=life.now_ms, lease_until_ms=life.now_ms + 1_000
                )
                await life.store.queue.settle([result(each) for each in claimed])
                life.state.update({each.delivery_id: "delivered" for each in claimed})
        assert sum(state == "pending" for state in life.state.values()) < before  # nothing is stuck
    await life.check()
    await engine.close_all()
