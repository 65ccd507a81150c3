"""The record of a simulated run, written by its participants; times are true seconds since the start."""

import hashlib
import math
from typing import Any

import msgspec

from commerce_event.core.model import Attempt, Delivery, Endpoint
from commerce_event.store.model import EndpointHealth


class Arrival(msgspec.Struct, kw_only=True):
    """A request as its receiver saw it; ``took``: it was received whole and answered with a 2xx."""

    delivery_id: int
    number: int
    endpoint: Endpoint
    event_id: int
    client_id: int
    body: bytes
    begin_s: float
    end_s: float = math.inf
    took: bool = False
    cut: bool = False  # the node died meanwhile
    is_internal: bool = False
    status: int | None = None  # as the node heard it
    pause_s: float = 0.0


class Published(msgspec.Struct, kw_only=True):
    """An event as its producer knows it. Tried again under its key until it was accepted."""

    key: str
    client_id: int
    type: str
    category: str
    body: bytes
    order_id: int
    begin_s: float
    end_s: float = math.inf
    event_id: int | None = None
    deliveries: int = 0


class Act(msgspec.Struct, kw_only=True):
    """What a person did. ``done`` is None when the node died before it answered."""

    kind: str
    endpoint_id: int
    begin_s: float
    end_s: float = math.inf
    delivery_id: int | None = None
    done: bool | None = None


class Form(msgspec.Struct, kw_only=True):
    """An endpoint as it may have stood from ``begin_s`` to ``end_s``; forms overlap where that cannot be told from outside."""

    endpoint: Endpoint
    begin_s: float
    end_s: float = math.inf


class Kept(msgspec.Struct, kw_only=True):
    """A delivery as the store has it in the end."""

    delivery: Delivery
    attempts: list[Attempt]
    replayed: bool  # born of a replay, not of its event


class Record:
    """The whole record of a run."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.published: list[Published] = []
        self.acts: list[Act] = []
        self.forms: dict[int, list[Form]] = {}
        self.outages: list[tuple[float, float]] = []  # node down, disk full
        self.healed_s = math.inf
        self.end_s = math.inf
        self.kept: list[Kept] = []
        self.health: dict[int, EndpointHealth] = {}
        self.balanced = False
        self.left_over = ""
        self.complaints: list[str] = []
        self.commits = 0
        self.counts: dict[str, int] = {}
        self._hash = hashlib.sha256()
        self.lines: list[str] | None = None  # kept only on request

    def trace(self, now_s: float, what: str, **facts: Any) -> None:
        """Add a line to the trace, whose hash tells whether two runs were the same."""
        line = f"{now_s:.6f} {what} " + " ".join(f"{name}={value}" for name, value in facts.items())
        self._hash.update(line.encode() + b"\n")
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def note_form(self, endpoint: Endpoint, begin_s: float, sure_s: float) -> None:
        """An endpoint changed somewhere between those times: what it was before may hold until the second."""
        forms = self.forms.setdefault(endpoint.id, [])
        for form in forms:
            form.end_s = min(form.end_s, sure_s)
        forms.append(Form(endpoint=endpoint, begin_s=begin_s))

    def note_doubt(self, endpoint: Endpoint, begin_s: float) -> None:
        """An endpoint may have changed; until something is sure again, both may hold."""
        self.forms[endpoint.id].append(Form(endpoint=endpoint, begin_s=begin_s))
