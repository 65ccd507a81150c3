"""TLS and proxies of the client, with real handshakes and a real proxy."""

from __future__ import annotations

import base64
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import trustme

from commerce_event_sdk import Client
from scripted_server import DEADLINE_S, KEY, ScriptedServer, scripted_server, until

AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def _no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def secure_server() -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    with scripted_server(context) as server:
        yield server


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class Proxy:
    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, str | None]] = []  # request line, Proxy-Authorization


@contextmanager
def running_proxy() -> Iterator[Proxy]:
    proxy = Proxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            self._note()
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as target:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_copy, args=(target, self.connection))
                back.start()
                _copy(self.connection, target)
                back.join(DEADLINE_S)
            self.close_connection = True

        def do_POST(self) -> None:
            self._note()
            target = urlsplit(self.path)
            assert target.hostname
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = http.client.HTTPConnection(target.hostname, target.port)
            headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy")}
            connection.request("POST", target.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _note(self) -> None:
            proxy.seen.append((f"{self.command} {self.path}", self.headers.get("Proxy-Authorization")))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has ended


def test_client_trusted_certificate_publishes(secure_server: ScriptedServer) -> None:
    url = f"https://localhost:{secure_server.port}"
    with Client(url, KEY, ssl_context=trusting()) as client:
        assert client.publish("Own", {}).result(DEADLINE_S).id == "evt_0"
        assert not client.publish("Own", {}).result(DEADLINE_S).duplicate
    assert secure_server.connection_count == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_client_certificate_that_is_not_valid_sends_nothing(
    secure_server: ScriptedServer, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = None if host == "localhost" else trusting()  # an unknown authority, or another name
    client = Client(f"https://{host}:{secure_server.port}", KEY, ssl_context=context)
    client.publish("Own", {})
    until(lambda: "next attempt" in caplog.text)
    [left] = client.close(0.05)
    assert "certificate verify failed" in left.reason
    assert secure_server.requests == []


def test_client_https_behind_a_proxy_uses_a_tunnel(
    secure_server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@{proxy.url}")
        with Client(f"https://localhost:{secure_server.port}", KEY, ssl_context=trusting()) as client:
            assert client.publish("Own", {}).result(DEADLINE_S).id == "evt_0"
            assert "p@ss" not in repr(client)
    expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert proxy.seen == [(f"CONNECT localhost:{secure_server.port}", expected)]
    assert "Proxy-Authorization" not in secure_server.headers[0]


def test_client_http_behind_a_proxy_names_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server() as server, running_proxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.url}")
        with Client(server.url, KEY) as client:
            assert client.publish("Own", {}).result(DEADLINE_S).id == "evt_0"
    assert proxy.seen == [(f"POST {server.url}/v1/events", None)]


def test_client_no_proxy_names_the_server_and_goes_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server() as server, running_proxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.url}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Client(server.url, KEY) as client:
            assert client.publish("Own", {}).result(DEADLINE_S).id == "evt_0"
    assert proxy.seen == []


def test_client_proxy_of_another_kind_raises_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://user:secret@proxy:1080")
    with pytest.raises(ValueError, match="is no http:// proxy") as raised:
        Client("https://events.example.com", KEY)
    assert "secret" not in str(raised.value)
