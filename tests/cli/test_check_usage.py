"""Wrong usage of `check` and `trigger` is refused with the remedy before anything is sent."""

from pathlib import Path
from typing import Any

import pytest

from commerce_event.cli.check import check
from commerce_event.cli.errors import UsageError
from commerce_event.cli.trigger import trigger

URL = "http://127.0.0.1:3000/hook"
HEADER = {"header": ["X-Key: 1"]}


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        (URL, {}, "Give the receiver's secret"),
        ("127.0.0.1:3000", HEADER, "not a complete URL"),
        ("http://user:word@127.0.0.1:3000", HEADER, "user name or password"),
        ("http://0.0.0.0:3000", HEADER, "an address that nothing can be sent to"),
        (URL, {"secret": "whsec_short"}, "--secret cannot be used"),
        (URL, {"header": ["webhook-id: 1"]}, "is set by the sender itself"),
        (URL, {"header": ["X-Key"]}, "Write a header as 'Name: value'"),
        (URL, {**HEADER, "only": ["repeats"]}, "did you mean repeat?"),
        (URL, {**HEADER, "only": ["speed"]}, "there are accepts-event, "),
        (URL, {**HEADER, "type_": ["OrderConfirmed"]}, "did you mean OrderConfirmedEvent?"),
        (URL, {**HEADER, "junit": Path("/no/such/x.xml")}, "there is no folder /no/such"),
        (URL, {**HEADER, "effects_command": "'"}, "--effects-command cannot be read"),
        (URL, {**HEADER, "effects_command": ""}, "--effects-command cannot be read: the command is empty"),
        (URL, {**HEADER, "restart_command": "'"}, "--restart-command cannot be read"),
        (URL, {**HEADER, "effects_command": "true", "effects_url": URL}, "exclude each other"),
    ],
)
def test_wrong_usage_of_check_is_refused(url: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        check(url, **options)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"to": URL, "event_type": "ParcelSentEvent"}, "need a server"),
        ({"to": "localhost"}, "--to: this is not a complete URL"),
        ({"to": URL, "secret": "whpk_x"}, "--secret cannot be used"),
        ({"header": ["X-Key: 1"]}, "--header is for events that are sent with --to"),
        ({"to": URL, "set_": ["OrderNo"]}, "--set must be Path=value"),
    ],
)
def test_wrong_usage_of_trigger_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        trigger(**{"event_type": "OrderConfirmedEvent", **options})

    assert sentence in str(refused.value)
