"""Follow a client's events on a server, in the order of acceptance."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from commerce_event.cli.api import Api
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.contract.near_names import nearest_name
from commerce_event.core import ids
from commerce_event.daemon_threads import DaemonThreads

_TYPES_MAX: Final = 50  # names in a query
_WAIT_S: Final = 25
_PAGE: Final = 50
_RETRY_S: Final = 1.0  # between two tries of a server that does not answer, at first
_RETRY_MAX_S: Final = 10.0


class FollowedEvent(msgspec.Struct, frozen=True):
    """An event as the server lists it. ``data`` is its body as it was accepted."""

    id: str
    sequence: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    type: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9]{1,100}\Z")]
    client_id: int
    accepted_at: str
    data: msgspec.Raw


class _Page(msgspec.Struct, frozen=True):
    items: list[FollowedEvent]
    next_cursor: str | None


_decode_page: Final = msgspec.json.Decoder(_Page).decode


class EventStream:
    """The events of a client that are of the wanted types.

    A server that stops answering is waited for. No event is lost: the position in the client's sequence is kept.
    """

    def __init__(self, api: Api, client_id: int, types: Sequence[str], say: Callable[[str], None]) -> None:
        """``types`` are names and categories; none of them, or ``*``, means all. ``say`` shows a person a sentence."""
        self._api = api
        self._client_id = client_id
        self._types = frozenset() if "*" in types else frozenset(types)
        self._say = say
        self._threads = DaemonThreads(1, name="event-stream")  # a call that waits never keeps the command from ending
        self._categories: dict[str, str] = {}  # by event type
        self._position = 0

    async def begin(self, last: int) -> list[FollowedEvent]:
        """Begin after the newest event; return the last ``last`` events of the wanted types before, in their order.

        Raises UsageError for an unknown type, and WorkFailedError when the server does not answer.
        """
        if self._types:
            await self._check_types()
        self._position = await self._newest_sequence()
        events: list[FollowedEvent] = []
        cursor = None
        while len(events) < last:
            page = await self._read(limit=last - len(events), type=",".join(sorted(self._types)) or None, cursor=cursor)
            events += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        return sorted((each for each in events if each.sequence <= self._position), key=lambda each: each.sequence)

    async def events(self) -> AsyncIterator[FollowedEvent]:
        """Yield events without an end. Raises UsageError when the server refuses the call, such as for its key."""
        while True:
            for event in await self._next_page():
                if await self._is_wanted(event.type):
                    yield event
                self._position = event.sequence

    async def _next_page(self) -> list[FollowedEvent]:
        """Wait for the next events, through any time in which the server does not answer."""
        retry_s = 0.0
        while True:
            try:
                if retry_s:
                    await self._check_position()
                page = await self._read(after=self._position, wait_s=_WAIT_S, limit=_PAGE)
            except WorkFailedError as error:
                if not retry_s:
                    self._say(f"{str(error).rstrip('.')}. Waiting for it; no event is lost")
                retry_s = min(retry_s * 2 or _RETRY_S, _RETRY_MAX_S)
                await asyncio.sleep(retry_s)
            else:
                if retry_s:
                    self._say("The server answers again")
                return page.items

    async def _check_position(self) -> None:
        """Continue at the newest event of a server that has fewer events than before: it has another store."""
        newest = await self._newest_sequence()
        if newest < self._position:
            self._say(
                f"The server has fewer events than before: its last one has the sequence number {newest}, "
                f"not {self._position}; continuing there"
            )
            self._position = newest

    async def _newest_sequence(self) -> int:
        """Return the largest sequence number among the newest events; of events accepted at once, any may be first."""
        return max((event.sequence for event in (await self._read(limit=_PAGE)).items), default=0)

    async def _read(self, **query: Any) -> _Page:
        """Read a page of the client's events. Raises WorkFailedError for one that no server would send."""
        content = await self._in_thread(partial(self._api.get_bytes, "/v1/events", client_id=self._client_id, **query))
        try:
            page = _decode_page(content)
            for event in page.items:
                ids.decode("evt", event.id)
        except (ValueError, RecursionError):
            raise self._api.wrong_answer("is not a list of events") from None
        last = query.get("after", 0)
        for event in page.items:
            if event.client_id != self._client_id:
                raise self._api.wrong_answer("has an event that was not asked for")
            if "after" in query:
                if event.sequence <= last:
                    raise self._api.wrong_answer("has events in another order than that of acceptance")
                last = event.sequence
        return page

    async def _is_wanted(self, event_type: str) -> bool:
        if not self._types:
            return True
        if event_type not in self._categories:  # an own type that was made after the last read
            await self._read_categories()
        return not self._types.isdisjoint((event_type, self._categories.get(event_type)))

    async def _check_types(self) -> None:
        if len(self._types) > _TYPES_MAX:
            raise UsageError(f"--types takes at most {_TYPES_MAX} names")
        await self._read_categories()
        known = [*self._categories.values(), *self._categories]
        for name in sorted(self._types.difference(known)):
            near = nearest_name(name, known)
            hint = f"did you mean {near}?" if near else "list them with: commerce-event event-types list"
            raise UsageError(f"There is no event type or category {name[:60]!r}; {hint}")

    async def _read_categories(self) -> None:
        found = await self._in_thread(partial(self._api.get, "/v1/event-types"))
        try:
            self._categories = {str(each["name"]): str(each["category"]) for each in found["items"]}
        except (KeyError, TypeError):
            raise self._api.wrong_answer("is not a list of event types") from None

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
