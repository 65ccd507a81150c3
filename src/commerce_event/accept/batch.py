"""Many events in one request: JSON Lines, JSON arrays, CloudEvents. Each event's body is cut out byte for byte."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from commerce_event.accept.media_types import is_json, read_media_type
from commerce_event.accept.parse import check_idempotency_key, read_traceparent
from commerce_event.accept.rejections import (
    BodyTooLargeError,
    Fault,
    InvalidItemError,
    InvalidKeyError,
    NotJsonError,
    RejectedError,
    TooManyItemsError,
    UnsupportedMediaError,
    child,
)
from commerce_event.accept.strict_json import MAX_DEPTH, check_depth, load, not_json

_ITEM_DEPTH: Final = MAX_DEPTH + 1  # the wrapping around an event
_SPLIT_DEPTH: Final = 4 * MAX_DEPTH  # deep enough to blame the one item, shallow enough for the parser
_WHITESPACE: Final = b" \t\r\n"
_PLAIN_MEMBERS: Final = frozenset({"type", "data", "id"})


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a batch, unwrapped but not yet checked: ``parse_event(item.type, item.body, …)`` does that."""

    type: str
    body: bytes
    idempotency_key: str | None = None
    traceparent: str | None = None


class _Data(msgspec.Struct):
    data: msgspec.Raw


_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_DATA: Final = msgspec.json.Decoder(_Data)


def read_batch(
    content_type: str, headers: Mapping[str, str], body: bytes, *, max_items: int, max_bytes: int
) -> list[Item | RejectedError]:
    """Return the events of a request in order; one that is wrapped wrongly gives its rejection in its place.

    ``max_bytes`` limits the whole body. Raises RejectedError when the request as a whole cannot be read.
    """
    if len(body) > max_bytes:
        raise BodyTooLargeError(f"The request has {len(body)} bytes; at most {max_bytes} are accepted.")
    media_type = read_media_type(content_type)
    attributes = _binary_attributes(headers)
    if attributes and is_json(media_type) and not media_type.startswith("application/cloudevents"):
        attributes["datacontenttype"] = media_type
        return [_result(lambda whole: _from_attributes(attributes, whole), body)]
    if media_type not in _FORMATS:
        raise UnsupportedMediaError(f"{media_type[:80]!r} is not read here; send one of {', '.join(_FORMATS)}.")
    split, read = _FORMATS[media_type]
    pieces = split(body)
    if len(pieces) > max_items:
        raise TooManyItemsError(f"The request holds {len(pieces)} events; send at most {max_items} at once.")
    return [_result(read, piece) for piece in pieces]


def _result(read: Callable[[bytes], Item], piece: bytes) -> Item | RejectedError:
    try:
        return read(piece)
    except RejectedError as error:
        return error.with_traceback(None)


# Cutting a body into pieces


def _lines(body: bytes) -> list[bytes]:
    lines = [line for line in body.split(b"\n") if line.strip(_WHITESPACE)]
    if not lines:
        raise NotJsonError("The body is empty; send one event a line.")
    return lines


def _array(body: bytes) -> list[bytes]:
    if body.lstrip(_WHITESPACE)[:1] not in (b"[", b""):
        load(body)
        raise NotJsonError("The body is not a JSON array; send the events in [ and ].")
    check_depth(body, _SPLIT_DEPTH)
    try:
        return [bytes(element) for element in _ELEMENTS.decode(body)]
    except ValueError:
        raise not_json(body) from None


def _array_or_one(body: bytes) -> list[bytes]:
    return _one(body) if body.lstrip(_WHITESPACE)[:1] == b"{" else _array(body)


def _one(body: bytes) -> list[bytes]:
    return [body]


# Unwrapping a piece


def _plain_item(piece: bytes) -> Item:
    wrapping = _load_wrapping(piece)
    for name in wrapping:
        if name not in _PLAIN_MEMBERS:
            raise _fault(name, "is unknown here; an item has type, data and maybe id")
    key = _text(wrapping, "id")
    return Item(
        type=_required_text(wrapping, "type"),
        body=_data(wrapping, piece),
        idempotency_key=None if key is None else check_idempotency_key(key),
    )


def _cloud_event(piece: bytes) -> Item:
    wrapping = _load_wrapping(piece)
    encoded = _text(wrapping, "data_base64")
    if encoded is None:
        return _from_attributes(wrapping, _data(wrapping, piece))
    if "data" in wrapping:
        raise _fault("data_base64", "must not stand beside data")
    try:
        return _from_attributes(wrapping, base64.b64decode(encoded, validate=True))
    except ValueError:
        raise _fault("data_base64", "is not base64") from None


def _from_attributes(attributes: Mapping[str, Any], data: bytes) -> Item:
    """Read CloudEvents 1.0 context attributes, wherever they stood."""
    if _required_text(attributes, "specversion") != "1.0":
        raise _fault("specversion", "must be 1.0")
    if not is_json(read_media_type(_text(attributes, "datacontenttype") or "application/json")):
        raise _fault("datacontenttype", "must be JSON, such as application/json")
    source, key = _text(attributes, "source"), _required_text(attributes, "id")
    return Item(
        type=_required_text(attributes, "type").rpartition(".")[2],
        body=data,
        idempotency_key=check_idempotency_key(f"{source}#{key}" if source else key),
        traceparent=read_traceparent(_text(attributes, "traceparent")),
    )


def _binary_attributes(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the attributes that stand in ``ce-`` headers; nothing when the request is no CloudEvent."""
    try:
        attributes: dict[str, Any] = {
            name[3:].lower(): unquote(value, errors="strict")
            for name, value in headers.items()
            if name[:3].lower() == "ce-"
        }
    except UnicodeDecodeError:
        raise InvalidKeyError("A ce- header does not decode to UTF-8; percent-encode its UTF-8 bytes.") from None
    return attributes if "type" in attributes or "specversion" in attributes else {}


def _load_wrapping(piece: bytes) -> dict[str, Any]:
    wrapping = load(piece, most=_ITEM_DEPTH)
    if type(wrapping) is not dict:
        raise InvalidItemError("The item is not a JSON object.", [Fault("", "must be an object")])
    return {name: value for name, value in wrapping.items() if value is not None}


def _data(wrapping: Mapping[str, Any], piece: bytes) -> bytes:
    if "data" not in wrapping:
        raise _fault("data", "is required: the event itself")
    return bytes(_DATA.decode(piece).data)


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and type(value) is not str:
        raise _fault(name, "must be text")
    return value


def _required_text(members: Mapping[str, Any], name: str) -> str:
    value = _text(members, name)
    if not value:
        raise _fault(name, "is required")
    return value


def _fault(name: str, message: str) -> InvalidItemError:
    return InvalidItemError(
        f"The wrapping of the event is wrong: {name[:100]} {message}.", [Fault(child("", name), message)]
    )


_FORMATS: Final[dict[str, tuple[Callable[[bytes], list[bytes]], Callable[[bytes], Item]]]] = {
    "application/x-ndjson": (_lines, _plain_item),
    "application/jsonl": (_lines, _plain_item),
    "application/json-lines": (_lines, _plain_item),
    "application/json": (_array_or_one, _plain_item),
    "application/cloudevents+json": (_one, _cloud_event),
    "application/cloudevents-batch+json": (_array, _cloud_event),
}
