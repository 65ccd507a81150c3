"""The pydantic models against the generator, the OpenAPI document and the dataclasses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commerce_event.api.openapi import document
from commerce_event.codegen import python
from commerce_event.contract.catalogue import EVENT_TYPES
from pydantic import BaseModel, ConfigDict, field_validator

import commerce_event_sdk
from commerce_event_sdk import MODELS, Delivery, Receiver, parse, pydantic_models
from commerce_event_sdk.event import InvalidEventError
from signed_requests import HEADER, ORDER, ORDER_BODY, SECRET, json_of, signed_headers

SCHEMAS: dict[str, Any] = document()["components"]["schemas"]


def test_pydantic_models_file_is_what_the_generator_writes() -> None:
    file = Path(commerce_event_sdk.__file__).with_name("pydantic_models.py")
    assert file.read_text("utf-8") == python.pydantic_models(EVENT_TYPES.values())


@pytest.mark.parametrize("name", MODELS)
def test_pydantic_model_has_the_schema_of_the_openapi_document(name: str) -> None:
    found = pydantic_models.MODELS[name].model_json_schema()
    expected = SCHEMAS[name]
    assert found["required"] == expected["required"]
    assert list(found["properties"]) == list(expected["properties"])
    for prop, described in expected["properties"].items():
        kind = found["properties"][prop]
        assert kind["description"].replace("\n", " ").startswith(described["description"])
        plain = kind.get("anyOf", [kind])[0]
        assert plain["type"] in described["type"]
        if described.get("format", "").startswith("int") and "minimum" in described:
            assert (plain["minimum"], plain["exclusiveMaximum"]) == (described["minimum"], described["maximum"] + 1)


@pytest.mark.parametrize("name", MODELS)
def test_pydantic_model_equals_the_dataclass(name: str) -> None:
    example = {**EVENT_TYPES[name].example, "NewProperty": [1]}
    model, plain = pydantic_models.MODELS[name], MODELS[name]
    event, expected = model.model_validate_json(json_of(example)), parse(name, json_of(example))
    assert (model.event_type, model.category, model.key_properties) == (
        plain.event_type, plain.category, plain.key_properties,
    )  # fmt: skip
    assert event.business_key == expected.business_key
    assert event.to_dict() == expected.to_dict() == json.loads(event.to_json())


@pytest.mark.parametrize(
    ("name", "value"),
    [("OrderId", "1"), ("OrderId", 1.0), ("OrderId", True), ("OrderId", 2**63), ("ClientId", 2**31), ("OrderNo", 1)],
)
def test_pydantic_model_refuses_what_the_dataclass_refuses(name: str, value: Any) -> None:
    receiver = Receiver(secret=SECRET)
    receiver.on(pydantic_models.OrderConfirmedEvent)(print)
    body = json_of({**ORDER, name: value})
    answer = receiver.handle(signed_headers(body), body)
    assert answer.status == 400
    assert [error["pointer"] for error in json.loads(answer.body)["errors"]] == [f"/{name}"]
    with pytest.raises(InvalidEventError):
        parse("OrderConfirmedEvent", body)


def test_handler_of_a_pydantic_model_gets_it() -> None:
    events: list[pydantic_models.OrderConfirmedEvent] = []
    receiver = Receiver(secret=SECRET)
    receiver.on(pydantic_models.OrderConfirmedEvent)(events.append)
    assert receiver.handle(signed_headers(), ORDER_BODY).status == 204
    assert events[0].OrderId == 9007199254740993


class OwnEvent(BaseModel):
    """A model of the user's own for a type of its own."""

    model_config = ConfigDict(extra="forbid")

    Id: int

    @field_validator("Id")
    @classmethod
    def check(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must not be zero")
        return 10 // (value - 1)


def test_own_model_of_an_own_type_is_validated_by_its_own_rules(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, str | None]] = []
    receiver = Receiver(header=HEADER)

    @receiver.on("OwnEvent", model=OwnEvent)
    def handle(event: OwnEvent, delivery: Delivery) -> None:
        seen.append((event.Id, delivery.message_id))

    def status(body: bytes) -> int:
        return receiver.handle([HEADER], body, event_type="OwnEvent").status

    assert [status(body) for body in (b'{"Id": 3}', b'{"Id": 0}', b'{"Id": 3, "x": 1}', b"[]")] == [204, 400, 400, 400]
    assert seen == [(5, None)]
    assert status(b'{"Id": 1}') == 500, "a validator that fails is a defect of the receiver, not of the event"
    assert "the model of an event without id failed" in caplog.messages
