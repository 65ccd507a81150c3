"""Dead letters: what was given up, grouped by endpoint and reason, and sent again together."""

import msgspec
from starlette.responses import Response

from commerce_event.admin.page import Page
from commerce_event.api.dead_letters import LOOKED_AT, DeadGroupView
from commerce_event.api.views import EndpointView
from commerce_event.core import ids


class Heap(msgspec.Struct, frozen=True):
    """The dead letters of one endpoint; ``endpoint`` is None when it was deleted."""

    endpoint_id: str
    endpoint: EndpointView | None
    count: int
    groups: list[DeadGroupView]
    since: str


async def list_dead(page: Page) -> Response:
    query = {"endpoint_id": page.query.get("endpoint_id"), "client_id": page.query.get("client_id")}
    found = await page.call("listDeadLetters", query=query)
    wanted = {**query, "state": "dead", "limit": 50, "cursor": page.query.get("cursor")}
    letters = await page.call("listDeliveries", query=wanted)
    heaps = await _heaps(page, found.items)
    return page.show(
        "dead.html",
        heaps=heaps,
        looked_at=LOOKED_AT if sum(group.count for group in found.items) >= LOOKED_AT else 0,
        letters=letters.items,
        next_url=page.here(cursor=letters.next_cursor) if letters.next_cursor else "",
        first_url=page.here(cursor=None) if "cursor" in page.query else "",
    )


async def _heaps(page: Page, groups: list[DeadGroupView]) -> list[Heap]:
    dead = {ids.encode("end", b.endpoint_id): b.dead for b in await page.services.store.books(page.session.key.scope)}
    by_endpoint: dict[str, list[DeadGroupView]] = {}
    for group in groups:
        by_endpoint.setdefault(group.endpoint_id, []).append(group)
    live = {
        ids.encode("end", endpoint.id): endpoint
        for endpoint in page.services.directory.endpoints(page.session.key.scope)
    }
    heaps = []
    for endpoint_id, members in by_endpoint.items():
        endpoint = await page.call("getEndpoint", path={"id": endpoint_id}) if endpoint_id in live else None
        oldest = min(member.oldest_at for member in members)
        heaps.append(Heap(endpoint_id, endpoint, dead.get(endpoint_id, 0), members, oldest))
    return heaps
