"""Recorded lives of orders: what arrived at a receiver, with the time and the headers of each request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from commerce_event_sdk.event import CommerceEvent, UnknownEvent
from commerce_event_sdk.parsing import parse


class Arrival(NamedTuple):
    """One request of a life. ``offset`` is in seconds from the beginning; the signature is made when it is sent."""

    offset: float
    event: CommerceEvent | UnknownEvent
    headers: Mapping[str, str]


def names() -> list[str]:
    """Return the names of the recorded lives."""
    files = resources.files("commerce_event_sdk.testing").joinpath("recorded").iterdir()
    return sorted(each.name[: -len(".json")] for each in files if each.name.endswith(".json"))


def load(name: str) -> list[Arrival]:
    """Return the requests of a life in the order in which they arrived. Raises LookupError for an unknown name."""
    return [
        Arrival(
            each["offset_s"],
            parse(each["headers"]["commerce-event-type"], json.dumps(each["event"]).encode()),
            each["headers"],
        )
        for each in _read(name)["arrivals"]
    ]


def describe(name: str) -> str:
    """Return what happens in a life, in a sentence. Raises LookupError for an unknown name."""
    return str(_read(name)["description"])


def _read(name: str) -> dict[str, Any]:
    if name not in names():
        raise LookupError(f"there is no life {name!r}; there are {', '.join(names())}")
    file = resources.files("commerce_event_sdk.testing").joinpath("recorded").joinpath(f"{name}.json")
    life: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return life
