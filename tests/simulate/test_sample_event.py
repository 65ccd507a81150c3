"""Single believable events."""

import json

import msgspec
import pytest

from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.contract.own_types import own_type
from commerce_event.simulate.sample_event import SampleEvents


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_sample_of_each_type_fits_the_contract(name: str) -> None:
    kind = EVENT_TYPES[name]
    assert kind.model is not None

    event = SampleEvents(5, client_id=77).next(kind)

    msgspec.json.decode(json.dumps(event), type=kind.model)
    assert event["ClientId"] == 77


def test_two_samples_are_two_orders() -> None:
    samples = SampleEvents(5)
    first, second = (samples.next(EVENT_TYPES["OrderConfirmedEvent"]) for _ in range(2))

    assert all(first[name] != second[name] for name in ("OrderId", "OrderNo", "ClientOrderRef"))


def test_same_seed_gives_the_same_events() -> None:
    kind = EVENT_TYPES["OrderPaymentReceivedEvent"]

    assert SampleEvents(5).next(kind) == SampleEvents(5).next(kind)
    assert SampleEvents(5).next(kind) != SampleEvents(6).next(kind)


def test_sample_of_an_own_type_is_its_example_with_ids_of_its_own() -> None:
    example = {"ClientId": 1006, "OrderNo": "1", "Weight": 2.5}
    kind = own_type("ParcelSentEvent", "Order", "event", "", {"properties": {"OrderNo": {"type": "string"}}}, example)

    event = SampleEvents(5).next(kind)

    assert event == {"ClientId": 1, "OrderNo": event["OrderNo"], "Weight": 2.5}
    assert event["OrderNo"].startswith("SO-")
    assert example["ClientId"] == 1006
