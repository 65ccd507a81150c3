"""URLs: one reading, the same text checked, shown and dialled; every trick of the corpus is refused."""

import contextlib
import json
import socket
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.urls import (
    MAX_LENGTH,
    InvalidUrlError,
    RefusedAddressError,
    Target,
    parse_url,
    resolve_location,
)

DEFAULT = AddressPolicy()
ALL_OPEN = AddressPolicy(["0.0.0.0/0", "::/0"])
LOCAL = AddressPolicy(["127.0.0.0/8", "10.0.0.0/8"])
CORPUS_FILE = Path(__file__).parent.parent / "data" / "ssrf_corpus.jsonl"
CORPUS = [json.loads(line) for line in CORPUS_FILE.read_text().splitlines()]
BASE = parse_url("https://shop.example/erp/events?token=1", DEFAULT)


def normal(text: str, policy: AddressPolicy = DEFAULT) -> str:
    return parse_url(text, policy).text


def refused(text: str, policy: AddressPolicy = DEFAULT) -> bool:
    try:
        parse_url(text, policy)
    except InvalidUrlError:
        return True
    return False


def corpus(kind: str) -> list[str]:
    return [entry["url"] for entry in CORPUS if entry["kind"] == kind]


# The corpus


def test_corpus_is_large_and_without_repetition() -> None:
    urls = [entry["url"] for entry in CORPUS]
    assert len(urls) == len(set(urls)) >= 500


def test_every_url_of_the_corpus_is_refused() -> None:
    assert [entry for entry in CORPUS if not refused(entry["url"])] == []


def test_malformed_url_is_refused_with_any_allowed_networks() -> None:
    assert [url for url in corpus("malformed") if not refused(url, ALL_OPEN)] == []


def test_refused_address_is_told_apart_from_a_malformed_url() -> None:
    for url in corpus("address"):
        with pytest.raises(RefusedAddressError) as caught:
            parse_url(url, DEFAULT)
        assert caught.value.reason in str(caught.value)


def test_local_name_is_read_once_a_network_is_allowed() -> None:
    assert [url for url in corpus("local name") if refused(url, LOCAL)] == []


def test_redirect_to_a_url_of_the_corpus_never_leaves_the_first_host() -> None:
    for entry in CORPUS:
        try:
            target = resolve_location(BASE, entry["url"].encode("utf-8", "surrogatepass"), DEFAULT)
        except InvalidUrlError:
            continue
        assert target.host == "shop.example", entry


# What is accepted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://shop.example", "https://shop.example/"),
        ("HTTPS://Shop.EXAMPLE/Hook", "https://shop.example/Hook"),
        ("https://shop.example:443/", "https://shop.example/"),
        ("http://shop.example:80", "http://shop.example/"),
        ("http://shop.example:443/", "http://shop.example:443/"),
        ("https://shop.example:8443?a=1", "https://shop.example:8443/?a=1"),
        ("https://shop.example/a/../b//c", "https://shop.example/a/../b//c"),
        ("https://shop.example/kö?q=é&x={1}", "https://shop.example/k%C3%B6?q=%C3%A9&x=%7B1%7D"),
        ("https://shop.example/a%2Fb%20c?sig=a%2Bb/c=", "https://shop.example/a%2Fb%20c?sig=a%2Bb/c="),
        ("https://shop.example/?a[]=1&u=me@x:y", "https://shop.example/?a[]=1&u=me@x:y"),
        ("https://müller.example/", "https://xn--mller-kva.example/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://XN--mller-kva.example/", "https://xn--mller-kva.example/"),
        ("https://my_erp.shop.example/", "https://my_erp.shop.example/"),
        ("https://r3---sn-x.shop.example/", "https://r3---sn-x.shop.example/"),
        ("https://1.2.3.4.example/", "https://1.2.3.4.example/"),
        ("https://0x7f.example/", "https://0x7f.example/"),
        ("https://localhost.shop.example/", "https://localhost.shop.example/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700:0:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://[::FFFF:8.8.8.8]/", "https://8.8.8.8/"),
    ],
)
def test_url_is_brought_into_normal_form(text: str, expected: str) -> None:
    assert normal(text) == expected
    assert normal(expected) == expected


