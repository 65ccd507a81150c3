"""The addresses of the screens."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from commerce_event.admin.figures import lasting, short, took
from commerce_event.admin.page import ROOT, Desk, Screen, nothing
from commerce_event.admin.screens import dead_letters, endpoints, event_types, events, keys, replays, system
from commerce_event.admin.screens.overview import overview
from commerce_event.admin.sign_in import SignIn, sign_out
from commerce_event.api.services import Services
from commerce_event.core.vault import Vault
from commerce_event.web.highlight import highlighted, shown
from commerce_event.web.pages import HEADERS, Pages

_MENU = (
    ("overview", "Overview", ROOT),
    ("events", "Events", f"{ROOT}/events"),
    ("endpoints", "Endpoints", f"{ROOT}/endpoints"),
    ("dead", "Dead letters", f"{ROOT}/dead"),
    ("replays", "Replays", f"{ROOT}/replays"),
    ("types", "Event types", f"{ROOT}/types"),
    ("keys", "Keys", f"{ROOT}/keys"),
    ("system", "System", f"{ROOT}/system"),
)
SHARED = {
    "screens": _MENU,
    "highlighted": highlighted,
    "lasting": lasting,
    "short": short,
    "shown": shown,
    "took": took,
}
_SCREENS: Sequence[tuple[str, str, Screen]] = (
    ("GET", "", overview),
    ("GET", "/events", events.list_events),
    ("GET", "/events/{id}", events.one_event),
    ("GET", "/deliveries/{id}", events.one_delivery),
    ("POST", "/deliveries/{id}/retry", events.retry),
    ("POST", "/deliveries/{id}/cancel", events.cancel),
    ("GET", "/endpoints", endpoints.list_endpoints),
    ("GET", "/endpoints/new", endpoints.new_endpoint),
    ("POST", "/endpoints/new", endpoints.create_endpoint),
    ("GET", "/endpoints/{id}", endpoints.one_endpoint),
    ("GET", "/endpoints/{id}/edit", endpoints.edit_endpoint),
    ("POST", "/endpoints/{id}/edit", endpoints.change_endpoint),
    ("POST", "/endpoints/{id}/switch", endpoints.switch_endpoint),
    ("POST", "/endpoints/{id}/delete", endpoints.delete_endpoint),
    ("POST", "/endpoints/{id}/rotate", endpoints.rotate_secret),
    ("POST", "/endpoints/{id}/test", endpoints.test_endpoint),
    ("GET", "/dead", dead_letters.list_dead),
    ("GET", "/replays", replays.list_replays),
    ("GET", "/replays/new", replays.new_replay),
    ("POST", "/replays/new", replays.start_replay),
    ("GET", "/replays/{id}", replays.one_replay),
    ("GET", "/types", event_types.list_types),
    ("GET", "/types/{name}", event_types.one_type),
    ("POST", "/types/{name}/switch", event_types.switch_type),
    ("GET", "/keys", keys.list_keys),
    ("POST", "/keys", keys.create_key),
    ("POST", "/keys/{id}/revoke", keys.revoke_key),
    ("GET", "/system", system.system),
    ("POST", "/sign-out", sign_out),
    ("GET", "/{anything:path}", nothing),
)


def routes(services: Services, vault: Vault, pages: Pages) -> list[BaseRoute]:
    """Return the routes; ``pages`` knows SHARED."""
    desk = Desk(services, vault, pages)
    sign_in = SignIn(desk)
    made: list[BaseRoute] = [
        Route("/", _to_root, methods=["GET"]),
        Route(f"{ROOT}/sign-in", sign_in.show, methods=["GET"]),
        Route(f"{ROOT}/sign-in", sign_in.enter, methods=["POST"]),
    ]
    made += [Route(ROOT + path, desk.handler(screen), methods=[method]) for method, path, screen in _SCREENS]
    return made


async def _to_root(_request: Request) -> Response:
    return RedirectResponse(ROOT, 303, HEADERS)
