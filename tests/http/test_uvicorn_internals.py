"""What ``commerce_event.http`` relies on inside uvicorn and httptools, which neither documents.

pyproject.toml allows only versions that this has been checked with. A failure here names what an upgrade has changed.
"""

import asyncio
import tomllib
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httptools
import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

PROTOCOL_ATTRIBUTES = (
    "app", "client", "connections", "cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state",
    "transport", "url",
)  # fmt: skip
PROTOCOL_METHODS = (
    "_unset_keepalive_if_required", "connection_lost", "connection_made", "data_received", "eof_received", "on_body",
    "on_header", "on_headers_complete", "on_message_begin", "on_message_complete", "on_response_complete", "on_url",
    "pause_writing", "resume_writing", "shutdown", "timeout_keep_alive_handler",
)  # fmt: skip
CYCLE_ATTRIBUTES = ("disconnected", "keep_alive", "message_event", "response_complete", "response_started")
FLOW_ATTRIBUTES = ("pause_reading", "resume_reading", "write_paused")
STATE_ATTRIBUTES = ("connections", "default_headers", "tasks")
SERVER_METHODS = ("capture_signals", "on_tick", "serve", "startup")
SERVER_ATTRIBUTES = ("config", "server_state", "should_exit")
CONFIG_ATTRIBUTES = ("lifespan_class", "load", "loaded_app")
PARSER_METHODS = (
    "feed_data", "get_http_version", "get_method", "set_dangerous_leniencies", "should_keep_alive", "should_upgrade",
)  # fmt: skip

GET = b"GET /a HTTP/1.1\r\nHost: shop\r\nX-Two: 2\r\n\r\n"
UPGRADE = b"POST / HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n"


