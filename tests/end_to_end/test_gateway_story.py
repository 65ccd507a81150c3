"""The gateway page as its reader follows it: a platform with a static header, three services, and a fourth later.

The commands and the code of a service are those of the page. The node, its store and every socket are real; only time
is simulated.
"""

import asyncio
import re
import shlex
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import command_line
import pytest
from api_server import ADMIN_KEY, DEADLINE_S, Api, expect, listening, plain_client, running_api
from commerce_event_sdk import CommerceEvent, verify
from commerce_event_sdk.testing import Shop
from passing_clock import PassingClock, let_pass, passing_clock
from ports import free_port

from commerce_event.core.retry import DEFAULT_SCHEDULE_S

PAGE: Final = (Path(__file__).parents[2] / "docs/how-to/put-a-gateway-before-your-services.md").read_text("utf-8")
TYPES: Final = {"warehouse": {"OrderConfirmedEvent", "OrderCancelledEvent"}}  # the others take every type of Order
ORDERS: Final = 3


def code_of(step: str) -> list[str]:
    """Return the blocks of a step, without their indentation; a block is ended by text."""
    section = PAGE.partition(f"\n## {step}")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", section, re.MULTILINE)
    return [re.sub(r"^ {4}", "", each, flags=re.MULTILINE).strip() for each in blocks]


def commands(step: str) -> list[list[str]]:
    """Return the arguments of the commands of a step."""
    lines = "\n".join(code_of(step)).replace("\\\n", " ").splitlines()
    return [shlex.split(each)[1:] for each in lines if each.startswith("commerce-event ")]


class Service:
    """A service of the page: its code, at a port of its own, with a database of its own."""

    def __init__(self, name: str, folder: Path, clock: PassingClock) -> None:
        self.name = name
        self.port = free_port()
        self.endpoint_id = self.secret = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.loses_an_answer = False  # answers the next request 503 after its work was done
        self._database = folder / f"{name}.db"
        self._clock = clock
        self._up = AsyncExitStack()
        with sqlite3.connect(self._database) as database:
            database.execute("CREATE TABLE booking (about TEXT, event_type TEXT)")
        database.close()

    async def start(self) -> None:
        """Run the code of the page."""
        [code] = [each for each in code_of("3.") if each.startswith("import sqlite3")]
        names: dict[str, Any] = {}
        exec(code.replace("whsec_…", self.secret).replace("ledger.db", str(self._database)), names)
        names["receiver"]._clock = self._clock.seconds
        self._app = names["app"]
        await self._up.enter_async_context(listening(self, port=self.port))
        self._up.callback(names["inbox"].close)

    async def stop(self) -> None:
        """Refuse connections."""
        await self._up.aclose()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""

        async def observed() -> Any:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def answer(message: Any) -> None:
            if self.loses_an_answer and message["type"] == "http.response.start":
                message["status"] = 503
            await send(message)

        await self._app(scope, observed, answer)
        self.loses_an_answer = False
        self.requests.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))

    def bookings(self) -> Counter[tuple[str, str]]:
        """Return what its handler did."""
        database = sqlite3.connect(self._database)
        rows = database.execute("SELECT about, event_type FROM booking").fetchall()
        database.close()
        return Counter(rows)

    def assert_handled_once(self, published: dict[str, CommerceEvent]) -> None:
        """Every event that it wants was handled once, arrived with its own id, and was signed with its secret."""
        wanted = {
            event_id: event
            for event_id, event in published.items()
            if event.event_type in TYPES.get(self.name, {event.event_type})
        }
        assert self.bookings() == Counter((str(each.business_key), each.event_type) for each in wanted.values())
        assert {headers["webhook-id"] for headers, _ in self.requests} == set(wanted)
        for headers, body in self.requests:
            verify(self.secret, headers, body, now_s=float(headers["webhook-timestamp"]))
            assert body == wanted[headers["webhook-id"]].to_json()
            assert "authorization" not in headers


