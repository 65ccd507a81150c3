"""One request to a screen: who asks, what was sent, and the management calls on that person's behalf."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from commerce_event.admin.csrf import Hosts, check_origin
from commerce_event.admin.one_time_secret import COOKIE as REVEAL
from commerce_event.admin.one_time_secret import Reveal
from commerce_event.admin.sessions import COOKIE, Session, Sessions
from commerce_event.api.openapi import OPERATIONS
from commerce_event.api.operations import Call, perform
from commerce_event.api.services import Services
from commerce_event.api.validation import convert
from commerce_event.core import ids
from commerce_event.core.model import Endpoint, Role
from commerce_event.core.problems import Problem, not_found
from commerce_event.core.vault import Vault
from commerce_event.http.asgi import DisconnectedError, read_body
from commerce_event.http.problems import problem_of
from commerce_event.registry.authentication import Needed, check_role
from commerce_event.web.origin import origin_of, over_tls
from commerce_event.web.pages import HEADERS, Pages

FORM_MAX: Final = 64 * 1024
ROOT: Final = "/admin"
SAID: Final = "commerce_event_said"
_OPERATIONS: Final = {operation.name: operation for operation in OPERATIONS}
_CHANGING: Final[frozenset[Role]] = frozenset({"admin", "manage"})

Form = dict[str, list[str]]


class _Query(dict[str, str]):
    """Query parameters; one that is absent is empty."""

    def __missing__(self, _name: str) -> str:
        return ""


class Page:
    """A request by somebody who is signed in."""

    def __init__(self, request: Request, desk: "Desk", session: Session) -> None:
        self.request = request
        self.services = desk.services
        self.sessions = desk.sessions
        self.session = session
        self.reveal = Reveal(desk.vault, desk.services.clock, session.id)
        self.form: Form = {}
        self.query = _Query((name, value) for name, value in request.query_params.items() if value.strip())
        self._pages = desk.pages

    @property
    def may_change(self) -> bool:
        return self.session.key.role in _CHANGING

    @property
    def is_part(self) -> bool:
        """Whether only a part of the page is asked for."""
        return "hx-request" in self.request.headers

    def text(self, name: str) -> str:
        """Return a field of the form as it was typed; an absent one is empty."""
        return self.form.get(name, [""])[0].strip()

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> Any:
        """Run a management call as this person and return its answer. Raises Problem, as the call itself would."""
        operation = _OPERATIONS[name]
        check_role(self.session.key, operation.needs)
        given = {key: value for key, value in (query or {}).items() if value is not None}
        asked = convert(given, operation.query, where="?", strict=False)
        wanted = None if operation.body is None else convert({} if body is None else body, operation.body, where="")
        reply = await perform(operation, Call(self.services, self.session.key, path or {}, asked, wanted))
        return reply.content

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint in this person's reach that was not deleted."""
        try:
            number = ids.decode("end", endpoint_id)
        except ids.InvalidIdError:
            return None
        return self.services.registry.endpoint_in(self.session.key.scope, number)

    def id(self) -> str:
        """Return the id in the address."""
        return str(self.request.path_params["id"])

    def here(self, **changes: str | None) -> str:
        """Return this page's address with other query parameters; None leaves one out."""
        wanted = {name: value for name, value in {**self.query, **changes}.items() if value is not None}
        return self.request.url.path + (f"?{urlencode(wanted)}" if wanted else "")

    def show(self, template: str, status: int = 200, **context: Any) -> Response:
        """Answer with a page."""
        return self._pages.page(f"admin/{template}", self._context(context), status)

    @property
    def origin(self) -> str:
        """The server's address as the browser has it, without a slash at the end."""
        return origin_of(self.request)

    def redirect(self, path: str, *, said: str = "", reveal: str = "") -> Response:
        """Send the browser on, with a message for the next page, and what only that page shows, once."""
        response = RedirectResponse(path, 303, HEADERS)
        if reveal:
            self.reveal.put(response, urlsplit(path).path, reveal, secure=over_tls(self.request))
        if said:
            response.set_cookie(SAID, said.encode().hex(), max_age=30, path=ROOT, httponly=True, samesite="strict")
        return response

    def _dead_count(self) -> int:
        """Return how many dead letters the menu shows: as of the last recount, which costs no look at the store."""
        report, scope = self.services.maintenance.counts.report, self.session.key.scope
        return 0 if report is None else sum(each.dead for each in report.counts if scope.allows(each.client_id))

    def _context(self, context: Mapping[str, Any]) -> dict[str, Any]:
        said = self.request.cookies.get(SAID, "")
        return {
            "session": self.session,
            "may_change": self.may_change,
            "path": self.request.url.path,
            "query": self.query,
            "here": "",
            "dead_count": self._dead_count(),
            "said": bytes.fromhex(said).decode(errors="replace") if _is_hex(said) else "",
            "said_tone": "good",
            **context,
        }


