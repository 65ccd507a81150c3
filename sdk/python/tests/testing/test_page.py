"""Run the examples of the page about testing."""

import re
from pathlib import Path

import pytest

from commerce_event_sdk.testing import ReceiverClient, lives
from plugin_runs import NAMED

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[4] / "docs/sdk/test-your-receiver.md").read_text("utf-8")
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_examples_of_the_page_pass(pytester: pytest.Pytester) -> None:
    pytest.importorskip("flask")  # one example has an application
    files: dict[str, str] = {}
    for name, code in BLOCK.findall(PAGE):
        files[name] = files.get(name, "") + code
    for name, code in files.items():
        pytester.path.joinpath(name).write_text(code, "utf-8")
    done = pytester.runpytest_subprocess("-p", "no:asyncio", *NAMED)
    count = len(re.findall(r"^def test_", PAGE, re.MULTILINE)) - 1 + len(lives.names())
    done.assert_outcomes(passed=count)
    assert len(files) == PAGE.count("```python") - 1  # two blocks are one file


def test_page_lists_every_assertion_and_every_life() -> None:
    for name in (each for each in dir(ReceiverClient) if each.startswith("assert_")):
        assert f"| `{name}(" in PAGE, name
    for name in lives.names():
        assert f"| `{name}` |" in PAGE, name
