"""The programs of the documentation of the inbox run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs/sdk/inbox.md"
pytestmark = [pytest.mark.integration, pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not there")]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def program(number: int) -> str:
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [each for each in blocks if "Receiver(secret" in each][number]
