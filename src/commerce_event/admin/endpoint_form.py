"""The form of an endpoint: from what was typed to a request body, and from errors back to the fields."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from commerce_event.admin.payload_selection import unlisted
from commerce_event.api.endpoint_fields import faults_of
from commerce_event.api.response_models import MASK, EndpointView
from commerce_event.contract.catalogue import Catalogue
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT
from commerce_event.core.problems import Fault, Problem

Form = Mapping[str, list[str]]
Errors = dict[str, str]

LABELS: Final = {
    "url": "URL",
    "client_id": "Client",
    "application_id": "Application",
    "description": "Description",
    "event_types": "Event types",
    "except": "Left out",
    "filter": "Filter",
    "properties": "Payload",
    "headers": "Static headers",
    "timeout_s": "Timeout",
    "retry_schedule": "Retry delays",
    "jitter": "Jitter",
    "max_in_flight": "Concurrency",
    "rate_limit": "Rate limit",
    "ordering": "Ordering",
    "signing": "Signature",
}
_NUMBERS: Final[Mapping[str, type[int] | type[float]]] = {
    "client_id": int,
    "application_id": int,
    "timeout_s": float,
    "jitter": float,
    "max_in_flight": int,
    "rate_limit": float,
}
_REQUIRED: Final = {
    "client_id": "Enter the client's number.",
    "jitter": "Enter a number: 0 for none.",
    "max_in_flight": "Enter a number: at least 1.",
}
_NEEDS_SUBJECT: Final = ("must ", "is ", "has ", "does ")


def blank_form(client_id: str) -> dict[str, list[str]]:
    """Return the form of a new endpoint."""
    return {
        "client_id": [client_id],
        "event_types": ["*"],
        "payload": ["all"],
        "enabled": ["1"],
        "follow_redirects": ["1"],
        "jitter": ["0"],
        "max_in_flight": [str(DEFAULT_MAX_IN_FLIGHT)],
        "ordering": ["none"],
        "signing": ["hmac"],
    }


def form_of(endpoint: EndpointView, catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the form filled in with an endpoint."""
    schedule = endpoint.retry_schedule
    properties = endpoint.properties or []
    return {
        "client_id": [str(endpoint.client_id)],
        "application_id": [_text(endpoint.application_id)],
        "url": [endpoint.url],
        "description": [endpoint.description],
        "event_types": endpoint.event_types,
        "except": endpoint.except_types,
        "payload": ["all" if endpoint.properties is None else "selected"],
        "properties": properties,
        "other_properties": [", ".join(unlisted(properties, catalogue))],
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


def read_fields(form: Form) -> tuple[dict[str, Any], Errors]:
    """Return the request body of what was typed, and errors of the fields that are missing in it."""
    errors: Errors = {}
    chosen = form.get("event_types", [])
    schedule = _first(form, "retry_schedule")
    fields: dict[str, Any] = {
        "url": _first(form, "url"),
        "description": _first(form, "description"),
        "event_types": ["*"] if "*" in chosen else chosen,
        "except": form.get("except", []),
        "enabled": bool(form.get("enabled")),
        "follow_redirects": bool(form.get("follow_redirects")),
        "ordering": _first(form, "ordering") or "none",
        "signing": _first(form, "signing") or "hmac",
        "retry_schedule": [part.strip() for part in schedule.split(",")] if schedule else None,
    }
    readers = {
        **dict.fromkeys(_NUMBERS, _number), "headers": _headers, "filter": _filter, "properties": _properties,
    }  # fmt: skip
    for name, read in readers.items():
        try:
            fields[name] = read(form, name)
        except _UnreadableError as error:
            errors[name] = str(error)
    if not fields["event_types"]:
        errors["event_types"] = "Choose at least one event type, or all."
        del fields["event_types"]
    return fields, errors


def check_fields(
    fields: Mapping[str, Any],
    policy: AddressPolicy,
    catalogue: Catalogue,
    *,
    kept: Mapping[str, str] | None = None,
) -> Errors:
    """Return everything that the API would reject, by field. ``kept`` are headers whose values may be masked."""
    checked = dict(fields)
    if kept and "headers" in checked:
        known = {name.lower() for name in kept}
        checked["headers"] = {
            name: "kept" if value == MASK and name.lower() in known else value
            for name, value in checked["headers"].items()
        }
    return _by_field(faults_of(checked, policy, catalogue))


def errors_as_sentences(problem: Problem) -> Errors:
    """Return the errors of a problem by field, as sentences; what belongs to no field is under the empty name."""
    return _by_field(problem.faults) if problem.faults else {"": problem.detail}


def errors_as_worded(problem: Problem) -> Errors:
    """Return the errors of a problem by field, as the API words them."""
    if not problem.faults:
        return {"": problem.detail}
    return {fault.pointer.strip("/").removeprefix("?").split("/")[0]: fault.message for fault in problem.faults}


def _by_field(faults: "list[Fault] | tuple[Fault, ...]") -> Errors:
    found: Errors = {}
    for fault in faults:
        name, _, inside = fault.pointer.strip("/").partition("/")
        found.setdefault(name, _sentence(name, inside.replace("~1", "/").replace("~0", "~"), fault.message))
    return found


def _sentence(name: str, inside: str, message: str) -> str:
    """Return an error as a sentence. The API's message may need its subject, the field's label, before it."""
    subject = inside if name == "headers" and inside else LABELS.get(name, name)
    text = f"{subject} {message}" if message.startswith(_NEEDS_SUBJECT) else message[:1].upper() + message[1:]
    where = f" (at {inside.replace('/', ' › ')})" if name == "filter" and inside else ""
    return f"{text.rstrip('.')}{where}."


class _UnreadableError(ValueError):
    """What was typed cannot be put into a request body; the message says what to enter."""


def _first(form: Form, name: str) -> str:
    return (form.get(name) or [""])[0].strip()


def _number(form: Form, name: str) -> int | float | None:
    text = _first(form, name)
    if not text:
        if name in _REQUIRED:
            raise _UnreadableError(_REQUIRED[name])
        return None
    try:
        return _NUMBERS[name](text.replace(",", "."))
    except (ValueError, OverflowError):
        raise _UnreadableError(f"Enter a {'whole ' if _NUMBERS[name] is int else ''}number.") from None


def _headers(form: Form, name: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in _first(form, name).splitlines():
        if not line.strip():
            continue
        header, colon, value = (part.strip() for part in line.partition(":"))
        if not colon:
            raise _UnreadableError(f"Enter one header per line, as Name: value; “{line[:60]}” has no colon.")
        if header in headers:
            raise _UnreadableError(f"{header[:60]} is given twice.")
        headers[header] = value
    return headers


def _filter(form: Form, name: str) -> Any:
    text = _first(form, name)
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except ValueError as error:
        raise _UnreadableError(f"This is not valid JSON: {error}.") from None


def _properties(form: Form, name: str) -> list[str] | None:
    if _first(form, "payload") != "selected":
        return None
    others = [part.strip() for part in _first(form, "other_properties").split(",")]
    return list(dict.fromkeys([*form.get(name, []), *filter(None, others)]))


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.12g}"