class Story:
    """The gateway, the platform in front of it, and the services behind it."""

    def __init__(self, api: Api, clock: PassingClock, folder: Path) -> None:
        self.api = api
        self.clock = clock
        self.shop = Shop(client_id=1)
        self.published: dict[str, CommerceEvent] = {}
        self.services: dict[str, Service] = {}
        self._platform_key = ""
        self._folder = folder

    async def run(self, arguments: list[str], service: Service | None = None) -> Any:
        """Run a command of the page; return what it prints."""
        named = [service.endpoint_id if service and each == "end_…" else each for each in arguments]
        environment = {"COMMERCE_EVENT_URL": self.api.url, "COMMERCE_EVENT_KEY": ADMIN_KEY}
        done = await command_line.run(*named, "--json", environment=environment)
        assert done.code == 0, (arguments, done.err)
        return done.json

    async def make_key(self) -> None:
        [command] = commands("2.")
        self._platform_key = (await self.run(command))["key"]

    async def connect(self, command: list[str]) -> Service:
        """Create the endpoint of a service with a command of the page."""
        service = Service(command[command.index("--description") + 1], self._folder, self.clock)
        to = command.index("--to") + 1
        assert command[to].startswith(f"http://{service.name}.internal:")
        made = await self.run([*command[:to], f"http://127.0.0.1:{service.port}/events", *command[to + 1 :]])
        service.endpoint_id, service.secret = made["id"], made["secret"]
        self.services[service.name] = service
        await service.start()
        return service

    async def publish_orders(self) -> None:
        """Post as the platform does: a URL for each type, a static header, and no id."""
        headers = {"Authorization": f"Bearer {self._platform_key}", "Content-Type": "application/json"}
        async with plain_client(self.api.url, headers) as platform:
            for outcome in ("delivered", "cancelled", "picked_up")[:ORDERS]:
                for event in self.shop.order().life(outcome):
                    answer = await platform.post(f"/v1/events/{event.event_type}", content=event.to_json())
                    self.published[expect(answer, 202)["id"]] = event

    async def until_delivered(self, *services: Service) -> None:
        for each in services:
            await self.api.until_state("delivered", endpoint_id=each.endpoint_id)

    async def attempts_max(self, service: Service) -> int:
        counts: list[int] = [
            each["attempt_count"] for each in await self.api.deliveries(endpoint_id=service.endpoint_id)
        ]
        return max(counts)


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    """A gateway with a platform's key and the three services of the page."""
    async with _story(tmp_path) as made:
        await made.make_key()
        for command in commands("3."):
            await made.connect(command)
        yield made
        for each in made.services.values():
            await each.stop()


@asynccontextmanager
async def _story(folder: Path) -> AsyncIterator[Story]:
    with passing_clock() as clock:
        async with running_api(folder, retry_schedule_s=DEFAULT_SCHEDULE_S, circuit_failures=20) as api:
            yield Story(api, clock, folder)


async def test_gateway_fans_out_survives_two_days_and_replays_to_a_new_service(story: Story) -> None:
    mailer, warehouse, ledger = (story.services[name] for name in ("mailer", "warehouse", "ledger"))
    mailer.loses_an_answer = True
    await story.publish_orders()
    await story.until_delivered(warehouse, ledger)
    await let_pass(story.api, story.clock, hours=0.1)
    await story.until_delivered(mailer)
    assert len(mailer.requests) == len(story.published) + 1  # one came twice

    # The ledger is down for two days and has the longer schedule.
    await ledger.stop()
    await story.publish_orders()
    await let_pass(story.api, story.clock, hours=48)
    waiting = await story.api.deliveries(endpoint_id=ledger.endpoint_id, state="pending")
    assert len(waiting) == len(story.published) / 2
    await ledger.start()
    await let_pass(story.api, story.clock, hours=6)
    await story.until_delivered(mailer, warehouse, ledger)
    assert await story.attempts_max(ledger) > 9

    # The warehouse is down for two days and has the default schedule.
    await warehouse.stop()
    await story.publish_orders()
    await let_pass(story.api, story.clock, hours=48)
    dead = await story.api.deliveries(endpoint_id=warehouse.endpoint_id, state="dead")
    assert {each["attempt_count"] for each in dead} == {len(DEFAULT_SCHEDULE_S) + 1}
    await warehouse.start()
    waiting_now, groups, retry = commands("4.")
    [group] = await story.run(groups)
    assert (group["endpoint_id"], group["count"]) == (warehouse.endpoint_id, len(dead))
    await story.run(retry, warehouse)
    await story.until_delivered(mailer, warehouse, ledger)

    # Once more, and what waits is sent at once.
    await ledger.stop()
    await story.publish_orders()
    await let_pass(story.api, story.clock, hours=5)
    await ledger.start()
    await story.run(waiting_now, ledger)
    await story.until_delivered(ledger)

    # A fourth service gets everything that there was.
    create, replay = commands("5.")
    search = await story.connect(create)
    await story.run(replay, search)
    await story.publish_orders()
    await story.until_delivered(search, mailer, warehouse, ledger)

    for service in story.services.values():
        service.assert_handled_once(story.published)
    assert all("commerce-event-replay" in headers for headers, _ in search.requests[: len(story.published) * 4 // 5])
    books = expect(await story.api.admin.get("/v1/books"), 200)
    assert books["balanced"], books


async def test_gateway_curl_of_the_page_is_accepted(story: Story) -> None:
    [curl] = [each for each in code_of("2.") if each.startswith("curl ")]
    command = curl.replace("http://127.0.0.1:8080", story.api.url).replace(
        "Bearer KEY", f"Bearer {story._platform_key}"
    )
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await process.communicate()
    assert out.startswith(b"HTTP/1.1 202")
    assert b'"deliveries":3' in out.replace(b" ", b"")
