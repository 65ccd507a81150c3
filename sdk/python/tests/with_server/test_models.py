"""The event classes against the OpenAPI document, which all other clients are built from."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from commerce_event.api.openapi import document
from commerce_event.codegen import python
from commerce_event.contract.catalogue import EVENT_TYPES

import commerce_event_sdk
from commerce_event_sdk import MODELS, parse

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]


def test_models_file_is_what_the_generator_writes() -> None:
    file = Path(commerce_event_sdk.__file__).with_name("models.py")
    assert file.read_text("utf-8") == python.models(EVENT_TYPES.values())


def test_models_have_a_class_for_every_webhook() -> None:
    assert list(MODELS) == list(EVENT_TYPES)
    assert set(MODELS) <= set(document()["webhooks"])
    assert all(name in commerce_event_sdk.__all__ for name in MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_model_has_the_properties_of_the_openapi_document(name: str) -> None:
    schema = SCHEMAS[name]
    hints = typing.get_type_hints(MODELS[name], include_extras=True)
    found = {
        each.name: (each.default is dataclasses.MISSING, _format(hints[each.name]))
        for each in dataclasses.fields(MODELS[name])
        if each.name != "extra"
    }
    assert found == {
        prop: (prop in schema["required"], described.get("format", "string"))
        for prop, described in schema["properties"].items()
    }


def _format(hint: Any) -> str:
    if not hasattr(hint, "__metadata__") and hasattr(hint, "__args__"):
        hint = hint.__args__[0]
    return str(hint.__metadata__[0]) if hasattr(hint, "__metadata__") else "string"


@pytest.mark.parametrize("name", MODELS)
def test_parse_of_the_example_returns_the_same_json(name: str) -> None:
    example = EVENT_TYPES[name].example
    event = parse(name, MODELS[name](**example).to_json())
    assert event.to_dict() == example
    assert event.business_key == EVENT_TYPES[name].business_key(example)
