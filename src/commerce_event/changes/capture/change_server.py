"""The server's side of a capture: its source, its position, and the changes that are posted to it."""

import asyncio
import random
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
import msgspec

from commerce_event.changes.capture.envelopes import Batch
from commerce_event.changes.capture.errors import NeedsPersonError, PositionMovedError, UnavailableError
from commerce_event.changes.capture.names import split_table
from commerce_event.changes.capture.position import Position
from commerce_event.daemon_threads import DaemonThreads

_RETRY_S: Final = 20.0  # how long one request is repeated before the capture starts again from the stored position
_FIRST_PAUSE_S: Final = 0.1
_PAUSE_MAX_S: Final = 2.0
_THREADS: Final = 2  # one request with changes, and one with a report
_OVERLOADED: Final = frozenset({408, 429, 502, 503, 504})
_JSON: Final = {"Content-Type": "application/json"}


class Source(NamedTuple):
    """What the server knows of a source: the columns it reads of each table, and the stored position."""

    name: str
    columns: dict[tuple[str, str], frozenset[str]]  # by schema and table
    owner_columns: dict[
        tuple[str, str], frozenset[str]
    ]  # those of the client, the application and the key: deletes need them
    position: Position | None

    @property
    def tables(self) -> list[str]:
        return [".".join(table) for table in self.columns]


class ChangeServer:
    """Posts to one source of a server. Its methods raise CaptureError with a sentence for people."""

    def __init__(self, client: httpx.Client, source: str) -> None:
        self._client = client
        self._threads = DaemonThreads(_THREADS, name="capture-http")
        self._source = source
        self._shown = str(client.base_url).rstrip("/")
        self._path = f"/v1/change-sources/{quote(source, safe='')}"

    async def source(self) -> Source:
        found = _json(await self._call("GET", self._path))
        try:
            tables = {split_table(table): mapping for table, mapping in found["tables"].items()}
            owners = {table: _owner_columns(mapping, found) for table, mapping in tables.items()}
            columns = {
                table: owners[table] | _names(mapping.get("fields", {}).values()) for table, mapping in tables.items()
            }
            text = found.get("position")
            return Source(self._source, columns, owners, Position.parse(text) if text else None)
        except (AttributeError, KeyError, TypeError):
            raise NeedsPersonError(f"{self._shown} does not answer like a commerce-event server") from None
        except ValueError as error:
            raise NeedsPersonError(
                f"The source {self._source} has the position of another program ({error}); "
                "capture needs a source of its own"
            ) from None

    async def post(self, batch: Batch, after: Position | None) -> None:
        """Post a batch until the server has stored it with its position.

        Posting again is safe: the server takes a batch only at the position ``after``. Raises PositionMovedError when
        the server has neither that position nor the one of the batch.
        """
        query = {"source": self._source, "after": str(after) if after else "", "position": str(batch.position)}
        answer = await self._persist("/v1/changes/debezium", query, batch.body())
        if answer.status_code == 409 and _json(answer).get("position") != query["position"]:
            raise PositionMovedError(
                f"The source {self._source} has another position than this capture expected; it continues from there"
            )

    async def post_rows(self, rows: list[bytes]) -> None:
        """Post rows of a backfill, which have no position.

        Posting again is safe: the server knows a row that it has by its values and its place in the log.
        """
        await self._persist("/v1/changes/debezium", {"source": self._source}, b"[%b]" % b",".join(rows))

    async def report(self, status: dict[str, Any]) -> None:
        """Report the state of the capture to the server. Raises CaptureError."""
        await self._call("PUT", f"{self._path}/status", content=msgspec.json.encode(status), headers=_JSON)

    async def _persist(self, path: str, query: dict[str, str], body: bytes) -> httpx.Response:
        """Post, and repeat while the server is away or overloaded, up to twenty seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _RETRY_S
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._call("POST", path, params=query, content=body, headers=_JSON)
            except UnavailableError as error:
                wait = max(pause * random.uniform(0.5, 1), error.retry_after_s or 0)  # noqa: S311
                if loop.time() + wait > deadline:
                    raise
            await asyncio.sleep(wait)
            pause = min(2 * pause, _PAUSE_MAX_S)

    async def _call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Return an answer that is a success or a 409. The call runs in a thread, so rows can be decoded meanwhile."""
        try:
            request = partial(self._client.request, method, path, **arguments)
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, request)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"The server at {self._shown} cannot be reached ({error or type(error).__name__})"
            ) from None
        if answer.is_success or answer.status_code == 409:
            return answer
        sentence = f"{self._shown} answered {answer.status_code}: {_detail(answer)}"
        if answer.status_code in _OVERLOADED or answer.status_code >= 500:
            raise UnavailableError(sentence, _retry_after_s(answer))
        if answer.status_code == 404:
            sentence = (
                f"{self._shown} has no source {self._source!r}; list them with: commerce-event change-sources list"
            )
        raise NeedsPersonError(sentence)


def _owner_columns(mapping: dict[str, Any], source: dict[str, Any]) -> frozenset[str]:
    """Return the columns of the key, the client and the application."""
    owners = (source.get("client_id"), mapping.get("application_id"))
    return _names([*mapping.get("key", {}).values(), *(each["column"] for each in owners if isinstance(each, dict))])


def _names(columns: Iterable[Any]) -> frozenset[str]:
    return frozenset(name for each in columns for name in (each if isinstance(each, list) else [each]))


def _json(answer: httpx.Response) -> Any:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NeedsPersonError(f"{answer.url.host} does not answer like a commerce-event server")
    return found


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        faults = "; ".join(f"{fault['pointer']} {fault['message']}" for fault in problem.get("errors", [])[:3])
        return f"{problem['detail']}{faults and f' ({faults})'}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "no reason given"


def _retry_after_s(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _PAUSE_MAX_S) if text.isdecimal() else None
