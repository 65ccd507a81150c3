"""Keys: create, list, revoke."""

from datetime import date
from typing import Any, Final

from starlette.responses import Response

from commerce_event.admin.endpoint_form import errors_as_worded
from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.core import ids
from commerce_event.core.problems import Problem, invalid

_PAGE_SIZE: Final = 100
_DAY_S: Final = 86_400
_LIFETIMES: Final = (
    ("", "Never"), (str(_DAY_S), "In 1 day"), (str(7 * _DAY_S), "In 7 days"), (str(30 * _DAY_S), "In 30 days"),
    (str(90 * _DAY_S), "In 90 days"), (str(365 * _DAY_S), "In a year"), ("date", "On a date"),
)  # fmt: skip


async def list_keys(context: ScreenContext) -> Response:
    return await _render(context, {})


async def create_key(context: ScreenContext) -> Response:
    fields: dict[str, Any] = {"role": context.field("role") or "read", "name": context.field("name")}
    clients, expires = context.field("client_ids"), context.field("expires")
    try:
        if expires == "date":
            fields["expires_at"] = _end_of(context.field("expires_on"))
        elif expires:
            fields["expires_in_s"] = int(expires)
        if clients:
            fields["client_ids"] = _client_ids(clients)
        created = await context.call("createKey", body=fields)
    except Problem as problem:
        errors = errors_as_worded(problem)
        if "expires_at" in errors:
            errors["expires_on"] = errors.pop("expires_at")
        return await _render(context, errors, problem.status)
    return context.redirect(f"{ROOT}/keys", one_time=created.key)


async def revoke_key(context: ScreenContext) -> Response:
    await context.call("revokeKey", path={"id": context.path_id})
    return context.redirect(f"{ROOT}/keys", flash="The key is revoked. Requests with it are rejected from now on.")


def _client_ids(text: str) -> list[int]:
    """Return the client numbers in a text. Raises Problem 422."""
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise invalid("/client_ids", "enter client numbers separated by commas, such as 1, 2") from None


def _end_of(day: str) -> str:
    """Return the last second of a day (UTC). Raises Problem 422."""
    try:
        return f"{date.fromisoformat(day)}T23:59:59Z"
    except ValueError:
        raise invalid("/expires_at", "enter a date, such as 2027-01-31") from None


async def _render(context: ScreenContext, errors: dict[str, str], status: int = 200) -> Response:
    found = await context.call("listKeys", query={"limit": _PAGE_SIZE, "cursor": context.query.get("cursor")})
    return context.render(
        "keys.html",
        status,
        keys=found.items,
        form=context.form,
        errors=errors,
        new_key=context.one_time_secret.take(context.request),
        lifetimes=_LIFETIMES,
        own=ids.encode("key", context.session.key.id),
        next_url=context.url_with(cursor=found.next_cursor) if found.next_cursor else "",
        first_url=context.url_with(cursor=None) if "cursor" in context.query else "",
    )
