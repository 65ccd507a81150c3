"""Change sources: which tables are which entity, their positions, and the state of their reader."""

from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.source_condition import SourceCondition, source_condition
from commerce_event.api.change_sources import ChangeSourceSummaryView, ChangeSourceView
from commerce_event.api.changes import ChangeSummaryView
from commerce_event.api.paging import Listing
from commerce_event.contract.entities import sources_of
from commerce_event.core.problems import Problem
from commerce_event.web.commands import source_command

_PAGE_SIZE: Final = 50
_UNMAPPED_SHOWN: Final = 5
_UNMAPPED_COUNTED: Final = 100


class SourceRow(msgspec.Struct, frozen=True):
    """A source in the list, with the condition of its reader."""

    source: ChangeSourceSummaryView
    condition: SourceCondition


async def list_sources(context: ScreenContext) -> Response:
    query = {name: context.query.get(name) for name in ("client_id", "cursor")}
    errors: dict[str, str] = {}
    status = 200
    try:
        found: Listing[ChangeSourceSummaryView] = await context.call(
            "listChangeSources", query={**query, "limit": _PAGE_SIZE}
        )
    except Problem as problem:
        found, errors = Listing([], None), errors_as_worded(problem)
        if not errors.keys() <= {"", "client_id"}:
            raise
        status = problem.status
    return context.render(
        "sources.html",
        status,
        rows=[SourceRow(each, source_condition(each.name, each.state, context.now_ms)) for each in found.items],
        errors=errors,
        counts=await context.call("countChanges"),
        command=source_command(context.origin),
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


async def show_source(context: ScreenContext) -> Response:
    source: ChangeSourceView = await context.call("getChangeSource", path={"name": context.request.path_params["name"]})
    unmapped: Listing[ChangeSummaryView] = await context.call(
        "listChanges", query={"source": source.name, "unmapped": True, "limit": _UNMAPPED_COUNTED}
    )
    return context.render(
        "source.html",
        source=source,
        condition=source_condition(source.name, source.state, context.now_ms),
        notifications={mapping.entity: _notifications(mapping.entity) for mapping in source.tables.values()},
        unmapped=unmapped.items[:_UNMAPPED_SHOWN],
        unmapped_count=len(unmapped.items),
        more_unmapped=unmapped.next_cursor is not None,
        unmapped_url=f"{ROOT}/changes?{urlencode({'source': source.name, 'unmapped': 'true'})}",
        export=f'curl -H "Authorization: Bearer $COMMERCE_EVENT_KEY" {context.origin}'
        f"/v1/change-sources/{quote(source.name)}",
    )


def _notifications(entity: str) -> list[str]:
    """Return the notifications that changes of an entity can raise."""
    return [each.event_type for each in sources_of(entity)]
