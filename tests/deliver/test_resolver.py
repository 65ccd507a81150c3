"""The resolver checks every address of a name; one refused address refuses all of them."""

import asyncio
import errno
import math
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce_event.core.addresses import AddressPolicy
from commerce_event.deliver import resolver as resolver_module
from commerce_event.deliver.resolver import Resolver, TransportError

Answer = Sequence[str] | Exception

PUBLIC = AddressPolicy()
LOCAL = AddressPolicy(["127.0.0.0/8", "::1/128"])
PATIENCE_S = 10.0  # for what is not expected to run out of time
HOST, PORT = "shop.example", 443
ALLOWED = ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]
REFUSED = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "64:ff9b::7f00:1"]


class Names:
    """A scripted name server: each lookup of a host takes its next answer, and the last one again and again."""

    def __init__(self, **answers: list[Answer]) -> None:
        self._answers = {host.replace("_", "."): list(given) for host, given in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, _port: None, *, type: socket.SocketKind) -> list[tuple[Any, ...]]:  # noqa: A002
        self.asked.append(host)
        if host not in self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        given = self._answers[host]
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, type, 6, "", (each, 0)) for each in answer]


class Stuck:
    """A name server that answers only when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()

    def __call__(self, host: str, _port: None, *, type: socket.SocketKind) -> list[tuple[Any, ...]]:  # noqa: A002
        self.asked.append(host)
        self.answer.wait(2 * PATIENCE_S)
        return [(socket.AF_INET, type, 6, "", ("8.8.8.8", 0))]


class HangingNames:
    """A name server that answers every name at once, except those that begin with slow: they wait."""

    def __init__(self) -> None:
        self.hanging: list[str] = []
        self.answer = threading.Event()

    def __call__(self, host: str, _port: None, *, type: socket.SocketKind) -> list[tuple[Any, ...]]:  # noqa: A002
        if host.startswith("slow"):
            self.hanging.append(host)
            self.answer.wait(2 * PATIENCE_S)
        return [(socket.AF_INET, type, 6, "", ("8.8.8.8", 0))]


async def until(holds: Callable[[], object]) -> None:
    """Return once the condition holds; fails when it never does."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.001)


async def found(names: Names, policy: AddressPolicy = PUBLIC, **rest: Any) -> list[str]:
    resolver = Resolver(policy, lookup=names, **rest)
    try:
        return await resolver.addresses(HOST, PORT, PATIENCE_S)
    finally:
        resolver.close()


async def refusal(
    resolver: Resolver, host: str = HOST, port: int = PORT, timeout_s: float = PATIENCE_S, client: int = 0
) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await resolver.addresses(host, port, timeout_s, client=client)
    return caught.value


@pytest.mark.parametrize("address", ALLOWED)
async def test_addresses_of_allowed_literal_is_the_literal(address: str) -> None:
    names = Names()
    assert await Resolver(PUBLIC, lookup=names).addresses(address, PORT, PATIENCE_S) == [address]
    assert names.asked == []


@pytest.mark.parametrize("address", REFUSED)
async def test_addresses_of_refused_literal_is_blocked(address: str) -> None:
    refused = await refusal(Resolver(PUBLIC), address)
    assert (refused.code, refused.is_internal) == ("blocked_address", False)
    assert address not in str(refused)


