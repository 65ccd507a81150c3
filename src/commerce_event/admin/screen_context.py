"""One request to a screen: who asks, what was sent, and the API operations on that person's behalf."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from commerce_event.accept.strict_json import load
from commerce_event.admin.csrf import HostCheck, check_origin
from commerce_event.admin.one_time_secret import COOKIE as ONE_TIME_COOKIE
from commerce_event.admin.one_time_secret import OneTimeSecret
from commerce_event.admin.sessions import COOKIE, Session, Sessions
from commerce_event.api.openapi import OPERATIONS
from commerce_event.api.operations import Call, perform, while_caller_waits
from commerce_event.api.paging import BYTES_MAX
from commerce_event.api.read_limits import SharedResponse, SharedStream, run_in_turn
from commerce_event.api.response_models import BooksView, EndpointView
from commerce_event.api.services import Services
from commerce_event.api.validation import convert
from commerce_event.contract.catalogue import Catalogue
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.clock import rfc3339
from commerce_event.core.model import Role
from commerce_event.core.problems import Problem, not_found
from commerce_event.core.vault import Vault
from commerce_event.http.asgi import DisconnectedError, read_body
from commerce_event.http.body_budget import BodyShare
from commerce_event.http.problems import problem_of
from commerce_event.registry.authentication import Needed, check_role
from commerce_event.web.compression import compress
from commerce_event.web.origin import origin_of, over_tls
from commerce_event.web.pages import HEADERS, Pages

FORM_MAX: Final = 64 * 1024
ROOT: Final = "/admin"
LIVE_S: Final = 5  # after which a page is read again; a screen may give its own live_s
STANDS_STILL: Final = frozenset({"cursor", "q", "page", "payload"})  # older pages of lists, and what costs more
_FORMS: Final = ("/new", "/edit", "/test")
FLASH_COOKIE: Final = "commerce_event_flash"
_OPERATIONS: Final = {operation.name: operation for operation in OPERATIONS}
_CHANGING: Final[frozenset[Role]] = frozenset({"admin", "manage"})
_LIST_LIMIT: Final = 200
_NAMES_SUGGESTED: Final = 500
_STREAM_BYTES: Final = 2 * BYTES_MAX  # of an export: a page of a list, and its rows as text

Form = dict[str, list[str]]


def client_text(name: str | None, client_id: int) -> str:
    """Return what people call a client, with its number: ``Acme (7)``; without a name ``7``."""
    return str(client_id) if name is None else f"{name} ({client_id})"


class _Query(dict[str, str]):
    """Query parameters; one that is absent is empty."""

    def __missing__(self, _name: str) -> str:
        return ""


class ScreenContext:
    """A request of a person who is signed in."""

    def __init__(self, request: Request, factory: "ScreenFactory", session: Session) -> None:
        self.request = request
        self.session = session
        self.form: Form = {}
        self.query = _Query((name, value) for name, value in request.query_params.items() if value.strip())
        self.one_time_secret = OneTimeSecret(factory.vault, factory.services.clock, session.id)
        self.dead_letter_count = 0  # as of the last recount; shown in the menu
        self._factory = factory

    @property
    def may_change(self) -> bool:
        return self.session.key.role in _CHANGING

    @property
    def own_client(self) -> int | None:
        """The client of a person who may see only one: no screen asks for it."""
        clients = self.session.key.client_ids
        return clients[0] if clients is not None and len(clients) == 1 else None

    @property
    def chosen_client(self) -> str:
        """The client that a screen is limited to, as the address has it; the own one of a person who sees only one."""
        return self.query["client_id"] or ("" if self.own_client is None else str(self.own_client))

    def client_text(self, client_id: int) -> str:
        """Return what people call a client, with its number: ``Acme (7)``; without a name ``7``."""
        return client_text(self._factory.services.registry.client_name(client_id), client_id)

    def client_names(self) -> list[tuple[int, str]]:
        """Return the clients with a name that this person may see, by name, for suggestions."""
        names = self._factory.services.registry.client_names(self.session.key.scope)
        return sorted(names.items(), key=lambda each: each[1].casefold())[:_NAMES_SUGGESTED]

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for a part of the page."""
        return "hx-request" in self.request.headers

    @property
    def now_ms(self) -> int:
        return self._factory.services.clock.now_ms()

    @property
    def address_policy(self) -> AddressPolicy:
        """Which addresses an endpoint's URL may have, for the form that checks every field at once."""
        return self._factory.services.policy

    @property
    def catalogue(self) -> Catalogue:
        """The event types that there are now."""
        return self._factory.services.registry.catalogue

    @property
    def origin(self) -> str:
        """The server's address as the browser has it, without a slash at the end."""
        return origin_of(self.request)

    @property
    def path_id(self) -> str:
        """The id in the path."""
        return str(self.request.path_params["id"])

    def field(self, name: str) -> str:
        """Return a field of the form as it was typed; an absent one is empty."""
        return self.form.get(name, [""])[0].strip()

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        raw_body: bytes = b"",
    ) -> Any:
        """Run an API operation as this person and return its answer. Raises Problem, as the operation would.

        ``raw_body`` is the body as JSON, for an operation that keeps the bytes of it.
        """
        operation = _OPERATIONS[name]
        check_role(self.session.key, operation.needs)
        given = {key: value for key, value in (query or {}).items() if value is not None}
        parameters = convert(given, operation.query, where="?", strict=False)
        if raw_body:
            body = load(raw_body)
        content = None if operation.body is None else convert({} if body is None else body, operation.body, where="")
        services, key = self._factory.services, self.session.key
        call = Call(services, key, path or {}, parameters, content, raw_body, origin=self.origin)
        return (await perform(operation, call)).content

    async def call_in_turn(self, name: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """Run an API operation that reads, in turn with the other reads of this key.

        For what no turn is taken for yet: a form, and an answer that has begun. Raises Problem, also when the key was
        revoked or has expired meanwhile.
        """
        if self._factory.services.registry.key(self.session.key.id) is None:
            raise Problem(401, "The key of this session was revoked, or has expired.")
        working = self.call(name, query=query, body=body)
        return await run_in_turn(self._factory.services.reads, self.session.key, working)

    async def all_endpoints(self) -> list[EndpointView]:
        """Return every endpoint that this person may see, oldest first."""
        return [each async for each in self.endpoints()][::-1]

    async def endpoints(self) -> AsyncIterator[EndpointView]:
        """Yield every endpoint that this person may see, newest first. Others run between the pages of the list."""
        cursor: str | None = None
        while True:
            page = await self.call("listEndpoints", query={"limit": _LIST_LIMIT, "cursor": cursor})
            for each in page.items:
                yield each
            cursor = page.next_cursor
            if cursor is None:
                return
            await asyncio.sleep(0)

    async def count_dead_letters(self, *, as_stored: bool = False) -> None:
        """Set the number in the menu, as of the last recount, which is in memory; or as it is stored now."""
        try:
            books: BooksView = await self.call("readBooks", query={"recounted": not as_stored, "items": False})
        except Problem:  # this key may not read
            return
        self.dead_letter_count = books.totals.dead

    async def end_session(self) -> None:
        await self._factory.sessions.end(self.session)

    def url_with(self, **changes: str | None) -> str:
        """Return this page's address with other query parameters; None leaves one out."""
        kept = {name: value for name, value in {**self.query, **changes}.items() if value is not None}
        return self.request.url.path + (f"?{urlencode(kept)}" if kept else "")

    def render(self, template: str, status: int = 200, **context: Any) -> Response:
        """Answer with a page."""
        flash = self.request.cookies.get(FLASH_COOKIE, "")
        shown = {
            "session": self.session,
            "may_change": self.may_change,
            "own_client": self.own_client,
            "client": self.client_text,
            "client_names": self.client_names,
            "path": self.request.url.path,
            "query": self.query,
            "menu_item": "",
            "dead_letter_count": self.dead_letter_count,
            "now": "" if self.is_partial else rfc3339(self.now_ms),  # else no page would be as it was
            "page_url": self.url_with(),
            "is_readable": self._is_readable(status),
            "flash": bytes.fromhex(flash).decode(errors="replace") if _is_hex(flash) else "",
            **context,
            "live_s": 0 if STANDS_STILL & self.query.keys() else context.get("live_s", LIVE_S),
        }
        return self._factory.pages.page(f"admin/{template}", shown, status)

    def _is_readable(self, status: int) -> bool:
        """Whether the page can be read again: it is neither a form, nor the answer to one, nor shown only once."""
        is_form = self.request.url.path.endswith(_FORMS) or ONE_TIME_COOKIE in self.request.cookies
        return self.request.method == "GET" and status == 200 and not is_form

    def redirect(self, path: str, *, flash: str = "", one_time: str = "") -> Response:
        """Redirect the browser, with a message for the next page, and what only that page shows, once."""
        response = RedirectResponse(path, 303, HEADERS)
        if one_time:
            self.one_time_secret.put(response, urlsplit(path).path, one_time, secure=over_tls(self.request))
        if flash:
            response.set_cookie(
                FLASH_COOKIE, flash.encode().hex(), max_age=30, path=ROOT, httponly=True, samesite="strict"
            )
        return response


Screen = Callable[[ScreenContext], Coroutine[Any, Any, Response]]
Handler = Callable[[Request], Awaitable[Response]]


async def not_found_screen(_context: ScreenContext) -> Response:
    """Answer an address that no screen has. Raises Problem 404."""
    raise not_found("page")


class ScreenFactory:
    """Makes request handlers of screens: checks session and role, reads the form, renders problems."""

    def __init__(self, services: Services, vault: Vault, pages: Pages) -> None:
        self.services = services
        self.sessions = Sessions(services.registry, vault, services.clock)
        self.pages = pages
        self.vault = vault
        self._hosts = HostCheck(services.settings)

    def at_known_host(self, handler: Handler) -> Handler:
        """Return the handler, which then answers only at host names that the screens may be reached by."""

        async def handle(request: Request) -> Response:
            try:
                self._hosts.check(request)
            except Problem as problem:
                return self.pages.page("admin/refused.html", {"problem": problem}, problem.status)
            return await handler(request)

        return handle

    def handler(self, screen: Screen, needs: Needed) -> Handler:
        """Return the handler of a screen that needs a role."""

        async def handle(request: Request) -> Response:
            session = self.sessions.read(request.cookies.get(COOKIE))
            if session is None:
                return _to_sign_in(request)
            context = ScreenContext(request, self, session)
            await context.count_dead_letters()
            try:
                check_role(session.key, needs)
                response = await (
                    self._show(context, screen) if request.method == "GET" else self._act(context, screen)
                )
            except DisconnectedError:
                return Response(status_code=400)
            except Exception as error:
                problem = problem_of(error)
                response = context.render("problem.html", problem.status, problem=problem)
                set_retry_after(response, problem)
            if request.method == "GET" and not context.is_partial:
                for cookie, path in ((FLASH_COOKIE, ROOT), (ONE_TIME_COOKIE, request.url.path)):
                    if cookie in request.cookies:
                        response.delete_cookie(cookie, path=path)
            if isinstance(response, StreamingResponse):
                return SharedStream(response, self.services.bodies, session.key.owner, _STREAM_BYTES)
            if request.method == "GET":
                response = finished(request, response)
            return SharedResponse(response, self.services.bodies, session.key.owner)

        return handle

    async def _show(self, context: ScreenContext, screen: Screen) -> Response:
        """Answer a screen that only reads, in turn with the other reads of its key."""
        working = run_in_turn(self.services.reads, context.session.key, screen(context))
        return await while_caller_waits(context.request, working)

    async def _act(self, context: ScreenContext, screen: Screen) -> Response:
        """Answer a form."""
        with self.services.bodies.share(context.session.key.owner) as share:
            context.form = await read_form(context.request, share)
            check_origin(context.request)
            if context.own_client is not None and not context.field("client_id"):
                context.form["client_id"] = [str(context.own_client)]
            if not context.session.allows(context.field("csrf")):
                raise Problem(403, "This form is out of date. Load the page again and repeat it.")
            return await screen(context)


def finished(request: Request, response: Response) -> Response:
    """Return a page that is renewed as 304 when it is as the browser has it, and compress any other."""
    if response.status_code == 200 and "hx-request" in request.headers:
        etag = f'W/"{hashlib.sha256(response.body).hexdigest()[:16]}"'  # weak: it may be compressed
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={**HEADERS, "ETag": etag})
        response.headers["ETag"] = etag
    compress(request, response)
    return response


