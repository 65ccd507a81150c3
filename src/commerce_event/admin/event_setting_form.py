"""The form of an event setting: from what was typed to a request body, and from errors back to the fields."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from commerce_event.accept.errors import NotJsonError
from commerce_event.accept.strict_json import load
from commerce_event.api.event_settings import EventSettingView
from commerce_event.contract.entities import NotificationSource
from commerce_event.core.problems import Problem, as_sentence

Form = Mapping[str, list[str]]
Errors = dict[str, str]

LABELS: Final = {
    "client_id": "Client",
    "application_id": "Application",
    "entity": "Entity",
    "operations": "Operations",
    "fields": "Fields that count",
    "filter": "Filter",
    "coalesce_s": "Merge changes within",
}
OPERATIONS: Final = ("insert", "update", "delete")
_PLACES: Final = {f"on_{operation}": "operations" for operation in OPERATIONS}
_NEEDS_SUBJECT: Final = ("must ", "is ", "has ")


def blank_form(source: NotificationSource, query: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the form of a new setting; ``query`` may have its client, application and entity."""
    operations = OPERATIONS[:2] if source.rule == "break_point" else OPERATIONS
    return {
        "client_id": [query["client_id"]],
        "application_id": [query["application_id"]],
        "entity": [query["entity"] or (source.entities[0] if len(source.entities) == 1 else "")],
        "enabled": ["1"],
        **{f"on_{operation}": ["1"] for operation in operations},
        "coalesce_s": ["0"],
    }


def form_of(setting: EventSettingView) -> dict[str, list[str]]:
    """Return the form filled in with a setting."""
    switches = ("enabled", *(f"on_{operation}" for operation in OPERATIONS))
    return {
        **{name: ["1"] if getattr(setting, name) else [] for name in switches},
        "fields": list(setting.fields or []),
        "filter": ["" if setting.filter is None else msgspec.json.encode(setting.filter).decode()],
        "coalesce_s": [f"{setting.coalesce_s:.12g}"],
    }


def read_fields(form: Form, source: NotificationSource, *, is_new: bool) -> tuple[dict[str, Any], Errors]:
    """Return the request body of what was typed, and errors of the fields that cannot be read."""
    body: dict[str, Any] = {"enabled": bool(form.get("enabled"))}
    body |= {f"on_{operation}": bool(form.get(f"on_{operation}")) for operation in OPERATIONS}
    body["fields"] = chosen_fields(form) or None
    if source.rule == "break_point":
        body |= {"on_delete": False, "fields": None}
    readers: dict[str, Callable[[str], Any]] = {"filter": _filter, "coalesce_s": lambda text: _number(float, text) or 0}
    if is_new:
        readers |= {
            "client_id": _client, "application_id": lambda text: _number(int, text), "entity": _entity,
        }  # fmt: skip
        body["event_type"] = source.event_type
    errors: Errors = {}
    for name, read in readers.items():
        try:
            body[name] = read((form.get(name) or [""])[0].strip())
        except _UnreadableError as error:
            errors[name] = str(error)
    return body, errors


def chosen_fields(form: Form) -> list[str]:
    """Return the fields that were chosen or typed, each once."""
    typed = (form.get("more_fields") or [""])[0].split(",")
    names = [*form.get("fields", []), *(name.strip() for name in typed)]
    return [name for name in dict.fromkeys(names) if name]


def errors_of(problem: Problem) -> Errors:
    """Return the errors of a problem by field, as sentences; what belongs to no field is under the empty name."""
    if not problem.faults:
        return {"client_id" if problem.status == 403 else "": problem.detail}
    errors: Errors = {}
    for fault in problem.faults:
        name, _, inside = fault.pointer.removeprefix("/setting").lstrip("/").partition("/")
        place = _PLACES.get(name, name if name in LABELS else "")
        text = (
            f"{LABELS[place]} {fault.message}" if place and fault.message.startswith(_NEEDS_SUBJECT) else fault.message
        )
        where = f" (at {inside.replace('/', ' › ')})" if place == "filter" and inside else ""
        text = f"{as_sentence(text)}{where}"
        errors[place] = f"{errors[place]} {text}" if place in errors else text
    return errors


class _UnreadableError(ValueError):
    """What was typed cannot be put into a request body; the message says what to enter."""


def _number(type_: type[int] | type[float], text: str) -> float | None:
    if not text:
        return None
    try:
        number = type_(text.replace(",", "."))
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _UnreadableError(f"Enter a {'whole ' if type_ is int else ''}number.")
    return number


def _client(text: str) -> float:
    number = _number(int, text)
    if number is None:
        raise _UnreadableError("Enter the client's number.")
    return number


def _entity(text: str) -> str:
    if not text:
        raise _UnreadableError("Choose the data table whose changes count.")
    return text


def _filter(text: str) -> Any:
    if not text:
        return None
    try:
        return load(text.encode())
    except NotJsonError as error:
        raise _UnreadableError(error.detail.replace("The body is", "The filter is", 1)) from None
