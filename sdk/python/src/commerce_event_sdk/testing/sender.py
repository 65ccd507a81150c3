"""Sends events to the receiver under test as a platform does, and keeps what it answered."""

from __future__ import annotations

import itertools
import json
import secrets
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, Final
from urllib.parse import urlsplit

from commerce_event_sdk.answer import Answer
from commerce_event_sdk.event import CommerceEvent, UnknownEvent
from commerce_event_sdk.receiver import Receiver
from commerce_event_sdk.signatures import sign
from commerce_event_sdk.testing import lives
from commerce_event_sdk.testing.clock import FakeClock
from commerce_event_sdk.testing.transports import HOST, transport_to

AnyEvent = CommerceEvent | UnknownEvent

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - for tests only
TIMEOUT_S: Final = 5.0
RETRY_DELAYS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 18000, 21600)
_RETRY_AFTER_MAX_S: Final = 3_600
_REDIRECTS: Final = (301, 302, 307, 308)
_REDIRECTS_MAX: Final = 5
_GONE: Final = 410


@dataclass(frozen=True)
class Attempt:
    """One request and what became of it. ``at_s`` is the time of the clock of the test, in seconds since 1970."""

    number: int
    event_type: str
    webhook_id: str | None
    at_s: float
    duration_s: float
    answer: Answer | None = None
    error: str | None = field(default=None, repr=False)

    @property
    def status(self) -> int | None:
        """The status of the answer; None without one."""
        return None if self.answer is None else self.answer.status

    @property
    def is_in_time(self) -> bool:
        """Whether the answer came within the five seconds that a platform waits."""
        return self.duration_s <= TIMEOUT_S

    @property
    def is_success(self) -> bool:
        """Whether a platform takes the event as delivered: a 2xx answer in time."""
        return self.answer is not None and self.answer.is_success and self.is_in_time

    def __str__(self) -> str:
        """Describe the attempt in a line."""
        if self.answer is None:
            happened = (self.error or "no answer").strip().splitlines()[-1]
        else:
            reason = self.answer.body[:200].decode("utf-8", "replace")
            happened = f"{self.answer.status} {reason}".rstrip()
        late = "" if self.is_in_time else f", after {self.duration_s:.1f} s, which is too late"
        return f"attempt {self.number} of {self.event_type} {self.webhook_id or 'without id'}: {happened}{late}"


@dataclass
class Sent:
    """An event that was sent, with all of its attempts."""

    event_type: str
    webhook_id: str | None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def is_delivered(self) -> bool:
        """Whether the last attempt succeeded."""
        return bool(self.attempts) and self.attempts[-1].is_success

    @property
    def answer(self) -> Answer | None:
        """The last answer; None when the last attempt had none."""
        return self.attempts[-1].answer if self.attempts else None

    @property
    def status(self) -> int | None:
        """The status of the last answer."""
        return self.attempts[-1].status if self.attempts else None

    def __str__(self) -> str:
        """Describe the attempts, one in a line."""
        return "\n".join(str(each) for each in self.attempts)


