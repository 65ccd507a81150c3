"""The list of endpoints with their health, the worst first."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ScreenContext
from commerce_event.api.endpoint_stats import EndpointStatsItem
from commerce_event.core.health import WORST_FIRST
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50


class EndpointListRow(msgspec.Struct, frozen=True):
    """An endpoint in the list. ``success_ratio`` is that of the last hour."""

    stats: EndpointStatsItem
    success_ratio: float | None


async def list_endpoints(context: ScreenContext) -> Response:
    errors: dict[str, str] = {}
    stats: list[EndpointStatsItem] = []
    query = {"client_id": context.query.get("client_id"), "q": context.query["q"].strip()[:200] or None}
    try:
        stats = (await context.call("listEndpointStats", query=query)).items
    except Problem as problem:
        if "client_id" not in context.query or problem.status not in {403, 422}:
            raise
        errors["client_id"] = problem.detail if problem.status == 403 else "Enter the client's number."
    if context.query["health"] in WORST_FIRST:
        stats = [each for each in stats if each.health == context.query["health"]]
    stats.sort(key=lambda each: WORST_FIRST.index(each.health))
    text = context.query["page"]
    number = max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
    shown = stats[(number - 1) * _PAGE_SIZE : number * _PAGE_SIZE]
    return context.render(
        "endpoints.html",
        rows=[EndpointListRow(each, _success_ratio(each)) for each in shown],
        total=len(stats),
        errors=errors,
        filters=sum(name in context.query for name in ("q", "client_id", "health")),
        healths=WORST_FIRST,
        next_url=context.url_with(page=str(number + 1)) if number * _PAGE_SIZE < len(stats) else "",
        first_url=context.url_with(page=None) if number > 1 else "",
    )


def _success_ratio(stats: EndpointStatsItem) -> float | None:
    hour = stats.last_hour
    attempts = 0 if hour is None else hour.delivered + hour.failed
    return hour.delivered / attempts if hour is not None and attempts else None