async def read_form(request: Request, share: BodyShare, limit: int = FORM_MAX) -> Form:
    """Return the fields of a form of at most ``limit`` bytes. Raises Problem, DisconnectedError."""
    headers = dict(request.headers.raw)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Problem(415, "Send the form as application/x-www-form-urlencoded, as the page does.")
    raw = await read_body(request.receive, headers, limit, share)
    form: Form = {}
    try:
        for name, value in parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=500, errors="strict"):
            form.setdefault(name, []).append(value)
    except ValueError:
        raise Problem(400, "The form cannot be read. Load the page again and repeat it.") from None
    return form


def set_retry_after(response: Response, problem: Problem) -> None:
    """Tell when to repeat a request that could not be done now, as the answers of the API do."""
    if "Retry-After" in problem.headers:
        response.headers["Retry-After"] = problem.headers["Retry-After"]


def safe_next(path: str) -> str:
    """Return the path to open after signing in: always one of the screens."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    return path if plain and (path == ROOT or path.startswith((f"{ROOT}/", f"{ROOT}?"))) else ROOT


def _to_sign_in(request: Request) -> Response:
    """Redirect to the sign-in page, which leads back to the page that the person was on."""
    is_partial = "hx-request" in request.headers
    if request.method == "GET" and not is_partial:
        back = _path_and_query(str(request.url))
    else:
        back = _path_and_query(request.headers.get("hx-current-url" if is_partial else "referer", ""))
    parameters = {}
    if COOKIE in request.cookies or is_partial:
        parameters["ended"] = "1"
    if safe_next(back) != ROOT:
        parameters["next"] = back
    target = f"{ROOT}/sign-in" + (f"?{urlencode(parameters, safe='/')}" if parameters else "")
    if is_partial:
        return HTMLResponse("", headers={**HEADERS, "HX-Redirect": target})
    return RedirectResponse(target, 303, HEADERS)


def _path_and_query(url: str) -> str:
    """Return path and query of a URL; empty when it is not a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(letter in "0123456789abcdef" for letter in text)