class EventSender:
    """Sends events to a receiver and keeps its answers in ``attempts``.

    ``target`` is a Receiver, an ASGI or WSGI application, or a URL. ``path`` is where the application takes events;
    ``{event_type}`` in it becomes the type. ``secret`` signs; None sends without a signature. ``header`` is the
    (name, value) of a static header. ``bare`` sends as a platform without ids and signatures does: body, static header
    and path only, so the path should have the event type. ``worker`` is the worker of an inbox, anything with
    ``run_until_idle()``; a Receiver with an inbox gets one by itself. The delays between attempts move ``clock``.
    ``timestamp`` returns the time that requests are signed with, by default the real one.
    """

    def __init__(
        self,
        target: Any,
        *,
        path: str = "/",
        secret: str | None = SECRET,
        header: tuple[str, str] | None = None,
        bare: bool = False,
        worker: Any = None,
        clock: FakeClock | None = None,
        timestamp: Callable[[], float] = time.time,
    ) -> None:
        """Raises TypeError for a target that takes no requests, and ValueError for an invalid URL."""
        self.clock = FakeClock() if clock is None else clock
        self.attempts: list[Attempt] = []
        self.secret = None if bare else secret
        self._transport = transport_to(target, TIMEOUT_S)
        self._host, self._path = _place(target, path)
        self.header = header
        self._bare = bare
        self._worker = worker
        self._receiver = target if isinstance(target, Receiver) else None
        self.timestamp = timestamp
        self._sequences: dict[str, int] = {}
        self._count = itertools.count(1)

    def send(
        self,
        event: AnyEvent,
        *,
        id: str | None = None,  # noqa: A002 - as in the contract
        repeat: int = 0,
        secret: str | EllipsisType | None = ...,
        attempt: int = 1,
        replay: bool = False,
        sequence: int | None = None,
        headers: Mapping[str, str] | None = None,
        attempts_max: int = len(RETRY_DELAYS_S) + 1,
    ) -> Sent:
        """Send an event until it is answered 2xx in time, at most 17 times, as a platform does.

        Between attempts the clock moves by the documented delays. 410 ends the attempts; 429 and 503 with Retry-After
        wait as long as that, at most an hour. ``repeat`` sends the event so many more times after that, as after lost
        answers. ``id`` is the webhook-id, a new one by default. ``secret`` signs instead of that of the client; None
        sends no signature. ``attempt`` is the number of the first attempt. ``sequence`` is the event's position among
        the events of the client, by default the next one. ``headers`` are sent in addition.
        """
        webhook_id = None if self._bare else id or f"evt_{secrets.token_hex(8)}"
        if webhook_id is not None and webhook_id not in self._sequences:
            self._sequences[webhook_id] = self.next_sequence() if sequence is None else sequence
        sent = Sent(event.event_type, webhook_id)
        used_secret = self.secret if isinstance(secret, EllipsisType) else secret
        body = body_of(event)
        number = attempt
        for _ in range(1 + repeat):
            for delay_s in (*RETRY_DELAYS_S[: attempts_max - 1], None):
                made = self._headers(event.event_type, webhook_id, number, replay) | dict(headers or {})
                answered = self.send_raw(event.event_type, body, made, secret=used_secret)
                sent.attempts.append(answered)
                number += 1
                if answered.is_success or answered.status == _GONE or delay_s is None:
                    break
                self.clock.advance(seconds=max(delay_s, _retry_after_s(answered.answer)))
        return sent

    def send_at_once(self, event: AnyEvent, count: int = 4, **options: Any) -> list[Sent]:
        """Send the same event several times at the same moment, as when attempts overlap; each is attempted once."""
        webhook_id = options.pop("id", None) or f"evt_{secrets.token_hex(8)}"
        with ThreadPoolExecutor(count) as threads:
            futures = [
                threads.submit(self.send, event, id=webhook_id, attempt=number, attempts_max=1, **options)
                for number in range(1, count + 1)
            ]
            return [each.result() for each in futures]

    def send_life(self, life: str | Iterable[lives.Arrival]) -> list[Sent]:
        """Send a recorded life, by name or as loaded: the clock moves to the offset of each request."""
        arrivals = lives.load(life) if isinstance(life, str) else list(life)
        began_s = self.clock()
        answers = []
        for offset_s, event, headers in arrivals:
            self.clock.advance(seconds=max(0.0, began_s + offset_s - self.clock()))
            sent = self.send(
                event,
                id=headers["webhook-id"],
                attempt=int(headers["commerce-event-attempt"]),
                sequence=int(headers["commerce-event-sequence"]),
                replay="commerce-event-replay" in headers,
            )
            answers.append(sent)
        return answers

    def send_raw(
        self, event_type: str, body: bytes, headers: Mapping[str, str], *, secret: str | EllipsisType | None = ...
    ) -> Attempt:
        """Send one request with these bytes and headers, signed now unless it has a signature. Nothing is repeated."""
        given = {name.lower(): value for name, value in headers.items()}
        webhook_id = given.get("webhook-id")
        used_secret = self.secret if isinstance(secret, EllipsisType) else secret
        if used_secret is not None and webhook_id is not None and "webhook-signature" not in given:
            timestamp_s = int(given.setdefault("webhook-timestamp", str(int(self.timestamp()))))
            given["webhook-signature"] = sign(used_secret, webhook_id, timestamp_s, body)
        if self.header is not None:
            given = {self.header[0].lower(): self.header[1], **given}
        number, at_s, real_s = int(given.get("commerce-event-attempt", "1")), self.clock(), time.monotonic()
        answer, error = None, None
        try:
            answer = self._follow(self._path.replace("{event_type}", event_type), given, body)
        except Exception:  # the application may raise anything; a server would answer 500 or drop the connection
            error = traceback.format_exc()
        duration_s = time.monotonic() - real_s + self.clock() - at_s
        made = Attempt(number, event_type, webhook_id, at_s, duration_s, answer, error)
        self.attempts.append(made)
        return made

    def next_sequence(self) -> int:
        """Return the next position among the events of the client."""
        return next(self._count)

    def work_inbox(self) -> None:
        """Let the worker of the inbox handle what is stored, until nothing is due. Without an inbox, do nothing."""
        if self._worker is None and self._receiver is not None and self._receiver.inbox is not None:
            inbox: Any = self._receiver.inbox
            self._worker = inbox.worker(self._receiver)
        if self._worker is not None:
            self._worker.run_until_idle()

    def close(self) -> None:
        """Shut an ASGI application down."""
        self._transport.close()

    def _headers(self, event_type: str, webhook_id: str | None, number: int, replay: bool) -> dict[str, str]:
        """Return the headers of an attempt, without the signature."""
        made = {"content-type": "application/json"}
        if webhook_id is None:
            return made
        made |= {
            "webhook-id": webhook_id,
            "commerce-event-type": event_type,
            "commerce-event-attempt": str(number),
            "commerce-event-sequence": str(self._sequences[webhook_id]),
        }
        return made | ({"commerce-event-replay": f"rpl_{secrets.token_hex(6)}"} if replay else {})

    def _follow(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send the request, and follow redirects within the application, as the same POST."""
        answer = self._transport.post(path, headers, body)
        for _ in range(_REDIRECTS_MAX):
            to = urlsplit(answer.headers.get("location", ""))
            if answer.status not in _REDIRECTS or not to.path or to.netloc not in ("", self._host):
                break
            path = f"{to.path}?{to.query}" if to.query else to.path
            answer = self._transport.post(path, headers, body)
        return answer


def _place(target: Any, path: str) -> tuple[str, str]:
    """Return the host of the target, and the path of events with its query."""
    if not isinstance(target, str):
        return HOST, path
    parts = urlsplit(target)
    joined = parts.path.rstrip("/") + path if path != "/" else parts.path or "/"
    return parts.netloc, f"{joined}?{parts.query}" if parts.query else joined


def body_of(event: AnyEvent) -> bytes:
    """Return the event as UTF-8 JSON."""
    return json.dumps(event.to_dict(), ensure_ascii=False, separators=(",", ":")).encode()


def _retry_after_s(answer: Answer | None) -> int:
    """Return the seconds that an answer asks to wait, at most an hour; 0 when it does not."""
    value = "" if answer is None or answer.status not in (429, 503) else answer.headers.get("retry-after", "")
    return min(int(value), _RETRY_AFTER_MAX_S) if value.isascii() and value.isdigit() else 0
