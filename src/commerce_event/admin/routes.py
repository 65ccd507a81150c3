"""The routes of the screens."""

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from commerce_event.admin.event_filters import field_time
from commerce_event.admin.list_position import after_rows, export_url, range_text
from commerce_event.admin.number_format import duration, latency, short
from commerce_event.admin.portal import Portal
from commerce_event.admin.screen_context import ROOT, Handler, Screen, ScreenFactory, not_found_screen
from commerce_event.admin.screens import (
    audit,
    bulk,
    changes,
    clients,
    dead_letters,
    endpoint,
    endpoint_changes,
    endpoint_path,
    endpoint_test,
    endpoints,
    event,
    event_settings,
    event_type_changes,
    event_types,
    events,
    exports,
    incidents,
    keys,
    overview,
    palette,
    refusals,
    replays,
    sources,
    system,
    timelines,
    validation,
)
from commerce_event.admin.sign_in import SignIn, sign_out
from commerce_event.api.services import Services
from commerce_event.core.vault import Vault
from commerce_event.registry.authentication import Needed
from commerce_event.web.highlight import highlight_code, highlight_json, value_text
from commerce_event.web.pages import HEADERS, Pages
from commerce_event.web.payload import readable_text, visible_controls

_MENU = (
    ("overview", "Overview", ROOT),
    ("events", "Events", f"{ROOT}/events"),
    ("changes", "Changes", f"{ROOT}/changes"),
    ("endpoints", "Endpoints", f"{ROOT}/endpoints"),
    ("dead", "Dead letters", f"{ROOT}/dead"),
    ("refusals", "Refused events", f"{ROOT}/refusals"),
    ("replays", "Replays", f"{ROOT}/replays"),
    ("types", "Event types", f"{ROOT}/types"),
    ("sources", "Change sources", f"{ROOT}/sources"),
    ("audit", "Audit log", f"{ROOT}/audit"),
    ("clients", "Clients", f"{ROOT}/clients"),
    ("keys", "Keys", f"{ROOT}/keys"),
    ("system", "System", f"{ROOT}/system"),
)
TEMPLATE_GLOBALS = {
    "menu": _MENU,
    "after_rows": after_rows,
    "duration": duration,
    "export_url": export_url,
    "field_time": field_time,
    "highlight_code": highlight_code,
    "highlight_json": highlight_json,
    "latency": latency,
    "range_text": range_text,
    "readable_text": readable_text,
    "short": short,
    "value_text": value_text,
    "visible_controls": visible_controls,
}
_NEEDED: Mapping[str, Needed] = {"keys": "admin"}
# Reading needs the role "read", changing "manage", as in the API.
_SCREENS: Sequence[tuple[str, str, Needed, Screen]] = (
    ("GET", "", "read", overview.show_overview),
    *(("GET", f"/{name}/export", _NEEDED.get(name, "read"), exports.export_of(name)) for name in exports.NAMES),
    ("GET", "/palette", "read", palette.show_palette),
    ("POST", "/dead/selected", "manage", bulk.change_dead_letters),
    ("POST", "/events/send-again", "manage", bulk.send_events_again),
    ("POST", "/endpoints/pause", "manage", bulk.pause_endpoints),
    ("GET", "/events/{id}/payload", "read", exports.download_payload),
    ("GET", "/events", "read", events.list_events),
    ("GET", "/events/{id}", "read", event.show_event),
    ("GET", "/deliveries/{id}", "read", event.show_delivery),
    ("POST", "/deliveries/{id}/retry", "manage", event.retry_delivery),
    ("POST", "/deliveries/{id}/cancel", "manage", event.cancel_delivery),
    *(
        ("GET", f"/{path}/{{value:path}}", "read", timelines.timeline_screen(kind))
        for kind, path in timelines.PATHS.items()
    ),
    ("GET", "/incidents/{id}", "read", incidents.show_incident),
    ("POST", "/incidents/{id}/test", "manage", incidents.send_test),
    ("GET", "/changes", "read", changes.list_changes),
    ("GET", "/changes/{id}", "read", changes.show_change),
    ("GET", "/endpoints", "read", endpoints.list_endpoints),
    ("GET", "/endpoints/new", "manage", endpoint_path.new_endpoint),
    ("POST", "/endpoints/new", "manage", endpoint_path.create_endpoint),
    ("GET", "/endpoints/{id}", "read", endpoint.show_endpoint),
    ("GET", "/endpoints/{id}/edit", "manage", endpoint_changes.edit_endpoint),
    ("POST", "/endpoints/{id}/edit", "manage", endpoint_changes.change_endpoint),
    *(
        ("GET", f"/endpoints/{{id}}/{action}", "manage", endpoint_changes.ask)
        for action in ("pause", "resume", "off", "on", "delete")
    ),
    ("POST", "/endpoints/{id}/pause", "manage", endpoint_changes.pause_endpoint),
    ("POST", "/endpoints/{id}/resume", "manage", endpoint_changes.resume_endpoint),
    ("POST", "/endpoints/{id}/off", "manage", endpoint_changes.switch_off),
    ("POST", "/endpoints/{id}/on", "manage", endpoint_changes.switch_on),
    ("POST", "/endpoints/{id}/delete", "manage", endpoint_changes.delete_endpoint),
    ("POST", "/endpoints/{id}/rotate", "manage", endpoint_changes.rotate_secret),
    ("GET", "/endpoints/{id}/secret", "manage", endpoint_path.show_secret),
    ("GET", "/endpoints/{id}/test", "manage", endpoint_test.show_test),
    ("POST", "/endpoints/{id}/test", "manage", endpoint_test.send_test),
    ("GET", "/dead", "read", dead_letters.list_dead_letters),
    ("GET", "/dead/send", "manage", dead_letters.ask_to_send),
    ("POST", "/dead/send", "manage", dead_letters.send_again),
    ("POST", "/dead/send-one", "manage", dead_letters.send_one),
    ("GET", "/dead/discard", "manage", dead_letters.ask_to_discard),
    ("POST", "/dead/discard", "manage", dead_letters.discard),
    ("GET", "/refusals", "read", refusals.list_refusals),
    ("GET", "/refusals/{id}", "read", refusals.show_refusal),
    ("POST", "/refusals/{id}/accept", "manage", refusals.accept_refusal),
    ("POST", "/refusals/{id}/correct", "manage", refusals.correct_refusal),
    ("POST", "/refusals/{id}/discard", "manage", refusals.discard_refusal),
    ("GET", "/replays", "read", replays.list_replays),
    ("GET", "/replays/new", "manage", replays.new_replay),
    ("POST", "/replays/new", "manage", replays.start_replay),
    ("GET", "/replays/{id}", "read", replays.show_replay),
    ("POST", "/replays/{id}/cancel", "manage", replays.cancel_replay),
    ("GET", "/types", "read", event_types.list_types),
    ("GET", "/types/new", "admin", event_type_changes.new_type),
    ("POST", "/types/new", "admin", event_type_changes.create_type),
    ("POST", "/types/validation", "manage", validation.set_mode),
    ("POST", "/types/validation/remove", "manage", validation.remove_mode),
    ("GET", "/types/{name}", "read", event_types.show_type),
    ("GET", "/types/{name}/edit", "admin", event_type_changes.edit_type),
    ("POST", "/types/{name}/edit", "admin", event_type_changes.change_type),
    ("POST", "/types/{name}/delete", "admin", event_type_changes.delete_type),
    ("POST", "/types/{name}/switch", "manage", event_types.switch_type),
    ("GET", "/types/{name}/settings", "read", event_settings.list_settings),
    ("GET", "/types/{name}/settings/new", "manage", event_settings.new_setting),
    ("POST", "/types/{name}/settings/new", "manage", event_settings.create_setting),
    ("GET", "/types/{name}/settings/fields", "manage", event_settings.list_fields),
    ("GET", "/event-settings/{id}", "read", event_settings.show_setting),
    ("GET", "/event-settings/{id}/edit", "manage", event_settings.edit_setting),
    ("POST", "/event-settings/{id}/edit", "manage", event_settings.change_setting),
    ("POST", "/event-settings/{id}/switch", "manage", event_settings.switch_setting),
    ("POST", "/event-settings/{id}/delete", "manage", event_settings.delete_setting),
    ("GET", "/sources", "read", sources.list_sources),
    ("GET", "/sources/{name}", "read", sources.show_source),
    ("GET", "/audit", "read", audit.list_entries),
    ("GET", "/audit/{id}", "read", audit.show_entry),
    ("POST", "/audit/{id}/restore", "manage", audit.restore_entry),
    ("GET", "/clients", "read", clients.list_clients),
    ("POST", "/clients", "manage", clients.name_client),
    ("GET", "/portal-links/new", "manage", clients.new_portal_link),
    ("POST", "/portal-links/new", "manage", clients.create_portal_link),
    ("GET", "/keys", "admin", keys.list_keys),
    ("POST", "/keys", "admin", keys.create_key),
    ("POST", "/keys/{id}/revoke", "admin", keys.revoke_key),
    ("GET", "/system", "read", system.show_system),
    ("POST", "/sign-out", "any", sign_out),
    ("GET", "/{path:path}", "any", not_found_screen),
)


def routes(services: Services, vault: Vault, pages: Pages) -> list[BaseRoute]:
    """Return the routes. The templates of ``pages`` need the functions in TEMPLATE_GLOBALS."""
    factory = ScreenFactory(services, vault, pages)
    sign_in = SignIn(factory)
    portal = Portal(factory)
    handlers: list[tuple[str, str, Handler]] = [
        ("GET", "/sign-in", sign_in.show),
        ("POST", "/sign-in", sign_in.submit),
        ("GET", "/portal", portal.show),
        ("POST", "/portal", portal.open),
    ]
    handlers += [(method, path, factory.handler(screen, needs)) for method, path, needs, screen in _SCREENS]
    screens = [
        Route(ROOT + path, factory.at_known_host(handler), methods=[method]) for method, path, handler in handlers
    ]
    return [Route("/", _to_root, methods=["GET"]), *screens]


async def _to_root(_request: Request) -> Response:
    return RedirectResponse(ROOT, 303, HEADERS)
