"""The endpoints of a run: the events each one wants, and how often its receiver behaves badly."""

from typing import Any

from ledger import Subscription

DELAYS_S = (0.1,) * 6 + (0.5,) * 10  # the servers' own
AWAY = "/away"  # leads to another origin
CANCELLED, DELETED = "/cancelled", "/deleted"  # what waits for them is dropped when all else is over
NARROW = "/narrow"
STATIC = ("x-shop", "seventh-street-in-the-yard")
LIMITED_S = 1.0
GONE_FROM = 8  # requests that are taken before
REPLAYED = "/second"
ROTATED = {"/good": "1s", "/flaky": "1h"}  # paths whose secret is rotated, with the overlap of the two secrets
_DYING_S = (0.1, 0.2, 0.4, 0.8)
_TIMEOUT_S = 1.0  # of endpoints whose receiver may hang

BADLY = {
    "/flaky": 0.2,
    "/cut": 0.2,
    "/hung": 0.4,
    "/loris": 0.4,
    "/reset": 0.3,
    "/garbage": 0.3,
    "/endless": 0.3,
    "/loop": 0.3,
    "/inside": 0.3,
    "/limited": 0.35,
    "/moved": 1.0,
    AWAY: 1.0,
    "/gone": 1.0,
    "/dying": 0.0,  # by number
}
# These share an application with one of the paths above each.
SHARING = {"/unmodified": 0.3, NARROW: 1.0, "/ordered": 0.3, CANCELLED: 1.0, DELETED: 1.0}
_EVERY_EVENT = ("/good", "/flaky", "/cut")
_ONE_APPLICATION_EACH = tuple(path for path in BADLY if path not in _EVERY_EVENT)
APPLICATIONS = len(_ONE_APPLICATION_EACH)
_MAY_HANG = ("/hung", "/loris", "/endless")
_AN_HOUR_S = (3600.0,)
_EVENTS_OF_AN_ORDER = 100


def dies(number: int) -> bool:
    """Is the event one that /dying never takes?"""
    return number % 2 == 1


def client_of(number: int) -> int:
    """Return the client that an event is published for."""
    return 2 if number % 5 == 0 else 1


def application_of(number: int) -> int:
    """Return the application that an event is published for."""
    return (number - number // 5) % APPLICATIONS + 1


def order_of(number: int) -> int:
    """Return the number of the order that an event is about, its business key."""
    return number // _EVENTS_OF_AN_ORDER + 1


def subscriptions() -> list[Subscription]:
    """Return every endpoint of a run."""
    return [
        *(Subscription(path, delays_s=DELAYS_S) for path in _EVERY_EVENT),
        *(
            Subscription(
                path,
                application_id=application,
                delays_s=_DYING_S if path == "/dying" else DELAYS_S,
                timeout_s=_TIMEOUT_S if path in _MAY_HANG else 5.0,
            )
            for application, path in enumerate(_ONE_APPLICATION_EACH, 1)
        ),
        *(
            Subscription(
                path,
                application_id=application,
                delays_s=_AN_HOUR_S if path in {CANCELLED, DELETED} else DELAYS_S,
                max_in_flight=1 if path == NARROW else 32,
                ordered=path == "/ordered",
                selects=path == "/unmodified",
                dropped=path in {CANCELLED, DELETED},
            )
            for application, path in enumerate(SHARING, 1)
        ),
        Subscription(REPLAYED, client_id=2, delays_s=DELAYS_S, selects=True),
        Subscription("/stranger", client_id=3, delays_s=DELAYS_S),
        Subscription("/other-type", wants_nothing=True, delays_s=DELAYS_S),
        Subscription("/filtered", wants_nothing=True, delays_s=DELAYS_S),
        Subscription("/switched-off", wants_nothing=True, delays_s=DELAYS_S),
    ]


def as_asked(wish: Subscription, url: str) -> dict[str, Any]:
    """Return the body of the call that makes the endpoint."""
    asked: dict[str, Any] = {"client_id": wish.client_id, "url": url + wish.path, "event_types": ["*"]}
    asked["properties"] = [] if wish.selects else None
    if wish.application_id is not None:
        asked["application_id"] = wish.application_id
    if wish.delays_s != DELAYS_S:
        asked["retry_schedule"] = [f"{delay_s}s" for delay_s in wish.delays_s]
    if wish.path in _MAY_HANG:
        asked["timeout_s"] = wish.timeout_s
    if wish.path in {AWAY, "/moved"}:
        asked["headers"] = dict([STATIC])
    if wish.path == "/other-type":
        asked["event_types"] = ["Product"]
    if wish.path == "/filtered":
        asked["filter"] = {"Source": "POS"}
    if wish.max_in_flight != 32:
        asked["max_in_flight"] = wish.max_in_flight
    if wish.ordered:
        asked["ordering"] = "key"
    if wish.path == "/switched-off":
        asked["enabled"] = False
    return asked
