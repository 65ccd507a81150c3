"""A session of `commerce-event listen`: forwards events one by one, and repeats some at a key press."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from commerce_event.cli.event_stream import EventStream, FollowedEvent
from commerce_event.cli.forwarder import Forwarder
from commerce_event.cli.listen_display import Display, Result

KEYS: Final = (
    "Keys: r repeats the last event, f the last failed one, a number and Enter the event with that number, q ends"
)
_KEPT_MAX: Final = 100  # events that can be repeated
_KEPT_BYTES: Final = 16 * 1024**2  # of their bodies
_REPEATS_MAX: Final = 10  # that wait for their turn
_DIGITS_MAX: Final = 9
_NOTHING_LISTENS: Final = frozenset({"connect_refused", "connect_failed", "dns_not_found", "dns_failed", "dns_timeout"})


class _Forwarded(msgspec.Struct):
    """An event of the session, which can be repeated."""

    number: int
    event: FollowedEvent
    attempts: int = 0
    failed: bool = False


class Session:
    """Forwards the events of a stream to a local program, or only shows them without a forwarder."""

    def __init__(self, stream: EventStream, forwarder: Forwarder | None, display: Display, on_quit: Callable[[], None]):
        """``on_quit`` is called when a key ends the session."""
        self._stream = stream
        self._forwarder = forwarder
        self._display = display
        self._on_quit = on_quit
        self._kept: dict[int, _Forwarded] = {}  # by number, the newest last
        self._kept_bytes = 0
        self._count = 0
        self._failed: set[int] = set()  # numbers of events whose last attempt failed
        self._turn = asyncio.Lock()  # so that requests go one after the other
        self._repeats: set[asyncio.Task[None]] = set()
        self._digits = ""
        self._is_reached = True

    async def run(self, last: int, on_ready: Callable[[], None]) -> None:
        """Forward the last events before the start, then new ones without an end. Raises CommandError.

        ``on_ready`` is called when no later event can be missed.
        """
        earlier = await self._stream.begin(last)
        on_ready()
        for event in earlier:
            await self._add(event)
        async for event in self._stream.events():
            await self._add(event)

    async def close(self) -> None:
        """Cancel the repeats that run or wait."""
        for task in self._repeats:
            task.cancel()
        await asyncio.gather(*self._repeats, return_exceptions=True)

    @property
    def has_failures(self) -> bool:
        """Whether the last attempt of an event failed."""
        return bool(self._failed)

    def summary(self) -> str:
        """Return how many events there were, and what became of them."""
        events = f"{self._count:,} {'event' if self._count == 1 else 'events'}"
        if self._forwarder is None:
            return f"Stopped after {events}"
        failed = len(self._failed)
        return f"Stopped: {events} forwarded, {self._count - failed:,} answered 2xx, {failed:,} not"

    def on_key(self, key: str) -> None:
        """Do what a key stands for."""
        if key.isdecimal() and key.isascii():
            if len(self._digits) < _DIGITS_MAX:
                self._digits += key
                self._display.typed(key)
            return
        digits, self._digits = self._digits, ""
        if digits:
            self._display.typed("\n")
        if key in "\r\n":
            if digits:
                self._repeat(
                    self._kept.get(int(digits)),
                    f"#{int(digits)} cannot be repeated: it is too old, or has not come yet",
                )
        elif key == "r":
            self._repeat(next(reversed(self._kept.values()), None), "No event has come yet")
        elif key == "f":
            failed = [each for each in self._kept.values() if each.failed]
            self._repeat(failed[-1] if failed else None, "No event has failed")
        elif key == "q":
            self._on_quit()

    async def _add(self, event: FollowedEvent) -> None:
        self._count += 1
        forwarded = _Forwarded(self._count, event)
        self._kept[forwarded.number] = forwarded
        self._kept_bytes += len(bytes(event.data))
        while len(self._kept) > _KEPT_MAX or (self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1):
            oldest = self._kept.pop(next(iter(self._kept)))
            self._kept_bytes -= len(bytes(oldest.event.data))
        await self._forward(forwarded)

    def _repeat(self, forwarded: _Forwarded | None, otherwise: str) -> None:
        if forwarded is None:
            self._display.say(otherwise)
        elif len(self._repeats) < _REPEATS_MAX:
            task = asyncio.create_task(self._forward(forwarded))
            self._repeats.add(task)
            task.add_done_callback(self._repeats.discard)

    async def _forward(self, forwarded: _Forwarded) -> None:
        if self._forwarder is None:
            self._display.event(forwarded.number, forwarded.event, None)
            return
        async with self._turn:
            forwarded.attempts += 1
            outcome = await self._forwarder.send(forwarded.event, forwarded.attempts)
            forwarded.failed = not outcome.delivered
            if forwarded.failed:
                self._failed.add(forwarded.number)
            else:
                self._failed.discard(forwarded.number)
            result = Result(forwarded.attempts, outcome, self._forwarder.cause(outcome))
            self._display.event(forwarded.number, forwarded.event, result)
            self._note_reached(outcome.error not in _NOTHING_LISTENS)

    def _note_reached(self, is_reached: bool) -> None:
        """Say once that the program cannot be reached; the next events are sent to it all the same."""
        if self._is_reached and not is_reached:
            self._display.say(
                "The program cannot be reached; start it, and repeat the event: listen does not send it again by itself"
            )
        self._is_reached = is_reached
