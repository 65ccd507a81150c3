"""Dead letters: grouped by endpoint, reason and last error; send them again, or discard them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commerce_event.api.deliveries import check_can_send
from commerce_event.api.endpoint_standing import standings_of
from commerce_event.api.operations import Call, Operation, Reply, Subject
from commerce_event.api.paging import Listing
from commerce_event.api.parameters import Int32, read_id, scope_for
from commerce_event.api.response_models import EndpointSummary, endpoint_summary
from commerce_event.core import ids
from commerce_event.core.causes import cause_of_code
from commerce_event.core.clock import rfc3339
from commerce_event.core.endpoint_warnings import EndpointStanding
from commerce_event.core.health import Health
from commerce_event.core.model import Endpoint, Scope
from commerce_event.core.problems import Problem, child, invalid, not_found
from commerce_event.core.receiver_text import without_controls
from commerce_event.store.model import DeadGroup, DeliveryQuery, Page

GROUPED_MAX: Final = 10_000
CHANGED_MAX: Final = 10_000  # dead letters that one call changes
IDS_MAX: Final = 1_000
LOOKED_AT_MAX: Final = 100_000  # dead letters of an endpoint among which those of a group are looked for
NOTE_MAX: Final = 200
_STEP: Final = 500  # dead letters of a commit

EndpointId = Annotated[str, Meta(max_length=40)]
DeliveryIds = Annotated[list[Annotated[str, Meta(max_length=40)]], Meta(min_length=1, max_length=IDS_MAX)]
Code = Annotated[str, Meta(max_length=100)]
Amount = Annotated[int, Meta(ge=1, le=CHANGED_MAX)]


class DeadLettersQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of dead letters."""

    client_id: Int32 | None = None
    endpoint_id: EndpointId | None = None


class DeadLetterSelection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dead letters: some by id, or those of an endpoint, or those of a group of it with its reason and error."""

    delivery_ids: DeliveryIds | UnsetType = UNSET
    endpoint_id: EndpointId | UnsetType = UNSET
    reason: Code | UnsetType | None = UNSET
    error: Code | UnsetType | None = UNSET
    limit: Amount = CHANGED_MAX


class DeadLetterDiscard(DeadLetterSelection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dead letters to discard, and why."""

    note: Annotated[str, Meta(min_length=1, max_length=NOTE_MAX, examples=["A test of the shop"])]


