"""The form of an endpoint: from what was typed to a request body, and from its faults back to the fields."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from commerce_event.api.problems import Problem, invalid
from commerce_event.api.views import EndpointView
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT

Form = Mapping[str, list[str]]

_NUMBERS: Final[Mapping[str, type[int] | type[float]]] = {
    "client_id": int,
    "application_id": int,
    "timeout_s": float,
    "jitter": float,
    "max_in_flight": int,
    "rate_limit": float,
}
_NEEDED: Final = {"client_id": "name the client", "jitter": "0 for none", "max_in_flight": "at least 1"}


def blank(client_id: str) -> dict[str, list[str]]:
    """Return the form of an endpoint that is not made yet."""
    return {
        "client_id": [client_id],
        "event_types": ["*"],
        "enabled": ["1"],
        "follow_redirects": ["1"],
        "jitter": ["0"],
        "max_in_flight": [str(DEFAULT_MAX_IN_FLIGHT)],
        "ordering": ["none"],
        "signing": ["hmac"],
    }


def form_of(endpoint: EndpointView) -> dict[str, list[str]]:
    """Return the form as it is filled in for an endpoint."""
    schedule = endpoint.retry_schedule
    return {
        "client_id": [str(endpoint.client_id)],
        "application_id": [_text(endpoint.application_id)],
        "url": [endpoint.url],
        "description": [endpoint.description],
        "event_types": endpoint.event_types,
        "enabled": ["1"] if endpoint.enabled else [],
        "follow_redirects": ["1"] if endpoint.follow_redirects else [],
        "headers": ["\n".join(f"{name}: {value}" for name, value in endpoint.headers.items())],
        "filter": ["" if endpoint.filter is None else msgspec.json.encode(endpoint.filter).decode()],
        "timeout_s": [_text(endpoint.timeout_s)],
        "retry_schedule": ["" if schedule is None else ", ".join(f"{delay:g}s" for delay in schedule)],
        "jitter": [_text(endpoint.jitter)],
        "max_in_flight": [str(endpoint.max_in_flight)],
        "rate_limit": [_text(endpoint.rate_limit)],
        "ordering": [endpoint.ordering],
        "signing": [endpoint.signing],
    }


def fields_of(form: Form) -> dict[str, Any]:
    """Return the request body of what was typed. Raises Problem 422 for what cannot even be put into one."""
    fields: dict[str, Any] = {name: _number(form, name) for name in _NUMBERS}
    fields["url"] = _first(form, "url")
    fields["description"] = _first(form, "description")
    fields["event_types"] = form.get("event_types", [])
    fields["enabled"] = "enabled" in form
    fields["follow_redirects"] = "follow_redirects" in form
    fields["ordering"] = _first(form, "ordering") or "none"
    fields["signing"] = _first(form, "signing") or "hmac"
    fields["headers"] = _headers(_first(form, "headers"))
    fields["filter"] = _filter(_first(form, "filter"))
    schedule = _first(form, "retry_schedule")
    fields["retry_schedule"] = [part.strip() for part in schedule.split(",")] if schedule else None
    return fields


def on_fields(problem: Problem) -> dict[str, str]:
    """Return the faults of a problem by field; what belongs to none is under the empty name."""
    if not problem.faults:
        return {"": problem.detail}
    return {fault.pointer.strip("/").split("/")[0]: fault.message for fault in problem.faults}


def _first(form: Form, name: str) -> str:
    return form.get(name, [""])[0].strip()


def _number(form: Form, name: str) -> int | float | None:
    text = _first(form, name)
    if not text:
        if name in _NEEDED:
            raise invalid(f"/{name}", f"fill this in: {_NEEDED[name]}")
        return None
    try:
        return _NUMBERS[name](text)
    except (ValueError, OverflowError):
        kind = "a whole number" if _NUMBERS[name] is int else "a number"
        raise invalid(f"/{name}", f"write {kind}") from None


def _headers(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise invalid("/headers", f"write one header a line, as Name: value; this line has no colon: {line[:60]!r}")
        if name.strip() in headers:
            raise invalid("/headers", f"{name.strip()[:60]} is given twice")
        headers[name.strip()] = value.strip()
    return headers


def _filter(text: str) -> Any:
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except ValueError as error:
        raise invalid("/filter", f"this is no JSON: {error}") from None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.12g}"
