"""Compare our strict JSON reader with msgspec plus the standard library's object_pairs_hook.

Run `python -m benchmarks.json_readers`. See docs/decisions/0016.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import uvloop

from benchmarks.side_by_side import Load, announce, compare, start_node, turned
from commerce_event.accept import batch, parse, strict_json
from commerce_event.accept.publish import PREFIX
from commerce_event.http.uvicorn_server import http_server, listen

_TYPE: Final = "OrderConfirmedEvent"
_EVENT: Final = {
    "ClientId": 1,
    "ApplicationId": 1,
    "OrderId": 1234567,
    "OrderNo": "SO-1234567",
    "ClientOrderRef": "B-1234567",
    "CellPhone": "+46701234567",
    "FirstName": "Anna",
    "LastName": "Lindqvist",
    "Source": "WEB",
}
_LINE: Final = {
    "LineNo": 10,
    "PartNo": "A-1003-XL",
    "Name": "T-shirt, black",
    "Quantity": 2,
    "Price": 149.5,
    "Unit": "pcs",
    "Tax": {"Rate": 25, "Amount": 59.8},
    "Tags": ["sale", "2026"],
}


def _with_lines(size: int) -> bytes:
    lines = [_LINE | {"LineNo": number} for number in range(size // len(_dump(_LINE)))]
    return _dump(_EVENT | {"Lines": lines})


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_BODIES: Final = {
    "small, 220 bytes, flat": _dump(_EVENT).ljust(220),
    "20 KB, order lines": _with_lines(20_000),
    "20 KB, one long text": _dump(_EVENT | {"Note": "x: y " * 4_000}),
    "200 KB, order lines": _with_lines(200_000),
}


def _batch_of(body: bytes) -> bytes:
    return b"[" + b",".join([b'{"type":"%b","data":%b}' % (_TYPE.encode(), body.strip())] * 100) + b"]"


_LOADS: Final = {
    **{f"one event, {name}": Load(PREFIX + _TYPE, body) for name, body in _BODIES.items() if "200 KB" not in name},
    "batch of 100, small": Load(PREFIX[:-1], _batch_of(_BODIES["small, 220 bytes, flat"]), 100, b'"accepted":100'),
    "batch of 100, 20 KB, order lines": Load(
        PREFIX[:-1], _batch_of(_BODIES["20 KB, order lines"]), 100, b'"accepted":100', connections=4
    ),
}


class _RepeatedNameError(Exception):
    pass


def _unique(members: list[tuple[str, Any]]) -> None:
    if len(dict(members)) != len(members):
        raise _RepeatedNameError


_NAMES: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_int=float)


def load_with_hook(body: bytes, most: int = strict_json.MAX_DEPTH) -> Any:
    """Load with msgspec, and look for repeated names with the standard library."""
    strict_json.check_depth(body, most)
    try:
        value = strict_json._DECODER.decode(body)
    except (ValueError, RecursionError) as error:
        raise strict_json.not_json(body, error) from None
    try:
        _NAMES.decode(body.decode())
    except _RepeatedNameError:
        raise strict_json._repeated_name(body) from None
    return value


def load_flat_or_with_hook(body: bytes, most: int = strict_json.MAX_DEPTH) -> Any:
    """The same, but an object without anything nested, and as many colons as names, needs no second look."""
    try:
        value = strict_json._DECODER.decode(body)
    except (ValueError, RecursionError) as error:
        strict_json.check_depth(body, most)
        raise strict_json.not_json(body, error) from None
    strict_json.check_depth(body, most)
    if type(value) is not dict or body.count(b":") != len(value):
        try:
            _NAMES.decode(body.decode())
        except _RepeatedNameError:
            raise strict_json._repeated_name(body) from None
    return value


READERS: Final[dict[str, Callable[..., Any]]] = {
    "ours": strict_json.load,
    "msgspec and hook": load_with_hook,
    "hook for nested ones alone": load_flat_or_with_hook,
}


def use(reader: str) -> None:
    """Have the product read JSON with one of the readers."""
    for module in (parse, batch):
        vars(module)["load"] = READERS[reader]


async def serve(reader: str, store: str) -> None:
    use(reader)
    node = await start_node(store)
    listener = listen("127.0.0.1", 0)
    announce(listener.getsockname()[1])
    await http_server(node.app).serve(sockets=[listener])


def micro(rounds: int = 40) -> None:
    """Print the processor time of one call, the median of turns in random order."""
    for title, body in _BODIES.items():
        count = max(5, 400_000 // len(body))
        times: dict[str, list[float]] = {name: [] for name in READERS}
        for number in range(rounds):
            for name in turned(list(READERS), number):
                load = READERS[name]
                start = time.process_time_ns()
                for _ in range(count):
                    load(body)
                times[name].append((time.process_time_ns() - start) / count / 1e3)
        ours = times["ours"]
        print(f"\n{title} ({len(body):,} bytes)")
        for name, each in times.items():
            ratio = statistics.median(time_us / other for time_us, other in zip(each, ours, strict=True))
            print(f"{name:34}{statistics.median(each):>9.1f} us{ratio:>8.2f}")


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(*sys.argv[2:4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.8)
    options = parser.parse_args()
    micro()
    compare("benchmarks.json_readers", list(READERS), _LOADS, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
