"""What pausing, switching off and deleting an endpoint would mean, with numbers, as sentences for people. Pure."""

import msgspec

_DAY_H = 24.0


class EndpointImpact(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for an endpoint, and how many events an hour it gets."""

    pending: int
    in_flight: int
    events_per_hour: float

    @property
    def pause(self) -> str:
        """What pausing means."""
        return f"Pausing holds {self._rate}{self._pending_too}; nothing is lost."

    @property
    def off(self) -> str:
        """What switching off means."""
        held = f"; {self._pending} {'is' if self.pending == 1 else 'are'} held" if self.pending else ""
        return f"Switching off tracks nothing: {self._rate} would get no delivery here{held}."

    @property
    def delete(self) -> str:
        """What deleting means."""
        if not self.pending:
            return "No delivery waits, so deleting cancels none; the history is kept."
        return f"Deleting cancels {self._pending}; the history is kept."

    @property
    def resume(self) -> str:
        """What resuming, or switching on, means for what waits."""
        if not self.pending:
            return "Nothing waits; new events are sent at once."
        return f"{self._pending} {'is' if self.pending == 1 else 'are'} sent now, then new events at once."

    @property
    def _rate(self) -> str:
        """The events that it gets, such as ``about 340 events an hour``."""
        an_hour, a_day = round(self.events_per_hour), round(self.events_per_hour * _DAY_H)
        if an_hour >= 1:
            return f"about {an_hour:,} event{'s' if an_hour > 1 else ''} an hour"
        if a_day >= 1:
            return f"about {a_day:,} event{'s' if a_day > 1 else ''} a day"
        return "new events (none came in the last day)"

    @property
    def _pending(self) -> str:
        return f"{self.pending:,} pending deliver{'y' if self.pending == 1 else 'ies'}"

    @property
    def _pending_too(self) -> str:
        return f" and the {self._pending}" if self.pending else ""


def events_per_hour(*, ended: int, pending: int, accepted: int, span_h: float) -> float:
    """Return how many events an hour an endpoint got: those that ended in the span, and those that still wait.

    They are at most the events of its client that were ``accepted`` in the span: some may wait for longer.
    """
    return min(ended + pending, accepted) / span_h
