"""Search for text in payloads: any beginning of a word finds it, before and after the index has run."""

import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import START_MS, Engine, accept_events, claim, new_event, result

from commerce_event.core.clock import SystemClock
from commerce_event.core.model import DeliveryState, Scope
from commerce_event.maintenance.text_index import EVENTS_PER_STEP, index_text
from commerce_event.store import text_search
from commerce_event.store.model import EventQuery, Page
from commerce_event.store.port import MaintenanceStore, Store, StoreUnavailableError

pytestmark = pytest.mark.usefixtures("scan_depth")

EVERYONE = Scope.everyone()
MEMORY_DISK = Path("/dev/shm")

PAYLOAD = {
    "OrderNo": "SO-10023",
    "Customer": {"Name": "Åsa Öberg-Lindqvist", "Email": "asa.oberg@example.com"},
    "Rows": [{"PartNo": "A/B.12_x", "Price": 12.5, "Quantity": 3}, {"PartNo": "10023-RED", "Note": "它很好"}],
    "OrderId": 4000017,
    "Comment": 'He said "50% off (today*)" AND left; NOT near C:\\temp',
}
OTHER = {"OrderNo": "TX-99", "Comment": "nothing alike"}

FOUND = [
    "SO-10023", "so-10023", "SO-100", "SO", "10023-RED", "Åsa", "Öberg-Lind", "Lindqvist", "asa.oberg@example.com",
    "A/B.12_x", "A/B", "4000017", "12.5", "它很好", "50% off", "50%", 'said "50% off (today*)"', "(today*)",
    "AND left", "NOT near", "today", "C:\\temp", "  SO-10023  ",
]  # fmt: skip
NOT_FOUND = [
    "SO-10024", "XSO-10023", "SO-10023 AND", "SO OR TX", "NOT TX", "S_-10023", "NEAR(SO TX)", "value:SO", "OrderNo:SO",
    "' OR 1=1 --", "Rows.0", "zzz",
]  # fmt: skip


async def found(store: Store, text: str, scope: Scope = EVERYONE) -> set[int]:
    return {event.id for event in await store.history.events(EventQuery(scope=scope, text=text), Page(1_000))}


@pytest.mark.parametrize("indexed", [False, True], ids=["new", "indexed"])
async def test_signs_and_the_words_of_query_languages_are_only_text(store: Store, indexed: bool) -> None:
    wanted, other = new_event(body=json.dumps(PAYLOAD).encode()), new_event(body=json.dumps(OTHER).encode())
    await accept_events(store, [wanted, other])
    if indexed:
        assert await store.maintenance.index_text(10) == 2

    assert [text for text in FOUND if await found(store, text) != {wanted.id}] == []
    assert [text for text in NOT_FOUND if wanted.id in await found(store, text)] == []
    assert await found(store, "TX-99") == {other.id}


@pytest.mark.parametrize(
    "indexed",
    [
        pytest.param(
            False,
            id="new",
        ),
        pytest.param(True, id="indexed"),
    ],
)
@pytest.mark.parametrize("text", ["åsa", "öberg-LINDQVIST"])
async def test_case_does_not_matter_in_any_alphabet(store: Store, text: str, indexed: bool) -> None:
    event = new_event(body=json.dumps(PAYLOAD).encode())
    await accept_events(store, [event])
    if indexed:
        await store.maintenance.index_text(10)

    assert await found(store, text) == {event.id}


@pytest.mark.parametrize("text", ["SO\0", "\0SO", "SO-\0 10023"])
async def test_nul_in_the_text_finds_nothing_and_breaks_nothing(store: Store, text: str) -> None:
    events = [new_event(body=json.dumps(PAYLOAD).encode()) for _ in range(2)]
    await accept_events(store, events)
    await store.maintenance.index_text(1)

    assert await found(store, text) <= {event.id for event in events}


