"""Client of the server's API: returns answers as data, and raises problems as one sentence."""

import re
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

import httpx

from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.cli.proxies import open_client
from commerce_event.http.connect_errors import connect_reason

_PAGE_MAX = 200
_TIMEOUT_S = 60.0
_ANSWER_MAX = 64 * 1024**2  # bytes; a page of events has some MiB
_TEMPORARY = frozenset({408, 409, 429})  # the request was not wrong, the state did not allow it
_KINDS = {
    "endpoints": "an endpoint", "events": "an event", "deliveries": "a delivery", "replays": "a replay",
    "refusals": "a refused event", "keys": "a key", "changes": "a change", "event-settings": "an event setting",
    "change-sources": "a change source", "audit": "an audit entry",
}  # fmt: skip
_PREFIXES = {  # of ids
    "end": "endpoints", "evt": "events", "dlv": "deliveries", "rpl": "replays", "rfs": "refusals", "key": "keys",
    "chg": "changes", "set": "event-settings", "aud": "audit",
}  # fmt: skip
_PREDICATES = ("must ", "is ", "has ", "occurs ", "may ")
# Fields of requests, and the options that set them.
_OPTIONS = {
    "application_id": "--application", "client_id": "--client", "client_ids": "--client", "coalesce_s": "--coalesce",
    "cursor": "--limit",
    "data": "the event",
    "description": "--description", "endpoint_id": "--endpoint", "entity": "ENTITY", "event_id": "--event",
    "event_type": "TYPE", "event_types": "--type", "except": "--except", "fields": "--field",
    "filter": "--filter", "headers": "--header", "jitter": "--jitter", "max_in_flight": "--max-in-flight",
    "name": "--name", "on_delete": "--delete", "on_update": "--update",
    "delivery_ids": "ID", "error": "--error", "note": "--note",
    "only": "--only", "ordering": "--ordering", "overlap": "--overlap", "q": "--search",
    "rate_limit": "--rate-limit", "reason": "--reason", "replay_id": "--replay",
    "retry_schedule": "--retry-schedule", "role": "--role",
    "signing": "--signing", "since": "--since", "state": "--state", "timeout_s": "--timeout", "type": "--type",
    "types": "--type", "until": "--until", "url": "--to", "after": "--after",
}  # fmt: skip


def at(*segments: str) -> str:
    """Return the path of a call; every segment is escaped."""
    return "/v1/" + "/".join(quote(segment, safe="", errors="replace") for segment in segments)