GOOD_HOSTS = [
    "shop.example.com", "hooks.erp-vendor.co.uk", "a.b.c.d.e.example.org", "xn--mller-kva.example.de", "api-2.example.io",
    "prod-12.westeurope.logic.example.com", "1a.example.com", "x.example.travel", "bücher.example.se", "10-0-0-1.example.com",
    "127.0.0.1.example.com", "localhost.example.com", "internal.example.com", "hook_in.example.com", "EXAMPLE.COM",
    "8.8.8.8", "93.184.215.14", "[2606:4700::1111]", "[2a00:1450:4001:81b::200e]", "[2001:4860:4860::8888]",
]  # fmt: skip
GOOD_REST = [
    "", "/", "/hook", ":8443/hook", ":8080", "/workflows/9f3c/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers&sig=aB_-9",
    "/a/b/c.php?x=1&y=2", "/~user/(hook);v=1", "/käse?q=ö", "/hook?next=https://shop.example.com/a?b",
]  # fmt: skip


@pytest.mark.parametrize("rest", GOOD_REST)
@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_url_of_a_public_receiver_is_accepted(host: str, rest: str) -> None:
    text = normal(f"https://{host}{rest}")

    assert normal(text) == text


def test_target_says_what_to_dial_and_what_to_send() -> None:
    assert parse_url("https://[2606:4700::1111]:8443/a?b", DEFAULT) == Target(
        scheme="https", host="2606:4700::1111", port=8443, path="/a?b", literal=True
    )
    assert not BASE.literal
    assert BASE.origin == ("https", "shop.example", 443)
    assert BASE.authority == "shop.example"
    assert parse_url("http://[2606:4700::1111]:8080/", DEFAULT).authority == "[2606:4700::1111]:8080"


@pytest.mark.parametrize(
    "host", ["erp", "my_erp", "localhost", "api.localhost", "printer.local", "host.docker.internal"]
)
def test_local_name_works_where_a_network_is_allowed(host: str) -> None:
    assert normal(f"http://{host}:8080/", LOCAL) == f"http://{host}:8080/"
    assert refused(f"http://{host}:8080/", DEFAULT)


def test_allowed_address_works_where_its_network_is_allowed() -> None:
    assert normal("http://10.0.0.9:8080/", LOCAL) == "http://10.0.0.9:8080/"
    assert refused("http://192.168.0.9:8080/", LOCAL)


def test_url_of_the_greatest_length_is_accepted_and_one_more_is_not() -> None:
    longest = "https://shop.example/".ljust(MAX_LENGTH, "a")
    assert normal(longest) == longest
    assert refused(longest + "a")


def test_url_that_grows_too_long_in_normal_form_is_refused() -> None:
    assert refused("https://shop.example/" + "é" * 500)


# Laws

HOSTS = st.sampled_from(
    ["shop.example", "Müller.example", "8.8.8.8", "[2606:4700::1]", "a-b.c_d.example", "erp", "127.1"]
)
REST = st.text(max_size=20).map(lambda text: f"/{text}") | st.sampled_from(["", "?", "?a=%2F", "/%", "/a;b=c"])


@given(st.sampled_from(["http", "HTTPS", "ftp"]), HOSTS, st.sampled_from(["", ":80", ":8443", ":22"]), REST)
def test_normal_form_reads_back_as_the_same_target(scheme: str, host: str, port: str, rest: str) -> None:
    try:
        target = parse_url(f"{scheme}://{host}{port}{rest}", LOCAL)
    except InvalidUrlError:
        return
    assert target.text.isascii()
    assert parse_url(target.text, LOCAL) == target


@given(st.text(max_size=40) | st.from_regex(r"https?://[^/]{1,20}(/.{0,10})?", fullmatch=True))
@settings(max_examples=60)
def test_any_text_is_a_target_or_an_invalid_url(text: str) -> None:
    with contextlib.suppress(InvalidUrlError):
        assert parse_url(text, ALL_OPEN).path.startswith("/")


