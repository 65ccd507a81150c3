"""Connections: opening, sharing, reuse, limits on responses, and TLS."""

import asyncio
import datetime as dt
import os
import resource
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, cast
from unittest.mock import Mock

import httptools
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from local_receiver import LOCAL, NO_TRUST, PATIENCE_S, Receiver, named, until
from structlog.testing import capture_logs

from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.urls import parse_url
from commerce_event.deliver import connection, connection_pool
from commerce_event.deliver import resolver as resolver_module
from commerce_event.deliver.connection import Connection, Response
from commerce_event.deliver.connection_pool import ConnectionPool
from commerce_event.deliver.resolver import Resolver, TransportError

BODY = b'{"ClientId":1,"OrderNo":"SO-1"}'


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    resolver = Resolver(LOCAL, lookup=named("127.0.0.1"))
    made = ConnectionPool(resolver, tls=NO_TRUST)
    yield made
    made.close()
    resolver.close()


async def post(pool: ConnectionPool, url: str, *, key: int = 1, timeout_s: float = PATIENCE_S) -> Response:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return await pool.post(
        parse_url(url, LOCAL), key=key, headers=b"x-a: 1\r\nx-b: 2\r\n", body=BODY, deadline=deadline
    )


async def failure(pool: ConnectionPool, url: str, *, timeout_s: float = PATIENCE_S) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await post(pool, url, timeout_s=timeout_s)
    return caught.value


async def answered(connection: Connection, *parts: bytes, end: bool = False) -> Response:
    """Return the response to a request when the receiver sends these parts, and then closes if ``end``."""
    cast("Mock", connection._transport).get_write_buffer_size.return_value = 0
    waiting = asyncio.create_task(connection.send_request(b"", asyncio.get_running_loop().time() + PATIENCE_S))
    await asyncio.sleep(0)
    for part in parts:
        connection.data_received(part)
    if end:
        connection.connection_lost(None)
    return await waiting


Issue = Callable[[trustme.CA], trustme.LeafCert]


# -- the request


async def test_post_request_is_complete_and_names_host_of_url(server: Receiver, pool: ConnectionPool) -> None:
    response = await post(pool, server.at("/ok?a=1&b=%C3%A5", host="shop.example"))
    assert (response.status, response.body, response.complete) == (200, b"ok", True)
    (request,) = server.received
    assert request.path == "/ok?a=1&b=%C3%A5"
    assert list(request.headers.items()) == [
        ("host", f"shop.example:{server.port}"),
        ("content-length", str(len(BODY))),
        ("x-a", "1"),
        ("x-b", "2"),
    ]
    assert request.body == BODY


async def test_post_ignores_proxy_settings_of_environment(
    server: Receiver, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await post(pool, server.at("/ok"))).status == 200


# -- reuse


async def test_pool_after_response_reuses_connection(server: Receiver, pool: ConnectionPool) -> None:
    for _ in range(5):
        await post(pool, server.at("/ok"))
    assert (server.connections, len(server.received)) == (1, 5)


async def test_pool_never_shares_connection_between_endpoints(server: Receiver, pool: ConnectionPool) -> None:
    for key in (1, 2, 1, 2):
        await post(pool, server.at("/ok"), key=key)
    assert server.connections == 2


async def test_pool_never_shares_connection_between_hosts(server: Receiver, pool: ConnectionPool) -> None:
    for host in ("127.0.0.1", "shop.example") * 2:
        await post(pool, server.at("/ok", host=host))
    assert server.connections == 2


async def test_pool_with_concurrent_requests_opens_one_connection_each(server: Receiver, pool: ConnectionPool) -> None:
    await asyncio.gather(*[post(pool, server.at("/ok")) for _ in range(8)])
    assert server.connections == 8


@pytest.mark.parametrize(
    "path", ["/two-answers", "/ok-until-close", "/truncated", "/endless-body", "/no-content-with-body"]
)
async def test_pool_after_invalid_response_does_not_reuse_connection(
    server: Receiver, pool: ConnectionPool, path: str
) -> None:
    first = await post(pool, server.at(path))
    second = await post(pool, server.at("/ok"))
    assert 200 <= first.status <= 299
    assert (second.status, second.body) == (200, b"ok")
    assert server.connections == 2


