"""The scenarios, by what the caller uses; importing this package registers all of them."""

from benchmarks.isolation.registry import SCENARIOS
from benchmarks.isolation.scenarios import connections, deliveries, operators, publishing, reading

__all__ = ["SCENARIOS", "connections", "deliveries", "operators", "publishing", "reading"]