@pytest.mark.parametrize("indexed", [False, True], ids=["new", "indexed"])
async def test_word_that_others_have_in_plenty_is_found_among_a_clients_own(store: Store, indexed: bool) -> None:
    plain, named = b'{"OrderNo":"SO-7"}', b'{"OrderNo":"SO-7","LastName":"Lind"}'
    ours = [new_event(client=1, body=body) for body in (named, plain, plain, named, plain, plain)]
    many = [new_event(client=2, body=named) for _ in range(20)]
    none = [new_event(client=3, body=plain) for _ in range(3)]
    await accept_events(store, [*ours[:3], *many[:10], *none, *ours[3:], *many[10:]])
    if indexed:
        await store.maintenance.index_text(100)
    wanted = {1: {ours[0].id, ours[3].id}, 2: {event.id for event in many}, 3: set[int](), 4: set[int]()}

    for clients in [(), (1,), (2,), (3,), (4,), (1, 3), (1, 2), (3, 4), (1, 2, 3, 4)]:
        expected = {event_id for client in clients for event_id in wanted[client]}
        assert await found(store, "Lind", Scope.of(*clients)) == expected, clients
    assert await found(store, "7 lin", Scope.of(1)) == wanted[1]
    assert await found(store, "7 lin", EVERYONE) == wanted[1] | wanted[2]


@pytest.mark.parametrize("text", ["@1", "1", "@"])
async def test_number_of_a_client_is_no_word_of_its_events(store: Store, text: str) -> None:
    await accept_events(store, [new_event(client=1, body=b'{"OrderNo":"SO-7"}') for _ in range(3)])
    await store.maintenance.index_text(100)

    assert await found(store, text) == set()
    assert await found(store, text, Scope.of(1)) == set()


