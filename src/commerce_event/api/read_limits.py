"""Bound what reading may cost: few calls of one caller at once, and the bytes of answers that are not sent yet."""

from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.responses import Response, StreamingResponse

from commerce_event.core.model import Key
from commerce_event.core.problems import Problem
from commerce_event.http.asgi import HEADERS, Receive, Scope, Send, answer_raw, encode
from commerce_event.http.body_budget import BodyBudget
from commerce_event.http.problems import MEDIA_TYPE
from commerce_event.store.fair_slots import FairSlots

READS_MAX: Final = 32  # at once
READS_PER_OWNER: Final = 2  # of them: half as many as the store has readers
READS_WAITING_MAX: Final = 100  # of one owner
READ_S: Final = 30.0  # of waiting and reading
_PIECE: Final = 64 * 1024  # bytes of an answer that are sent at once

T = TypeVar("T")


def read_slots() -> FairSlots:
    """Return the slots of calls that read."""
    return FairSlots(READS_MAX, per_owner=READS_PER_OWNER, waiting_max=READS_WAITING_MAX, time_s=READ_S, what="read")


async def run_in_turn(slots: FairSlots, key: Key, work: Coroutine[Any, Any, T], *, is_search: bool = False) -> T:
    """Run work that reads when it is the turn of the key's owner. Searches have turns of their own."""
    try:
        async with slots.slot((key.owner, is_search)):
            return await work
    finally:
        work.close()  # if it did not begin


def problem_response(problem: Problem) -> Response:
    return _ProblemResponse(encode(problem.body()), problem.status, HEADERS | problem.headers, MEDIA_TYPE)


class _ProblemResponse(Response):
    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await answer_raw(receive, send, self.status_code, bytes(self.body), self.raw_headers)


class SharedResponse(Response):
    """An answer whose bytes count for its owner, like those of request bodies, until they are sent."""

    def __init__(self, response: Response, bodies: BodyBudget, owner: str) -> None:
        super().__init__(status_code=response.status_code)
        self.raw_headers = response.raw_headers
        self.body = response.body
        self._bodies = bodies
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self.body)
        if len(body) <= _PIECE:
            await super().__call__(scope, receive, send)
            return
        with self._bodies.share(self._owner) as share:
            try:
                share.grow_to(len(body))
            except Problem as problem:
                await problem_response(problem)(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(body), _PIECE):  # each waits until the caller has read most of those before
                more = start + _PIECE < len(body)
                piece = body[start : start + _PIECE]
                await send({"type": "http.response.body", "body": piece, "more_body": more})


class SharedStream(Response):
    """An answer that is made in pieces. As many bytes as a piece may have count for its owner until all is sent."""

    def __init__(self, response: StreamingResponse, bodies: BodyBudget, owner: str, piece_bytes: int) -> None:
        super().__init__(status_code=response.status_code)
        self.raw_headers = response.raw_headers
        self._response = response
        self._bodies = bodies
        self._owner = owner
        self._piece_bytes = piece_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._bodies.share(self._owner) as share:
            try:
                share.grow_to(self._piece_bytes)
            except Problem as problem:
                await problem_response(problem)(scope, receive, send)
                return
            await self._response(scope, receive, send)
