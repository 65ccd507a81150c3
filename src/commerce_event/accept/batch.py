"""Read many events from one request: JSON Lines, JSON arrays, CloudEvents. Each event keeps its exact bytes.

The work is bounded: no more items than allowed are split off, and each is decoded once.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from commerce_event.accept.cloud_events import (
    check_version,
    event_key,
    event_type_name,
    header_attributes,
    invalid_member,
)
from commerce_event.accept.errors import BodyTooLargeError, InvalidItemError, NotJsonError, TooManyItemsError
from commerce_event.accept.parse import check_idempotency_key, read_traceparent
from commerce_event.accept.strict_json import MAX_DEPTH, SEARCH_MAX, load, not_json, too_deep
from commerce_event.core.problems import Fault, RejectedError
from commerce_event.http.media_types import UnsupportedMediaError, is_json, read_media_type

_ITEM_DEPTH: Final = MAX_DEPTH + 1  # with the envelope
_ENVELOPE_MAX: Final = 16 * 1024  # bytes, without what base64 adds to an event
_WHITESPACE: Final = b" \t\r\n"
_LINE_START: Final = re.compile(rb"[^ \t\r\n]")  # behind indentation and blank lines
_FIRST: Final = re.compile(rb"[ \t\r\n]*+(.?)", re.DOTALL)
_PLAIN_MEMBERS: Final = frozenset({"type", "data", "id"})

Piece = bytes | memoryview | msgspec.Raw


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a batch without its envelope, not yet checked by ``parse_event``.

    ``data`` is the decoded ``body``, where it is known already.
    """

    type: str
    body: bytes
    data: Any = msgspec.UNSET
    idempotency_key: str | None = None
    traceparent: str | None = None


class RefusedItem(msgspec.Struct, frozen=True):
    """An item whose envelope is invalid, with its bytes."""

    body: bytes
    error: RejectedError


class Batch:
    """The events of a request, in order. Each envelope is read only when iteration reaches it."""

    def __init__(self, pieces: Sequence[Piece], read: Callable[[bytes], Item], max_piece: int) -> None:
        self._pieces = pieces
        self._read = read
        self._max_piece = max_piece

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[Item | RefusedItem]:
        for piece in self._pieces:
            body = bytes(piece)
            try:
                item: Item | RefusedItem = self._read_item(body)
            except RejectedError as error:
                item = RefusedItem(body, error.with_traceback(None))
            del body
            yield item

    def _read_item(self, piece: bytes) -> Item:
        if len(piece) > self._max_piece:
            raise BodyTooLargeError(f"The item has {len(piece)} bytes; the limit is {self._max_piece}.")
        return self._read(piece)


class _Data(msgspec.Struct):
    data: msgspec.Raw


_DATA: Final = msgspec.json.Decoder(_Data)


def read_batch(
    content_type: str, headers: Mapping[bytes, bytes], body: bytes, *, max_items: int, max_bytes: int, max_event: int
) -> Batch:
    """Return the events of a request.

    ``max_bytes`` limits the whole body, ``max_event`` each event in it. Raises RejectedError when the request cannot be
    split into items.
    """
    if len(body) > max_bytes:
        raise BodyTooLargeError(f"The request has {len(body)} bytes; the limit is {max_bytes}.")
    media_type = read_media_type(content_type)
    attributes = header_attributes(headers)
    is_cloud_event = "type" in attributes or "specversion" in attributes
    if is_cloud_event and not media_type:  # binary mode without Content-Type
        media_type = read_media_type(_text(attributes, "datacontenttype") or "application/json")
    if is_cloud_event and is_json(media_type) and not media_type.startswith("application/cloudevents"):
        attributes["datacontenttype"] = media_type
        return Batch([body], lambda whole: _from_attributes(attributes, whole), max_bytes)
    if media_type not in _FORMATS:
        raise UnsupportedMediaError(f"{media_type[:80]!r} is not supported; send one of {', '.join(_FORMATS)}.")
    split, read = _FORMATS[media_type]
    return Batch(split(body, max_items), read, envelope_max(max_event))


def split_documents(content_type: str, body: bytes, *, max_items: int) -> Sequence[Piece]:
    """Return the documents of a request that sends one JSON object, an array of them, or JSON Lines.

    Raises RejectedError when the request cannot be split.
    """
    media_type = read_media_type(content_type or "application/json")
    split = _DOCUMENTS.get("application/json" if is_json(media_type) else media_type)
    if split is None:
        raise UnsupportedMediaError(f"{media_type[:80]!r} is not supported; send one of {', '.join(_DOCUMENTS)}.")
    return split(body, max_items)


def envelope_max(max_event: int) -> int:
    """Return the size of the largest event with its envelope, in bytes."""
    return max_event + max_event // 2 + _ENVELOPE_MAX


# Split a body into pieces


