"""Preview an endpoint: which of the client's newest events its event types and its filter would select."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from commerce_event.accept.turns import Steps
from commerce_event.api.endpoint_fields import Exceptions, NewEndpoint, Types, check_fields
from commerce_event.api.explanations import RuleView, shown_rules
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.paging import read_within
from commerce_event.api.parameters import Int32
from commerce_event.contract.labels import label_from
from commerce_event.core import ids
from commerce_event.core.clock import rfc3339
from commerce_event.core.filter_words import describe_misses
from commerce_event.core.model import Endpoint, Event, Filter, Scope
from commerce_event.core.routing import Rule, explain_steps
from commerce_event.http.asgi import encode
from commerce_event.registry.authentication import check_client
from commerce_event.store.model import EventQuery, Page

EVENTS_MAX: Final = 100  # that are evaluated
_ANSWER_MAX: Final = 512 * 1024  # bytes of samples, after which no other is added
_ANYWHERE: Final = "https://example.com/"  # the URL decides nothing here


class EndpointPreviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint would select; it is saved nowhere."""

    client_id: Int32
    event_types: Types
    except_types: Exceptions = msgspec.field(default_factory=list, name="except")
    application_id: Int32 | None = None
    filter: Filter | None = None


class EndpointPreviewSample(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and whether the endpoint would get it; ``rules`` are those that it did not pass."""

    event_id: str
    type: str
    label: str
    accepted_at: str
    matched: bool
    why: str | None
    rules: list[RuleView]


class EndpointPreviewView(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the newest events the endpoint would get, and each of them, the newest first."""

    checked: int
    matched: int
    samples: list[EndpointPreviewSample]
    truncated: bool


async def preview_endpoint(call: Call) -> Reply:
    wanted: EndpointPreviewRequest = call.body
    check_client(call.key, wanted.client_id)
    endpoint = _endpoint(call, wanted)
    query = EventQuery(scope=Scope.of(wanted.client_id))

    async def read(limit: int, last: Event | None) -> list[Event]:
        return await call.services.store.history.events(query, Page(limit, None if last is None else last.id))

    events, more = await read_within(EVENTS_MAX, read, lambda event: len(event.body))
    samples, matched, size = [], 0, 0
    for event in events:
        sample = await call.services.intake.turns.run(call.key.owner, _sample_steps(call, endpoint, event))
        matched += sample.matched
        if size <= _ANSWER_MAX:
            samples.append(sample)
            size += len(encode(sample))
    return Reply(
        EndpointPreviewView(
            checked=len(events),
            matched=matched,
            samples=samples,
            truncated=len(samples) < len(events) or (more and len(events) < EVENTS_MAX),
        )
    )


def _endpoint(call: Call, wanted: EndpointPreviewRequest) -> Endpoint:
    """Return the endpoint that would be created. Raises Problem 422."""
    fields = msgspec.structs.asdict(wanted)
    new = NewEndpoint(client_id=wanted.client_id, url=_ANYWHERE, event_types=wanted.event_types)
    usable = check_fields(msgspec.structs.asdict(new) | fields, call.services.policy, call.services.registry.catalogue)
    return Endpoint(id=0, created_ms=0, updated_ms=0, secrets=(), **usable)


def _sample_steps(call: Call, endpoint: Endpoint, event: Event) -> Steps[EndpointPreviewSample]:
    data: dict[str, Any] = msgspec.json.decode(event.body)
    yield
    event_type = call.services.registry.event_type(event.type)
    found = yield from explain_steps(endpoint, event.client_id, event_type, event.application_id, data)
    failed = [rule for rule in found.rules if not rule.passed]
    return EndpointPreviewSample(
        event_id=ids.encode("evt", event.id),
        type=event.type,
        label=label_from(event.type, data).text,
        accepted_at=rfc3339(event.accepted_ms),
        matched=found.matched,
        why=_why(failed) if failed else None,
        rules=shown_rules(failed),
    )


def _why(failed: Sequence[Rule]) -> str:
    """Return in words why an event did not pass these rules; a type that is not chosen is reason enough."""
    found = {rule.name: rule.found for rule in failed}
    if "type" in found:
        (wanted,) = (rule.wanted for rule in failed if rule.name == "type")
        chosen = wanted["event_types"] if isinstance(wanted, dict) else ()  # there are exceptions
        is_chosen = not {"*", *found["type"]}.isdisjoint(chosen)
        return "its type is left out" if is_chosen else "its type is not chosen"
    reasons = []
    if "application" in found:
        application_id = found["application"]
        reasons.append("it has no application" if application_id is None else f"its application is {application_id}")
    if "filter" in found:
        reasons.append(describe_misses(found["filter"]) or "the filter excludes it")
    return "; ".join(reasons)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/endpoints/preview",
        name="previewEndpoint",
        summary="Preview an endpoint's event types and filter",
        tag="Endpoints",
        needs="manage",
        run=preview_endpoint,
        body=EndpointPreviewRequest,
        answers={200: EndpointPreviewView},
        problems=(415, 422),
        reads=True,
        description=(
            f"Evaluates event types, application and filter over the client's newest events, at most {EVENTS_MAX}: "
            "which of them an endpoint with these fields would get, and why it would not get the others. Nothing is "
            "saved or sent. When the events are large, fewer are evaluated (`truncated`)."
        ),
    ),
)
