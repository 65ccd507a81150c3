"""Signing in and out with a key."""

from collections import OrderedDict, deque
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from commerce_event.admin.page import ROOT, Desk, Page, check_origin, over_tls, read_form, safe_next
from commerce_event.admin.sessions import COOKIE, LIFETIME_S
from commerce_event.api.asgi import DisconnectedError
from commerce_event.api.problems import Problem, problem_of
from commerce_event.core.clock import Clock
from commerce_event.web.pages import HEADERS

_TRIES: Final = 10
_WINDOW_S: Final = 60.0
_ADDRESSES_MAX: Final = 10_000


class TryLimit:
    """How often an address may get a key wrong."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return how long the address has to wait before its next try, 0 for not at all."""
        failures = self._failures.get(address)
        if failures is None or len(failures) < _TRIES:
            return 0.0
        return max(0.0, failures[0] + _WINDOW_S - self._clock.monotonic())

    def failed(self, address: str) -> None:
        """Take note of a wrong key."""
        failures = self._failures.setdefault(address, deque(maxlen=_TRIES))
        failures.append(self._clock.monotonic())
        self._failures.move_to_end(address)
        while len(self._failures) > _ADDRESSES_MAX:
            self._failures.popitem(last=False)


class SignIn:
    """The screen before all others."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._limit = TryLimit(desk.services.clock)

    async def show(self, request: Request) -> Response:
        if self._desk.sessions.read(request.cookies.get(COOKIE)) is not None:
            return RedirectResponse(safe_next(request.query_params.get("next", "")), 303, HEADERS)
        return self._form(request.query_params.get("next", ""))

    async def enter(self, request: Request) -> Response:
        try:
            form = await read_form(request)
            check_origin(request)
        except DisconnectedError:
            return Response(status_code=400)
        except Problem as problem:
            return self._form("", problem.detail, problem.status)
        except Exception as error:
            return self._form("", problem_of(error).detail, 500)
        wanted, token = form.get("next", [""])[0], form.get("key", [""])[0].strip()
        address = request.client.host if request.client is not None else ""
        wait_s = self._limit.wait_s(address)
        if wait_s > 0:
            response = self._form(wanted, f"Too many tries. Wait {wait_s:.0f} s, then try again.", 429)
            response.headers["Retry-After"] = f"{wait_s:.0f}"
            return response
        cookie = self._desk.sessions.begin(token) if token else None
        if cookie is None:
            if token:
                self._limit.failed(address)
            message = "This key is unknown or revoked." if token else "Enter a key."
            return self._form(wanted, message, 422)
        response = RedirectResponse(safe_next(wanted), 303, HEADERS)
        response.set_cookie(
            COOKIE, cookie, max_age=LIFETIME_S, path=ROOT, httponly=True, samesite="strict", secure=over_tls(request)
        )
        return response

    def _form(self, wanted: str, error: str = "", status: int = 200) -> Response:
        return self._desk.pages.page("admin/sign_in.html", {"next": wanted, "error": error}, status)


async def sign_out(page: Page) -> Response:
    response = page.redirect(f"{ROOT}/sign-in")
    response.delete_cookie(COOKIE, path=ROOT)
    return response