@given(st.lists(st.sampled_from(ALLOWED + REFUSED), min_size=1, max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_addresses_with_one_refused_address_are_blocked(answer: list[str]) -> None:
    names = Names(shop_example=[answer])
    if set(answer) & set(REFUSED):
        with pytest.raises(TransportError) as caught:
            asyncio.run(found(names))
        assert caught.value.code == "blocked_address"
        assert not any(address in str(caught.value) for address in answer)
    else:
        assert asyncio.run(found(names)) == answer


async def test_addresses_are_checked_at_every_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_CACHE_S", 0.0)
    resolver = Resolver(PUBLIC, lookup=Names(shop_example=[["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8"]]))
    assert await resolver.addresses(HOST, PORT, PATIENCE_S) == ["8.8.8.8"]
    assert (await refusal(resolver)).code == "blocked_address"
    assert await resolver.addresses(HOST, PORT, PATIENCE_S) == ["8.8.8.8"]
    resolver.close()


async def test_resolver_caches_an_answer() -> None:
    names = Names(shop_example=[["8.8.8.8"], ["9.9.9.9"]])
    resolver = Resolver(PUBLIC, lookup=names)
    assert [await resolver.addresses(HOST, port, PATIENCE_S) for port in (443, 8443)] == [["8.8.8.8"]] * 2
    assert names.asked == [HOST]
    resolver.close()


async def test_resolver_does_not_cache_a_failed_lookup() -> None:
    answers: list[Answer] = [socket.gaierror(socket.EAI_AGAIN, "later"), ["8.8.8.8"]]
    resolver = Resolver(PUBLIC, lookup=Names(shop_example=answers))
    assert (await refusal(resolver)).code == "dns_failed"
    assert await resolver.addresses(HOST, PORT, PATIENCE_S) == ["8.8.8.8"]
    resolver.close()


async def test_resolver_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_CACHE_MAX", 3)
    hosts = [f"shop{number}.example" for number in range(10)]
    answers: dict[str, list[Answer]] = {host: [["8.8.8.8"]] for host in hosts}
    resolver = Resolver(PUBLIC, lookup=Names(**answers))
    for host in hosts:
        await resolver.addresses(host, PORT, PATIENCE_S)
    assert len(resolver._cache) <= 3
    resolver.close()


async def test_resolver_with_concurrent_callers_looks_up_once() -> None:
    stuck = Stuck()
    resolver = Resolver(PUBLIC, lookup=stuck)
    waiting = [asyncio.create_task(resolver.addresses(HOST, PORT, PATIENCE_S)) for _ in range(20)]
    await until(lambda: stuck.asked)
    stuck.answer.set()
    assert await asyncio.gather(*waiting) == [["8.8.8.8"]] * 20
    assert stuck.asked == [HOST]
    resolver.close()


async def test_resolver_with_slow_lookup_ends_in_time_and_caches_its_answer() -> None:
    stuck = Stuck()
    resolver = Resolver(PUBLIC, lookup=stuck)
    late = await refusal(resolver, timeout_s=0.01)
    assert late.code == "dns_timeout"
    stuck.answer.set()
    assert await resolver.addresses(HOST, PORT, PATIENCE_S) == ["8.8.8.8"]
    assert stuck.asked == [HOST]
    resolver.close()


async def test_resolver_without_free_thread_is_internal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_LOOKUPS_MAX", 1)
    stuck = Stuck()
    resolver = Resolver(PUBLIC, lookup=stuck)
    first = asyncio.create_task(resolver.addresses("slow.example", PORT, PATIENCE_S))
    await until(lambda: stuck.asked)
    slow, other = await refusal(resolver, "slow.example", timeout_s=0.0), await refusal(resolver, timeout_s=0.0)
    assert [(each.code, each.is_internal) for each in (slow, other)] == [("dns_timeout", False), ("dns_timeout", True)]
    stuck.answer.set()
    await first
    resolver.close()


async def test_resolver_with_slow_hosts_keeps_threads_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_LOOKUPS_MAX", 1)
    stuck = Stuck()
    resolver = Resolver(PUBLIC, lookup=stuck)
    slow = asyncio.create_task(resolver.addresses("slow.example", PORT, PATIENCE_S))
    await until(lambda: stuck.asked)
    await refusal(resolver, "slow.example", timeout_s=0.0)
    stuck.answer.set()
    await slow
    resolver._cache.clear()  # as after five seconds

    stuck.answer.clear()
    again = asyncio.create_task(resolver.addresses("slow.example", PORT, PATIENCE_S))
    await until(lambda: len(stuck.asked) == 2)
    other = asyncio.create_task(resolver.addresses(HOST, PORT, PATIENCE_S))
    await until(lambda: stuck.asked[2:] == [HOST])  # it was asked for while the slow one holds a thread

    stuck.answer.set()
    await asyncio.gather(again, other)
    resolver.close()


async def test_resolver_returns_at_most_32_addresses() -> None:
    answer = [f"8.8.{number // 250}.{number % 250 + 1}" for number in range(1_000)]
    assert await found(Names(shop_example=[answer])) == answer[:32]


@pytest.mark.parametrize(
    ("answer", "code", "is_internal"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), "dns_not_found", False),
        (socket.gaierror(socket.EAI_NODATA, "no data"), "dns_not_found", False),
        ([], "dns_not_found", False),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "dns_failed", False),
        (socket.gaierror(socket.EAI_FAIL, "failed"), "dns_failed", False),
        (UnicodeError("label too long"), "dns_failed", False),
        (OSError(errno.EMFILE, "too many open files"), "dns_failed", True),
    ],
)
async def test_resolver_failures_have_their_codes(answer: Answer, code: str, is_internal: bool) -> None:
    resolver = Resolver(PUBLIC, lookup=Names(shop_example=[answer]))
    failed = await refusal(resolver)
    assert (failed.code, failed.is_internal) == (code, is_internal)
    resolver.close()


