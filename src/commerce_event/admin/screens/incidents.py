"""An incident: since when and why an endpoint fails, what waits, and the steps to its end."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.endpoint_test import pack_result, unpack_result
from commerce_event.admin.timeline import answer_text
from commerce_event.api.audit_log import AuditEntryView
from commerce_event.api.incidents import IncidentDetailView, IncidentView
from commerce_event.api.response_models import display_name
from commerce_event.core.audit_words import label_of_field, value_in_words
from commerce_event.core.clock import parse_rfc3339
from commerce_event.core.durations import duration_text, setting_duration


async def show_incident(context: ScreenContext) -> Response:
    path = {"id": context.path_id}
    found: IncidentDetailView = await context.call("getIncident", path=path)
    test = unpack_result(context.one_time_secret.take(context.request))
    newest = found.newest_attempt
    return context.render(
        "incident.html",
        incident=found,
        name=display_name(found.endpoint),
        lasts=_lasts(found, context.now_ms),
        sentence=_what_fails(found),
        waits_for=_age(found.oldest_pending_at, context.now_ms),
        dies_in=_until(found.first_dies_at, context.now_ms),
        schedule=[setting_duration(each) for each in found.retry_schedule],
        answer=None if newest is None else answer_text(newest.status, newest.response_headers, newest.response_body),
        changes=[(each, _changes(each)) for each in found.changes_before],
        steps={each.name: each for each in found.steps},
        siblings=[(each, display_name(each.endpoint)) for each in found.endpoints if each.endpoint != found.endpoint],
        one=await _one_to_send(context, found),
        dead_url=_replay_url(found, "failed"),
        waiting_url=_replay_url(found, "waiting"),
        test=test,
        test_cause="" if test is None else test.attempt.cause or "",
        test_answer=None
        if test is None
        else answer_text(test.attempt.status, test.attempt.response_headers, test.attempt.response_body),
        back=context.request.url.path,
    )


async def send_test(context: ScreenContext) -> Response:
    """Send a test event, and show the answer in its step."""
    result = await context.call("testEndpoint", path={"id": context.path_id}, body={})
    return context.redirect(f"{ROOT}/incidents/{context.path_id}#step-test", one_time=pack_result(result))


async def _one_to_send(context: ScreenContext, incident: IncidentDetailView) -> str:
    """Return the delivery to send first: the oldest that waits, else a dead one; empty when there is none."""
    if incident.oldest_delivery_id is not None:
        return incident.oldest_delivery_id
    query = {"endpoint_id": incident.endpoint_id, "state": "dead", "limit": 1}
    found = await context.call("listDeliveries", query=query)
    return found.items[0].id if found.items else ""


def _replay_url(incident: IncidentDetailView, only: str) -> str:
    given: dict[str, Any] = {"endpoint_id": incident.endpoint_id, "only": only, "check": 1}
    return f"{ROOT}/replays/new?{urlencode(given)}"


def _changes(entry: AuditEntryView) -> list[tuple[str, str, str]]:
    """Return the fields of a change with their values before and after, in words; none of a creation."""
    if all(each.before is None for each in entry.changes) and entry.action.startswith("create"):
        return []
    return [
        (label_of_field(each.field), value_in_words(each.before), value_in_words(each.after)) for each in entry.changes
    ]


def _what_fails(incident: IncidentView) -> str:
    """Return the newest failure in words: ``HTTP 503: the receiver is not available now``."""
    words = incident.cause or "no answer"
    return words if incident.last_status is None else f"HTTP {incident.last_status}: {words}"


def _lasts(incident: IncidentView, now_ms: int) -> str:
    until_ms = now_ms if incident.until is None else parse_rfc3339(incident.until)
    return duration_text((until_ms - parse_rfc3339(incident.since)) / 1000)


def _age(at: str | None, now_ms: int) -> str:
    return "" if at is None else duration_text((now_ms - parse_rfc3339(at)) / 1000)


def _until(at: str | None, now_ms: int) -> str:
    return "" if at is None else duration_text((parse_rfc3339(at) - now_ms) / 1000)


class IncidentLine(msgspec.Struct, frozen=True):
    """An incident in one line of the overview."""

    incident: IncidentView
    name: str
    others: int  # endpoints other than the first
    lasts: str
    cause: str
    dies_in: str  # empty: nothing waits


def incident_line(incident: IncidentView, now_ms: int) -> IncidentLine:
    return IncidentLine(
        incident=incident,
        name=display_name(incident.endpoint),
        others=len(incident.endpoints) - 1,
        lasts=_lasts(incident, now_ms),
        cause=_what_fails(incident),
        dies_in=_until(incident.first_dies_at, now_ms),
    )