async def answer_nothing(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def config() -> uvicorn.Config:
    made = uvicorn.Config(answer_nothing, lifespan="off", log_config=None, access_log=False, server_header=False)
    made.load()
    return made


@pytest.fixture
async def protocol() -> HttpToolsProtocol:
    """A connection that has received nothing yet."""
    made = HttpToolsProtocol(config=config(), server_state=ServerState(), app_state={})
    transport = Mock(asyncio.Transport, **{"get_extra_info.return_value": None, "is_closing.return_value": False})
    made.connection_made(transport)
    return made


@pytest.mark.parametrize("name", PROTOCOL_ATTRIBUTES + PROTOCOL_METHODS)
async def test_http_tools_protocol_has(protocol: HttpToolsProtocol, name: str) -> None:
    protocol.data_received(GET)

    assert hasattr(protocol, name)


@pytest.mark.parametrize("name", PROTOCOL_METHODS)
def test_http_tools_protocol_method_is_callable(name: str) -> None:
    assert callable(getattr(HttpToolsProtocol, name))


@pytest.mark.parametrize("name", CYCLE_ATTRIBUTES)
async def test_request_response_cycle_has(protocol: HttpToolsProtocol, name: str) -> None:
    protocol.data_received(GET)

    assert isinstance(protocol.cycle, RequestResponseCycle)
    assert hasattr(protocol.cycle, name)


@pytest.mark.parametrize("name", FLOW_ATTRIBUTES)
def test_flow_control_has(name: str) -> None:
    assert hasattr(FlowControl(Mock(asyncio.Transport)), name)


@pytest.mark.parametrize("name", STATE_ATTRIBUTES)
def test_server_state_has(name: str) -> None:
    assert hasattr(ServerState(), name)


@pytest.mark.parametrize("name", SERVER_METHODS + SERVER_ATTRIBUTES)
def test_server_has(name: str) -> None:
    assert hasattr(uvicorn.Server(config()), name)


@pytest.mark.parametrize("name", CONFIG_ATTRIBUTES)
def test_config_has(name: str) -> None:
    assert hasattr(config(), name)


@pytest.mark.parametrize("name", PARSER_METHODS)
def test_parser_has(name: str) -> None:
    assert callable(getattr(httptools.HttpRequestParser(Mock()), name))


async def test_protocol_headers_are_pairs_with_names_in_lower_case(protocol: HttpToolsProtocol) -> None:
    protocol.data_received(GET)

    assert protocol.headers == [(b"host", b"shop"), (b"x-two", b"2")]
    assert protocol.url == b"/a"


async def test_protocol_parser_is_made_with_the_leniency_that_ours_has(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Mock()
    monkeypatch.setattr(httptools, "HttpRequestParser", lambda _: parser)

    HttpToolsProtocol(config=config(), server_state=ServerState(), app_state={})

    parser.set_dangerous_leniencies.assert_called_once_with(lenient_data_after_close=True)


async def test_protocol_is_in_connections_until_connection_lost(protocol: HttpToolsProtocol) -> None:
    protocol.data_received(GET)
    assert protocol.connections == {protocol}
    cycle = protocol.cycle

    protocol.connection_lost(None)

    assert protocol.connections == set()
    assert cycle.disconnected
    assert cycle.message_event.is_set()


async def test_cycle_writes_its_answer_and_closes_when_keep_alive_is_false(protocol: HttpToolsProtocol) -> None:
    protocol.data_received(GET)
    protocol.cycle.keep_alive = False

    await asyncio.gather(*protocol.tasks)

    transport: Any = protocol.transport
    assert b"".join(call.args[0] for call in transport.write.call_args_list).startswith(b"HTTP/1.1 204 ")
    transport.close.assert_called_once_with()
    assert protocol.cycle.response_started
    assert protocol.cycle.response_complete


async def test_server_calls_on_tick_and_http_may_be_any_callable() -> None:
    made: list[HttpToolsProtocol] = []

    def factory(**named: Any) -> HttpToolsProtocol:
        made.append(HttpToolsProtocol(**named))
        return made[-1]

    class Server(uvicorn.Server):
        async def on_tick(self, counter: int) -> bool:
            assert counter == 0
            reader, writer = await asyncio.open_connection(*self.servers[0].sockets[0].getsockname())
            writer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 204 ")
            writer.close()
            return True

    settings = uvicorn.Config(
        answer_nothing, http=partial(factory), port=0, lifespan="off", log_config=None, access_log=False  # type: ignore[arg-type]
    )  # fmt: skip
    async with asyncio.timeout(60):
        await Server(settings)._serve()

    assert len(made) == 1


def parse(callbacks: dict[str, Callable[..., Any]], *pieces: bytes | memoryview) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(type("Callbacks", (), {k: staticmethod(v) for k, v in callbacks.items()})())
    for piece in pieces:
        parser.feed_data(piece)
    return parser


def test_parser_error_in_a_callback_is_the_context_of_the_parser_error() -> None:
    ours = ValueError("ours")

    def refuse(_url: bytes) -> None:
        raise ours

    with pytest.raises(httptools.HttpParserError) as raised:
        parse({"on_url": refuse}, GET)

    assert raised.value.__context__ is ours


def test_parser_upgrade_is_no_parser_error_and_tells_how_many_bytes_were_read() -> None:
    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        parse({}, UPGRADE + b"{}")

    assert not isinstance(raised.value, httptools.HttpParserError)
    assert raised.value.args[0] == len(UPGRADE)


def test_parser_without_callbacks_reads_bytes_and_memoryview_of_several_requests() -> None:
    parser = parse({}, GET + GET, memoryview(GET))

    assert (parser.get_method(), parser.get_http_version(), parser.should_keep_alive()) == (b"GET", "1.1", True)


def test_parser_reports_trailers_as_headers_after_on_headers_complete() -> None:
    calls: list[Any] = []
    callbacks = {"on_header": lambda *pair: calls.append(pair), "on_headers_complete": lambda: calls.append("complete")}

    parse(callbacks, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Late: ", b"1\r\n\r\n")

    assert calls == [(b"Transfer-Encoding", b"chunked"), "complete", (b"X-Late", b"1")]


@pytest.mark.parametrize("name", ["uvicorn", "httptools"])
def test_dependency_whose_internals_we_use_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    [bound] = [each for each in map(Requirement, project["dependencies"]) if each.name == name]

    assert any(each.operator in {"<", "<="} for each in bound.specifier)
    assert version(name) in bound.specifier
