"""A capture follows a failover of its database when the slot is there too, and reports a gap when it is not."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from change_receiver import ChangeReceiver
from followed_pair import FollowedPair
from running_capture import Capture

from commerce_event.changes.capture.position import Position

CUSTOMER: Final = "CREATE TABLE customer (id int PRIMARY KEY, name text)"


@pytest.fixture
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[FollowedPair]:
    pair = FollowedPair(request.param)
    yield pair
    await pair.close()


@pytest.mark.parametrize("pair", [18], indirect=True)
async def test_failover_with_the_slot_loses_and_duplicates_nothing(
    pair: FollowedPair, receiver: ChangeReceiver
) -> None:
    capture = Capture(pair.both, receiver)
    await pair.primary.run(CUSTOMER)
    await capture.set_up("public.customer")
    await pair.start_standby()

    async with capture.running():
        await pair.primary.run("INSERT INTO customer VALUES (1)")
        await receiver.until_rows(1)
        await pair.wait_for_slot(capture.slot)
        await pair.primary.run("INSERT INTO customer VALUES (2)")
        await receiver.until_rows(2)
        await pair.wait_for_standby()
        await pair.fail_over()
        await pair.standby.run("INSERT INTO customer VALUES (3)")
        await receiver.until_rows(3)

    assert receiver.values() == [1, 2, 3]
    first, last = Position.parse(receiver.positions[0]), Position.parse(receiver.positions[-1])
    assert (last.timeline, last.system_id) == (first.timeline + 1, first.system_id)
    assert receiver.positions == sorted(receiver.positions)


@pytest.mark.parametrize("pair", [18], indirect=True)
async def test_failover_to_a_server_that_lacks_captured_changes_is_reported(
    pair: FollowedPair, receiver: ChangeReceiver
) -> None:
    capture = Capture(pair.both, receiver)
    await pair.primary.run(CUSTOMER)
    await capture.set_up("public.customer")
    await pair.start_standby()

    async with capture.running():
        await pair.primary.run("INSERT INTO customer VALUES (1)")
        await receiver.until_rows(1)
        await pair.wait_for_slot(capture.slot)
        await pair.wait_for_standby()
        await pair.disconnect_standby()
        await pair.primary.run(*(f"INSERT INTO customer VALUES ({number})" for number in range(2, 40)))
        await receiver.until_rows(39)
        await pair.fail_over()
        await pair.standby.run("INSERT INTO customer VALUES (2)", "INSERT INTO customer VALUES (100)")
        await receiver.until(lambda: receiver.values()[-1] == 100)

    assert receiver.values() == [*range(1, 40), 2, 100]
    assert any("no longer exist there" in each for each in capture.warnings)


@pytest.mark.parametrize("pair", [16], indirect=True)
async def test_failover_without_the_slot_ends_the_capture(pair: FollowedPair, receiver: ChangeReceiver) -> None:
    capture = Capture(pair.both, receiver)
    await pair.primary.run(CUSTOMER)
    await capture.set_up("public.customer")
    await pair.start_standby()

    async with capture.ending() as ended:
        await pair.primary.run("INSERT INTO customer VALUES (1)")
        await receiver.until_rows(1)
        await pair.wait_for_standby()
        await pair.fail_over()
    await capture.set_up()
    again = await capture.run_to_error()

    assert "a failover left it behind" in ended[0]
    assert "may be missing" in ended[0]
    assert "may be missing" in again
    assert receiver.values() == [1]
