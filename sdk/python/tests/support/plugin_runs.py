"""How a run of pytest within a test gets the plugin of the SDK."""

from importlib.metadata import entry_points
from typing import Final

_IS_INSTALLED: Final = any(each.value == "commerce_event_pytest" for each in entry_points(group="pytest11"))
NAMED: Final = () if _IS_INSTALLED else ("-p", "commerce_event_pytest")
