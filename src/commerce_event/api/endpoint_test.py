"""Send a test event to an endpoint."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from commerce_event.api.endpoints import find_endpoint
from commerce_event.api.operations import Call, Operation, Reply
from commerce_event.api.parameters import unknown_type
from commerce_event.api.response_models import AttemptView, attempt_view
from commerce_event.contract.catalogue import Catalogue, EventType
from commerce_event.core.model import Endpoint, Secret
from commerce_event.core.problems import Problem, invalid
from commerce_event.core.signatures import new_secret
from commerce_event.store.model import Claimed

SignedWith = Literal["right", "wrong"]
_REFUSED: Final = frozenset({401, 403})  # what a receiver answers to a wrong signature


class EndpointTestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event type to send, by default the first one that the endpoint accepts, and how to sign it."""

    type: Annotated[str, Meta(max_length=100)] | None = None
    signature: SignedWith = "right"


class EndpointTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The request as it was sent (static header values masked), and the answer. Nothing is stored."""

    delivered: bool
    url: str
    request_headers: list[tuple[str, str]]
    request_body: str
    attempt: AttemptView
    signature: SignedWith = "right"
    signature_checked: bool | None = None


async def send_test_event(call: Call) -> Reply:
    endpoint = find_endpoint(call)
    if call.services.settings.hold_deliveries:
        raise Problem(409, "This server holds all deliveries, including tests; start it without --hold-deliveries.")
    wanted: EndpointTestRequest = call.body
    event_type = _type(call.services.registry.catalogue, endpoint, wanted.type)
    claimed = _example(call, endpoint, event_type)
    is_wrong = wanted.signature == "wrong"
    if is_wrong:
        endpoint = _with_wrong_secret(call, endpoint)
    preview = call.services.sender.request_preview(endpoint, claimed)
    outcome = await call.services.sender.send(endpoint, claimed)
    return Reply(
        EndpointTestResult(
            delivered=outcome.delivered,
            url=endpoint.url,
            request_headers=preview,
            request_body=call.services.sender.body_preview(endpoint, claimed).decode(),
            attempt=attempt_view(outcome.attempt(1), endpoint),
            signature=wanted.signature,
            signature_checked=_signature_checked(outcome.status) if is_wrong else None,
        )
    )


def _with_wrong_secret(call: Call, endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with a secret that its receiver does not have.

    Its id is new, as the sender keeps what it prepared for an endpoint.
    """
    secret = Secret(new_secret(endpoint.signing))
    return msgspec.structs.replace(endpoint, id=call.services.ids.next(call.now_ms), secrets=(secret,))


def _signature_checked(status: int | None) -> bool | None:
    """Return whether a receiver that answered so to a wrong signature checks signatures; None: it does not tell."""
    if status in _REFUSED:
        return True
    return False if status is not None and 200 <= status <= 299 else None


def _type(catalogue: Catalogue, endpoint: Endpoint, name: str | None) -> EventType:
    if name is not None:
        if name not in catalogue.types:
            raise invalid("/type", unknown_type(name, catalogue.types, "name one"))
        return catalogue.types[name]
    chosen = catalogue.select(endpoint.event_types, endpoint.except_types)
    if not chosen:
        raise Problem(409, "The event types of this endpoint were deleted; choose others first.")
    return chosen[0]


def _example(call: Call, endpoint: Endpoint, event_type: EventType) -> Claimed:
    """Return an attempt that sends the type's example with the endpoint's ClientId."""
    now_ms = call.now_ms
    data = dict(event_type.example) | {"ClientId": endpoint.client_id}
    if endpoint.application_id is not None and "ApplicationId" in data:
        data["ApplicationId"] = endpoint.application_id
    if not endpoint.secrets:
        raise Problem(409, "This endpoint has no secret; rotate it first.")
    return Claimed(
        delivery_id=call.services.ids.next(now_ms),
        endpoint_id=endpoint.id,
        number=1,
        failure_count=0,
        run_id=0,
        lease_until_ms=now_ms,
        replay_id=None,
        event_id=call.services.ids.next(now_ms),
        client_id=endpoint.client_id,
        sequence=0,
        type=event_type.name,
        traceparent=None,
        body=msgspec.json.encode(data),
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/endpoints/{id}/test",
        name="testEndpoint",
        summary="Send a test event now",
        tag="Endpoints",
        needs="manage",
        run=send_test_event,
        body=EndpointTestRequest,
        body_required=False,
        answers={200: EndpointTestResult},
        problems=(404, 409, 415, 422),
        description=(
            "Sends one request with the type's example, stores nothing, and returns request and answer. With "
            "`signature: wrong` it is signed with another secret: a receiver that checks signatures refuses it."
        ),
    ),
)