Screen = Callable[[Page], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]


async def nothing(_page: Page) -> Response:
    """An address that no screen has. Raises Problem 404."""
    raise not_found("page")


class Desk:
    """Makes request handlers of screens: checks the session and its role, reads the form, shows what went wrong."""

    def __init__(self, services: Services, vault: Vault, pages: Pages) -> None:
        self.services = services
        self.sessions = Sessions(services.registry, vault, services.clock)
        self.pages = pages
        self.vault = vault
        self._hosts = Hosts(services.settings)

    def at_our_name(self, handler: Handler) -> Handler:
        """Return the handler for those alone who ask by a name that the screens answer to."""

        async def handle(request: Request) -> Response:
            try:
                self._hosts.check(request)
            except Problem as problem:
                return self.pages.page("admin/refused.html", {"problem": problem}, problem.status)
            return await handler(request)

        return handle

    def handler(self, screen: Screen, needs: Needed) -> Handler:
        """Return the handler of a screen that takes a role."""

        async def handle(request: Request) -> Response:
            session = self.sessions.read(request.cookies.get(COOKIE))
            if session is None:
                return _to_sign_in(request)
            page = Page(request, self, session)
            try:
                check_role(session.key, needs)
                if request.method == "POST":
                    page.form = await read_form(request)
                    check_origin(request)
                    if not session.allows(page.text("csrf")):
                        raise Problem(403, "This form is out of date; load the page again and repeat it.")
                response = await screen(page)
            except DisconnectedError:
                return Response(status_code=400)
            except Exception as error:
                problem = problem_of(error)
                response = page.show("problem.html", problem.status, problem=problem)
            if request.method == "GET" and not page.is_part:
                for cookie, path in ((SAID, ROOT), (REVEAL, request.url.path)):
                    if cookie in request.cookies:
                        response.delete_cookie(cookie, path=path)
            return response

        return handle


async def read_form(request: Request) -> Form:
    """Return the fields of a form. Raises Problem."""
    headers = dict(request.headers.raw)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Problem(415, "Send the form as the page has it.")
    raw = await read_body(request.receive, headers, FORM_MAX)
    form: Form = {}
    try:
        for name, value in parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=500, errors="strict"):
            form.setdefault(name, []).append(value)
    except ValueError:
        raise Problem(400, "The form cannot be read; load the page again and repeat it.") from None
    return form


def safe_next(path: str) -> str:
    """Return where to go after signing in: only ever a screen of ours."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    return path if plain and (path == ROOT or path.startswith((f"{ROOT}/", f"{ROOT}?"))) else ROOT


def _to_sign_in(request: Request) -> Response:
    """Send whoever is not signed in to where that is done, and from there back to the page that they were on."""
    is_part = "hx-request" in request.headers
    if request.method == "GET" and not is_part:
        wanted = _address(str(request.url))
    else:
        wanted = _address(request.headers.get("hx-current-url" if is_part else "referer", ""))
    asked = {}
    if COOKIE in request.cookies or is_part:
        asked["ended"] = "1"
    if safe_next(wanted) != ROOT:
        asked["next"] = wanted
    target = f"{ROOT}/sign-in" + (f"?{urlencode(asked, safe='/')}" if asked else "")
    if is_part:
        return HTMLResponse("", headers={**HEADERS, "HX-Redirect": target})
    return RedirectResponse(target, 303, HEADERS)


def _address(url: str) -> str:
    """Return path and query of a URL, empty when it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(letter in "0123456789abcdef" for letter in text)
