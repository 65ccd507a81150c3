"""Handlers by event type, category or ``*``; the most specific one handles an event."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, overload

from commerce_event_sdk.delivery import Delivery
from commerce_event_sdk.event import Category, CommerceEvent, UnknownEvent
from commerce_event_sdk.models import MODELS
from commerce_event_sdk.parsing import UnknownProperties, event_of
from commerce_event_sdk.pydantic_parsing import is_pydantic_model, parse_with_pydantic

E = TypeVar("E")
Result = TypeVar("Result")
ToThread = Callable[..., Awaitable[Any]]  # calls a function in a thread, such as asyncio.to_thread
ANY: Final = "*"
_GROUPS: Final = frozenset({ANY, *(each.value for each in Category)})  # no event type has such a name


class HandlerDecorator(Protocol[E]):
    """Registers a function of an event, or of an event and its delivery, and returns it unchanged."""

    @overload
    def __call__(self, handler: Callable[[E], Result]) -> Callable[[E], Result]: ...
    @overload
    def __call__(self, handler: Callable[[E, Delivery], Result]) -> Callable[[E, Delivery], Result]: ...


class RunningLoopError(RuntimeError):
    """An async handler was to run where an event loop runs already."""


@dataclass(frozen=True)
class Handler:
    """A function that handles events, and the class that it wants them in (None: the class of the contract)."""

    function: Callable[..., Any]
    model: Any
    takes_delivery: bool

    def read(self, event_type: str, body: bytes, data: Mapping[str, Any], unknown_properties: UnknownProperties) -> Any:
        """Return the event in the class that the handler wants; ``data`` is the object in the body.

        Raises InvalidEventError.
        """
        if self.model is dict:
            return data
        model = self.model or MODELS.get(event_type)
        if model is None:
            return UnknownEvent(event_type, data)
        if issubclass(model, CommerceEvent):
            return event_of(model, data, unknown_properties)
        return parse_with_pydantic(model, body)

    def run(self, event: Any, delivery: Delivery) -> None:
        """Call the function; a coroutine that it returns gets an event loop of its own. Raises RunningLoopError."""
        result = self._call(event, delivery)
        if not inspect.isawaitable(result):
            return
        if _is_loop_running():
            if inspect.iscoroutine(result):
                result.close()
            raise RunningLoopError(f"{self.function!r} is async and an event loop runs: await handle_async() instead")
        asyncio.run(_wait_for(result))

    async def run_async(self, event: Any, delivery: Delivery, to_thread: ToThread) -> None:
        """Await the function if it is a coroutine function, else call it in a thread."""
        if inspect.iscoroutinefunction(self.function):
            await self._call(event, delivery)
            return
        result = await to_thread(self._call, event, delivery)
        if inspect.isawaitable(result):
            await result

    def _call(self, event: Any, delivery: Delivery) -> Any:
        try:
            return self.function(event, delivery) if self.takes_delivery else self.function(event)
        except StopIteration as error:  # no future can hold it before Python 3.12: its caller would wait for ever
            raise RuntimeError("the handler raised StopIteration") from error


class Handlers:
    """The handlers of a receiver."""

    def __init__(self) -> None:
        self._by_selector: dict[str, Handler] = {}

    def add(self, selector: type[Any] | Category | str, model: Any, function: Callable[..., Any]) -> None:
        """Add a handler. Raises ValueError for what is no selector, and for one that has a handler already."""
        name, own_model = _read(selector)
        wanted = model or own_model
        if name in self._by_selector:
            raise ValueError(f"{name} has a handler already: {self._by_selector[name].function!r}")
        if not (wanted in (None, dict) or _is_event_class(wanted) or is_pydantic_model(wanted)):
            raise ValueError(f"{wanted!r} is no event class, pydantic model or dict")
        self._by_selector[name] = Handler(function, wanted, _takes_delivery(function))

    def find(self, event_type: str) -> Handler | None:
        """Return the handler of the type, else of its category, else of ``*``; None without any."""
        model = MODELS.get(event_type)
        own = None if event_type in _GROUPS else self._by_selector.get(event_type)
        group = None if model is None else self._by_selector.get(model.category.value)
        return own or group or self._by_selector.get(ANY)

    def has_type(self, event_type: str) -> bool:
        """Return whether a handler is registered for exactly this type."""
        return event_type in self._by_selector and event_type not in _GROUPS


def _read(selector: type[Any] | Category | str) -> tuple[str, Any]:
    """Return the name that a selector stands for, and the class that its events are to be made of."""
    if isinstance(selector, Category):
        return selector.value, None
    if isinstance(selector, str):
        if not selector:
            raise ValueError("name an event type, a category or *")
        return selector, None
    name = getattr(selector, "event_type", None)
    if not isinstance(name, str):
        raise ValueError(f"{selector!r} is no event class: it has no event_type")
    return name, selector


def _is_event_class(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, CommerceEvent)


def _takes_delivery(function: Callable[..., Any]) -> bool:
    """Return whether the function takes the delivery too. Raises ValueError for one that cannot be called."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions in C have none, such as print before Python 3.11
        return False
    for arguments in ((None,), (None, None)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise ValueError(f"{function!r} must take the event, or the event and its delivery")


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _wait_for(result: Awaitable[Any]) -> None:
    await result
