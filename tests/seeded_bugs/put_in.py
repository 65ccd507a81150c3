"""Put a seeded bug into the product that this process is about to run."""

from seeded import BUGS
from seeded_for_changes import CHANGE_BUGS
from seeded_for_chaos import CHAOS_BUGS

from commerce_event.maintenance import runner

ALL_BUGS = BUGS | CHAOS_BUGS | CHANGE_BUGS
_VERIFY_EVERY_S = 1.0


def put_in(bug: str) -> None:
    """Put in a bug by name; "none" is none. Counts are verified often, so that a short run need not wait for that."""
    assert hasattr(runner, "_VERIFY_EVERY_S")
    runner._VERIFY_EVERY_S = _VERIFY_EVERY_S  # type: ignore[misc]
    if bug != "none":
        ALL_BUGS[bug].put_in()
