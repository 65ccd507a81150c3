"""How soon an open page is read again."""

from types import SimpleNamespace
from typing import Any

import pytest
from api_server import ADMIN_KEY, Api, plain_client

from commerce_event.admin.refresh import delivery_refresh_s, replay_refresh_s
from commerce_event.core.clock import rfc3339

NOW_MS = 1_760_000_000_000


def delivery(due_s: float | None, *, sending: bool = False) -> Any:
    due_at = None if due_s is None else rfc3339(NOW_MS + round(due_s * 1000))
    return SimpleNamespace(sending=sending, next_attempt_at=due_at)


@pytest.mark.parametrize(
    ("deliveries", "seconds"),
    [
        ([], 5),
        ([delivery(None)], 5),
        ([delivery(3_600)], 5),
        ([delivery(-3_600)], 5),
        ([delivery(None), delivery(9)], 2),
        ([delivery(-1)], 2),
        ([delivery(None, sending=True)], 2),
    ],
)
def test_page_is_read_quickly_only_while_a_delivery_is_active(deliveries: list[Any], seconds: int) -> None:
    assert delivery_refresh_s(deliveries, NOW_MS, 5) == seconds


@pytest.mark.parametrize(
    ("state", "health", "pending", "seconds"),
    [
        ("running", "ok", 10, 1),
        ("cancelling", "failing", 10, 1),
        ("running", None, 10, 1),
        ("running", "ok", 10_001, 5),
        ("running", "paused", 10, 5),
        ("running", "off", 10, 5),
        ("done", "ok", 0, 5),
    ],
)
def test_replay_is_read_quickly_only_while_few_deliveries_advance(
    state: str, health: str | None, pending: int, seconds: int
) -> None:
    replay: Any = SimpleNamespace(state=state, endpoint_health=health, deliveries={"pending": pending})
    assert replay_refresh_s(replay, 5) == seconds


async def test_event_page_with_its_whole_payload_stands_still(api: Api) -> None:
    event = await api.publish()
    async with plain_client(api.url, {}) as person:
        await person.post("/admin/sign-in", data={"key": ADMIN_KEY})

        usual = (await person.get(f"/admin/events/{event['id']}")).text
        whole = (await person.get(f"/admin/events/{event['id']}?payload=full")).text

    assert 'data-live="' in usual
    assert 'data-live="' not in whole
