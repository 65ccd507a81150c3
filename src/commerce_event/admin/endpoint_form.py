"""The form of an endpoint: from what was typed to a request body, and from errors back to the fields."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from commerce_event.admin.filter_rows import (
    ROWS_MAX,
    FilterRow,
    UnreadableRowError,
    condition_of,
    filter_of,
    property_kinds,
    rows_of,
)
from commerce_event.admin.payload_selection import unlisted
from commerce_event.api.endpoint_fields import faults_of
from commerce_event.api.response_models import MASK, EndpointView
from commerce_event.contract.catalogue import Catalogue
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT, Filter
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
    **{f"filter_row_{number}": f"Condition {number}" for number in range(1, ROWS_MAX + 1)},
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
        "filter_mode": ["none"],
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
    rows = rows_of(endpoint.filter)
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
        "filter_mode": ["json" if rows is None else "rows" if rows.rows else "none"],
        "filter": [msgspec.json.encode(endpoint.filter).decode() if rows is None else ""],
        **({} if rows is None else {"filter_join": [rows.join], **_row_fields(rows.rows)}),
        "timeout_s": [_text(endpoint.timeout_s)],
        "retry_schedule": ["" if schedule is None else ", ".join(f"{delay:g}s" for delay in schedule)],
        "jitter": [_text(endpoint.jitter)],
        "max_in_flight": [str(endpoint.max_in_flight)],
        "rate_limit": [_text(endpoint.rate_limit)],
        "ordering": [endpoint.ordering],
        "signing": [endpoint.signing],
    }


def filter_rows(form: Form) -> list[FilterRow]:
    """Return the rows of the filter as they were typed, blank ones included."""
    columns = (form.get(f"filter_{name}", []) for name in ("name", "comparison", "value"))
    return [FilterRow(*cells) for cells in zip(*columns, strict=False)][:ROWS_MAX]


def with_filter_rows(form: Form, rows: Sequence[FilterRow]) -> dict[str, list[str]]:
    """Return the form with these rows of a filter."""
    return {**form, **_row_fields(rows)}


def _row_fields(rows: Sequence[FilterRow]) -> dict[str, list[str]]:
    return {
        "filter_name": [row.name for row in rows],
        "filter_comparison": [row.comparison for row in rows],
        "filter_value": [row.value for row in rows],
    }


def read_form(
    form: Form, policy: AddressPolicy, catalogue: Catalogue, *, kept: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Errors]:
    """Return the request body of what was typed, and everything that the API would reject in it, by field.

    ``kept`` are headers whose values may be masked.
    """
    fields, errors = _read_fields(form)
    filter_, filter_errors = _read_filter(form, policy, catalogue, fields.get("event_types", ["*"]))
    if not filter_errors:
        fields["filter"] = filter_
    checked = dict(fields)
    if kept and "headers" in checked:
        known = {name.lower() for name in kept}
        checked["headers"] = {
            name: "kept" if value == MASK and name.lower() in known else value
            for name, value in checked["headers"].items()
        }
    return fields, {**_by_field(faults_of(checked, policy, catalogue)), **filter_errors, **errors}


def _read_fields(form: Form) -> tuple[dict[str, Any], Errors]:
    """Return the request body without the filter, and errors of the fields that are missing in it."""
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
    readers = {**dict.fromkeys(_NUMBERS, _number), "headers": _headers, "properties": _properties}
    for name, read in readers.items():
        try:
            fields[name] = read(form, name)
        except _UnreadableError as error:
            errors[name] = str(error)
    if not fields["event_types"]:
        errors["event_types"] = "Choose at least one event type, or all."
        del fields["event_types"]
    return fields, errors


def _read_filter(
    form: Form, policy: AddressPolicy, catalogue: Catalogue, types: Sequence[str]
) -> tuple[Filter | None, Errors]:
    """Return the filter that was typed, and the errors of its rows or of its JSON."""
    mode = _first(form, "filter_mode") or "json"
    if mode == "none":
        return None, {}
    if mode == "json":
        try:
            return _json(form), {}
        except _UnreadableError as error:
            return None, {"filter": str(error)}
    known = [name for name in types if name in catalogue.entries] or ["*"]
    kinds = property_kinds(catalogue.select(known))
    conditions: list[Filter] = []
    errors: Errors = {}
    for number, row in enumerate(filter_rows(form), start=1):
        if row.is_blank:
            continue
        try:
            conditions.append(condition_of(row, kinds))
        except UnreadableRowError as unreadable:
            errors[f"filter_row_{number}"] = str(unreadable)
            continue
        faults = faults_of({"event_types": known, "filter": conditions[-1]}, policy, catalogue)
        if faults:
            errors[f"filter_row_{number}"] = _sentence("value", "", faults[0].message)
    if not conditions and not errors:
        errors["filter_row_1"] = "Choose a property, or choose “Every event”."
    return filter_of("any" if _first(form, "filter_join") == "any" else "all", conditions), errors


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


def _json(form: Form) -> Any:
    text = _first(form, "filter")
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
