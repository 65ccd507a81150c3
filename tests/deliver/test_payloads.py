"""The bodies of endpoints with a selection of properties: made once, and never of another event, selection or type."""

from typing import Any
from unittest.mock import patch

import pytest

from commerce_event.contract.catalogue import CONTRACT, EventType
from commerce_event.contract.own_types import own_type
from commerce_event.core.model import Endpoint
from commerce_event.deliver import payloads
from commerce_event.deliver.payloads import Payloads, weight_of
from commerce_event.store.model import Claimed

BODY = b'{"ClientId":1,"OrderId":5,"Email":"a@example.com","FirstName":"Anna"}'


def an_endpoint(endpoint_id: int, *properties: str) -> Endpoint:
    return Endpoint(id=endpoint_id, client_id=1, url="http://erp.example", event_types=("*",), properties=properties)


def a_delivery(event_id: int, body: bytes = BODY, type_: str = "JobCompletedEvent") -> Claimed:
    fields: dict[str, Any] = dict.fromkeys(Claimed.__struct_fields__)
    return Claimed(**{**fields, "event_id": event_id, "type": type_, "body": body})


def test_payloads_body_is_shared_by_endpoints_with_the_same_selection() -> None:
    made = Payloads(CONTRACT.of_event)
    first = made.body(an_endpoint(1, "$.Email"), a_delivery(7))
    assert first == b'{"ClientId":1,"Email":"a@example.com"}'
    assert made.body(an_endpoint(2, "$.Email"), a_delivery(7)) is first


def test_payloads_body_of_another_selection_or_event_is_its_own() -> None:
    made = Payloads(CONTRACT.of_event)
    made.body(an_endpoint(1, "$.Email"), a_delivery(7))
    assert made.body(an_endpoint(2, "$.FirstName"), a_delivery(7)) == b'{"ClientId":1,"FirstName":"Anna"}'
    assert made.body(an_endpoint(1, "$.Email"), a_delivery(8, b'{"ClientId":2,"A":1}')) == b'{"ClientId":2}'


def test_payloads_body_follows_a_type_that_requires_more() -> None:
    kinds: dict[str, EventType] = {}
    made = Payloads(kinds.__getitem__)
    kinds["Export"] = own_type("Export", "Export", "event", "", {"properties": {"Email": {}}}, {})
    assert made.body(an_endpoint(1), a_delivery(7, type_="Export")) == b'{"ClientId":1}'
    kinds["Export"] = own_type("Export", "Export", "event", "", {"required": ["Email"]}, {})
    assert made.body(an_endpoint(1), a_delivery(7, type_="Export")) == b'{"ClientId":1,"Email":"a@example.com"}'
    assert made._kept_bytes == len(b'{"ClientId":1,"Email":"a@example.com"}') + payloads._ENTRY_BYTES


def test_payloads_keeps_a_bounded_number_of_bytes() -> None:
    made = Payloads(CONTRACT.of_event)
    large = b'{"ClientId":1,"A":"%b"}' % (b"x" * 1_000_000)
    bodies = [made.body(an_endpoint(1, "$.A"), a_delivery(event_id, large + b" " * event_id)) for event_id in range(20)]
    assert made._kept_bytes == sum(len(body) + payloads._ENTRY_BYTES for _, body in made._kept.values())
    assert 7_000_000 < made._kept_bytes <= payloads._KEPT_BYTES_MAX
    with patch.object(payloads, "sent_body", side_effect=AssertionError("made again")):
        assert made.body(an_endpoint(2, "$.A"), a_delivery(19)) is bodies[-1]


def test_payloads_keeps_no_body_beyond_its_bound() -> None:
    made = Payloads(CONTRACT.of_event)
    body = b'{"ClientId":1,"A":"%b"}' % (b"x" * payloads._KEPT_BYTES_MAX)
    assert made.body(an_endpoint(1, "$.A"), a_delivery(1, body)) == body
    assert (made._kept, made._kept_bytes) == ({}, 0)


@pytest.mark.parametrize(("size", "weight"), [(100, 1), (16 * 1024, 2), (256 * 1024, 17)])
def test_weight_of_request_grows_with_the_body_only_when_it_is_made(size: int, weight: int) -> None:
    claimed = a_delivery(1, b" " * size)
    assert weight_of(an_endpoint(1), claimed) == weight
    whole = Endpoint(id=1, client_id=1, url="http://erp.example", event_types=("*",))
    assert weight_of(whole, claimed) == 1
