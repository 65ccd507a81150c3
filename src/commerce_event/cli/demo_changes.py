"""The changes of the demo: send them, and compare what they raise with the notifications that the shop expects."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import httpx

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.simulate.event_settings import SETTINGS, settings_of
from commerce_event.simulate.rows import SimulatedChange
from commerce_event.simulate.shop import SimulatedEvent

_BATCH_MAX: Final = 200
_PAGE: Final = 200
_EXAMPLES_MAX: Final = 20  # changes among which a merged one is looked for
_NOTIFICATIONS: Final = frozenset(name for name, each in EVENT_TYPES.items() if each.kind == "notification")
_WINDOWED: Final = frozenset(setting["event_type"] for setting in SETTINGS if "coalesce_s" in setting)

Notification = tuple[str, str]  # type and body


class DemoChanges:
    """The changes that were sent, the notifications that the shop expects, and those that the server raised.

    The shop decides by its own rules, so the two are counted independently.
    """

    def __init__(self, api: httpx.AsyncClient, client_id: int) -> None:
        self._api = api
        self._client_id = client_id
        self._queue: asyncio.Queue[SimulatedChange] = asyncio.Queue()
        self._read_to = 0  # sequence of the client's events
        self._expected: Counter[Notification] = Counter()
        self._raised: Counter[Notification] = Counter()
        self._newest_expected: dict[Notification, str] = {}  # of each subject with a window
        self._newest_raised: dict[Notification, str] = {}
        self._expected_windowed = self._raised_windowed = self._waited = 0
        self._examples: list[str] = []
        self.sent = 0

    async def set_up(self) -> None:
        """Save the event settings of the shop."""
        for setting in settings_of(self._client_id):
            (await self._api.post("/v1/event-settings", json=setting)).raise_for_status()

    def put(self, change: SimulatedChange) -> None:
        """Queue a change. Changes are sent one request after the other, so that their order is kept."""
        self._queue.put_nowait(change)

    def expect(self, event: SimulatedEvent) -> None:
        """Count a notification that a change must raise."""
        self._expected_windowed += event.type in _WINDOWED
        _note(self._expected, self._newest_expected, event.type, event.data)

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        while True:
            changes = [await self._queue.get()]
            while len(changes) < _BATCH_MAX and not self._queue.empty():
                changes.append(self._queue.get_nowait())
            await self._send(changes)
            for _ in changes:
                self._queue.task_done()

    async def until_sent(self) -> None:
        await self._queue.join()

    async def _send(self, changes: list[SimulatedChange]) -> None:
        lines = "\n".join(json.dumps(change.body) for change in changes)
        answer = await self._api.post(
            "/v1/changes", content=lines.encode(), headers={"Content-Type": "application/x-ndjson"}
        )
        answer.raise_for_status()
        for item in answer.json()["items"]:
            if item["status"] != 202:
                raise RuntimeError(f"a change was answered with {item}")
            self.sent += 1
            waiting = item.get("waiting", 0)
            self._waited += waiting
            if (waiting or item["events"]) and len(self._examples) < _EXAMPLES_MAX:
                self._examples.insert(0 if waiting else len(self._examples), item["id"])

    async def read_raised(self) -> list[tuple[str, str]]:
        """Return type and id of the notifications that were raised since the last time."""
        found: list[tuple[str, str]] = []
        while True:
            query = {"client_id": self._client_id, "after": self._read_to, "limit": _PAGE}
            items = (await self._api.get("/v1/events", params=query)).raise_for_status().json()["items"]
            if not items:
                return found
            self._read_to = items[-1]["sequence"]
            for item in items:
                if item["type"] in _NOTIFICATIONS:
                    self._raised_windowed += item["type"] in _WINDOWED
                    _note(self._raised, self._newest_raised, item["type"], item["data"])
                    found.append((item["type"], item["id"]))

    @property
    def raised(self) -> int:
        return self._raised.total() + self._raised_windowed

    @property
    def expected(self) -> int:
        """How many notifications there would be if none were merged."""
        return self._expected.total() + self._expected_windowed

    @property
    def merged(self) -> int:
        """How many notifications are in one with newer values."""
        return self._expected_windowed - self._raised_windowed

    def mismatches(self) -> int:
        """Count notifications that are missing, too many, or without the newest values."""
        at_once = (self._expected - self._raised).total() + (self._raised - self._expected).total()
        subjects = self._newest_expected.keys() | self._newest_raised.keys()
        newest = sum(self._newest_expected.get(each) != self._newest_raised.get(each) for each in subjects)
        return at_once + newest + abs(self._expected_windowed - self._waited) + max(0, -self.merged)

    async def explained(self) -> str:
        """Return one change in words: what it raised and where that went; a merged one if there is any."""
        sentence = "no change raised anything"
        for change_id in reversed(self._examples):
            answer = await self._api.get(f"/v1/changes/{change_id}/explain")
            explanation = answer.raise_for_status().json()
            found = [each for setting in explanation["settings"] for each in setting["notifications"]]
            sentence = _in_words(explanation, found)
            if any(each["merged"] > 1 for each in found):
                break
        return sentence


def _note(
    counts: Counter[Notification], newest: dict[Notification, str], event_type: str, data: Mapping[str, Any]
) -> None:
    body = json.dumps(data, sort_keys=True)
    if event_type in _WINDOWED:
        newest[event_type, data["PartNo"]] = body
    else:
        counts[event_type, body] += 1


def _in_words(explanation: Mapping[str, Any], notifications: list[Mapping[str, Any]]) -> str:
    change = explanation["change"]
    key = ", ".join(f"{name} {value}" for name, value in change["key"].items())
    states: Counter[str] = Counter()
    for each in notifications:
        states.update(each["deliveries"])
    merged = max((each["merged"] for each in notifications), default=1)
    together = f" It was merged with {merged - 1} more." if merged > 1 else ""
    went = ", ".join(f"{count} {state}" for state, count in states.items())
    return f"{change['operation']} of {change['entity']}, {key}: {explanation['verdict']}{together} Deliveries: {went}."
