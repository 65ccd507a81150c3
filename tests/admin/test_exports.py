"""Lists as files, and where a page is in a list."""

import csv
import io
from typing import Any

import httpx
import msgspec
import pytest
from api_server import ADMIN_KEY, Api, plain_client

from commerce_event.admin import screen_context
from commerce_event.admin.exports import columns_of, header, rows
from commerce_event.admin.list_position import after_rows, export_url, range_text
from commerce_event.admin.screens import exports
from commerce_event.core import ids


class Place(msgspec.Struct):
    url: str


class Row(msgspec.Struct, rename={"kind": "type"}):
    name: str
    kind: str | None
    place: Place
    tags: list[str]
    count: int = -1


def test_csv_has_a_column_for_each_value_and_no_formula() -> None:
    columns = columns_of(Row)
    items = [Row("=HYPERLINK(1)", None, Place("https://a"), ["x", "y"]), Row('å "b"', "k", Place("@a"), [])]
    text = (header(columns, "csv") + b"".join(rows(items, columns, "csv"))).decode()
    found = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert found == [
        {"name": "'=HYPERLINK(1)", "type": "", "place.url": "https://a", "tags": '["x","y"]', "count": "-1"},
        {"name": 'å "b"', "type": "k", "place.url": "'@a", "tags": "[]", "count": "-1"},
    ]


@pytest.mark.parametrize(
    "text", ["=1", " =1", "\n=1", "\t=1", "\r+1", "\u00a0-1", "\uff1d1", "\uff0b1", "\uff201", "@a"]
)
def test_csv_cell_that_a_spreadsheet_would_compute_begins_with_a_quote(text: str) -> None:
    line = b"".join(rows([Place(text)], columns_of(Place), "csv")).decode()
    assert next(csv.reader(io.StringIO(line, newline=""))) == [f"'{text}"]


def test_json_lines_are_the_items_of_the_api() -> None:
    (line,) = rows([Row("=1", None, Place("u"), [])], columns_of(Row), "jsonl")
    assert line == b'{"name":"=1","type":null,"place":{"url":"u"},"tags":[],"count":-1}\n'


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (("", 1, None, False), "1 row"),
        (("", 50, None, True), "1–50, more follow"),
        (("50", 50, 5004, True), "51–100 of 5,004"),
        (("100", 4, None, False), "101–104, the last"),
        (("x", 2, None, False), "2 rows"),
        (("50", 50, 10, False), "51–100 of 100"),
    ],
)
def test_range_text_says_which_rows_are_shown(given: tuple[str, int, int | None, bool], shown: str) -> None:
    before, count, total, more = given
    assert range_text(before, count, total, more=more) == shown


def test_addresses_of_next_page_and_export_keep_the_filters() -> None:
    assert after_rows("/admin/dead?client_id=1&before=50&cursor=c", "50", 50) == (
        "/admin/dead?client_id=1&cursor=c&before=100"
    )
    assert export_url("/admin/events?q=a%26b&cursor=c&before=9", "csv") == "/admin/events/export?q=a%26b&format=csv"


async def test_export_reads_every_page_of_the_list(api: Api) -> None:
    lines = [{"type": "JobCompletedEvent", "data": {"ClientId": 1, "JobId": number}} for number in range(450)]
    body = b"\n".join(map(msgspec.json.encode, lines))
    answer = await api.admin.post("/v1/events", content=body, headers={"Content-Type": "application/jsonl"})
    assert answer.status_code == 200, answer.text
    accepted = len((await _export(api, "format=jsonl")).text.splitlines())
    assert accepted == sum("id" in each for each in answer.json()["items"])


async def test_export_of_another_client_is_refused(api: Api) -> None:
    _, made = await api.key("read", 1)
    assert (await _export(api, "client_id=2", made["key"])).status_code == 403
    assert (await _export(api, "format=xls")).status_code == 422


async def test_export_counts_for_its_caller_like_other_large_answers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_context, "_STREAM_BYTES", 2**40)

    refused = await _export(api, "format=csv")

    assert refused.status_code == 503
    assert "Retry-After" in refused.headers


async def test_export_ends_when_its_key_is_revoked_meanwhile(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "LIMIT_MAX", 1)
    _, made = await api.key("read", 1)
    for number in range(3):
        await api.publish(OrderNo=f"SO-{number}")
    read = screen_context.ScreenContext.call_in_turn

    async def revoke_first(context: screen_context.ScreenContext, name: str, **given: Any) -> Any:
        await api.node.registry.revoke_key(ids.decode("key", made["id"]), 1)
        return await read(context, name, **given)

    monkeypatch.setattr(screen_context.ScreenContext, "call_in_turn", revoke_first)

    with pytest.raises(httpx.RemoteProtocolError):
        await _export(api, "format=csv", made["key"])


async def _export(api: Api, query: str, key: str = ADMIN_KEY) -> httpx.Response:
    async with plain_client(api.url, {}) as client:
        await client.post("/admin/sign-in", data={"key": key})
        return await client.get(f"/admin/events/export?{query}")
