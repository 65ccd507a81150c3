"""The audit log: who changed what, with links to the changed objects."""

from typing import Final

import msgspec
from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.api.audit_log import AuditEntryView
from commerce_event.api.paging import Listing
from commerce_event.core.problems import Problem

_PAGE_SIZE: Final = 50
_ACTIONS: Final = {
    "createEndpoint": "created an endpoint",
    "changeEndpoint": "changed an endpoint",
    "deleteEndpoint": "deleted an endpoint",
    "rotateSecret": "rotated a secret",
    "testEndpoint": "sent a test",
    "retryDelivery": "retried a delivery",
    "cancelDelivery": "cancelled a delivery",
    "startReplay": "started a replay",
    "acceptRefusal": "accepted a refused event",
    "discardRefusal": "discarded a refused event",
    "createKey": "created a key",
    "revokeKey": "revoked a key",
    "setValidation": "set a validation mode",
    "createEventType": "created an event type",
    "changeEventType": "changed an event type",
    "deleteEventType": "deleted an event type",
    "removeValidation": "removed a validation mode",
    "createEventSetting": "created an event setting",
    "changeEventSetting": "changed an event setting",
    "deleteEventSetting": "deleted an event setting",
    "createChangeSource": "created a change source",
    "putChangeSource": "created or replaced a change source",
    "deleteChangeSource": "deleted a change source",
    "setSourcePosition": "set the position of a change source",
    "forgetSourcePosition": "forgot the position of a change source",
}
_SCREENS: Final = {
    "end": "endpoints",
    "dlv": "deliveries",
    "rpl": "replays",
    "rfs": "refusals",
    "set": "event-settings",
}  # by the prefix of an id


class AuditRow(msgspec.Struct, frozen=True):
    """An entry as it is shown; ``url`` is the screen of its target, empty when there is none."""

    entry: AuditEntryView
    action: str
    url: str


async def list_entries(context: ScreenContext) -> Response:
    query = {name: context.query.get(name) for name in ("client_id", "target", "cursor")}
    errors: dict[str, str] = {}
    status = 200
    try:
        found = await context.call("listAuditEntries", query={**query, "limit": _PAGE_SIZE})
    except Problem as problem:
        found, errors = Listing([], None), errors_as_worded(problem)
        if not errors.keys() <= {"", "client_id", "target"}:
            raise
        if "client_id" in errors:
            errors["client_id"] = "Enter the client's number."
        status = problem.status
    return context.render(
        "audit.html",
        status,
        rows=[AuditRow(each, _ACTIONS.get(each.action, each.action), _url(each.target)) for each in found.items],
        errors=errors,
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )


def _url(target: str) -> str:
    screen = _SCREENS.get(target.partition("_")[0])
    return "" if screen is None else f"{ROOT}/{screen}/{target}"
