"""The list of endpoints with their condition, the worst first."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_condition import WORST_FIRST, EndpointCondition, condition_of
from commerce_event.admin.screen_context import ScreenContext
from commerce_event.api.endpoint_stats import EndpointStatsItem
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50
_CONDITIONS: Final = {"failing": ("failing", "degraded"), "off": ("off",), "healthy": ("healthy",)}


class EndpointListRow(msgspec.Struct, frozen=True):
    """An endpoint in the list."""

    stats: EndpointStatsItem
    condition: EndpointCondition


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
    conditions = _CONDITIONS.get(context.query["health"])
    rows = [EndpointListRow(each, condition_of(each.endpoint, each, each.last_hour)) for each in stats]
    rows = [row for row in rows if conditions is None or row.condition.condition in conditions]
    rows.sort(key=lambda row: WORST_FIRST.index(row.condition.condition))
    text = context.query["page"]
    number = max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1
    return context.render(
        "endpoints.html",
        rows=rows[(number - 1) * _PAGE_SIZE : number * _PAGE_SIZE],
        total=len(rows),
        errors=errors,
        filters=sum(name in context.query for name in ("q", "client_id", "health")),
        conditions=[("failing", "Failing or degraded"), ("off", "Off"), ("healthy", "Healthy")],
        next_url=context.url_with(page=str(number + 1)) if number * _PAGE_SIZE < len(rows) else "",
        first_url=context.url_with(page=None) if number > 1 else "",
    )
