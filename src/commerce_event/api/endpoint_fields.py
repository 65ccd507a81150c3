"""The fields of an endpoint in requests: their types, and the checks of their values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from commerce_event.api.parameters import Int32, unknown_type
from commerce_event.api.response_models import MASK
from commerce_event.api.validation import convert
from commerce_event.contract.catalogue import Catalogue, EventType
from commerce_event.core.addresses import AddressPolicy
from commerce_event.core.filters import InvalidFilterError, Kind, check_filter
from commerce_event.core.headers import InvalidHeaderError, check_headers
from commerce_event.core.model import DEFAULT_MAX_IN_FLIGHT, Filter, Ordering, Signing
from commerce_event.core.payload import NAME_MAX, PROPERTIES_MAX, find_selection_faults
from commerce_event.core.problems import Fault, Problem, child, invalid, together
from commerce_event.core.retry import InvalidDurationError, check_schedule, parse_duration
from commerce_event.core.urls import InvalidUrlError, parse_url

_ANY: Final = "*"
_CHECKED_AFTER: Final = {"except": 1, "filter": 2, "properties": 2}  # the event types, on which they depend
_KINDS: Final[dict[str, Kind]] = {"string": "text", "integer": "number", "number": "number"}

Url = Annotated[str, Meta(max_length=2_048, examples=["https://erp.example.com/webhooks"])]
Types = Annotated[list[str], Meta(min_length=1, max_length=50, examples=[["Order", "JobCompletedEvent"]])]
Exceptions = Annotated[list[str], Meta(max_length=50, examples=[["SkuPriceChangedNotification"]])]
Description = Annotated[str, Meta(max_length=500)]
Properties = Annotated[
    list[Annotated[str, Meta(max_length=NAME_MAX)]],
    Meta(max_length=PROPERTIES_MAX, examples=[["Email", "PaymentRef", "$.Campaign"]]),
]
Headers = Annotated[dict[str, str], Meta(max_length=50)]
Timeout = Annotated[float, Meta(ge=0.1, le=30)]
Schedule = Annotated[list[float | str], Meta(max_length=50, examples=[["5s", "1m", "1h"]])]
Jitter = Annotated[float, Meta(ge=0, le=1)]
MaxInFlight = Annotated[int, Meta(ge=1, le=1_000)]
RateLimit = Annotated[float, Meta(gt=0, le=10_000)]


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint to create. Fields that are left out have the server's defaults."""

    client_id: Int32
    url: Url
    event_types: Types
    except_types: Exceptions = msgspec.field(default_factory=list, name="except")
    application_id: Int32 | None = None
    enabled: bool = True
    paused: bool = False
    description: Description = ""
    headers: Headers = {}
    filter: Filter | None = None
    properties: Properties | None = None
    timeout_s: Timeout | None = None
    retry_schedule: Schedule | None = None
    jitter: Jitter = 0.0
    max_in_flight: MaxInFlight = DEFAULT_MAX_IN_FLIGHT
    rate_limit: RateLimit | None = None
    ordering: Ordering = "none"
    follow_redirects: bool = True
    signing: Signing = "hmac"


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields to change. A header whose value is `***` keeps its value."""

    url: Url | UnsetType = UNSET
    event_types: Types | UnsetType = UNSET
    except_types: Exceptions | UnsetType = msgspec.field(default=UNSET, name="except")
    application_id: Int32 | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    filter: Filter | UnsetType | None = UNSET
    properties: Properties | UnsetType | None = UNSET
    timeout_s: Timeout | UnsetType | None = UNSET
    retry_schedule: Schedule | UnsetType | None = UNSET
    jitter: Jitter | UnsetType = UNSET
    max_in_flight: MaxInFlight | UnsetType = UNSET
    rate_limit: RateLimit | UnsetType | None = UNSET
    ordering: Ordering | UnsetType = UNSET
    follow_redirects: bool | UnsetType = UNSET


def check_fields(fields: dict[str, Any], policy: AddressPolicy, catalogue: Catalogue) -> dict[str, Any]:
    """Return the fields of an endpoint from those of a request. Raises Problem 422 with every fault."""
    chosen = catalogue.select(fields["event_types"], fields["except_types"])
    checks: dict[str, Callable[[Any], Any]] = {
        "url": lambda text: _url(policy, text),
        "event_types": lambda names: _types(catalogue, names),
        "except_types": lambda names: _exceptions(catalogue, names, fields["event_types"]),
        "filter": lambda filter_: _filter(chosen, filter_),
        "properties": lambda names: _properties(chosen, names),
        "headers": _headers,
        "retry_schedule": _schedule,
    }
    found = dict(fields)
    problems: list[Problem] = []
    for name, check in checks.items():
        if fields.get(name) is not None:
            try:
                found[name] = check(fields[name])
            except Problem as problem:
                problems.append(problem)
    if problems:
        raise together(problems)
    if "retry_schedule" in found:
        found["retry_schedule_s"] = found.pop("retry_schedule")
    return found


def faults_of(fields: Mapping[str, Any], policy: AddressPolicy, catalogue: Catalogue) -> list[Fault]:
    """Return every fault in the fields of an endpoint. Each field is checked with valid values of the others."""
    valid: dict[str, Any] = {"client_id": 1, "url": "https://shop.example/events", "event_types": [_ANY]}
    found: list[Fault] = []
    for name in sorted(fields, key=lambda each: _CHECKED_AFTER.get(each, 0)):
        try:
            wanted = convert({**valid, name: fields[name]}, NewEndpoint, where="")
            check_fields(msgspec.structs.asdict(wanted), policy, catalogue)
        except Problem as problem:
            found += problem.faults
        else:
            if name in {"event_types", "except"}:
                valid[name] = fields[name]
    return found


def _url(policy: AddressPolicy, text: str) -> str:
    try:
        return parse_url(text, policy).text
    except InvalidUrlError as error:
        raise invalid("/url", str(error)) from None


def _types(catalogue: Catalogue, names: Sequence[str]) -> tuple[str, ...]:
    return _known_entries("/event_types", names, catalogue.entries, "categories and * do too")


def _exceptions(catalogue: Catalogue, names: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
    """Return the names or categories that are left out. At least one of the types must stay."""
    found = _known_entries("/except", names, catalogue.entries[1:], "categories do too")
    if found and catalogue.select(types) and not catalogue.select(types, found):
        raise invalid("/except/0", "no event type is left: leave one, or disable the endpoint")
    return found


def _known_entries(pointer: str, names: Sequence[str], known: Sequence[str], also: str) -> tuple[str, ...]:
    problems = [
        invalid(f"{pointer}/{index}", unknown_type(name, known, also))
        for index, name in enumerate(names)
        if name not in known
    ]
    if problems:
        raise together(problems)
    return tuple(dict.fromkeys(names))


def _filter(chosen: Sequence[EventType], raw: Filter) -> Filter:
    if not chosen:
        return raw  # the types are at fault, and say so
    kinds: dict[str, set[Kind]] = {}
    any_kind: set[str] = set()
    for field in (field for each in chosen for field in each.fields):
        if field.json_type in _KINDS:
            kinds.setdefault(field.name, set()).add(_KINDS[field.json_type])
        else:
            any_kind.add(field.name)
    known = {name: of_it for name, of_it in kinds.items() if name not in any_kind}
    try:
        return check_filter(raw, frozenset(kinds.keys() | any_kind), known)
    except InvalidFilterError as error:
        raise invalid(f"/filter{error.pointer}", str(error)) from None


def _properties(chosen: Sequence[EventType], names: Sequence[str]) -> tuple[str, ...]:
    if chosen:  # else the types are at fault, and say so
        faults = find_selection_faults(names, frozenset().union(*(each.properties for each in chosen)))
        if faults:
            raise together([invalid(f"/properties{fault.pointer}", fault.message) for fault in faults])
    return tuple(dict.fromkeys(names))


def _headers(headers: dict[str, str]) -> dict[str, str]:
    try:
        check_headers(headers)
    except InvalidHeaderError as error:
        raise invalid(child("/headers", error.name) if error.name else "/headers", str(error)) from None
    for name, value in headers.items():
        if value == MASK:
            raise invalid(child("/headers", name), "write the value itself; *** is only the mask that is shown")
    return headers


def _schedule(delays: Sequence[float | str]) -> tuple[float, ...]:
    found = []
    for index, delay in enumerate(delays):
        try:
            seconds = parse_duration(delay) if isinstance(delay, str) else float(delay)
            check_schedule((seconds,))
        except InvalidDurationError as error:
            raise invalid(f"/retry_schedule/{index}", str(error)) from None
        found.append(seconds)
    return tuple(found)
