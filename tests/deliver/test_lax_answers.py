"""Answers that are not quite HTTP/1.1 are taken where curl and browsers take them, and refused elsewhere."""

import asyncio
from typing import cast
from unittest.mock import Mock

import pytest

from commerce_event.deliver.connection import Connection, Response
from commerce_event.deliver.resolver import TransportError

PATIENCE_S = 10.0  # for what is not expected to run out of time
TAKEN = {
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "bare LF without a reason": b"HTTP/1.1 200\ncontent-length: 2\n\nok",
    "some bare LF": b"HTTP/1.1 200 OK\r\ncontent-length: 2\n\r\nok",
    "other bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\r\n\nok",
    "equal lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\nok",
    "list of equal lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
    "equal lengths with bare LF": b"HTTP/1.1 200 OK\ncontent-length: 2\ncontent-length: 2\n\nok",
    "folded header": b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok",
    "space before colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
    "control character": b"HTTP/1.1 200 OK\r\nx-a: b\x01c\r\ncontent-length: 2\r\n\r\nok",
    "length next to chunked": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    ),
    "interim response with bare LF": b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "interim response before bare LF": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\ncontent-length: 2\n\nok",
}
REFUSED = {
    "different lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nokays",
    "list of different lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 5\r\n\r\nokays",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nok",
    "signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
    "NUL": b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 2\r\n\r\nok",
    "header without colon": b"HTTP/1.1 200 OK\r\nfoo\r\ncontent-length: 2\r\n\r\nok",
    "header without name": b"HTTP/1.1 200 OK\r\n: foo\r\ncontent-length: 2\r\n\r\nok",
    "bare CR": b"HTTP/1.1 200 OK\rcontent-length: 2\r\rok",
    "letters for digits": b"HTTP/1.1 2OO OK\ncontent-length: 2\n\nok",
    "other protocol": b"ICY 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/0.9": b"<html>hello</html>\n\n",
    "other coding with bare LF": b"HTTP/1.1 200 OK\ntransfer-encoding: gzip, chunked\n\n0\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\n" + b"x-a: 1\n" * 300 + b"\n",
    "too large": b"HTTP/1.1 200 OK\n" + b"x-a: 1\n" * 20_000,
    "not complete": b"HTTP/1.1 200 OK\ncontent-length: 2\n",
}


async def answered(answer: bytes, *, piece: int) -> tuple[Connection, Response]:
    """Return what is made of an answer that comes in pieces, after which the receiver closes."""
    connection = Connection()
    connection.connection_made(Mock(asyncio.Transport))
    cast("Mock", connection._transport).get_write_buffer_size.return_value = 0
    waiting = asyncio.create_task(connection.send_request(b"", asyncio.get_running_loop().time() + PATIENCE_S))
    await asyncio.sleep(0)
    for start in range(0, len(answer), piece):
        connection.data_received(answer[start : start + piece])
        if waiting.done() or cast("Mock", connection._transport).abort.called:
            break
    reusable = connection.reusable
    connection.connection_lost(None)
    response = await waiting
    connection.reusable = reusable
    return connection, response


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN)
async def test_lax_answer_that_curl_and_browsers_take_is_taken(answer: bytes, piece: int) -> None:
    connection, response = await answered(answer, piece=piece)
    assert (response.status, response.body, response.complete) == (200, b"ok", True)
    assert not connection.reusable


@pytest.mark.parametrize("piece", [7, 100_000])
@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
async def test_answer_that_is_ambiguous_or_no_http_is_refused(answer: bytes, piece: int) -> None:
    with pytest.raises(TransportError) as caught:
        await answered(answer, piece=piece)
    assert caught.value.code == "bad_http"


async def test_headers_of_lax_answer_are_shown_as_they_are_meant() -> None:
    answer = b"HTTP/1.1 200 OK\nX-A: b\n\t c\nx-b : d\x01e\ncontent-length: 0\n\n"
    _, response = await answered(answer, piece=100_000)
    assert response.headers == (("X-A", "b c"), ("x-b", "d e"), ("Content-Length", "0"))


async def test_lax_answer_with_lax_chunks_counts_as_cut_short() -> None:
    _, response = await answered(b"HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nok\n0\n\n", piece=100_000)
    assert (response.status, response.complete) == (200, False)
