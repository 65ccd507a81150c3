"""Handlers by event type, category or ``*``; the most specific one handles an event."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

from commerce_event_sdk.delivery import Delivery
from commerce_event_sdk.event import Category, CommerceEvent
from commerce_event_sdk.models import MODELS
from commerce_event_sdk.parsing import UnknownProperties, parse, parse_as, parse_object

E = TypeVar("E")
Result = TypeVar("Result")
ANY = "*"


class HandlerDecorator(Protocol[E]):
    """Registers a function of an event, or of an event and its delivery, and returns it unchanged."""

    @overload
    def __call__(self, handler: Callable[[E], Result]) -> Callable[[E], Result]: ...
    @overload
    def __call__(self, handler: Callable[[E, Delivery], Result]) -> Callable[[E, Delivery], Result]: ...


@dataclass(frozen=True)
class Handler:
    """A function that handles events, and the class that it wants them in (None: the class of the contract)."""

    function: Callable[..., Any]
    model: Any
    takes_delivery: bool

    def read(self, event_type: str, body: bytes, unknown_properties: UnknownProperties) -> Any:
        """Return the event of a body in the class that the handler wants. Raises InvalidEventError."""
        if self.model is None:
            return parse(event_type, body, unknown_properties=unknown_properties)
        if self.model is dict:
            return parse_object(body)
        if isinstance(self.model, type) and issubclass(self.model, CommerceEvent):
            return parse_as(self.model, body, unknown_properties=unknown_properties)
        from commerce_event_sdk.pydantic_parsing import parse_with_pydantic

        return parse_with_pydantic(self.model, body)

    def call(self, event: Any, delivery: Delivery) -> Any:
        """Call the function; a coroutine function returns its coroutine."""
        return self.function(event, delivery) if self.takes_delivery else self.function(event)


class Handlers:
    """The handlers of a receiver."""

    def __init__(self) -> None:
        self._by_selector: dict[str, Handler] = {}

    def add(self, selector: type[Any] | Category | str, model: Any, function: Callable[..., Any]) -> None:
        """Add a handler. Raises ValueError for a selector that is no type, or that has a handler already."""
        name, own_model = _read(selector)
        if name in self._by_selector:
            raise ValueError(f"{name} has a handler already: {self._by_selector[name].function!r}")
        self._by_selector[name] = Handler(function, model or own_model, _takes_two(function))

    def find(self, event_type: str) -> Handler | None:
        """Return the handler of the type, else of its category, else of ``*``; None without any."""
        model = MODELS.get(event_type)
        names = (event_type, ANY) if model is None else (event_type, model.category.value, ANY)
        return next((self._by_selector[name] for name in names if name in self._by_selector), None)


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
        raise ValueError(f"{selector.__name__} is no event class: it has no event_type")
    return name, selector


def _takes_two(function: Callable[..., Any]) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    required = [each for each in parameters if each.kind in positional and each.default is each.empty]
    if len(required) not in (1, 2):
        raise ValueError(f"{function!r} must take the event, or the event and its delivery")
    return len(required) == 2
