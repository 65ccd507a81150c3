"""Old messages are deleted in small steps, by the worker or by hand."""

from __future__ import annotations

import pytest

from commerce_event_sdk.inbox import Inbox, messages
from inboxes import T0, SharedDatabase, delivery, worker

pytestmark = pytest.mark.integration
DAY_S = 86_400.0


def test_worker_deletes_messages_that_are_done_for_longer_than_the_retention(database: SharedDatabase) -> None:
    inbox = database.inbox(retention_s=10 * DAY_S)
    for each in ("old", "new"):
        inbox.put(delivery(each), None)
        worker(inbox, lambda *_: None).run_until_idle()
        database.clock.advance(8 * DAY_S)
    inbox.put(delivery("pending"), None)
    made = worker(inbox, lambda *_: None)
    made.start()
    while inbox.message("old") is not None:
        pass
    assert made.stop()
    assert {each.id for each in inbox.messages()} == {"new", "pending"}
    assert inbox.put(delivery("old"), None) is True


def test_purge_deletes_in_steps_and_leaves_what_is_newer(
    database: SharedDatabase, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PURGE_STEP", 3)
    for number in range(8):
        inbox.put(delivery(f"old{number}"), None)
    worker(inbox, lambda *_: None).run_until_idle()
    database.clock.advance(100)
    inbox.put(delivery("new"), None)
    worker(inbox, lambda *_: None).run_until_idle()
    inbox.put(delivery("pending"), None)
    with inbox.session() as session:
        assert messages.purge_step(session, "done", before=T0 + 50) == 3
    assert inbox.purge(before=T0 + 50) == 5
    assert {each.id for each in inbox.messages()} == {"new", "pending"}