def _lines(body: bytes, limit: int) -> Sequence[Piece]:
    whole = memoryview(body)
    lines: list[Piece] = []
    end = 0
    while len(lines) <= limit and (first := _LINE_START.search(body, end)) is not None:
        end = body.find(b"\n", first.start())
        if end < 0:
            end = len(body)
        lines.append(whole[first.start() : end])
    if not lines:
        raise NotJsonError("The body is empty; send one event per line.")
    if len(lines) > limit:
        raise _too_many(limit)
    return lines


def _array(body: bytes, limit: int) -> Sequence[Piece]:
    if _first(body) not in (b"[", b""):
        if len(body) <= SEARCH_MAX:
            load(body)
        detail = "The body is not a JSON array; send the events in [ and ]."
        raise InvalidItemError(detail, [Fault("", "must be an array")])
    try:
        elements = msgspec.structs.astuple(_array_decoder(limit).decode(body))
    except RecursionError:
        raise too_deep() from None
    except msgspec.ValidationError:
        raise _too_many(limit) from None
    except ValueError as error:
        raise not_json(body, error) from None
    return [each for each in elements if each is not msgspec.UNSET]


def _array_or_one(body: bytes, limit: int) -> Sequence[Piece]:
    return [body] if _first(body) == b"{" else _array(body, limit)


def _one(body: bytes, _limit: int) -> Sequence[Piece]:
    return [body]


@cache
def _array_decoder(limit: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder of arrays that stops after ``limit`` elements; a list would be filled before it is counted."""
    fields = [(f"element_{number}", msgspec.Raw, msgspec.UNSET) for number in range(limit)]
    return msgspec.json.Decoder(msgspec.defstruct("_Elements", fields, array_like=True, forbid_unknown_fields=True))


def _first(body: bytes) -> bytes:
    found = _FIRST.match(body)
    return found[1] if found else b""


def _too_many(limit: int) -> TooManyItemsError:
    return TooManyItemsError(f"The request has more than {limit} events; send at most {limit} in one request.")


# Read the envelope of a piece


def _plain_item(piece: bytes) -> Item:
    envelope = _read_envelope(piece)
    for name in envelope:
        if name not in _PLAIN_MEMBERS:
            raise invalid_member(name, "is unknown; an item has type, data and optionally id")
    key = _text(envelope, "id")
    return Item(
        type=_required_text(envelope, "type"),
        body=_data(envelope, piece),
        data=envelope["data"],
        idempotency_key=None if key is None else check_idempotency_key(key),
    )


def read_cloud_event(piece: bytes) -> Item:
    """Read a structured CloudEvent. Raises RejectedError."""
    envelope = _read_envelope(piece)
    encoded = _text(envelope, "data_base64")
    if encoded is None:
        return _from_attributes(envelope, _data(envelope, piece), envelope["data"])
    if "data" in envelope:
        raise invalid_member("data_base64", "must not be given together with data")
    try:
        return _from_attributes(envelope, base64.b64decode(encoded, validate=True))
    except ValueError:
        raise invalid_member("data_base64", "is not base64") from None


def _from_attributes(attributes: Mapping[str, Any], body: bytes, data: Any = msgspec.UNSET) -> Item:
    """Make an item of CloudEvents 1.0 attributes, from JSON or from headers."""
    check_version(_required_text(attributes, "specversion"))
    if not is_json(read_media_type(_text(attributes, "datacontenttype") or "application/json")):
        raise invalid_member("datacontenttype", "must be JSON, such as application/json")
    source, key = _text(attributes, "source"), _required_text(attributes, "id")
    return Item(
        type=event_type_name(_required_text(attributes, "type")),
        body=body,
        data=data,
        idempotency_key=event_key(source, key),
        traceparent=read_traceparent(_text(attributes, "traceparent")),
    )


def _read_envelope(piece: bytes) -> dict[str, Any]:
    envelope = load(piece, _ITEM_DEPTH)
    if type(envelope) is not dict:
        raise InvalidItemError("The item is not a JSON object.", [Fault("", "must be an object")])
    return {name: value for name, value in envelope.items() if value is not None}


def _data(envelope: Mapping[str, Any], piece: bytes) -> bytes:
    if "data" not in envelope:
        raise invalid_member("data", "is required: the event itself")
    return bytes(_DATA.decode(piece).data)


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and type(value) is not str:
        raise invalid_member(name, "must be text")
    return value


def _required_text(members: Mapping[str, Any], name: str) -> str:
    value = _text(members, name)
    if not value:
        raise invalid_member(name, "is required")
    return value


_FORMATS: Final[dict[str, tuple[Callable[[bytes, int], Sequence[Piece]], Callable[[bytes], Item]]]] = {
    "application/x-ndjson": (_lines, _plain_item),
    "application/jsonl": (_lines, _plain_item),
    "application/json-lines": (_lines, _plain_item),
    "application/json": (_array_or_one, _plain_item),
    "application/cloudevents+json": (_one, read_cloud_event),
    "application/cloudevents-batch+json": (_array, read_cloud_event),
}
_DOCUMENTS: Final = {
    media_type: split for media_type, (split, _) in _FORMATS.items() if "cloudevents" not in media_type
}
