"""Names of clients."""

import pytest
from api_server import Api, expect, expect_problem

from commerce_event.registry import registry

PATH = "/v1/clients"


async def test_client_name_is_listed_with_the_number_and_removed_by_null(api: Api) -> None:
    await api.endpoint(7)
    await api.endpoint(9)

    named = expect(await api.admin.put(f"{PATH}/7", json={"name": " Acme "}), 200)
    page = expect(await api.admin.get(PATH), 200)

    assert named == {"client_id": 7, "name": "Acme", "endpoints": 1}
    assert page == {"items": [named, {"client_id": 9, "name": None, "endpoints": 1}], "next_cursor": None}
    await api.node.registry.load()
    assert api.node.registry.client_name(7) == "Acme"
    assert expect(await api.admin.put(f"{PATH}/7", json={"name": None}), 200)["name"] is None


async def test_clients_are_listed_by_number_in_pages(api: Api) -> None:
    for number in (5, -3, 2**31 - 1, -(2**31), 0):
        expect(await api.admin.put(f"{PATH}/{number}", json={"name": f"N{number}"}), 200)
    found: list[int] = []
    cursor: str | None = None
    for _ in range(5):
        path = f"{PATH}?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = expect(await api.admin.get(path), 200)
        found += [each["client_id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == [-(2**31), -3, 0, 5, 2**31 - 1]


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 101, "two\nlines", "nul\u0000", "turned \u202e round", "\u200b\u2060", 7]
)
async def test_client_name_that_is_none_is_refused(api: Api, name: object) -> None:
    expect_problem(await api.admin.put(f"{PATH}/7", json={"name": name}), 422, "/name")


@pytest.mark.parametrize("number", ["x", "1.5", "01", "+1", "2147483648", "-2147483649", "٣"])
async def test_client_number_that_is_none_is_404(api: Api, number: str) -> None:
    expect_problem(await api.admin.put(f"{PATH}/{number}", json={"name": "Acme"}), 404)


async def test_client_of_another_key_is_neither_listed_nor_named(api: Api) -> None:
    expect(await api.admin.put(f"{PATH}/2", json={"name": "marked-2"}), 200)
    caller, _ = await api.key("manage", 1)

    expect_problem(await caller.put(f"{PATH}/2", json={"name": "Mine"}), 403)
    expect(await caller.put(f"{PATH}/1", json={"name": "Own"}), 200)
    assert expect(await caller.get(PATH), 200)["items"] == [{"client_id": 1, "name": "Own", "endpoints": 0}]
    assert api.node.registry.client_name(2) == "marked-2"


async def test_client_names_beyond_the_limit_are_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CLIENT_NAMES_MAX", 1)
    expect(await api.admin.put(f"{PATH}/1", json={"name": "One"}), 200)

    expect_problem(await api.admin.put(f"{PATH}/2", json={"name": "Two"}), 409)
    expect(await api.admin.put(f"{PATH}/1", json={"name": "Uno"}), 200)
