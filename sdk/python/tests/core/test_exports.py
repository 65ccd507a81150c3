"""What the package offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import commerce_event_sdk


def test_package_has_every_name_that_it_lists() -> None:
    assert all(getattr(commerce_event_sdk, name) is not None for name in commerce_event_sdk.__all__)
    assert set(commerce_event_sdk._LATER) <= set(commerce_event_sdk.__all__)


def test_package_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(commerce_event_sdk, "Outboxes")


def test_import_loads_no_client_and_no_database() -> None:
    program = "import sys, commerce_event_sdk; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"http.client", "sqlite3", "psycopg", "commerce_event_sdk.client", "commerce_event_sdk.outbox"}
