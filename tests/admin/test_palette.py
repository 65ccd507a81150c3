"""What the search field reads to offer something."""

from typing import Any

import pytest
from api_server import ADMIN_KEY, Api, plain_client

from commerce_event.admin import screen_context
from commerce_event.admin.screen_context import ScreenContext


@pytest.mark.parametrize(("text", "pages"), [("warehouse", 5), ("warehouse 0", 7), ("shop", 7)])
async def test_palette_reads_endpoints_until_it_has_enough(
    api: Api, monkeypatch: pytest.MonkeyPatch, text: str, pages: int
) -> None:
    for number in range(7):
        await api.endpoint(description=f"warehouse {number}")
    monkeypatch.setattr(screen_context, "_LIST_LIMIT", 1)
    read: list[str] = []
    call = ScreenContext.call

    async def counted(context: ScreenContext, name: str, **given: Any) -> Any:
        read.append(name)
        return await call(context, name, **given)

    async with plain_client(api.url, {}) as person:
        await person.post("/admin/sign-in", data={"key": ADMIN_KEY})
        monkeypatch.setattr(ScreenContext, "call", counted)
        shown = (await person.get("/admin/palette", params={"q": text})).text

    assert read.count("listEndpoints") == pages
    assert ("warehouse 0" in shown) == (text == "warehouse 0")
