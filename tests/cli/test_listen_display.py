"""What listen shows of events and answers: one line each, for any content."""

import json

import msgspec
import pytest

from commerce_event.cli.event_stream import FollowedEvent
from commerce_event.cli.listen_display import Display, Result
from commerce_event.core.delivery import Outcome

BODIES = {
    "no UTF-8": b'{"ClientId":1,"OrderNo":"\xff"}',
    "deep": b'{"ClientId":1,"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "markup": b'{"ClientId":1,"OrderNo":"[red]x[/red]"}',
    "escapes": json.dumps({"OrderNo": "\x1b[2J\u202e\x9b31m"}, ensure_ascii=False).encode(),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("as_json", [True, False])
def test_any_body_is_shown_without_control_characters(
    capsys: pytest.CaptureFixture[str], name: str, as_json: bool
) -> None:
    event = FollowedEvent("evt_0000000000001", 1, "OrderConfirmedEvent", 1, "now", msgspec.Raw(BODIES[name]))
    answer = Outcome(
        started_ms=0, duration_ms=12.4, status=500, error="http_500", response_body=b"\x1f\x8b\x08[bold]a\x1b[0mb\nc"
    )
    Display(as_json=as_json, with_bodies=True).event(7, event, Result(2, answer, "the receiver\x1b had an error"))
    out = capsys.readouterr().out

    assert not [each for each in out if each != "\n" and not each.isprintable()]
    if as_json:
        shown = json.loads(out)
        assert (shown["number"], shown["attempt"], shown["status"], shown["duration_ms"]) == (7, 2, 500, 12.4)
    else:
        first = out.splitlines()[0]
        assert "#7" in first
        assert "500  12 ms  attempt 2  the receiver" in first
        assert first.endswith("b")
        if name == "markup":
            assert "Order [red]x[/red]" in first
