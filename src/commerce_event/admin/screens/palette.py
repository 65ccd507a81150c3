"""What the search field offers while a person types: orders, events, endpoints, event types, screens and actions."""

import re
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from commerce_event.admin.screen_context import ROOT, ScreenContext
from commerce_event.admin.screens.events import screen_of
from commerce_event.contract.labels import label_of
from commerce_event.core.problems import Problem
from commerce_event.core.search_words import fold

_GROUP_MAX: Final = 5
_TEXT_MAX: Final = 200
_IDENTIFIER: Final = re.compile(r"(?=.*[0-9])[^\s/?#]{2,64}")  # of an order or a part: it has a digit, and no space
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_SCREENS: Final = (
    ("Overview", ""), ("Events", "/events"), ("Changes", "/changes"), ("Endpoints", "/endpoints"),
    ("Dead letters", "/dead"), ("Refused events", "/refusals"), ("Replays", "/replays"), ("Event types", "/types"),
    ("Change sources", "/sources"), ("Audit log", "/audit"), ("Keys", "/keys"), ("System", "/system"),
)  # fmt: skip
_ACTIONS: Final = (
    ("Create endpoint", "/endpoints/new"),
    ("Start a replay", "/replays/new"),
    ("Send dead letters again", "/dead"),
    ("Create event type", "/types/new"),
    ("Create key", "/keys"),
)
_ADMIN_ONLY: Final = frozenset({"/keys", "/types/new"})


class Hit(msgspec.Struct, frozen=True):
    """A line of the palette."""

    text: str
    url: str
    note: str = ""


class Group(msgspec.Struct, frozen=True):
    """Lines of one kind."""

    name: str
    hits: list[Hit]


async def show_palette(context: ScreenContext) -> Response:
    text = context.query["q"].strip()[:_TEXT_MAX]
    address = screen_of(text)
    groups = [
        Group("Open", [Hit(text, address)] if address else _things(text)),
        Group("Events", await _events(context, text)),
        *await _endpoints(context, text),
        Group("Event types", _event_types(context, text)),
        Group("Actions", _matching(_allowed(context, _ACTIONS), text) if context.may_change else []),
        Group("Screens", _matching((*_allowed(context, _SCREENS), ("Reference", "/reference")), text)),
    ]
    return context.render("palette.html", groups=[group for group in groups if group.hits], text=text)


def _things(text: str) -> list[Hit]:
    """Return the pages of an order, a part and a customer that may have this number."""
    hits = []
    if _IDENTIFIER.fullmatch(text):
        hits += [Hit(f"Order {text}", _of("orders", text)), Hit(f"Part {text}", _of("parts", text))]
    if _NUMBER.fullmatch(text):
        hits += [Hit(f"Customer {text}", _of("customers", text)), Hit(f"Company {text}", _of("companies", text))]
    return hits


def _of(kind: str, value: str) -> str:
    return f"{ROOT}/{kind}/{quote(value, safe='')}"


async def _events(context: ScreenContext, text: str) -> list[Hit]:
    """Return the newest events with this text, and the way to all of them."""
    if len(text) < 2:
        return []
    try:
        found = await context.call("listEvents", query={"q": text, "limit": _GROUP_MAX})
    except Problem as problem:
        if problem.status not in {422, 503}:  # no letter or digit in it; too many searches at once
            raise
        return []
    hits = [
        Hit(label_of(each.type, bytes(each.data)).text or each.type, f"{ROOT}/events/{each.id}", _event_note(each))
        for each in found.items
    ]
    return [*hits, Hit(f"All events with “{text}”", f"{ROOT}/events?q={quote(text)}")] if hits else []


def _event_note(event: Any) -> str:
    return f"{event.type}, {event.accepted_at[:10]} {event.accepted_at[11:19]} UTC"


async def _endpoints(context: ScreenContext, text: str) -> list[Group]:
    """Return the endpoints whose description or URL has the text, and what can be done with them.

    A verb before the name narrows the list too: "pause erp".
    """
    words = text.split()
    verbs = {"pause", "resume", "edit", "test"} if context.may_change else set()
    rest = words[1:] if words and words[0].lower() in verbs else words
    wanted = fold(" ".join(rest))
    if not wanted:
        return []
    hits, actions = [], []
    async for each in context.endpoints():
        if wanted not in fold(f"{each.description} {each.url}"):
            continue
        name = each.description or each.url
        address = f"{ROOT}/endpoints/{each.id}"
        hits.append(Hit(name, address, each.url if each.description else f"client {each.client_id}"))
        if context.may_change:
            verb = "resume" if each.paused else "pause"
            choices = [(verb.capitalize(), verb), ("Edit", "edit"), ("Test", "test")]
            actions += [
                Hit(f"{label}: {name}", f"{address}/{path}")
                for label, path in choices
                if rest is words or words[0].lower() == path
            ]
        if len(hits) == _GROUP_MAX:
            break
    return [Group("Endpoints", hits), Group("Do", actions[:_GROUP_MAX])]


def _event_types(context: ScreenContext, text: str) -> list[Hit]:
    wanted = text.lower()
    names = [name for name in context.catalogue.types if wanted and wanted in name.lower()]
    return [Hit(name, f"{ROOT}/types/{quote(name)}") for name in names[:_GROUP_MAX]]


def _allowed(context: ScreenContext, pages: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    is_admin = context.session.key.role == "admin"
    return tuple((name, ROOT + path) for name, path in pages if is_admin or path not in _ADMIN_ONLY)


def _matching(pages: tuple[tuple[str, str], ...], text: str) -> list[Hit]:
    wanted = text.lower()
    return [Hit(name, address) for name, address in pages if wanted in name.lower()][: 20 if not text else _GROUP_MAX]
