"""What the recorded attempts of a batch change in the health of their endpoints. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from commerce_event.core.health import FAILING_FROM
from commerce_event.store.model import INTERRUPTED, Settlement

SUCCESS_STEP_MS: Final = 1_000  # ``last_success_ms`` of an endpoint that stays healthy is written no more often


class HealthChange(msgspec.Struct, kw_only=True):
    """The attempts of one endpoint, in the order in which they were recorded, summed up.

    ``first_*`` are the failures before the first success, which go on the stored ones; the others are as in
    EndpointHealth. The order of the fields is that of the statement ``record_health``.
    """

    endpoint_id: int
    first_failures: int = 0
    first_since_ms: int | None = None
    first_success_ms: int | None = None
    failures: int = 0  # after the last success; 0 without one
    failing_since_ms: int | None = None
    last_success_ms: int | None = None
    last_failure_ms: int | None = None
    last_status: int | None = None
    last_error: str | None = None
    last_cause: str | None = None
    former_since_ms: int | None = None  # the last long span that began and ended after the first success
    former_until_ms: int | None = None

    def add(self, settlement: Settlement) -> None:
        """Add the next attempt."""
        attempt = settlement.attempt
        if settlement.state == "delivered":
            if self.first_success_ms is None:
                self.first_success_ms = attempt.ended_ms
            elif self.failures >= FAILING_FROM:
                self.former_since_ms, self.former_until_ms = self.failing_since_ms, attempt.ended_ms
            self.last_success_ms = attempt.ended_ms
            self.failures, self.failing_since_ms = 0, None
            return
        self.last_failure_ms, self.last_status, self.last_error = attempt.ended_ms, attempt.status, attempt.error
        self.last_cause = settlement.cause
        if self.first_success_ms is None:
            self.first_failures += 1
            self.first_since_ms = attempt.started_ms if self.first_since_ms is None else self.first_since_ms
        else:
            self.failures += 1
            self.failing_since_ms = attempt.started_ms if self.failing_since_ms is None else self.failing_since_ms


def health_changes(recorded: Iterable[Settlement]) -> list[HealthChange]:
    """Sum up recorded attempts by endpoint, sorted by endpoint.

    Attempts that failed by a fault of ours, or were interrupted, say nothing about the endpoint.
    """
    changes: dict[int, HealthChange] = {}
    for settlement in recorded:
        if settlement.is_internal or settlement.attempt.error == INTERRUPTED:
            continue
        change = changes.get(settlement.endpoint_id)
        if change is None:
            change = changes[settlement.endpoint_id] = HealthChange(endpoint_id=settlement.endpoint_id)
        change.add(settlement)
    return [changes[endpoint_id] for endpoint_id in sorted(changes)]
