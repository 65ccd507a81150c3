"""The known fields of an entity: from change sources, the contract and the client's own changes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from api_server import Api, Json, expect, expect_problem, running_api

PATH: Final = "/v1/event-settings/fields"
CUSTOMER: Final[Json] = {"client_id": 1, "entity": "tClientCustomer"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as api:
        yield api


async def test_entity_fields_of_a_mapped_entity_are_complete(api: Api) -> None:
    table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": {"Nick": "nick"}}
    expect(await api.admin.put("/v1/change-sources/crm", json={"client_id": 1, "tables": {"public.c": table}}), 201)

    found = expect(await api.admin.get(PATH, params=CUSTOMER), 200)
    other = expect(await api.admin.get(PATH, params={**CUSTOMER, "client_id": 2}), 200)

    assert (found["complete"], "Nick" in found["fields"], found["fields"]) == (True, True, sorted(found["fields"]))
    assert (other["complete"], "Nick" in other["fields"]) == (False, False)


async def test_entity_fields_have_those_of_the_contract_and_of_own_changes(api: Api) -> None:
    await api.admin.post("/v1/event-settings", json={**CUSTOMER, "event_type": "CustomerChangedNotification"})
    change = {**CUSTOMER, "operation": "insert", "key": {"CustomerId": 7}, "after": {"Shoe size": 43}}
    expect(await api.admin.post("/v1/changes", json=change), 202)

    found = expect(await api.admin.get(PATH, params=CUSTOMER), 200)

    assert {"CustomerId", "Shoe size"} <= set(found["fields"])
    assert "Shoe size" not in expect(await api.admin.get(PATH, params={**CUSTOMER, "client_id": 2}), 200)["fields"]


async def test_entity_fields_of_another_client_are_refused(api: Api) -> None:
    caller, _ = await api.key("read", 2)

    expect_problem(await caller.get(PATH, params=CUSTOMER), 403)
    expect_problem(await api.admin.get(PATH, params={"client_id": 1}), 422, "?entity")
