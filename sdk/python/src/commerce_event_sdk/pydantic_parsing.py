"""Events as pydantic models."""

from __future__ import annotations

from typing import Any

from commerce_event_sdk.event import InvalidEventError


def is_pydantic_model(model: Any) -> bool:
    """Return whether the class is a pydantic model."""
    return hasattr(model, "model_validate_json")


def parse_with_pydantic(model: Any, body: bytes) -> Any:
    """Return the event of a body as an object of a pydantic model. Raises InvalidEventError."""
    from pydantic import ValidationError

    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidEventError([(_pointer(each["loc"]), each["msg"]) for each in faults[:20]]) from None


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part)[:100].replace("~", "~0").replace("/", "~1") for part in location)