@given(st.text("0123456789abcdefxX.-", min_size=1, max_size=16))
@settings(max_examples=120)
@example("0x7f000001")
@example("127.1")
@example("0177.0.0.1")
def test_host_that_the_system_would_read_as_a_number_is_that_address_or_refused(host: str) -> None:
    try:
        target = parse_url(f"http://{host}/", ALL_OPEN)
    except InvalidUrlError:
        return
    try:
        packed = socket.inet_aton(target.host)
    except OSError:
        assert not target.literal
    else:
        assert target.literal
        assert socket.inet_ntoa(packed) == target.host == host


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2-secret@shop.example/",
        "https://hunter2-secret@127.0.0.1/",
        "ftp://user:hunter2-secret@shop.example/",
        "https://shop.example:22/?token=hunter2-secret",
        "https://shop.example/?token=hunter2-secret#x",
        "http://127.0.0.1/?token=hunter2-secret",
        "http://localhost/?token=hunter2-secret",
        "http://bad!name/?token=hunter2-secret",
        "https://shop.example/ ?token=hunter2-secret",
    ],
)
def test_message_shows_no_secret(url: str) -> None:
    with pytest.raises(InvalidUrlError) as caught:
        parse_url(url, DEFAULT)
    assert "hunter2" not in str(caught.value)


# Redirects


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://other.example/x", "https://other.example/x"),
        ("HTTP://OTHER.example", "http://other.example/"),
        ("//other.example:8443/x", "https://other.example:8443/x"),
        ("/x?y=1", "https://shop.example/x?y=1"),
        ("x", "https://shop.example/erp/x"),
        ("./x/../y", "https://shop.example/erp/y"),
        ("../../../x", "https://shop.example/x"),
        ("?page=2", "https://shop.example/erp/events?page=2"),
        ("/x#section", "https://shop.example/x"),
        ("/café", "https://shop.example/caf%C3%A9"),
        ("/a:b", "https://shop.example/a:b"),
        ("https://shop.example#@evil.example/", "https://shop.example/"),
    ],
)
def test_location_is_joined_to_the_target(location: str, expected: str) -> None:
    assert resolve_location(BASE, location.encode(), DEFAULT).text == expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/mottagare/Malmö".encode(), "https://shop.example/mottagare/Malm%C3%B6"),
        ("/京/?q=Łódź#ö".encode(), "https://shop.example/%E4%BA%AC/?q=%C5%81%C3%B3d%C5%BA"),
        ("https://straße.example/ö".encode(), "https://xn--strae-oqa.example/%C3%B6"),
        ("/Malmö".encode("latin-1"), "https://shop.example/Malm%F6"),
        ("/Malm%C3%B6/å".encode(), "https://shop.example/Malm%C3%B6/%C3%A5"),
        (b"/Malm%C3%B6/\xe5", "https://shop.example/Malm%C3%B6/%E5"),
    ],
    ids=["UTF-8", "UTF-8 query", "UTF-8 host", "Latin-1", "escaped and UTF-8", "escaped and Latin-1"],
)
def test_location_beyond_ascii_keeps_its_bytes(location: bytes, expected: str) -> None:
    assert resolve_location(BASE, location, DEFAULT).text == expected


def test_location_with_latin_1_host_is_refused() -> None:
    with pytest.raises(InvalidUrlError):
        resolve_location(BASE, "//malmö.example/".encode("latin-1"), DEFAULT)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "#x",
        "///evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "\t//evil.example",
        "/a\r\nx: y",
        "http:evil",
        "https:evil.example",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//user@evil.example/",
        "//127.0.0.1/",
        "http://169.254.169.254/latest/",
        "//[::1]/",
        "//0x7f.1/",
        "//localhost/",
        "/" + "a" * MAX_LENGTH,
    ],
)
def test_forbidden_redirect_location_is_refused(location: str) -> None:
    with pytest.raises(InvalidUrlError):
        resolve_location(BASE, location.encode(), DEFAULT)


@pytest.mark.parametrize("location", ["/x", "x", "//shop.example/x", "?x"])
def test_relative_location_keeps_port_and_brackets(location: str) -> None:
    base = parse_url("https://[2606:4700::1111]:8443/a/b", DEFAULT)
    target = resolve_location(base, location.encode(), DEFAULT)
    assert location.startswith("//") or target.origin == base.origin