class DeadGroupView(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of an endpoint with the same reason and error; ``error`` is that of the last attempt."""

    endpoint_id: str
    reason: str | None
    error: str | None
    cause: str
    count: int
    oldest_at: str
    newest_at: str
    endpoint: EndpointSummary | None
    endpoint_health: Health | None
    warning: str | None


class DeadLettersChangedView(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters were changed, and whether there are more of the selection."""

    count: int
    more: bool
    newest_id: str | None


class _Found(msgspec.Struct, frozen=True):
    """Selected dead letters: the ids of each endpoint, oldest first, and whether there are more."""

    by_endpoint: dict[int, list[int]]
    more: bool = False

    @property
    def newest_id(self) -> str | None:
        found = [some[-1] for some in self.by_endpoint.values() if some]
        return ids.encode("dlv", max(found)) if found else None


async def list_groups(call: Call) -> Reply:
    query: DeadLettersQuery = call.query
    scope = scope_for(call, query.client_id)
    endpoint_id = read_id("end", query.endpoint_id, "?endpoint_id")
    groups = await call.services.store.history.dead_groups(scope, endpoint_id=endpoint_id, limit=GROUPED_MAX)
    found = {each.endpoint_id: call.services.registry.endpoint_in(scope, each.endpoint_id) for each in groups}
    standings = await standings_of(call, [each for each in found.values() if each is not None])
    return Reply(Listing([_view(each, found[each.endpoint_id], standings) for each in groups], None))


async def retry_dead_letters(call: Call) -> Reply:
    found = await _find(call)
    for endpoint_id in found.by_endpoint:
        check_can_send(call.services.registry.endpoint(endpoint_id))

    async def requeue(some: Sequence[int]) -> int:
        return await call.services.store.queue.requeue(some, now_ms=call.now_ms)

    return await _change(call, found, requeue, 202)


async def discard_dead_letters(call: Call) -> Reply:
    wanted: DeadLetterDiscard = call.body
    note = without_controls(wanted.note).strip()
    if not note:
        raise invalid("/note", "say why they are discarded")

    async def discard(some: Sequence[int]) -> int:
        queue = call.services.store.queue
        return await queue.discard(some, reason=f"discarded: {note}", now_ms=call.now_ms)

    return await _change(call, await _find(call), discard, 200, note)


async def _change(
    call: Call, found: _Found, change: Callable[[Sequence[int]], Awaitable[int]], status: int, note: str = ""
) -> Reply:
    """Change the dead letters in steps, and set what the call is about: an entry for each endpoint."""
    count = 0
    subjects = []
    for endpoint_id, delivery_ids in found.by_endpoint.items():
        changed = 0
        for start in range(0, len(delivery_ids), _STEP):
            changed += await change(delivery_ids[start : start + _STEP])
            call.services.dispatcher.wake()
        count += changed
        endpoint = call.services.registry.endpoint(endpoint_id)
        if changed and endpoint is not None:
            amount = f"{changed:,} dead letter{'s' if changed != 1 else ''}"
            subjects.append(
                Subject(
                    endpoint.client_id,
                    ids.encode("end", endpoint_id),
                    endpoint.name,
                    f"{amount}: {note}" if note else amount,
                )
            )
    call.is_about_all(subjects)
    return Reply(DeadLettersChangedView(count=count, more=found.more, newest_id=found.newest_id), status)


async def _find(call: Call) -> _Found:
    """Return the selected dead letters. Raises Problem 404 and 422."""
    wanted: DeadLetterSelection = call.body
    if wanted.delivery_ids is not UNSET:
        if wanted.endpoint_id is not UNSET or wanted.reason is not UNSET or wanted.error is not UNSET:
            raise invalid("/delivery_ids", "give ids or an endpoint, not both")
        return await _by_id(call, wanted.delivery_ids)
    if wanted.endpoint_id is UNSET:
        raise invalid("/delivery_ids", "give ids, or an endpoint as endpoint_id")
    if (wanted.reason is UNSET) != (wanted.error is UNSET):
        raise invalid("/reason", "a group has a reason and an error; give both or none, null where it has none")
    endpoint = call.services.registry.endpoint(read_id("end", wanted.endpoint_id, "/endpoint_id") or 0)
    if endpoint is None or not call.scope.allows(endpoint.client_id):
        raise not_found("endpoint")
    return await _of_endpoint(call, endpoint, wanted)


async def _by_id(call: Call, texts: Sequence[str]) -> _Found:
    found: dict[int, list[int]] = {}
    places = {read_id("dlv", text, child("/delivery_ids", index)): index for index, text in enumerate(texts)}
    for delivery_id, index in sorted((id_, index) for id_, index in places.items() if id_ is not None):
        delivery = await call.services.store.history.delivery(delivery_id, call.scope)
        if delivery is None:
            raise Problem(404, f"There is no delivery {texts[index][:40]}.")
        if delivery.state == "dead":
            found.setdefault(delivery.endpoint_id, []).append(delivery.id)
    return _Found(found)


async def _of_endpoint(call: Call, endpoint: Endpoint, wanted: DeadLetterSelection) -> _Found:
    history = call.services.store.history
    selected: list[int] = []
    before: int | None = None
    looked_at = 0
    while len(selected) <= wanted.limit and looked_at < LOOKED_AT_MAX:
        if wanted.reason is UNSET or wanted.error is UNSET:
            query = DeliveryQuery(scope=Scope.of(endpoint.client_id), endpoint_id=endpoint.id, state="dead")
            some = [each.id for each in await history.deliveries(query, Page(_STEP, before))]
            before = some[-1] if len(some) == _STEP else None
        else:
            some, before = await history.dead_in_group(
                endpoint.id, reason=wanted.reason, error=wanted.error, before=before, limit=_STEP
            )
        selected += some
        looked_at += _STEP
        if before is None:
            break
    more = len(selected) > wanted.limit or before is not None
    return _Found({endpoint.id: selected[: wanted.limit][::-1]}, more)


def _view(group: DeadGroup, endpoint: Endpoint | None, standings: Mapping[int, EndpointStanding]) -> DeadGroupView:
    standing = standings.get(group.endpoint_id)
    return DeadGroupView(
        endpoint_id=ids.encode("end", group.endpoint_id),
        reason=group.reason,
        error=group.error,
        cause=cause_of_code(group.error),
        count=group.count,
        oldest_at=rfc3339(group.oldest_ms),
        newest_at=rfc3339(group.newest_ms),
        endpoint=endpoint_summary(endpoint),
        endpoint_health=None if standing is None else standing.health,
        warning=None if standing is None else standing.warning,
    )


_TAG: Final = "Deliveries"
_SELECTED: Final = (
    f"Selects up to {IDS_MAX:,} `delivery_ids`, of which those that are not dead are skipped; or all dead letters of "
    "`endpoint_id`; or, with `reason` and `error`, those of a group, as listed. Takes the newest first, at most "
    f"{CHANGED_MAX:,} in a call."
)
OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/dead-letters",
        name="listDeadLetters",
        summary="Group dead letters",
        tag=_TAG,
        needs="read",
        run=list_groups,
        query=DeadLettersQuery,
        answers={200: Listing[DeadGroupView]},
        problems=(422,),
        description=(
            f"The newest {GROUPED_MAX:,} dead deliveries by endpoint, reason and last error, the largest group first. "
            "`GET /v1/deliveries?state=dead` lists them one by one."
        ),
    ),
    Operation(
        method="POST",
        path="/v1/dead-letters/retry",
        name="retryDeadLetters",
        summary="Send dead letters again",
        tag=_TAG,
        needs="manage",
        run=retry_dead_letters,
        body=DeadLetterSelection,
        answers={202: DeadLettersChangedView},
        problems=(404, 409, 415, 422),
        description=f"They get all their retries again. {_SELECTED} 409: the endpoint was deleted or is off.",
    ),
    Operation(
        method="POST",
        path="/v1/dead-letters/discard",
        name="discardDeadLetters",
        summary="Discard dead letters",
        tag=_TAG,
        needs="manage",
        run=discard_dead_letters,
        body=DeadLetterDiscard,
        answers={200: DeadLettersChangedView},
        problems=(404, 415, 422),
        description=(
            f"They become `cancelled`, with the reason `discarded: ` and your note. {_SELECTED} One that was discarded "
            "can still be retried by id."
        ),
    ),
)
