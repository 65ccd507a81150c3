"""Keys: made, shown once, revoked."""

from typing import Any, Final

from starlette.responses import Response

from commerce_event.admin.endpoint_form import on_fields
from commerce_event.admin.page import ROOT, Page
from commerce_event.core import ids
from commerce_event.core.problems import Problem, invalid

_PAGE: Final = 100


async def list_keys(page: Page) -> Response:
    return await _show(page, {})


async def create_key(page: Page) -> Response:
    try:
        made = await page.call("createKey", body=_wanted(page))
    except Problem as problem:
        return await _show(page, on_fields(problem), problem.status)
    return page.redirect(f"{ROOT}/keys", reveal=made.key)


async def revoke_key(page: Page) -> Response:
    await page.call("revokeKey", path={"id": page.id()})
    return page.redirect(f"{ROOT}/keys", said="The key is revoked; whoever used it is turned away from now on.")


def _wanted(page: Page) -> dict[str, Any]:
    wanted: dict[str, Any] = {"role": page.text("role") or "read", "name": page.text("name")}
    clients = page.text("client_ids")
    if clients:
        try:
            wanted["client_ids"] = [int(part) for part in clients.replace(",", " ").split()]
        except ValueError:
            raise invalid("/client_ids", "write the clients' numbers with commas between, such as 1, 2") from None
    return wanted


async def _show(page: Page, errors: dict[str, str], status: int = 200) -> Response:
    found = await page.call("listKeys", query={"limit": _PAGE, "cursor": page.query.get("cursor")})
    return page.show(
        "keys.html",
        status,
        keys=found.items,
        form=page.form,
        errors=errors,
        new_key=page.reveal.take(page.request),
        own=ids.encode("key", page.session.key.id),
        next_url=page.here(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
    )