async def test_pool_skips_connection_closed_while_idle(server: Receiver, pool: ConnectionPool) -> None:
    await post(pool, server.at("/many-cookies"))
    (idle,) = pool._idle
    await until(lambda: not idle.reusable)
    assert (await post(pool, server.at("/ok"))).status == 200
    assert server.connections == 2


async def lost(*, answers: int, said: bytes) -> TransportError:
    """Return what is made of a connection that is lost at a request after so many answers, when this had come."""
    connection = Connection()
    connection.connection_made(Mock(asyncio.Transport))
    for _ in range(answers):
        await answered(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    with pytest.raises(TransportError) as caught:
        await answered(connection, said, end=True)
    return caught.value


async def test_connection_closed_while_reused_is_stale() -> None:
    failed = await lost(answers=1, said=b"")
    assert (failed.code, failed.is_internal) == ("connection_stale", True)


@pytest.mark.parametrize(("answers", "said"), [(0, b""), (1, b"H")], ids=["new connection", "a byte of an answer"])
async def test_connection_closed_in_any_other_case_is_a_failure_of_the_receiver(answers: int, said: bytes) -> None:
    failed = await lost(answers=answers, said=said)
    assert (failed.code, failed.is_internal) == ("connection_closed", False)


async def test_connection_closed_long_after_request_is_a_failure_of_the_receiver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_STALE_MAX_S", 0.0)
    failed = await lost(answers=1, said=b"")
    assert (failed.code, failed.is_internal) == ("connection_closed", False)


async def test_pool_after_stale_connection_opens_a_new_one(server: Receiver, pool: ConnectionPool) -> None:
    url = server.at("/close-on-second")
    await asyncio.gather(*[post(pool, url) for _ in range(3)])
    assert (await failure(pool, url)).code == "connection_stale"
    assert (await post(pool, url)).status == 200
    assert server.connections == 4


async def test_pool_learns_after_which_idle_time_a_receiver_closes(
    server: Receiver, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*[post(pool, server.at("/ok")) for _ in range(3)])
    first, second, third = pool._idle
    first.idle_since -= 2.0
    second.idle_since -= 1.1
    first.eof_received()
    assert first not in pool._idle
    await post(pool, server.at("/ok"))  # the third: not idle for half as long as the one that was closed
    assert list(pool._idle) == [second, third]
    third.idle_since -= 1.1
    await post(pool, server.at("/ok"))
    assert server.connections == 4
    monkeypatch.setattr(connection_pool, "_LEARNED_S", 0.0)
    (newest,) = pool._idle
    newest.eof_received()  # what was learnt is known for a minute; now for no time
    await post(pool, server.at("/ok"))
    (newest,) = pool._idle
    newest.idle_since -= 2.9
    await post(pool, server.at("/ok"))
    assert list(pool._idle) == [newest]


async def test_pool_after_stale_connection_reuses_no_connection_idle_as_long(
    server: Receiver, pool: ConnectionPool
) -> None:
    await post(pool, server.at("/close-on-second"))
    (idle,) = pool._idle
    idle.idle_since -= 2.0
    assert (await failure(pool, server.at("/close-on-second"))).code == "connection_stale"
    for _ in range(2):
        await post(pool, server.at("/ok"))
        (idle,) = pool._idle
        idle.idle_since -= 1.1
    assert server.connections == 3


async def test_pool_forgets_nothing_of_one_endpoint_for_another(server: Receiver, pool: ConnectionPool) -> None:
    await post(pool, server.at("/ok"), key=1)
    (idle,) = pool._idle
    idle.eof_received()
    for _ in range(2):
        await post(pool, server.at("/ok"), key=2)
    assert server.connections == 2


async def test_pool_at_its_limit_closes_the_longest_idle_connection_and_warns(
    server: Receiver, pool: ConnectionPool
) -> None:
    pool._open_max = 2
    with capture_logs() as logs:
        for key in (1, 2, 3, 4):
            await post(pool, server.at("/ok"), key=key)
    await post(pool, server.at("/ok"), key=4)

    assert [key for key, _ in pool._idle.values()] == [3, 4]
    assert len(pool._opened) == 2
    assert server.connections == 4
    assert [line["log_level"] for line in logs] == ["warning"], "once a minute"


async def test_pool_counts_no_connection_that_failed_or_was_closed(server: Receiver, pool: ConnectionPool) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = await failure(pool, f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert refused.code == "connect_refused"
    assert not pool._opened

    await post(pool, server.at("/ok"))
    assert len(pool._opened) == 1
    pool.close()
    assert not pool._opened


async def test_race_at_the_limit_of_connections_tries_one_address_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "_NEXT_ADDRESS_S", 0.0)
    resolver = Resolver(LOCAL, lookup=named("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    pool = ConnectionPool(resolver, tls=NO_TRUST, open_max=1)
    most = await most_at_once(pool, monkeypatch)
    assert most == 1


async def test_race_of_many_silent_addresses_holds_four_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "_NEXT_ADDRESS_S", 0.0)
    resolver = Resolver(LOCAL, lookup=named(*(f"127.0.0.{number}" for number in range(1, 33))))
    most = await most_at_once(ConnectionPool(resolver, tls=NO_TRUST), monkeypatch)
    assert most == 4


async def most_at_once(pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> int:
    """Post to addresses that never answer; return how many connections were being opened at the same time at most."""
    most = rounds = 0

    async def silent(*_: object, **__: object) -> None:
        nonlocal most, rounds
        rounds += 1
        for _turn in range(3):
            await asyncio.sleep(0)
            most = max(most, len(pool._opened))
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", silent)
    failed = await failure(pool, "http://shop.example:8000/", timeout_s=0.2)
    assert failed.code == "timeout"
    await until(lambda: not pool._opened)
    return most


async def test_connection_with_unexpected_data_is_closed(pool: ConnectionPool) -> None:
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(BODY)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    await post(pool, url)
    (idle,) = pool._idle
    writers[0].write(b"HTTP/1.1 500 Planted\r\ncontent-length: 0\r\n\r\n")
    await until(lambda: not idle.reusable)
    assert (await post(pool, url)).status == 200
    assert len(writers) == 2
    server.close()
    for writer in writers:
        writer.close()


async def test_pool_closes_connections_idle_for_too_long(
    server: Receiver, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_pool, "_IDLE_MAX_S", 0.02)
    await asyncio.gather(*[post(pool, server.at("/ok"), key=key) for key in range(3)])
    assert pool._idle
    await until(lambda: not pool._idle)
    await until(server.gone)  # the server sees its connections end
    assert not pool._by_key
    assert (await post(pool, server.at("/ok"))).status == 200


async def test_pool_does_not_reuse_connection_near_server_idle_timeout(server: Receiver, pool: ConnectionPool) -> None:
    await post(pool, server.at("/ok"))
    (idle,) = pool._idle
    idle.idle_since -= 4.9  # many servers close after 5 s
    await post(pool, server.at("/ok"))
    assert server.connections == 2


async def test_pool_does_not_reuse_connection_beyond_its_age(server: Receiver, pool: ConnectionPool) -> None:
    """Also while events keep coming: the age counts from when it was opened, not from its last use."""
    for _ in range(3):
        await post(pool, server.at("/ok"))
    assert server.connections == 1
    (idle,) = pool._idle
    idle.opened_at -= connection_pool._AGE_MAX_S
    await post(pool, server.at("/ok"))
    assert server.connections == 2


async def test_pool_after_name_moved_connects_to_its_new_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "_CACHE_S", 0.0)
    peers: list[str] = []
    ended: list[str] = []
    addresses = ["127.0.0.2"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("sockname")[0])
        with suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(BODY)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        ended.append(peers[len(ended)])

    def lookup(*given: Any, **rest: Any) -> list[tuple[Any, ...]]:
        return named(*addresses)(*given, **rest)

    resolver = Resolver(LOCAL, lookup=lookup)
    pool = ConnectionPool(resolver, tls=NO_TRUST)
    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    url = f"http://shop.example:{server.sockets[0].getsockname()[1]}/"
    await post(pool, url)
    await post(pool, url)
    assert peers == ["127.0.0.2"]
    addresses[:] = ["127.0.0.3"]
    async with asyncio.timeout(PATIENCE_S):
        while peers[-1] != "127.0.0.3":
            await post(pool, url)
    assert peers == ["127.0.0.2", "127.0.0.3"]
    pool.close()
    await until(lambda: ended == peers)
    resolver.close()
    server.close()


async def test_pool_at_its_limit_closes_longest_idle_connection(
    server: Receiver, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_pool, "_IDLE_MAX", 2)
    for key in (1, 2, 3):
        await post(pool, server.at("/ok"), key=key)
    assert [key for key, _ in pool._idle.values()] == [2, 3]
    assert set(pool._by_key) == set(pool._idle.values())


async def test_pool_after_cancelled_request_has_no_connection(server: Receiver, pool: ConnectionPool) -> None:
    task = asyncio.create_task(post(pool, server.at("/hang")))
    await until(lambda: server.received)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(server.gone)
    assert not pool._idle


async def test_pool_closed_has_no_connection(server: Receiver, pool: ConnectionPool) -> None:
    await post(pool, server.at("/ok"))
    pool.close()
    await until(server.gone)
    assert not pool._idle


# -- what Connection relies on in httptools, beyond its documentation


class Callbacks:
    """Records the parser's callbacks, and raises in the one named ``raises``."""

    def __init__(self, raises: str = "") -> None:
        self.seen: list[str] = []
        self._raises = raises

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def callback(*_: bytes) -> None:
            self.seen.append(name)
            if name == self._raises:
                raise ValueError(name)

        return callback


def test_httptools_calls_back_once_for_each_part_and_for_trailers_after_the_body() -> None:
    callbacks = Callbacks()
    httptools.HttpResponseParser(callbacks).feed_data(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: 1\r\n\r\n2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n"
    )

    parts = ("on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete")
    assert [each for each in callbacks.seen if each in parts] == [
        "on_message_begin",
        *("on_header", "on_header", "on_headers_complete"),
        "on_body",
        *("on_header", "on_message_complete"),
    ]


def test_httptools_parses_interim_and_later_responses_with_one_parser() -> None:
    seen: list[tuple[int, str, bool]] = []

    class Completed:
        def on_message_complete(self) -> None:  # only here does should_keep_alive say what the response asked for
            seen.append((parser.get_status_code(), parser.get_http_version(), parser.should_keep_alive()))

    parser = httptools.HttpResponseParser(Completed())
    parser.feed_data(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n")
    parser.feed_data(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    parser.feed_data(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    assert [status for status, _, _ in seen] == [103, 200, 404]
    assert seen[1:] == [(200, "1.1", True), (404, "1.1", False)]


@pytest.mark.parametrize("name", ["on_message_begin", "on_header", "on_headers_complete"])
def test_httptools_turns_an_error_of_a_callback_into_its_own(name: str) -> None:
    parser = httptools.HttpResponseParser(Callbacks(raises=name))

    with pytest.raises(httptools.HttpParserCallbackError):
        parser.feed_data(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert issubclass(httptools.HttpParserCallbackError, httptools.HttpParserError)


# -- what is read


async def read_in_one_go(answer: bytes) -> Response:
    """Hand an answer to a connection at once."""
    connection = Connection()
    connection.connection_made(Mock(asyncio.Transport))
    return await answered(connection, answer)


async def test_response_with_oversized_headers_in_one_piece_fails() -> None:
    with pytest.raises(TransportError) as caught:
        await read_in_one_go(b"HTTP/1.1 200 OK\r\nx-a: %b\r\ncontent-length: 0\r\n\r\n" % (b"x" * 70_000))
    assert caught.value.code == "bad_http"


async def test_response_keeps_16_kib_of_headers() -> None:
    lines = b"".join(b"x-%d: %b\r\n" % (number, b"x" * 1_000) for number in range(40))
    response = await read_in_one_go(b"HTTP/1.1 200 OK\r\n%bcontent-length: 0\r\n\r\n" % lines)
    assert sum(len(name) + len(value) for name, value in response.headers) <= 16 * 1024
    assert len(response.headers) == 16


async def test_response_values_include_headers_that_are_not_kept() -> None:
    lines = b"x-filler: 1\r\n" * 100
    response = await read_in_one_go(b"HTTP/1.1 503 No\r\n%bRetry-After: 7\r\ncontent-length: 0\r\n\r\n" % lines)
    assert len(response.headers) == 64
    assert response.values(b"retry-after") == [b"7"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("Malmö 北京".encode(), "Malmö 北京"),
        ("Malmö".encode("latin-1"), "Malmö"),
        (b"a\x9b31mb", "a 31mb"),
        ("a\u202eb\u0085c".encode(), "a b c"),
        (("å" * 5_000).encode(), "å" * 4_096),
    ],
    ids=["UTF-8", "Latin-1", "control character", "control characters in UTF-8", "cut"],
)
async def test_response_headers_are_utf_8_or_else_latin_1(raw: bytes, shown: str) -> None:
    response = await read_in_one_go(b"HTTP/1.1 200 OK\r\nx-place: %b\r\ncontent-length: 0\r\n\r\n" % raw)
    assert dict(response.headers)["x-place"] == shown


async def test_response_body_is_not_cut_within_a_character() -> None:
    body = ("x" + "å" * 1_000).encode()
    response = await read_in_one_go(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert response.body.decode() == "x" + "å" * 511


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", "3.0"])
async def test_response_with_other_http_version_fails(version: str) -> None:
    with pytest.raises(TransportError) as caught:
        await read_in_one_go(b"HTTP/%b 200 OK\r\ncontent-length: 0\r\n\r\n" % version.encode())
    assert caught.value.code == "bad_http"


async def test_response_with_http_1_0_is_accepted() -> None:
    response = await read_in_one_go(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")
    assert (response.status, response.complete) == (200, True)


@pytest.mark.parametrize(
    "lines",
    [
        b"transfer-encoding: gzip, chunked\r\n",
        b"transfer-encoding: chunked, chunked\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: gzip\r\n",
    ],
)
async def test_response_with_other_transfer_coding_fails(lines: bytes) -> None:
    with pytest.raises(TransportError) as caught:
        await read_in_one_go(b"HTTP/1.1 200 OK\r\n%b\r\n0\r\n\r\n" % lines)
    assert caught.value.code == "bad_http"


@pytest.mark.parametrize(("count", "code"), [(200, None), (201, "bad_http")])
async def test_response_header_limit_is_200(count: int, code: str | None) -> None:
    answer = b"HTTP/1.1 200 OK\r\n%bcontent-length: 0\r\n\r\n" % (b"x-a: 1\r\n" * (count - 1))
    assert len(answer) < 3_072  # its size is not what counts
    assert await code_of(answer) == code


@pytest.mark.parametrize(("count", "code"), [(8, None), (9, "bad_http")])
async def test_response_interim_limit_is_8(count: int, code: str | None) -> None:
    announced = b"HTTP/1.1 103 Early Hints\r\n\r\n" * count
    assert await code_of(announced + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") == code


async def code_of(answer: bytes) -> str | None:
    """Return the code that reading an answer fails with."""
    try:
        await read_in_one_go(answer)
    except TransportError as failed:
        return failed.code
    return None


@pytest.mark.parametrize(("size", "read_on"), [(64 * 1024, True), (64 * 1024 + 1, False)])
async def test_response_body_limit_is_64_kib(size: int, read_on: bool) -> None:
    connection = Connection()
    connection.connection_made(Mock(asyncio.Transport))
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n"
    waiting = asyncio.create_task(answered(connection, head, b"x" * size))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert cast("Mock", connection._transport).abort.called is not read_on
    connection.connection_lost(None)
    assert (await waiting).complete is False


async def test_connection_idle_at_end_of_stream_is_not_reusable() -> None:
    connection = Connection()
    connection.connection_made(Mock(asyncio.Transport))
    await answered(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert connection.reusable
    connection.eof_received()
    assert not connection.reusable


async def test_response_trailers_are_ignored() -> None:
    chunked = b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\nretry-after: 3600\r\n\r\n"
    response = await read_in_one_go(chunked)
    assert (response.complete, [name for name, _ in response.headers]) == (True, ["transfer-encoding"])


# -- connecting


async def test_connect_to_closed_port_is_connect_refused(pool: ConnectionPool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, not listening
        refused = await failure(pool, f"http://127.0.0.1:{probe.getsockname()[1]}/")
    assert (refused.code, refused.is_internal) == ("connect_refused", False)


async def test_connect_when_one_address_refuses_tries_the_next(server: Receiver) -> None:
    pool = ConnectionPool(Resolver(LOCAL, lookup=named("::1", "127.0.0.2", "127.0.0.1")), tls=NO_TRUST)
    assert (await post(pool, server.at("/ok", host="shop.example"))).status == 200
    pool.close()


async def test_connect_when_one_address_is_silent_tries_the_next(server: Receiver) -> None:
    pool = ConnectionPool(Resolver(LOCAL, lookup=named("127.0.0.2", "127.0.0.1")), tls=NO_TRUST)
    with ExitStack() as open_sockets:
        full_backlog(open_sockets, "127.0.0.2", server.port)
        response = await post(pool, server.at("/ok", host="shop.example"), timeout_s=3.0)
        nowhere = await failure(pool, server.at("/ok", host="127.0.0.2"), timeout_s=0.05)
    assert response.status == 200
    assert nowhere.code == "timeout"
    pool.close()


async def test_connect_when_two_addresses_answer_keeps_one_connection(
    server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_pool, "_NEXT_ADDRESS_S", 0.0)  # both at once
    gone: list[bool] = []

    async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone.append(not await reader.read(1))
        writer.close()

    other = await asyncio.start_server(wait_for_the_end, "127.0.0.2", server.port)
    pool = ConnectionPool(Resolver(LOCAL, lookup=named("127.0.0.1", "127.0.0.2")), tls=NO_TRUST)
    assert (await post(pool, server.at("/ok", host="shop.example"))).status == 200
    await until(lambda: gone or server.gone())
    assert gone == [True]
    assert [idle.reusable for idle in pool._idle] == [True]
    pool.close()
    other.close()


async def test_connect_when_one_address_is_slow_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "_NEXT_ADDRESS_S", 0.0)
    connected: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(BODY)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        connected.remove(writer)

    pool = ConnectionPool(Resolver(LOCAL, lookup=named("127.0.0.2", "127.0.0.3")), tls=NO_TRUST)
    with ExitStack() as open_sockets:
        listener = full_backlog(open_sockets, "127.0.0.2", 0)
        waiting = asyncio.create_task(post(pool, f"http://shop.example:{listener.getsockname()[1]}/"))
        await asyncio.sleep(0)  # the other address refuses at once
        server = await asyncio.start_server(serve, sock=listener)
        assert (await waiting).status == 200
        server.close()
    await until(lambda: not connected)
    pool.close()


async def test_connect_when_every_address_fails_raises_last_failure() -> None:
    pool = ConnectionPool(Resolver(LOCAL, lookup=named("127.0.0.2", "127.0.0.3")), tls=NO_TRUST)
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))  # bound, not listening
        refused = await failure(pool, f"http://shop.example:{probe.getsockname()[1]}/")
    assert refused.code == "connect_refused"
    pool.close()


async def test_connect_without_route_is_connect_failed() -> None:
    policy = AddressPolicy(["fe80::/10"])  # link-local without an interface: there is no route
    pool = ConnectionPool(Resolver(policy, lookup=named("fe80::1")), tls=NO_TRUST)
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    with pytest.raises(TransportError) as caught:
        await pool.post(parse_url("http://shop.example/", LOCAL), key=1, headers=b"", body=BODY, deadline=deadline)
    assert (caught.value.code, caught.value.is_internal) == ("connect_failed", False)
    pool.close()


def full_backlog(open_sockets: ExitStack, address: str, port: int) -> socket.socket:
    """Listen without accepting until further connections are not answered any more; return the listener."""
    listener = open_sockets.enter_context(socket.socket())
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(0)
    for _ in range(4):
        waiting = open_sockets.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
    return listener


async def test_connect_uses_exactly_the_checked_address(server: Receiver) -> None:
    answers = iter(["127.0.0.1", "10.0.0.1"])  # a second question would get another answer

    def changing(*given: Any, **more: Any) -> list[tuple[Any, ...]]:
        return named(next(answers))(*given, **more)

    pool = ConnectionPool(Resolver(LOCAL, lookup=changing), tls=NO_TRUST)
    assert (await post(pool, server.at("/ok", host="shop.example"))).status == 200
    assert next(answers) == "10.0.0.1"
    pool.close()


async def test_post_deadline_includes_name_lookup(server: Receiver) -> None:
    answered = threading.Event()

    def stuck(*given: Any, **more: Any) -> list[tuple[Any, ...]]:
        answered.wait(PATIENCE_S)
        return named("127.0.0.1")(*given, **more)

    pool = ConnectionPool(Resolver(LOCAL, lookup=stuck), tls=NO_TRUST)
    late = await failure(pool, server.at("/ok", host="shop.example"), timeout_s=0.02)
    answered.set()
    assert late.code == "dns_timeout"


async def test_connect_with_too_many_open_files_is_internal(server: Receiver, pool: ConnectionPool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as open_files:
        first_free = os.open(os.devnull, os.O_RDONLY)
        open_files.callback(os.close, first_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + 1, hard))
        try:
            failed = await failure(pool, server.at("/ok"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (failed.code, failed.is_internal) == ("connect_failed", True)


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def secure_pool(authority: trustme.CA) -> AsyncIterator[ConnectionPool]:
    context = connection_pool._default_tls()
    authority.configure_trust(context)
    made = ConnectionPool(Resolver(LOCAL, lookup=named("127.0.0.1")), tls=context)
    yield made
    made.close()


def serving(certificate: trustme.LeafCert) -> Receiver:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return Receiver(context)


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("shop.example").configure_cert(context)
    return context


def serving_with(*pems: bytes) -> ssl.SSLContext:
    """Return what serves with a key and exactly these certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with trustme.Blob(b"".join(pems)).tempfile() as path:
        context.load_cert_chain(path)
    return context


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Return a key and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    certificate = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        YESTERDAY,
        TOMORROW,
        [
            x509.Extension(
                x509.SubjectAlternativeName.oid, critical=False, value=x509.SubjectAlternativeName([x509.DNSName(host)])
            )
        ],
    ).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(pem),
    )


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1"])
async def test_tls_with_certificate_of_known_authority_connects(
    authority: trustme.CA, secure_pool: ConnectionPool, host: str
) -> None:
    async with serving(authority.issue_cert(host)) as server:
        responses = [await post(secure_pool, server.at("/ok", host=host)) for _ in range(2)]
        assert [response.status for response in responses] == [200, 200]
        assert server.connections == 1


YESTERDAY = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
TOMORROW = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("certificate", "code", "said"),
    [
        (lambda _: trustme.CA().issue_cert("shop.example"), "tls_unknown_ca", "unable to get local issuer certificate"),
        (lambda known: known.issue_cert("other.example"), "tls_wrong_host", "Hostname mismatch"),
        (lambda known: known.issue_cert("192.0.2.1"), "tls_wrong_host", "Hostname mismatch"),
        (lambda known: known.issue_cert("shop.example", not_after=YESTERDAY), "tls_expired", "certificate has expired"),
        (
            lambda known: known.issue_cert("shop.example", not_before=TOMORROW),
            "tls_expired",
            "certificate is not yet valid",
        ),
    ],
    ids=["unknown authority", "another host", "an address", "expired", "not yet valid"],
)
async def test_tls_with_bad_certificate_sends_nothing(
    authority: trustme.CA, secure_pool: ConnectionPool, certificate: Issue, code: str, said: str
) -> None:
    async with serving(certificate(authority)) as server:
        failed = await failure(secure_pool, server.at("/ok", host="shop.example"))
        assert (failed.code, failed.is_internal) == (code, False)
        assert said in str(failed)
        assert not server.received


async def test_tls_with_self_signed_certificate_is_tls_self_signed(secure_pool: ConnectionPool) -> None:
    async with Receiver(serving_with(*self_signed("shop.example"))) as server:
        assert (await failure(secure_pool, server.at("/ok", host="shop.example"))).code == "tls_self_signed"
        assert not server.received


async def test_tls_without_intermediate_certificate_is_tls_unknown_ca(
    authority: trustme.CA, secure_pool: ConnectionPool
) -> None:
    leaf = authority.create_child_ca().issue_cert("shop.example")
    alone = serving_with(leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
    async with Receiver(alone) as server, serving(leaf) as whole:
        assert (await failure(secure_pool, server.at("/ok", host="shop.example"))).code == "tls_unknown_ca"
        assert (await post(secure_pool, whole.at("/ok", host="shop.example"))).status == 200


@asynccontextmanager
async def in_a_thread(context: ssl.SSLContext, serve: Callable[[ssl.SSLSocket], object]) -> AsyncIterator[str]:
    """Serve one connection as plain OpenSSL does: the loop's own servers keep the alert of a failed handshake back."""

    def run() -> None:
        accepted, _ = listener.accept()
        secure = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        with suppress(OSError):
            secure.do_handshake()
            serve(secure)
        with socket.socket(fileno=secure.detach()) as plain, suppress(OSError):
            while plain.recv(65_536):  # closed with something unread, the alert would be lost
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        running = asyncio.create_task(asyncio.to_thread(run))
        yield f"https://shop.example:{listener.getsockname()[1]}/"
        await running


async def test_tls_with_old_version_only_is_tls_version(authority: trustme.CA, secure_pool: ConnectionPool) -> None:
    old = server_context(authority)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with in_a_thread(old, lambda secure: secure.recv(1)) as url:
        assert (await failure(secure_pool, url)).code == "tls_version"


async def test_tls_with_client_certificate_required_is_tls_client_certificate(
    authority: trustme.CA, secure_pool: ConnectionPool
) -> None:
    mutual = server_context(authority)
    mutual.verify_mode = ssl.CERT_REQUIRED
    async with in_a_thread(mutual, lambda secure: secure.recv(1)) as url:
        assert (await failure(secure_pool, url)).code == "tls_client_certificate"


async def test_tls_with_garbage_after_handshake_is_tls_failed(
    authority: trustme.CA, secure_pool: ConnectionPool
) -> None:
    def garble(secure: ssl.SSLSocket) -> None:
        secure.recv(1)
        os.write(secure.fileno(), b"x" * 100)

    async with in_a_thread(server_context(authority), garble) as url:
        assert (await failure(secure_pool, url)).code == "tls_failed"


async def test_tls_with_plain_http_server_is_tls_failed(secure_pool: ConnectionPool) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    failed = await failure(secure_pool, f"https://shop.example:{server.sockets[0].getsockname()[1]}/")
    assert failed.code == "tls_failed"
    server.close()


async def test_tls_with_stalled_handshake_ends_at_deadline(server: Receiver, secure_pool: ConnectionPool) -> None:
    failed = await failure(secure_pool, f"https://shop.example:{server.port}/", timeout_s=0.1)
    assert failed.code == "timeout"


def test_tls_default_context_requires_tls_1_2_and_every_check() -> None:
    context = connection_pool._default_tls()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
