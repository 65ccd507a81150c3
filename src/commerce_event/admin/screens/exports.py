"""Lists as files, with the filters of the screen, and the payload of an event."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, get_args

import msgspec
from starlette.responses import Response, StreamingResponse

from commerce_event.admin.event_filters import full_time
from commerce_event.admin.exports import MEDIA_TYPES, Format, columns_of, header, rows
from commerce_event.admin.screen_context import Screen, ScreenContext
from commerce_event.api.openapi import OPERATIONS
from commerce_event.api.paging import LIMIT_MAX
from commerce_event.core.problems import Problem
from commerce_event.web.pages import HEADERS

ROWS_MAX: Final = 10_000
_OPERATIONS: Final = {operation.name: operation for operation in OPERATIONS}


class _List(msgspec.Struct, frozen=True):
    """A list that can be exported: its operation, and parameters that the screen always sends."""

    operation: str
    fixed: Mapping[str, Any] = {}
    defaults: Mapping[str, str] = {}  # of filters that the screen sets when the address does not


_LISTS: Final = {
    "events": _List("listEvents", {"expand": True}),
    "changes": _List("listChanges"),
    "endpoints": _List("listEndpointStats"),
    "dead": _List("listDeliveries", {"state": "dead"}),
    "refusals": _List("listRefusals", defaults={"state": "open"}),
    "replays": _List("listReplays"),
    "audit": _List("listAuditEntries"),
    "keys": _List("listKeys"),
}
NAMES: Final = tuple(_LISTS)


def export_of(name: str) -> Screen:
    """Return the screen that answers with a list as a file."""
    wanted = _LISTS[name]
    operation = _OPERATIONS[wanted.operation]
    filters = set() if operation.query is None else {each.name for each in msgspec.structs.fields(operation.query)}
    view = _item_view(operation.answers[200])

    async def export(context: ScreenContext) -> Response:
        format_ = _format(context.query["format"])
        query: dict[str, Any] = dict(wanted.fixed)
        for each in filters - query.keys() - {"limit", "cursor"}:
            value = context.query.get(each, wanted.defaults.get(each))
            if value is not None and value != "all":
                query[each] = full_time(value) if each in {"since", "until"} else value
        if "limit" in filters:
            query["limit"] = LIMIT_MAX
        first = await context.call(wanted.operation, query=query)
        columns = columns_of(view)

        async def lines() -> AsyncIterator[bytes]:
            yield header(columns, format_)
            page, left = first, ROWS_MAX
            while True:
                yield b"".join(rows(page.items[:left], columns, format_))
                left -= len(page.items)
                cursor = getattr(page, "next_cursor", None)
                if cursor is None or left <= 0:
                    return
                page = await context.call_in_turn(wanted.operation, query={**query, "cursor": cursor})

        return StreamingResponse(lines(), headers=_file(f"{name}.{format_}"), media_type=MEDIA_TYPES[format_])

    return export


async def download_payload(context: ScreenContext) -> Response:
    """Answer with the payload of an event, byte for byte."""
    event = await context.call("getEvent", path={"id": context.path_id})
    return Response(bytes(event.data), headers=_file(f"{event.id}.json"), media_type="application/json")


def _format(text: str) -> Format:
    if text in {"", "csv"}:
        return "csv"
    if text == "jsonl":
        return "jsonl"
    raise Problem(422, "Choose a format: csv or jsonl.")


def _file(name: str) -> dict[str, str]:
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}


def _item_view(answer: Any) -> type[msgspec.Struct]:
    """Return the type of the items of a list."""
    inner = get_args(answer)
    if not inner:
        inner = get_args(next(each.type for each in msgspec.structs.fields(answer) if each.name == "items"))
    view: type[msgspec.Struct] = inner[0]
    return view
