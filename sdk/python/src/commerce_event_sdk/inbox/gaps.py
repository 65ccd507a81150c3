"""Fetch from the server the events that never arrived: compare its sequence numbers with what the inbox has."""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from commerce_event_sdk.batch_sender import retry_after_s
from commerce_event_sdk.content_keys import business_key
from commerce_event_sdk.delivery import NAME, Delivery
from commerce_event_sdk.inbox.database import new_message
from commerce_event_sdk.inbox.rules import InboxUnavailableError
from commerce_event_sdk.plain_text import printable

if TYPE_CHECKING:
    import ssl

    from commerce_event_sdk.inbox import Inbox
    from commerce_event_sdk.receiver import Receiver

LOG: Final = logging.getLogger(__name__)
GRACE_S: Final = 60.0
PAGE_EVENTS: Final = 200
_OLDEST: Final = "SELECT min(sequence) FROM commerce_event_inbox WHERE client_id = :client_id"
_ANSWER_MAX: Final = 16 * 1024 * 1024  # bytes
_PIECE: Final = 64 * 1024
_LOST_MAX: Final = 100  # ranges in a report


class GapsError(Exception):
    """The server did not give its events. ``status`` is its answer; None when there was none.

    ``retry_after_s`` is how long the server asks to wait.
    """

    def __init__(self, reason: str, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class GapReport:
    """What one run found.

    The inbox has, or does not want, every event up to the sequence number ``position``. ``checked`` events were
    compared, and ``fetched`` of them were missing and are stored now. ``lost`` are ranges of sequence numbers, first
    and last, that neither side has: the server deleted those events before they were fetched.
    """

    position: int
    checked: int
    fetched: int
    lost: tuple[tuple[int, int], ...]


class Gaps:
    """Compares the events of one client on the server with an inbox, and stores what the inbox lacks.

    The position up to which everything was compared is kept in the inbox. It advances only after the events before it
    are stored, so a run that is killed loses nothing. An event that arrives during the run is recognised as a repeat.
    """

    def __init__(
        self,
        inbox: Inbox,
        url: str,
        key: str,
        client_id: int,
        types: Collection[str] | None = None,
        application_id: int | None = None,
        *,
        receiver: Receiver | None = None,
        grace_s: float = GRACE_S,
        start: int | None = None,
        timeout_s: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """``key`` needs the role ``read`` for the client. It never appears in errors and log lines.

        Fetches the events of ``types``; without it, those that ``receiver`` has a handler for; without both, all. With
        ``application_id`` only events of the application, and events without one. Events younger than ``grace_s`` are
        skipped. ``start`` is the position of the very first run: 0 fetches everything that the server keeps; by
        default it begins with the oldest event of the client in the inbox, and with the newest one on the server when
        the inbox has none. Raises ValueError for a URL that is not http or https.
        """
        target = urlsplit(url)
        if target.scheme not in ("http", "https") or not target.hostname or target.query or target.fragment:
            raise ValueError(f"{url!r} is not the address of a server: http://… or https://…")
        self._inbox = inbox
        self._server = _Server(url.rstrip("/"), key, client_id, timeout_s, ssl_context)
        self._client_id = client_id
        self._types = None if types is None else frozenset(types)
        self._application_id = application_id
        self._receiver = receiver
        self._grace_s = grace_s
        self._start = start
        self._source = f"gaps:{client_id}" + ("" if application_id is None else f":{application_id}")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def run_once(self) -> GapReport:
        """Compare everything up to the newest event that is older than the grace.

        Raises GapsError when the server does not answer as it should, and InboxUnavailableError; what was stored
        before stays, and the next run continues there.
        """
        stored = self._inbox.read_position(self._source)
        position = self._first_position() if stored is None else stored
        is_known = stored is not None or self._start is None  # from an explicit start, what is gone was never expected
        checked = fetched = 0
        lost: list[tuple[int, int]] = []
        for page in self._server.pages(position, self._grace_s):
            for event in page:
                if is_known and event["sequence"] > position + 1:
                    lost.append((position + 1, event["sequence"] - 1))
                position, is_known = event["sequence"], True
            fetched += self._store([event for event in page if self._is_wanted(event)])
            self._inbox.write_position(self._source, position)
            checked += len(page)
            if self._stopping.is_set():
                break
        if stored is None and not checked:
            self._inbox.write_position(self._source, position)
        for first, last in lost:
            LOG.warning("events %d to %d of client %d are lost: the server deleted them", first, last, self._client_id)
        return GapReport(position, checked, fetched, tuple(lost[:_LOST_MAX]))

    def run(self, every_s: float = 60.0) -> None:
        """Run again and again until ``stop``. Errors are logged; the next run tries again."""
        while not self._stopping.is_set():
            pause_s = every_s
            try:
                report = self.run_once()
            except GapsError as error:
                LOG.warning("looking for missed events of client %d failed: %s", self._client_id, error)
                pause_s = max(every_s, error.retry_after_s)
            except InboxUnavailableError as error:
                LOG.warning("missed events of client %d cannot be stored: %s", self._client_id, error)
            except Exception:  # a thread that ends would look for nothing any more
                LOG.exception("looking for missed events of client %d failed", self._client_id)
            else:
                level = logging.INFO if report.fetched else logging.DEBUG
                LOG.log(level, "%d missed events of client %d fetched", report.fetched, self._client_id)
            self._stopping.wait(pause_s)

    def start(self, every_s: float = 60.0) -> None:
        """Call ``run`` in a thread. Raises RuntimeError when it runs already."""
        if self._thread is not None:
            raise RuntimeError("the search for gaps runs already")
        self._stopping.clear()
        self._thread = threading.Thread(target=self.run, args=(every_s,), name="commerce-event-gaps", daemon=True)
        self._thread.start()

    def request_stop(self) -> None:
        """Let ``run`` end after the page that it is at, without waiting for it."""
        self._stopping.set()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """End ``run`` after the page that it is at. Returns whether it ended in time."""
        self.request_stop()
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        if thread.is_alive():
            return False
        self._thread = None
        return True

    def _first_position(self) -> int:
        if self._start is not None:
            return self._start
        with self._inbox.session() as session:
            oldest = session.query(_OLDEST, {"client_id": self._client_id})[0][0]
        return self._server.newest_sequence() if oldest is None else oldest - 1

    def _is_wanted(self, event: Mapping[str, Any]) -> bool:
        if self._application_id is not None and event["application_id"] not in (None, self._application_id):
            return False
        if self._types is not None:
            return event["type"] in self._types
        return self._receiver is None or self._receiver.handles(event["type"])

    def _store(self, events: list[Mapping[str, Any]]) -> int:
        """Store events durably, and return how many were missing."""
        if not events:
            return 0
        now = self._inbox.clock()
        messages = [new_message(_delivery(each), business_key(each["type"], each["data"]), now) for each in events]
        with self._inbox.session() as session:
            new = session.insert(messages)
        for webhook_id in sorted(new):
            LOG.info("%s never arrived and is fetched", webhook_id)
        return len(new)


class _Server:
    """Reads the sequence of a client over HTTP."""

    def __init__(
        self, url: str, key: str, client_id: int, timeout_s: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._url = url
        self._key = key
        self._client_id = client_id
        self._timeout_s = timeout_s
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]  # the key is for this server alone
        if ssl_context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=ssl_context))
        self._open: Callable[..., Any] = urllib.request.build_opener(*handlers).open

    def pages(self, position: int, grace_s: float) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the events after a position that are older than the grace, page by page."""
        while True:
            answer, now_s = self._get(after=position, limit=PAGE_EVENTS)
            events = answer["items"]
            numbers = [position, *(each["sequence"] for each in events)]
            if any(first >= second for first, second in pairwise(numbers)):
                raise self._wrong_answer()  # the same page again and again would have no end
            ripe = _older_than(now_s - grace_s, events)
            if ripe:
                yield ripe
                position = ripe[-1]["sequence"]
            if len(ripe) < len(events) or answer["next_cursor"] is None:
                return

    def newest_sequence(self) -> int:
        """Return the number of the newest event; 0 without any."""
        events = self._get(limit=1)[0]["items"]
        return int(events[0]["sequence"]) if events else 0

    def _get(self, **query: int) -> tuple[dict[str, Any], float]:
        """Return a page and the server's time, which the times of events are compared with. Raises GapsError."""
        url = f"{self._url}/v1/events?{urlencode({'client_id': self._client_id, **query})}"
        try:
            with self._request(url) as response:
                body = _read(response, time.monotonic() + self._timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise GapsError(f"no answer from {self._url}: {self._redact(str(error) or type(error).__name__)}") from None
        if response.status != 200:
            raise self._failure(response.status, response.headers, body)
        return self._page(body), _date(response.headers)

    def _request(self, url: str) -> Any:
        """Return the answer, of any status."""
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http or https, see Gaps
            return self._open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            return error

    def _page(self, body: bytes) -> dict[str, Any]:
        try:
            page: dict[str, Any] = json.loads(body)
            if all(map(_is_event, page["items"])) and "next_cursor" in page:
                return page
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            pass
        raise self._wrong_answer()

    def _wrong_answer(self) -> GapsError:
        return GapsError(f"{self._url} does not answer as Commerce Event does; check the address", 200)

    def _failure(self, status: int, headers: Message, body: bytes) -> GapsError:
        try:
            detail = str(json.loads(body)["detail"])
        except (ValueError, KeyError, TypeError, RecursionError):
            detail = http.client.responses.get(status, "")
        if 300 <= status < 400:
            detail = f"it redirects to {headers.get('Location')}; give that address instead"
        elif status in (401, 403):
            detail += f" Give a key with the role read for client {self._client_id}."
        wait_s = retry_after_s(headers.get("Retry-After")) or 0.0
        return GapsError(f"{self._url} answered {status}: {self._redact(detail)}", status, wait_s)

    def _redact(self, text: str) -> str:
        return printable(text.replace(self._key, "***")[:2_000])


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def _read(response: Any, until: float) -> bytes:
    """Return the body of an answer. Raises OSError when it takes longer than ``until``, and when it is too large."""
    body = bytearray()
    while piece := response.read1(_PIECE):
        body += piece
        if len(body) > _ANSWER_MAX:
            raise OSError(f"the answer has more than {_ANSWER_MAX} bytes")
        if time.monotonic() > until:
            raise TimeoutError("the answer did not end in time")
    return bytes(body)


def _is_event(item: Any) -> bool:
    """Return whether an item is an event in a form that every database can store. Raises KeyError and TypeError."""
    return (
        all(NAME.fullmatch(item[name]) for name in ("id", "type"))
        and item["sequence"].__class__ is int
        and 0 < item["sequence"] < 2**63
        and (item["application_id"] is None or item["application_id"].__class__ is int)
        and isinstance(item["data"], dict)
        and isinstance(item["accepted_at"], str)
        and _seconds(item["accepted_at"]) > 0
    )


def _delivery(event: Mapping[str, Any]) -> Delivery:
    """Return the delivery that would have brought an event."""
    sequence = int(event["sequence"])
    headers = {
        "webhook-id": event["id"],
        "commerce-event-type": event["type"],
        "commerce-event-sequence": str(sequence),
        "content-type": "application/json",
    }
    body = json.dumps(event["data"], separators=(",", ":")).encode()
    return Delivery(event["type"], event["id"], body, headers, sequence=sequence)


def _older_than(time_s: float, events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events before the first younger one; times need not rise with the sequence."""
    return list(takewhile(lambda event: _seconds(event["accepted_at"]) <= time_s, events))


def _seconds(time_text: str) -> float:
    return datetime.fromisoformat(time_text.replace("Z", "+00:00")).timestamp()


def _date(headers: Message) -> float:
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (TypeError, ValueError, OverflowError):
        return time.time()