@pytest.mark.parametrize(
    ("own", "address", "blocked"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "::1", True),
        ("0.0.0.0", "127.0.0.2", True),
        ("::", "127.0.0.1", True),
    ],
)
async def test_addresses_at_own_listener_are_blocked(own: str, address: str, blocked: bool) -> None:
    resolver = Resolver(LOCAL, [(own, PORT)], lookup=Names(shop_example=[[address]]))
    if blocked:
        assert (await refusal(resolver)).code == "blocked_address"
        assert (await refusal(resolver, address)).code == "blocked_address"
    else:
        assert await resolver.addresses(HOST, PORT, PATIENCE_S) == [address]
    assert await resolver.addresses(HOST, PORT + 1, PATIENCE_S) == [address]  # another port is someone else
    resolver.close()


@pytest.mark.parametrize("own", ["0.0.0.0", "::"])
async def test_addresses_of_machine_with_wildcard_listener_are_blocked(own: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but the loopback ones")
        address = probe.getsockname()[0]
    resolver = Resolver(AddressPolicy(["0.0.0.0/0"]), [(own, PORT)], lookup=Names(shop_example=[[address]]))
    assert (await refusal(resolver)).code == "blocked_address"
    assert (await refusal(resolver, address)).code == "blocked_address"
    assert await resolver.addresses(address, PORT + 1, PATIENCE_S) == [address]
    assert await resolver.addresses("198.51.100.1", PORT, PATIENCE_S) == ["198.51.100.1"]
    resolver.close()


# -- names of open connections


async def test_has_moved_knows_addresses_of_newest_answer() -> None:
    resolver = Resolver(PUBLIC, lookup=Names(shop_example=[["8.8.8.8", "8.8.4.4"]]))
    await resolver.addresses(HOST, PORT, PATIENCE_S)
    assert not resolver.has_moved(HOST, "8.8.4.4")
    assert resolver.has_moved(HOST, "1.1.1.1")
    resolver.close()


async def test_has_moved_with_old_answer_looks_again_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_CACHE_S", 0.0)
    names = Names(shop_example=[["8.8.8.8"], ["8.8.4.4"]])
    resolver = Resolver(PUBLIC, lookup=names)
    await resolver.addresses(HOST, PORT, PATIENCE_S)
    assert not resolver.has_moved(HOST, "8.8.8.8")
    await until(lambda: resolver.has_moved(HOST, "8.8.8.8"))
    assert not resolver.has_moved(HOST, "8.8.4.4")
    resolver.close()


async def test_has_moved_after_failed_lookup_keeps_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_CACHE_S", 0.0)
    names = Names(shop_example=[["8.8.8.8"], socket.gaierror(socket.EAI_AGAIN, "try again")])
    resolver = Resolver(PUBLIC, lookup=names)
    await resolver.addresses(HOST, PORT, PATIENCE_S)
    resolver.has_moved(HOST, "8.8.8.8")
    await until(lambda: resolver._refresh_at[HOST] < math.inf)
    assert not resolver.has_moved(HOST, "8.8.8.8")
    resolver.close()


async def test_resolver_with_names_of_one_client_hanging_looks_up_those_of_another_at_once() -> None:
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    hanging = [
        asyncio.create_task(refusal(resolver, f"slow{number}.example", timeout_s=0.05, client=1))
        for number in range(100)
    ]
    await until(lambda: len(names.hanging) == 4)
    assert await resolver.addresses(HOST, PORT, PATIENCE_S, client=2) == ["8.8.8.8"]
    assert await resolver.addresses("other.example", PORT, PATIENCE_S, client=2) == ["8.8.8.8"]
    refused = await asyncio.gather(*hanging)

    assert {each.code for each in refused} == {"dns_timeout"}
    assert len(names.hanging) == 4, "those that nobody waits for any more are not looked up"
    assert not resolver._waiting
    assert len(resolver._lookups) == 4
    names.answer.set()
    await until(lambda: not resolver._held)
    resolver.close()


async def test_resolver_with_slow_clients_keeps_half_of_the_threads_for_others() -> None:
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    for client in range(1, 5):
        await refusal(resolver, f"slow-{client}.example", timeout_s=0.0, client=client)
    resolver._slow_clients.update(range(1, 20))  # as they are after a while
    for number in range(40):
        await refusal(resolver, f"slow{number}.example", timeout_s=0.0, client=1 + number % 19)
    assert resolver._held.total() == 8

    assert await resolver.addresses(HOST, PORT, PATIENCE_S, client=99) == ["8.8.8.8"]
    names.answer.set()
    await until(lambda: not resolver._held)
    resolver.close()


async def test_resolver_with_host_waiting_for_another_client_looks_it_up_in_the_first_turn() -> None:
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    hanging = [
        asyncio.create_task(refusal(resolver, f"slow{number}.example", timeout_s=0.2, client=1)) for number in range(9)
    ]
    await until(lambda: len(names.hanging) == 4)
    redirected = asyncio.create_task(resolver.addresses(HOST, PORT, PATIENCE_S, client=1))
    await until(lambda: (HOST, False) in resolver._lookups)

    assert await resolver.addresses(HOST, PORT, PATIENCE_S, client=2) == ["8.8.8.8"]
    assert await redirected == ["8.8.8.8"]
    names.answer.set()
    await asyncio.gather(*hanging, return_exceptions=True)
    resolver.close()


async def test_resolver_closed_while_lookups_wait_ends_them() -> None:
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    waiting = [
        asyncio.create_task(refusal(resolver, f"slow{number}.example", timeout_s=PATIENCE_S, client=1))
        for number in range(9)
    ]
    await until(lambda: len(names.hanging) == 4)
    resolver.close()
    ended, _ = await asyncio.wait(waiting[4:])
    assert {(await each).code for each in ended} == {"dns_failed"}
    names.answer.set()
    for each in waiting[:4]:
        each.cancel()
    await asyncio.wait(waiting)


async def test_has_moved_under_silent_name_server_asks_once_and_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck()
    resolver = Resolver(PUBLIC, lookup=stuck)
    for _ in range(3):
        assert not resolver.has_moved(HOST, "8.8.8.8")
    await until(lambda: stuck.asked)
    assert stuck.asked == [HOST]
    assert not resolver._lookups.get((HOST, False))  # a new connection does not wait for it
    stuck.answer.set()
    resolver.close()


async def test_resolver_with_all_threads_hanging_finds_a_host_that_was_found_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver_module, "_CACHE_S", 0.0)
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    await resolver.addresses(HOST, PORT, PATIENCE_S, client=99)
    hanging = [
        asyncio.create_task(resolver.addresses(f"slow{client}.example", PORT, PATIENCE_S, client=client))
        for client in range(20)
    ]
    await until(lambda: len(names.hanging) == 16)
    assert await resolver.addresses(HOST, PORT, PATIENCE_S, client=99) == ["8.8.8.8"]
    assert len(names.hanging) == 16

    names.answer.set()
    await asyncio.gather(*hanging)
    assert not resolver._held
    resolver.close()


async def test_resolver_lookup_that_takes_too_long_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_LOOKUP_S", 0.01)
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    hanging = [
        asyncio.create_task(resolver.addresses(f"slow{client}.example", PORT, PATIENCE_S, client=client))
        for client in range(16)
    ]
    await until(lambda: len(names.hanging) == 16)
    assert await resolver.addresses(HOST, PORT, PATIENCE_S, client=99) == ["8.8.8.8"]
    names.answer.set()
    await asyncio.gather(*hanging)
    resolver.close()


async def test_resolver_stuck_lookups_of_one_client_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_LOOKUP_S", 0.001)
    names = HangingNames()
    resolver = Resolver(PUBLIC, lookup=names)
    hanging = [
        asyncio.create_task(resolver.addresses(f"slow{number}.example", PORT, PATIENCE_S, client=1))
        for number in range(20)
    ]
    await until(lambda: resolver._held[1, "stuck"] == 4)
    await until(lambda: resolver._held[1, "usual"] >= 2)
    for _ in range(20):
        assert await resolver.addresses("other.example", PORT, PATIENCE_S, client=2) == ["8.8.8.8"]
    assert len(names.hanging) <= 8
    names.answer.set()
    await asyncio.gather(*hanging)
    resolver.close()
