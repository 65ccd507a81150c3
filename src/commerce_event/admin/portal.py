"""Portal links: a page that says what the link opens, and a button that starts a session.

Only the button's POST starts a session, so programs that open links in advance change nothing.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from commerce_event.admin.csrf import check_origin
from commerce_event.admin.screen_context import ROOT, ScreenFactory, client_text, read_form, set_retry_after
from commerce_event.admin.sessions import COOKIE, LIFETIME_S
from commerce_event.admin.sign_in import SIGN_IN_FORM_MAX, SIGN_IN_OWNER, start_session
from commerce_event.core.clock import rfc3339
from commerce_event.core.key_state import key_state
from commerce_event.core.model import Key
from commerce_event.core.problems import Problem
from commerce_event.http.asgi import DisconnectedError
from commerce_event.http.problems import problem_of

_LINK_MAX: Final = 500  # characters


class Portal:
    """The screen of portal links."""

    def __init__(self, factory: ScreenFactory) -> None:
        self._factory = factory

    async def show(self, request: Request) -> Response:
        link = request.query_params.get("link", "")
        try:
            key = self._key(link)
        except Problem as problem:
            return self._page({"problem": problem}, problem.status)
        assert key.client_ids is not None and key.expires_ms is not None  # noqa: S101, PT018 - as each link is made
        now_ms = self._factory.services.clock.now_ms()
        registry = self._factory.services.registry
        former = self._factory.sessions.read(request.cookies.get(COOKIE))
        return self._page(
            {
                "problem": None,
                "link": link,
                "client": client_text(registry.client_name(key.client_ids[0]), key.client_ids[0]),
                "may_change": key.role == "manage",
                "ends_at": rfc3339(key.expires_ms),
                "is_long": key.expires_ms - now_ms > LIFETIME_S * 1000,
                "former": None if former is None or former.key.id == key.id else former.key.name or "another key",
            }
        )

    async def open(self, request: Request) -> Response:
        """Start a session that ends with the link."""
        try:
            with self._factory.services.bodies.share(SIGN_IN_OWNER) as share:
                form = await read_form(request, share, SIGN_IN_FORM_MAX)
            check_origin(request)
            key = self._key(form.get("link", [""])[0])
        except DisconnectedError:
            return Response(status_code=400)
        except Exception as error:
            problem = problem_of(error)
            response = self._page({"problem": problem}, problem.status)
            set_retry_after(response, problem)
            return response
        return start_session(self._factory, request, key, ROOT)

    def _key(self, link: str) -> Key:
        """Return the key of a link that works now. Raises Problem 404."""
        key = self._factory.services.registry.portal_link(link) if len(link) <= _LINK_MAX else None
        if key is None:
            raise Problem(404, "The link is not complete. Copy all of it, or ask for a new one.")
        state = key_state(key, self._factory.services.clock.now_ms())
        if state == "active":
            return key
        ended = "This link was revoked." if state == "revoked" else "This link has ended."
        raise Problem(404, f"{ended} Ask the person who sent it for a new one.")

    def _page(self, shown: dict[str, object], status: int = 200) -> Response:
        response = self._factory.pages.page("admin/portal.html", shown, status)
        response.headers["Referrer-Policy"] = "no-referrer"  # the address of this page is as good as a key
        return response
