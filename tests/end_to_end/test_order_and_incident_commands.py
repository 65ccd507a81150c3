"""Timelines and incidents on the command line."""

import asyncio
import json
import socket

import pytest
from command_line import Shell
from processes import ServerProcess

ORDER = {
    "ClientId": 1, "ApplicationId": 1, "OrderId": 7, "OrderNo": "SO-10023", "ClientOrderRef": "B-1", "Source": "WEB",
}  # fmt: skip
PAYMENT = {
    "ClientId": 1, "ApplicationId": 1, "ClientOrderRef": "B-1", "ErpOrderNo": "E-1", "PaymentCode": "P",
}  # fmt: skip


@pytest.fixture
async def shell(server: ServerProcess) -> Shell:
    await server.start()
    return Shell(server)


async def test_commands_tell_what_became_of_an_order_and_what_fails(shell: Shell) -> None:
    fine = await shell("status")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/hook"
        made = await shell.json(
            "endpoints", "create", "--client", "1", "--to", url, "--description", "ERP", "--retry-schedule", "1h"
        )
        await shell.json("publish", "OrderPaymentReceivedEvent", stdin=json.dumps(PAYMENT))
        for _ in range(2):
            await shell.json("publish", "OrderConfirmedEvent", stdin=json.dumps(ORDER))
        async with asyncio.timeout(60):
            while not await shell.json("incidents", "list"):
                pass

    text = (await shell("events", "timeline", "order", "E-1")).out
    assert text.startswith("Order SO-10023 (client 1): ERP has 0 of 3, waiting, next attempt ")
    assert "OrderNo SO-10023, ErpOrderNo E-1, ClientOrderRef B-1, OrderId 7" in text
    assert len((await shell.json("events", "timeline", "order", "7", "--property", "OrderId"))["events"]) == 3
    wrong = await shell("events", "timeline", "orders", "7")
    assert (wrong.code, wrong.err) == (
        2, "commerce-event: There are no timelines of 'orders'; write one of order, part, customer, company.\n",
    )  # fmt: skip
    missing = await shell("events", "timeline", "order", "SO-9")
    assert missing.code == 2
    assert "No stored event that your key may read has “SO-9” as OrderNo" in missing.err

    shown = (await shell("incidents", "show", made["id"])).out
    assert "connection refused" in shown
    assert "not done" in shown
    status = await shell("status")
    assert (fine.code, status.code) == (0, 1)
    assert "Nothing needs attention." in fine.out
    assert "pending 3 · dead letters 0 · refused events 0" in status.out
    assert "See: commerce-event incidents show ID" in status.out
