"""The oracle is itself tested: it tells of every bug that is put into the product, and of none where there is none."""

from pathlib import Path

import pytest
from seeded import BUGS
from trial import tried
from verdict import breaches


@pytest.mark.parametrize("turn", range(3))
async def test_product_as_it_is_gives_no_alarm(tmp_path: Path, turn: int) -> None:
    assert breaches(await tried(tmp_path, "none")) == [], turn


@pytest.mark.parametrize("bug", BUGS)
async def test_seeded_bug_is_told_of(tmp_path: Path, bug: str) -> None:
    told = breaches(await tried(tmp_path, bug))

    names = {invariant for invariant, _ in told}
    assert BUGS[bug].told_by in names, told[:5]
    if BUGS[bug].told_by != "durability":  # what is lost cannot happen
        assert "enough happened" not in names, told