class Api:
    """A connection to a server during a command."""

    def __init__(self, url: str, key: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"--url must begin with http:// or https://, not {url!r}")
        if not key:
            raise UsageError("No key is set; export COMMERCE_EVENT_KEY=… (the server prints one at its first start)")
        self._url = url
        try:
            headers = {"Authorization": f"Bearer {key}"}
            self._client, self._proxy = open_client(url, headers=headers, timeout=_TIMEOUT_S)
        except (httpx.InvalidURL, ValueError):
            raise UsageError(
                "The URL or the key cannot be used; check COMMERCE_EVENT_URL and COMMERCE_EVENT_KEY"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @property
    def client(self) -> httpx.Client:
        """The HTTP client, for callers that handle answers themselves."""
        return self._client

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """Return the answer as it was sent."""
        return self._send(
            "GET", path, params={name: value for name, value in query.items() if value is not None}
        ).content

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("POST", path, json=body, headers=headers)

    def post_raw(self, path: str, content: bytes, headers: Mapping[str, str]) -> Any:
        return self._call("POST", path, content=content, headers=headers)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str, **query: Any) -> None:
        self._call("DELETE", path, params={name: value for name, value in query.items() if value is not None})

    def items(self, path: str, limit: int, **query: Any) -> Iterator[Any]:
        """Yield up to ``limit`` items of a list, page by page."""
        cursor = None
        while limit > 0:
            page = self.get(path, limit=min(limit, _PAGE_MAX), cursor=cursor, **query)
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return
        print("There are more; use a higher --limit to see them.", file=sys.stderr)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._send(method, path, **arguments)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise self.wrong_answer("is not JSON") from None

    def wrong_answer(self, what: str) -> WorkFailedError:
        """Return the error for an answer that no server of ours would give."""
        return WorkFailedError(f"The answer of {self._client.base_url.host} {what}; is it a commerce-event server?")

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Return the answer, which is a success. Raises UsageError and WorkFailedError."""
        try:
            answer = self._exchange(method, path, **arguments)
        except httpx.ProxyError as error:
            raise WorkFailedError(f"{self._of_proxy()} refused the connection ({error})") from None
        except httpx.ConnectError as error:
            if self._proxy is not None:
                raise WorkFailedError(f"{self._of_proxy()} cannot be reached ({connect_reason(error)})") from None
            raise WorkFailedError(
                f"No server answers at {self._url} ({connect_reason(error)}); start one with: commerce-event "
                "serve, or check COMMERCE_EVENT_URL"
            ) from None
        except httpx.HTTPError as error:
            raise WorkFailedError(f"The server at {self._url} did not answer ({type(error).__name__})") from None
        except ValueError:  # such as bytes that are not UTF-8
            raise UsageError("The text cannot be sent; write it in UTF-8") from None
        if answer.is_success:
            return answer
        wrong_usage = 400 <= answer.status_code <= 499 and answer.status_code not in _TEMPORARY
        sentence = _sentence(method, path, answer)
        if self._proxy is not None and not _is_problem(answer):
            sentence = f"{self._of_proxy()} answered {answer.status_code}, or the server did without a reason"
        failed = UsageError(sentence) if wrong_usage else WorkFailedError(sentence)
        failed.status, failed.faults = answer.status_code, _faults(answer)
        raise failed

    def _exchange(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        with self._client.stream(method, path, **arguments) as answer:
            content = bytearray()
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > _ANSWER_MAX:
                    raise self.wrong_answer(f"is larger than {_ANSWER_MAX // 1024**2} MiB")
            headers = [each for each in answer.headers.multi_items() if each[0].lower() != "content-encoding"]
            return httpx.Response(answer.status_code, headers=headers, content=bytes(content), request=answer.request)

    def _of_proxy(self) -> str:
        variable = "" if self._proxy is None else self._proxy.variable
        return f"The proxy in {variable} (for {self._url}; NO_PROXY lists hosts to ask directly)"


def _is_problem(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type")).startswith("application/problem+json")


def _faults(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return the place and the message of each fault in the body that was sent."""
    try:
        return [(str(each["pointer"]), _as_commands(str(each["message"]))) for each in answer.json().get("errors", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _sentence(method: str, path: str, answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        detail = _as_commands(str(problem["detail"]))
    except (ValueError, KeyError, TypeError):
        return f"The server answered {answer.status_code} without a reason; is it a commerce-event server?"
    _, _, collection, *rest = path.split("/")
    if answer.status_code == 404 and rest and collection in _KINDS and (method, len(rest)) != ("POST", 1):
        other = _PREFIXES.get(rest[0].partition("_")[0], collection)
        if other != collection:
            return f"{unquote(rest[0])} is the id of {_KINDS[other]}, not of {_KINDS[collection]}"
        kind = _KINDS[collection].partition(" ")[2]
        return f"There is no {kind} {unquote(rest[0])}; list them with: commerce-event {collection} list"
    faults = problem.get("errors", [])
    if not faults:
        return detail
    reasons = "; ".join(map(_fault, faults))
    return reasons if _as_commands(faults[0]["message"])[1:] in detail else f"{detail.rstrip('.')}: {reasons}"


def _as_commands(text: str) -> str:
    """Return a sentence with commands and options where the API names calls and parameters."""
    text = text.replace("force=true", "--force")
    return re.sub("GET /v1/event-types lists (them|the names)", "list them with: commerce-event event-types list", text)


def _fault(fault: Mapping[str, str]) -> str:
    """Return a fault as part of a sentence: a message either continues after the place, or is a sentence itself."""
    message = _as_commands(fault["message"])
    return f"{_option(fault)}{' ' if message.startswith(_PREDICATES) else ': '}{message}"


def _option(fault: Mapping[str, str]) -> str:
    """Return the place of a fault: the option that sets it, when there is one."""
    place = fault.get("parameter") or fault.get("pointer", "").removeprefix("/setting") or "The body"
    name, _, inner = place.lstrip("/?").partition("/")
    option = _OPTIONS.get(name)
    return place if option is None else f"{option}{inner and ' at /'}{inner}"
