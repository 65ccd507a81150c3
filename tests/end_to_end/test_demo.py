"""The demo fails when changes do not raise the notifications that the shop expects."""

from typing import Any

import pytest

from commerce_event.cli import demo_changes, demo_runner
from commerce_event.simulate.event_settings import settings_of


async def test_demo_without_a_setting_of_the_shop_counts_what_is_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def incomplete(client_id: int) -> list[dict[str, Any]]:
        return [each for each in settings_of(client_id) if each["entity"] != "tClientCustomer"]

    monkeypatch.setattr(demo_changes, "settings_of", incomplete)
    monkeypatch.setattr(demo_runner, "_ARRIVAL_MAX_S", 3.0)
    summary = await demo_runner.run(total=60, rate=1_000, seed=1, show="nothing")

    assert summary["checked"] is True
    assert summary["raised"] + summary["merged"] < summary["notifications_expected"]
    assert summary["mismatches"] > 0
    assert "changes did not raise" in str(demo_runner.summary_table(summary).title)
