"""Stores with a backlog: waiting deliveries written through the store port, before any server runs."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Attempt, Endpoint, Secret
from commerce_event.core.signatures import new_secret
from commerce_event.core.vault import Vault, parse_key
from commerce_event.store.directory import Directory
from commerce_event.store.port import Claimed, NewDelivery, NewEvent, Settlement, Want
from commerce_event.store.sqlite import SqliteStore

_BATCH: Final = 1_000
_CLAIM: Final = 128
_BODY: Final = b'{"ClientId":1,"ApplicationId":1,"OrderId":%d,"OrderNo":"SO-%d","ClientOrderRef":"B-%d","Source":"WEB"}'


async def seed(path: Path, key: bytes, urls: Sequence[str], waiting: int) -> None:
    """Write a store in which so many deliveries wait, shared evenly among endpoints at these URLs."""
    store = SqliteStore(path)
    await store.open()
    try:
        now_ms = time.time_ns() // 1_000_000
        ids = IdMaker()
        directory = Directory(store, Vault(key), ids)
        endpoints = [
            await directory.save(
                Endpoint(
                    id=ids.next(now_ms),
                    client_id=1,
                    url=url,
                    event_types=("OrderCancelledEvent",),  # what is published during the run is not for it
                    max_in_flight=64,
                    secrets=(Secret(new_secret("hmac")),),
                )
            )
            for url in urls
        ]
        for start in range(0, waiting, _BATCH):
            numbers = range(start, min(waiting, start + _BATCH))
            await store.accept([_event(ids, now_ms, n, endpoints[n % len(endpoints)].id) for n in numbers])
    finally:
        await store.close()


def key_file(store: Path) -> bytes:
    """Make the key file that a server on this store will read; return the key."""
    text = "cek_" + secrets.token_urlsafe(32)
    store.with_name(store.name + ".key").write_text(text)
    return parse_key(text)


async def claim_and_settle_us(path: Path, deliveries: int) -> float:
    """Return microseconds for claiming and settling one delivery, both durable, in batches, over all endpoints."""
    store = SqliteStore(path)
    await store.open()
    try:
        endpoints = [row.id for row in await store.endpoints()]
        share = max(1, _CLAIM // len(endpoints))
        now_ms = time.time_ns() // 1_000_000 + 60_000
        done = 0
        start = time.perf_counter()
        while done < deliveries:
            wants = [Want(endpoint_id, False, share) for endpoint_id in endpoints]
            claimed = await store.claim(wants, now_ms=now_ms, lease_until_ms=now_ms + 15_000)
            await store.settle([_delivered(each, now_ms) for each in claimed])
            done += len(claimed)
            if not claimed:
                break
        return (time.perf_counter() - start) / max(1, done) * 1e6
    finally:
        await store.close()


def _event(ids: IdMaker, now_ms: int, number: int, endpoint_id: int) -> NewEvent:
    return NewEvent(
        id=ids.next(now_ms),
        client_id=1,
        type="OrderCancelledEvent",
        application_id=1,
        accepted_ms=now_ms,
        config_version=1,
        idempotency_key=None,
        traceparent=None,
        body=(_BODY % (number, number, number)).ljust(220),
        deliveries=(NewDelivery(ids.next(now_ms), endpoint_id),),
    )


def _delivered(claimed: Claimed, now_ms: int) -> Settlement:
    return Settlement(
        delivery_id=claimed.delivery_id,
        endpoint_id=claimed.endpoint_id,
        lease=claimed.lease,
        attempt=Attempt(number=claimed.number, started_ms=now_ms, duration_ms=2.0, status=200, error=None),
        state="delivered",
        failure_count=0,
        due_ms=None,
        reason=None,
    )