async def test_text_and_state_narrow_each_other_wherever_the_search_begins(store: Store) -> None:
    named, plain = b'{"LastName":"Lind"}', b'{"LastName":"Berg"}'
    events = [new_event(7, client=1 + number % 2, body=named if number % 3 else plain) for number in range(20)]
    await accept_events(store, events)
    ends: tuple[DeliveryState, ...] = ("dead", "delivered", "cancelled")
    states = {event.id: ends[number * 7 // 4 % 3] for number, event in enumerate(events)}
    await store.queue.settle([result(each, states[each.event_id]) for each in await claim(store, 7)])

    for _ in range(2):  # before and after the text index has run
        for state in ends:
            for scope in (EVERYONE, Scope.of(1), Scope.of(1, 2)):
                query = EventQuery(scope=scope, text="lind", state=state)
                expected = [
                    event.id
                    for event in reversed(events)
                    if event.body == named and states[event.id] == state and scope.allows(event.client_id)
                ]
                assert len(expected) > 1
                assert [event.id for event in await store.history.events(query, Page(99))] == expected
        await store.maintenance.index_text(100)


SAME = {
    "SO10023": ["10023", "SO-10023", "SO 10023", "so10023", "SO100", "S"],
    "SO-10023": ["10023", "SO10023", "SO 10023"],
    "SO 10023": ["SO10023", "10023"],
    "Yıldız": ["YILDIZ", "yildiz", "yıl"],
    "YILDIZ": ["Yıldız"],
    "Sørensen": ["Sorensen", "SØRENSEN", "sör"],
    "Łukasz": ["Lukasz", "ŁUK"],
    "Acme™ Shoes": ["acme shoes", "Acme™ Shoes", "ACME®"],
    "北京市": ["京市", "北京", "市", "北京市"],
    "กรุงเทพ": ["เทพ", "กรุง"],
    "ＡＢ１２": ["ab12", "12"],
    "Straße 5": ["strasse5", "STRASSE 5"],
    12345: ["12345", "123"],
    12.50: ["12.5", "12,5"],
}


@pytest.mark.parametrize("indexed", [False, True], ids=["new", "indexed"])
async def test_text_is_found_by_the_same_words_written_differently(store: Store, indexed: bool) -> None:
    events = {
        value: new_event(body=json.dumps({"OrderNo": value}, ensure_ascii=number % 2 == 0).encode())
        for number, value in enumerate(SAME)
    }
    await accept_events(store, [*events.values(), new_event(body=json.dumps(OTHER).encode())])
    if indexed:
        await store.maintenance.index_text(100)

    missed = [
        (value, text)
        for value, event in events.items()
        for text in SAME[value]
        if event.id not in await found(store, text) or event.id not in await found(store, text, Scope.of(1))
    ]
    assert missed == []


@pytest.mark.parametrize("indexed", [False, True], ids=["new", "indexed"])
async def test_words_are_found_only_where_they_follow_each_other(store: Store, indexed: bool) -> None:
    apart = new_event(body=b'{"Note":"SO and more","OrderNo":"10023"}')
    turned = new_event(body=b'{"OrderNo":"10023 SO"}')
    together = new_event(body=b'{"FirstName":"Jane","LastName":"Lind","OrderNo":"SO10023"}')
    await accept_events(store, [apart, turned, together])
    if indexed:
        await store.maintenance.index_text(100)

    assert await found(store, "SO 10023") == {together.id}
    assert await found(store, "jane lind") == {together.id}  # values that follow each other
    assert await found(store, "lind jane") == set()
    assert await found(store, "10023") == {apart.id, turned.id, together.id}


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
SIGNS = st.text(alphabet="\"'*()^:-+AND ORT%_\\{}[]\n", max_size=12)


def test_no_text_whatever_breaks_the_search(engine_maker: Callable[[Path], Engine], tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(engine_maker(tmp_path).open())
        events = [new_event(body=json.dumps(PAYLOAD).encode()) for _ in range(2)]
        runner.run(accept_events(store, events))
        runner.run(store.maintenance.index_text(1))  # so that both ways of searching are taken

        @settings(max_examples=80, deadline=None)
        @given(text=ANY_TEXT | SIGNS, scope=st.sampled_from([EVERYONE, Scope.of(1), Scope.of(1, 2)]))
        def check(text: str, scope: Scope) -> None:
            assert runner.run(found(store, text, scope)) <= {event.id for event in events}
            assert runner.run(found(store, text, Scope.of(2))) == set()

        check()
        runner.run(store.close())


LETTERS = "abcxyzABCXYZ0123456789åäöÅÄÖéñßøłčŽıİαΩжЯ日本語กข한"
WORDS = st.lists(st.text(alphabet=LETTERS, min_size=1, max_size=9), min_size=1, max_size=4)


def test_any_beginning_of_any_word_finds_its_event(engine_maker: Callable[[Path], Engine]) -> None:
    place = MEMORY_DISK if MEMORY_DISK.is_dir() else None
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(dir=place) as folder:
        store = runner.run(engine_maker(Path(folder)).open())

        @settings(max_examples=40, deadline=None)
        @given(several=WORDS, sign=st.sampled_from([" ", "-", "/", '"', "_", ".", "\\"]), data=st.data())
        def check(several: list[str], sign: str, data: st.DataObject) -> None:
            value = {"a": [{"b": sign.join(several)}]}
            event = new_event(body=json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode())
            word = data.draw(st.sampled_from(several))
            text = word[: data.draw(st.integers(1, len(word)))]
            runner.run(accept_events(store, [event]))
            assert event.id in runner.run(found(store, text)), "not found while new"
            runner.run(store.maintenance.index_text(100))
            assert event.id in runner.run(found(store, text)), "not found once indexed"

        check()
        runner.run(store.close())


async def test_search_says_so_while_more_events_are_new_than_it_may_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [new_event(body=json.dumps(PAYLOAD).encode()) for _ in range(5)]
    await accept_events(store, events)
    monkeypatch.setattr(text_search, "UNINDEXED_MAX", 3)

    with pytest.raises(StoreUnavailableError, match="search again in a moment"):
        await found(store, "SO-10023")
    await store.maintenance.index_text(2)
    assert await found(store, "SO-10023") == {event.id for event in events}


async def test_steps_of_the_index_at_the_same_time_index_each_event_once(store: Store) -> None:
    old, new = (
        [new_event(at_ms=at_ms, body=b'{"OrderNo":"SO-7"}') for _ in range(20)] for at_ms in (START_MS, START_MS + 9)
    )
    await accept_events(store, [*old, *new])

    steps = [store.maintenance.index_text(7) for _ in range(3)]
    await asyncio.gather(*steps, store.maintenance.expire(before_ms=START_MS + 1, limit=10))
    while await store.maintenance.index_text(7):
        pass
    while await store.maintenance.expire(before_ms=START_MS + 1, limit=10):
        pass

    assert await found(store, "so7") == {event.id for event in new}
    query = EventQuery(scope=EVERYONE, text="so7")
    assert len(await store.history.events(query, Page(99))) == len(new)


async def test_index_goes_on_while_its_steps_are_full() -> None:
    found_each_time = [EVENTS_PER_STEP, EVENTS_PER_STEP, 7, 0]

    class Behind:
        """A store with so many events that are not indexed yet."""

        @property
        def maintenance(self) -> "Behind":
            return self

        async def index_text(self, limit: int) -> int:
            assert limit == EVENTS_PER_STEP
            return found_each_time.pop(0)

    await index_text(cast("MaintenanceStore", Behind()), SystemClock())

    assert found_each_time == [0]
