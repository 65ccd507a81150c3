"""Send events to ``POST /v1/events`` over a connection that is kept open."""

from __future__ import annotations

import http.client
import io
import json
import math
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeAlias, cast
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from commerce_event_sdk.plain_text import printable
from commerce_event_sdk.publishing import (
    Accepted,
    EventRefusedError,
    OutgoingEvent,
    RequestRefusedError,
    UnavailableError,
)

Result: TypeAlias = Accepted | EventRefusedError | UnavailableError

_ANSWER_MAX: Final = 16 * 1024 * 1024  # bytes
_PIECE: Final = 64 * 1024
_TEXT_MAX: Final = 2_000  # characters of a text in an answer that are kept
_ERRORS_MAX: Final = 20
_RETRY_AFTER_MAX_S: Final = 3_600.0
_RETRIED: Final = frozenset({408, 425, 429})  # and 5xx
_OVERLOAD: Final = frozenset({429, 502, 503})


class BatchSender:
    """One connection to a server. One thread sends; any thread may abort."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 30.0, ssl_context: ssl.SSLContext | None = None):
        """``url`` is the server's address; a proxy is taken from the environment (``HTTPS_PROXY``, ``NO_PROXY``, …).

        ``timeout_s`` limits each request from its start to the end of its answer. Raises ValueError.
        """
        self._target = _check_url(url)
        self._proxy = _proxy_of(self._target)
        self._key = _check_key(key)
        self._timeout_s = timeout_s
        self._ssl_context = ssl_context
        self._connection: http.client.HTTPConnection | None = None
        self._is_aborted = False
        self._path = self._target.path.rstrip("/") + "/v1/events"
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-ndjson",
            "Accept": "application/json",
            "User-Agent": "commerce-event-sdk",
        }
        if self._proxy is not None and self._target.scheme == "http":
            self._path = f"http://{self._target.netloc}{self._path}"
            self._headers.update(_proxy_authorization(self._proxy))

    @property
    def url(self) -> str:
        """The server's address."""
        return self._target.geturl()

    def __repr__(self) -> str:
        return f"BatchSender({self.url!r})"

    def send(self, events: Sequence[OutgoingEvent]) -> list[Result]:
        """Send events in one request and return what became of each, in order.

        An UnavailableError among the results was not stored; neither was any event after it that is not refused.
        Raises UnavailableError when the answer of the server is not known or says to try again, so that the events
        may be stored or not, and RequestRefusedError when the server refuses the request as such.
        """
        body = b"\n".join([event.line for event in events])
        try:
            status, headers, answer = self._post(body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = self._redact(str(error) or type(error).__name__)
            timed_out = isinstance(error, TimeoutError)
            raise UnavailableError(
                f"no answer from {self._target.netloc}: {reason}", is_overload=not timed_out
            ) from None
        if status != 200:
            raise self._failure(status, headers, answer)
        return self._results(answer, len(events))

    def abort(self) -> None:
        """Cut the connection, so that a request that another thread sends fails at once; send nothing any more."""
        self._is_aborted = True
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with suppress(OSError):  # it may have ended by itself
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        until = time.monotonic() + self._timeout_s
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body, until)
            except ConnectionError:  # the server closed it while it was idle; the ids make sending again safe
                self.close()
        self._connection = self._connect(until)
        return self._exchange(self._connection, body, until)

    def _connect(self, until: float) -> http.client.HTTPConnection:
        if self._is_aborted:
            raise ConnectionAbortedError("the request was cut")
        target, via = self._target, self._proxy or self._target
        timeout_s = max(until - time.monotonic(), 0.001)
        connection: http.client.HTTPConnection
        if target.scheme == "https":
            context = self._ssl_context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                _host(via), via.port or (443 if via is target else 80), timeout=timeout_s, context=context
            )
            if via is not target:
                connection.set_tunnel(_host(target), target.port or 443, _proxy_authorization(via))
        else:
            connection = http.client.HTTPConnection(_host(via), via.port or 80, timeout=timeout_s)
        connection.connect()
        connection.sock = cast("socket.socket", _TimedSocket(connection.sock))
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, until: float
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        cast("_TimedSocket", connection.sock).until = until
        with suppress(ConnectionError):  # a server that refuses a request may answer before it has read everything
            connection.request("POST", self._path, body, self._headers)
        response = connection.getresponse()
        answer = _read(response)
        if response.will_close:
            self.close()
        return response.status, response.headers, answer

    def _failure(self, status: int, headers: http.client.HTTPMessage, answer: bytes) -> Exception:
        problem = _json_object(answer)
        title = self._redact(str(problem.get("title") or http.client.responses.get(status, "Error")))
        detail = self._redact(str(problem.get("detail") or f"{self._target.netloc} answered {status}"))
        if status >= 500 or status in _RETRIED:
            return UnavailableError(
                f"{status} {title}: {detail}",
                retry_after_s=retry_after_s(headers.get("Retry-After")),
                is_overload=status in _OVERLOAD,
            )
        if 300 <= status < 400:
            detail = f"the server redirects to {self._redact(headers.get('Location', '?'))}; give that address instead"
        if status < 300:
            return _unexpected(self._target.netloc)
        return RequestRefusedError(status, title, detail, self._faults(problem.get("errors")))

    def _results(self, answer: bytes, count: int) -> list[Result]:
        items = _json_object(answer).get("items")
        if not isinstance(items, list) or len(items) != count:
            raise _unexpected(self._target.netloc)
        try:
            return [self._result(item) for item in items]
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise _unexpected(self._target.netloc) from None

    def _result(self, item: Mapping[str, Any]) -> Result:
        status = int(item["status"])
        if status < 200:
            raise ValueError("no event has such a status")
        if status < 300:
            warnings = self._faults(item.get("warnings"))
            return Accepted(self._redact(str(item["id"])), bool(item["duplicate"]), int(item["deliveries"]), warnings)
        title, detail = self._redact(str(item.get("title", ""))), self._redact(str(item.get("detail", "")))
        if status >= 500 or status in _RETRIED:
            return UnavailableError(f"{status} {title}: {detail}")
        return EventRefusedError(status, title, detail, self._faults(item.get("errors")))

    def _faults(self, errors: Any) -> tuple[tuple[str, str], ...]:
        if not isinstance(errors, list):
            return ()
        return tuple(
            (self._redact(str(each.get("pointer", ""))), self._redact(str(each.get("message", ""))))
            for each in errors[:_ERRORS_MAX]
            if isinstance(each, dict)
        )

    def _redact(self, text: str) -> str:
        """Return a text of a server or proxy for people: printable, and without the key, should it be repeated."""
        return printable(text.replace(self._key, "***")[:_TEXT_MAX])


