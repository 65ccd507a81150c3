"""The audit log: who changed what, in words, with the way to it."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import on_fields
from commerce_event.admin.page import ROOT, Page
from commerce_event.api.audit_log import AuditEntryView
from commerce_event.api.paging import Listing
from commerce_event.core.problems import Problem

_PAGE: Final = 50
_WORDS: Final = {
    "createEndpoint": "made an endpoint",
    "changeEndpoint": "changed an endpoint",
    "deleteEndpoint": "deleted an endpoint",
    "rotateSecret": "made a new secret",
    "testEndpoint": "sent a test",
    "retryDelivery": "had a delivery tried again",
    "cancelDelivery": "cancelled a delivery",
    "startReplay": "started a replay",
    "createKey": "made a key",
    "revokeKey": "revoked a key",
}
_PLACES: Final = {"end": "endpoints", "dlv": "deliveries", "rpl": "replays"}


class Line(msgspec.Struct, frozen=True):
    """An entry as it is shown; ``place`` is where its target can be seen, empty for nowhere."""

    entry: AuditEntryView
    words: str
    place: str


async def list_entries(page: Page) -> Response:
    query = {name: page.query.get(name) for name in ("client_id", "target", "cursor")}
    errors: dict[str, str] = {}
    try:
        found = await page.call("listAuditEntries", query={**query, "limit": _PAGE})
    except Problem as problem:
        found, errors = Listing([], None), on_fields(problem)
    return page.show(
        "audit.html",
        200 if not errors else 422,
        lines=[Line(entry, _WORDS.get(entry.action, entry.action), _place(entry.target)) for entry in found.items],
        errors=errors,
        next_url=page.here(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
    )


def _place(target: str) -> str:
    name = _PLACES.get(target.partition("_")[0])
    return "" if name is None else f"{ROOT}/{name}/{target}"
