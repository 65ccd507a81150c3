"""Which proxy a command uses, and what it says about one that it cannot use."""

import os
import socket

import httpx
import pytest

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.proxies import Proxy, open_client, proxy_for

REMOTE = "https://events.example.com"
LOCAL = [
    "http://127.0.0.1:8080",
    "http://127.8.9.1",
    "http://localhost:8080",
    "http://LOCALHOST.",
    "http://shop.localhost",
    "http://[::1]:8080",
    "http://0.0.0.0:8080",
    f"http://{socket.gethostname()}:8080",
]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("url", LOCAL)
@pytest.mark.parametrize("value", ["http://proxy.example:3128", "socks5://proxy.example", "://", "%"])
def test_open_client_server_of_this_machine_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, url: str, value: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, value)

    client, proxy = open_client(url)

    assert proxy is None
    assert not client._mounts
    client.close()


@pytest.mark.parametrize(
    ("name", "url"),
    [("HTTPS_PROXY", REMOTE), ("https_proxy", REMOTE), ("ALL_PROXY", REMOTE), ("http_proxy", "http://203.0.113.9")],
)
def test_open_client_remote_server_is_asked_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    for value in ("http://proxy.example:3128", "https://user:secret@proxy.example", "proxy.example:3128"):
        monkeypatch.setenv(name, value)

        client, proxy = open_client(url)

        assert proxy == Proxy(name, value)
        assert client._mounts
        client.close()


def test_proxy_for_host_in_no_proxy_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "other.example, .example.com")

    assert proxy_for(REMOTE) is None
    assert proxy_for("https://events.example.org") is not None


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_proxy_for_no_proxy_with_networks_and_ports_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv(name, "192.0.2.0/24, 2001:db8::/32,events.example.org:8443,bare.example:443,10.0.0.1/8")

    direct = [
        "http://192.0.2.7:8080", "https://[2001:db8::5]", "https://events.example.org:8443", "https://bare.example",
        "http://10.9.9.9",
    ]  # fmt: skip
    assert [proxy_for(url) for url in direct] == [None] * len(direct)
    for url in ("http://198.51.100.7", "https://[2001:db9::5]", "https://events.example.org", "http://11.0.0.1"):
        assert proxy_for(url) is not None


@pytest.mark.parametrize(
    "value", ["socks5://proxy.example:1080", "socks5h://p", "socks4://p", "ftp://p", "http://[::1", "http://p:x"]
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_api_proxy_that_cannot_be_used_is_told_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=f"^{name} (names a proxy of the kind|is not the URL of a proxy).*NO_PROXY"):
        Api(REMOTE, "key")


def test_api_unreachable_proxy_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{closed.getsockname()[1]}")
        with Api("http://events.example.com", "key") as api, pytest.raises(WorkFailedError) as caught:
            api.get("/v1/keys")

    assert "The proxy in HTTP_PROXY (for http://events.example.com;" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_api_answer_of_a_proxy_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    api = Api("http://events.example.com", "key")
    api._client._mounts.clear()
    api._client._transport = httpx.MockTransport(lambda _: httpx.Response(407, text="<html>"))

    with api, pytest.raises(UsageError) as caught:
        api.get("/v1/keys")

    assert "HTTP_PROXY" in str(caught.value)
    assert "407" in str(caught.value)


def test_open_client_missing_certificate_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")

    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        open_client(REMOTE)
