"""Signing in and out with a key."""

import math
from collections import OrderedDict, deque
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from commerce_event.admin.csrf import check_origin
from commerce_event.admin.screen_context import (
    ROOT,
    ScreenContext,
    ScreenFactory,
    read_form,
    safe_next,
    set_retry_after,
)
from commerce_event.admin.sessions import COOKIE, LIFETIME_S
from commerce_event.core.clock import Clock
from commerce_event.core.model import Key
from commerce_event.core.problems import Problem
from commerce_event.http.asgi import DisconnectedError
from commerce_event.http.problems import problem_of
from commerce_event.registry.authentication import why_refused
from commerce_event.registry.registry import OPERATOR_ID
from commerce_event.web.origin import over_tls
from commerce_event.web.pages import HEADERS

_ATTEMPTS_MAX: Final = 10
_WINDOW_S: Final = 60.0
SIGN_IN_OWNER: Final = "sign-in"  # of the bytes of all forms by people who are not signed in yet
SIGN_IN_FORM_MAX: Final = 8 * 1024  # bytes: as many as may connect at once do not use up the memory for bodies
_ADDRESSES_MAX: Final = 10_000
_REMEMBERED_S: Final = LIFETIME_S + 7 * 86_400  # the cookie outlives its session, so that we can say that it ended


def start_session(factory: ScreenFactory, request: Request, key: Key, path: str) -> Response:
    """Redirect to a screen, with the cookie of a new session."""
    response = RedirectResponse(path, 303, HEADERS)
    response.set_cookie(
        COOKIE,
        factory.sessions.new_cookie(key),
        max_age=_REMEMBERED_S,
        path=ROOT,
        httponly=True,
        samesite="strict",
        secure=over_tls(request),
    )
    return response


class AttemptLimit:
    """Limits how many wrong keys an address may send in a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return how long the address has to wait before its next attempt; 0: not at all."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < _ATTEMPTS_MAX:
            return 0.0
        return max(0.0, failures[0] + _WINDOW_S - self._clock.monotonic())

    def failed(self, address: str) -> None:
        """Count a wrong key."""
        failures = self._failures.setdefault(address, deque(maxlen=_ATTEMPTS_MAX))
        failures.append(self._clock.monotonic())
        self._failures.move_to_end(address)
        while len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)


class SignIn:
    """The sign-in screen."""

    def __init__(self, factory: ScreenFactory) -> None:
        self._factory = factory
        self._limit = AttemptLimit(factory.services.clock)

    async def show(self, request: Request) -> Response:
        query = request.query_params
        if self._factory.sessions.read(request.cookies.get(COOKIE)) is not None:
            return RedirectResponse(safe_next(query.get("next", "")), 303, HEADERS)
        return self._form(query.get("next", ""), ended=query.get("ended") == "1", signed_out=query.get("left") == "1")

    async def submit(self, request: Request) -> Response:
        try:
            with self._factory.services.bodies.share(SIGN_IN_OWNER) as share:
                form = await read_form(request, share, SIGN_IN_FORM_MAX)
            check_origin(request)
        except DisconnectedError:
            return Response(status_code=400)
        except Problem as problem:
            response = self._form("", problem.detail, problem.status)
            set_retry_after(response, problem)
            return response
        except Exception as error:
            return self._form("", problem_of(error).detail, 500)
        next_path, token = form.get("next", [""])[0], form.get("key", [""])[0].strip()
        try:
            key = self._check(token, request.client.host if request.client is not None else "")
        except Problem as problem:
            response = self._form(next_path, problem.detail, problem.status)
            set_retry_after(response, problem)
            return response
        return start_session(self._factory, request, key, safe_next(next_path))

    def _check(self, token: str, address: str) -> Key:
        """Return the key of a person who may sign in. Raises Problem 422 or 429.

        A generated key passes although its address is over the limit: it has 256 random bits and cannot be guessed.
        The operator's own key may be short, so the limit applies to it.
        """
        if not token:
            raise Problem(422, "Enter a key.")
        key = self._factory.services.registry.authenticate(token)
        wait_s = math.ceil(self._limit.wait_s(address))
        if wait_s and (key is None or key.id == OPERATOR_ID):
            raise Problem(
                429,
                f"Too many attempts. Wait {wait_s} s, then try again.",
                title="Too many attempts",
                headers={"Retry-After": str(wait_s)},
            )
        if key is None:
            self._limit.failed(address)
            raise Problem(422, why_refused(self._factory.services.registry, token))
        if key.role == "publish":
            raise Problem(
                422, "This key can only publish events. Sign in with one whose role is read, manage or admin."
            )
        return key

    def _form(
        self, next_path: str, error: str = "", status: int = 200, *, ended: bool = False, signed_out: bool = False
    ) -> Response:
        shown = {"next": next_path, "error": error, "ended": ended, "signed_out": signed_out}
        return self._factory.pages.page("admin/sign_in.html", shown, status)


async def sign_out(context: ScreenContext) -> Response:
    await context.end_session()
    response = context.redirect(f"{ROOT}/sign-in?left=1")
    response.delete_cookie(COOKIE, path=ROOT)
    return response
