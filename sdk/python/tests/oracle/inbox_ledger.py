"""What the sender knows: each event, what it was sent for, and how it was answered. Kept apart from any database."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Fate = Literal["work", "poison", "refused"]


@dataclass(eq=False)
class Sent:
    """One event of the sender.

    ``number`` rises within ``key``; an event without a key has no order. ``fate`` is what must become of it: its work
    is done once, it becomes a dead letter (``poison``), or the receiver refuses it.
    """

    id: str
    number: int
    key: str | None
    fate: Fate
    is_acknowledged: bool = False
    times_sent: int = 0


@dataclass
class Ledger:
    """All events of a run. Threads share it."""

    sent: list[Sent] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str | None, fate: Fate) -> Sent:
        """Begin an event."""
        with self.lock:
            event = Sent(f"evt_{len(self.sent):06d}", len(self.sent), key, fate)
            self.sent.append(event)
            return event

    def note(self, event: Sent, status: int | None) -> None:
        """Remember an answer; None: there was none."""
        with self.lock:
            event.times_sent += 1
            self.answers[str(status)] += 1
            if status is not None and 200 <= status <= 299:
                event.is_acknowledged = True
