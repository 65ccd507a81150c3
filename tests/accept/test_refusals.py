"""The recorder of refused events: bounded, in turns, and without an effect on the caller."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from stores import FakeClock

from commerce_event.accept import refusals as module
from commerce_event.accept.errors import InvalidEventError, NotJsonError, UnknownTypeError
from commerce_event.accept.refusals import RefusalRecorder, type_label
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.core.ids import IdMaker
from commerce_event.core.model import Key, Refusal, Role
from commerce_event.core.problems import Fault, Problem
from commerce_event.store.port import StoreUnavailableError

WRONG = InvalidEventError("This event breaks the contract in 1 place.", [Fault("/OrderId", "is required")])
BODY_MAX = 256 * 1024


class FakeRefusals:
    """Keeps what is added; is away as long as ``away`` is set, and fails for ``broken`` calls."""

    def __init__(self) -> None:
        self.commits: list[list[Refusal]] = []
        self.away = False
        self.broken = 0

    async def add(self, refusals: Sequence[Refusal], **_: Any) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailableError("the store is away")
        if self.broken:
            self.broken -= 1
            raise RuntimeError("a defect")
        self.commits.append(list(refusals))

    @property
    def kept(self) -> list[Refusal]:
        return [each for commit in self.commits for each in commit]


class Recording:
    """A recorder with its store, and how many refused events it dropped."""

    def __init__(self) -> None:
        self.store = FakeRefusals()
        self.dropped = 0
        clock = FakeClock()
        store: Any = self.store
        self.recorder = RefusalRecorder(store, IdMaker(), clock, lambda: EVENT_TYPES, self._drop, body_max=BODY_MAX)

    def _drop(self, count: int) -> None:
        self.dropped += count

    def record(self, *clients: int, body: bytes = b"{}", problem: Problem = WRONG, type_: str | None = "T") -> None:
        self.recorder.record(key_of(*clients), type_, body, problem)


def key_of(*clients: int, role: Role = "publish") -> Key:
    number = sum(clients) or 99
    return Key(id=number, role=role, client_ids=clients or None, name=f"key {number}", digest=b"", created_ms=0)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    monkeypatch.setattr(module, "_RETRY_S", 0.001)
    return Recording()


async def test_record_many_at_once_shares_commits(recording: Recording) -> None:
    for _ in range(1_000):
        recording.record(1)
    await recording.recorder.wait_until_written(60)
    assert len(recording.store.kept) == 1_000
    assert len(recording.store.commits) == 4
    ids = [each.id for each in recording.store.kept]
    assert ids == sorted(set(ids))


async def test_record_large_bodies_bounds_each_commit(recording: Recording) -> None:
    for _ in range(16):
        recording.record(1, body=b"x" * BODY_MAX)
    await recording.recorder.wait_until_written(60)
    assert len(recording.store.kept) == 16
    assert max(sum(each.size for each in commit) for commit in recording.store.commits) <= 2 * 1024**2


async def test_record_beyond_the_queue_drops_and_counts_of_that_owner_only(recording: Recording) -> None:
    for _ in range(100):
        recording.record(1, body=b"x" * BODY_MAX)
    queued = 100 - recording.dropped
    assert 60 <= queued <= 64
    recording.record(2)
    recording.record()
    assert recording.dropped == 100 - queued
    await recording.recorder.wait_until_written(60)
    assert len(recording.store.kept) == queued + 2
    recording.record(1, body=b"x" * BODY_MAX)  # there is room again
    assert recording.dropped == 100 - queued


async def test_record_with_long_errors_counts_them(recording: Recording) -> None:
    """An event of a few bytes may have errors of 10 KB."""
    problem = InvalidEventError("It breaks the contract.", [Fault("/" + "x" * 499, "is wrong")] * 500)
    for _ in range(100):
        recording.record(1, problem=problem)
    assert 64 <= 100 - recording.dropped <= 66


async def test_record_other_problems_does_nothing(recording: Recording) -> None:
    for problem in (NotJsonError("no"), Problem(401, "no"), Problem(403, "no"), Problem(503, "no"), Problem(409, "no")):
        recording.record(1, problem=problem)
    await recording.recorder.wait_until_written(60)
    assert recording.store.commits == []


async def test_store_that_is_away_gets_everything_in_order_later(recording: Recording) -> None:
    recording.store.away = True
    for number in range(300):
        recording.record(1, body=b"%d" % number)
    await recording.recorder.wait_until_written(0.05)
    recording.store.away = False
    await recording.recorder.wait_until_written(60)
    assert [int(each.body) for each in recording.store.kept] == list(range(300))
    assert recording.dropped == 0


async def test_commit_that_fails_drops_its_events_and_goes_on(recording: Recording) -> None:
    recording.store.broken = 1
    for _ in range(300):
        recording.record(1)
    await recording.recorder.wait_until_written(60)
    assert (recording.dropped, len(recording.store.kept)) == (256, 44)


async def test_close_writes_what_is_queued(recording: Recording) -> None:
    recording.record(1)
    await recording.recorder.close(60)
    assert len(recording.store.kept) == 1


async def test_close_with_store_away_ends_and_counts_what_is_lost(recording: Recording) -> None:
    recording.store.away = True
    for _ in range(3):
        recording.record(1)
    await recording.recorder.close(0.01)
    assert (recording.dropped, recording.store.kept) == (3, [])


@pytest.mark.parametrize(
    ("clients", "body", "client", "owner"),
    [
        ((1,), b'{"ClientId":1}', 1, "client 1"),
        ((1,), b'{"ClientId":2}', 1, "client 1"),
        ((1,), b"no json", 1, "client 1"),
        ((1, 2), b'{"ClientId":2}', 2, "client 2"),
        ((1, 2), b'{"ClientId":3}', None, "key 3"),
        ((1, 2), b"[" * 100_000, None, "key 3"),
        ((), b'{"ClientId":7}', 7, "client 7"),
        ((), b'{"ClientId":true}', None, "key 99"),
        ((), b'{"ClientId":99999999999}', None, "key 99"),
    ],
)
async def test_client_and_owner_come_from_body_or_key(
    recording: Recording, clients: tuple[int, ...], body: bytes, client: int | None, owner: str
) -> None:
    recording.record(*clients, body=body)
    await recording.recorder.wait_until_written(60)
    (kept,) = recording.store.kept
    assert (kept.client_id, kept.owner, kept.body) == (client, owner, body)


async def test_item_with_invalid_envelope_has_type_and_client_of_its_members(recording: Recording) -> None:
    recording.record(1, 2, body=b'{"type":"A","data":{"ClientId":2},"x":1}', type_=None)
    recording.record(1, 2, body=b'{"type":7,"data":[]}', type_=None)
    await recording.recorder.wait_until_written(60)
    assert [(each.type, each.client_id) for each in recording.store.kept] == [("A", 2), (None, None)]


async def test_label_names_the_subject_of_an_event_and_of_an_envelope(recording: Recording) -> None:
    order = b'{"OrderNo":"SO-1","ClientOrderRef":"R\\u00001"}'
    recording.record(1, body=order, type_="OrderConfirmedEvent")
    recording.record(1, body=b'{"type":"OrderConfirmedEvent","data":%b}' % order, type_=None)
    recording.record(1, body=b'{"OrderNo":"%b"}' % (b"9" * 200), type_="Unknown")
    await recording.recorder.wait_until_written(60)
    labels = [each.label for each in recording.store.kept]
    assert labels[:2] == ["Order SO-1 · ref. R\ufffd1"] * 2
    assert labels[2] == ("Order " + "9" * 200)[:100]


async def test_body_longer_than_an_event_is_cut(recording: Recording) -> None:
    recording.record(1, body=b"x" * (BODY_MAX + 9), type_=None)
    await recording.recorder.wait_until_written(60)
    assert len(recording.store.kept[0].body) == BODY_MAX


async def test_log_names_no_unknown_type(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        recording.record(1, type_="canary", body=b'{"canary":1}', problem=UnknownTypeError("canary"))
    await recording.recorder.wait_until_written(60)
    out = capsys.readouterr().out
    assert "canary" not in out
    assert "count=3" in out
    labels = [type_label(name, EVENT_TYPES) for name in ("canary", None, "OrderConfirmedEvent")]
    assert labels == ["unknown", "unknown", "OrderConfirmedEvent"]