def _read(response: http.client.HTTPResponse) -> bytes:
    """Return the body of an answer. Raises HTTPException when it ends early or is too large."""
    answer = bytearray()
    while piece := response.read(_PIECE):
        answer += piece
        if len(answer) > _ANSWER_MAX:
            raise http.client.HTTPException(f"the answer has more than {_ANSWER_MAX} bytes")
    if response.length:
        raise http.client.IncompleteRead(bytes(answer), response.length)
    return bytes(answer)


class _TimedSocket:
    """What http.client uses of a socket, with one deadline for all sending and receiving of an exchange."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.until = math.inf  # time.monotonic()

    def sendall(self, data: bytes) -> None:
        self._arm()
        self._sock.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        self._arm()
        return self._sock.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self), _PIECE)

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        self._sock.close()

    def _arm(self) -> None:
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the time of the request is over")
        self._sock.settimeout(left_s)


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: _TimedSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._sock.recv_into(buffer)


def _unexpected(host: str) -> RequestRefusedError:
    return RequestRefusedError(200, "Unexpected answer", f"{host} does not answer as Commerce Event does")


def _check_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a wrong one
    except ValueError:
        raise ValueError("the URL of the server is invalid; give one like https://events.example.com") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL of the server must begin with https:// or http:// and name a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the URL of the server must not have a user, a query or a fragment; the key is given apart")
    return parts


def _check_key(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key must be printable ASCII without spaces")
    return key


def _host(parts: SplitResult) -> str:
    return parts.hostname or ""


def _proxy_of(target: SplitResult) -> SplitResult | None:
    proxies = getproxies()
    url = proxies.get(target.scheme) or proxies.get("all")
    if not url or proxy_bypass(target.netloc):
        return None
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise ValueError(
            f"the proxy of the environment for {target.scheme} is no http:// proxy; "
            "set NO_PROXY for the server, or another proxy"
        )
    return proxy


def _proxy_authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def retry_after_s(text: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, at most an hour."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            then = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        if then.tzinfo is None:
            then = then.replace(tzinfo=timezone.utc)
        seconds = (then - datetime.now(timezone.utc)).total_seconds()
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX_S) if math.isfinite(seconds) else None


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
