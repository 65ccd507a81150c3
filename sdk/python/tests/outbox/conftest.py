from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shop_databases import SHOPS, Shop


@pytest.fixture(params=sorted(SHOPS))
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """Return a database of an application with an outbox. The test runs once on each kind."""
    with SHOPS[request.param](tmp_path) as made:
        yield made
