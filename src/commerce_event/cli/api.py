"""The server's API as the commands use it: answers as data, problems as one sentence."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from commerce_event.cli.errors import UsageError, WorkFailedError

_PAGE_MAX = 200
_TIMEOUT_S = 60.0
_UNUSABLE = frozenset({400, 404, 413, 415, 422})  # the server says: what it was given cannot be used


class Api:
    """A connection to a server, for the length of a command."""

    def __init__(self, url: str, key: str | None) -> None:
        if not key:
            raise UsageError("no key is set; export COMMERCE_EVENT_KEY=… (the server prints one at its first start)")
        self._url = url
        try:
            self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=_TIMEOUT_S)
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise UsageError(
                "the URL or the key cannot be used; check COMMERCE_EVENT_URL and COMMERCE_EVENT_KEY"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self._call("POST", path, json=body, headers=headers)

    def post_raw(self, path: str, content: bytes, headers: Mapping[str, str]) -> Any:
        return self._call("POST", path, content=content, headers=headers)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def items(self, path: str, limit: int, **query: Any) -> Iterator[Any]:
        """Yield a list's items over as many pages as it takes."""
        cursor = None
        while limit > 0:
            page = self.get(path, limit=min(limit, _PAGE_MAX), cursor=cursor, **query)
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.ConnectError:
            raise WorkFailedError(f"no server answers at {self._url}; start one with: commerce-event serve") from None
        except httpx.HTTPError as error:
            raise WorkFailedError(f"the server at {self._url} did not answer ({type(error).__name__})") from None
        if answer.is_success:
            return answer.json() if answer.content else None
        failure = UsageError if answer.status_code in _UNUSABLE else WorkFailedError
        raise failure(_sentence(answer))


def _sentence(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status_code} without saying why; is it a commerce-event server?"
    faults = [f"{fault['pointer'] or 'the body'}: {fault['message']}" for fault in problem.get("errors", [])]
    return f"{detail} ({'; '.join(faults)})" if len(faults) > 1 else detail
