"""Lists as files, and where a page is in a list."""

import csv
import io

import httpx
import msgspec
import pytest
from api_server import ADMIN_KEY, Api, plain_client

from commerce_event.admin.exports import columns_of, header, rows
from commerce_event.admin.list_position import after_rows, export_url, range_text


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


async def _export(api: Api, query: str, key: str = ADMIN_KEY) -> httpx.Response:
    async with plain_client(api.url, {}) as client:
        await client.post("/admin/sign-in", data={"key": key})
        return await client.get(f"/admin/events/export?{query}")
