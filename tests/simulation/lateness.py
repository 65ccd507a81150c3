"""Lateness: how long an endpoint was idle while a delivery was due and nothing prevented it."""

from collections import defaultdict

from record import Record

_TOLERATED_S = 100.0  # a minute between two looks, the pause of an open circuit, and then some
_GET_GOING_S = 10.0  # after a fault: the longest wait before the store is asked again, and then some

Span = tuple[float, float]


class Lateness:
    """Knows when each endpoint was busy, or was to be left alone."""

    def __init__(self, record: Record) -> None:
        spans: dict[int, list[Span]] = defaultdict(list)
        for arrival in record.arrivals:
            spans[arrival.endpoint.id].append((arrival.begin_s, arrival.end_s + arrival.pause_s))
        for endpoint_id, forms in record.forms.items():
            off = [(form.begin_s, form.end_s) for form in forms if not form.endpoint.is_sending]
            spans[endpoint_id] += off + [(begin, end + _GET_GOING_S) for begin, end in record.outages]
        self._spans = {endpoint_id: _merged(found) for endpoint_id, found in spans.items()}

    def idle(self, endpoint_id: int, due_s: float, begun_s: float) -> float:
        """Return the longest idle time beyond what is tolerated, 0 when there is none."""
        longest, at_s = 0.0, due_s
        for begin_s, end_s in self._spans.get(endpoint_id, []):
            if end_s <= at_s:
                continue
            if begin_s >= begun_s:
                break
            longest, at_s = max(longest, begin_s - at_s), end_s
        longest = max(longest, begun_s - at_s)
        return longest if longest > _TOLERATED_S else 0.0


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin_s, end_s in sorted(spans):
        if merged and begin_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((begin_s, end_s))
    return merged
