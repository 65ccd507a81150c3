"""Every test here runs on every engine; an engine is a way to open the same data again and again."""

import pytest

from commerce_event.store import conditions


@pytest.fixture(params=[conditions.NEWEST_SCANNED, 1], ids=["near", "far"])
def scan_depth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a listing find what it looks for among the newest, or let it take the way for what lies far behind."""
    monkeypatch.setattr(conditions, "NEWEST_SCANNED", request.param)
