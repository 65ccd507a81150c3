"""Event settings, change sources and changes in every state, for tests of the screens."""

from api_server import Api


async def data_changes(api: Api) -> tuple[str, ...]:
    """Make settings, sources and changes; return where they are shown."""
    wanted = {"client_id": 1, "event_type": "CustomerChangedNotification"}
    settings = [
        (await api.admin.post("/v1/event-settings", json={**wanted, **fields})).json()
        for fields in (
            {"entity": "tClientCustomer", "fields": ["City", "AVeryLongNameOfAFieldThatHasNoPlaceToBreakInIt"]},
            {"entity": "tClientCustomerFlag", "enabled": False, "filter": {"after.Flag": {"in": [1, 2]}}},
            {"entity": "tClientCustomerAddress", "coalesce_s": 3600, "application_id": 7},
        )
    ]
    table = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": {"City": "city"}}
    for name, state in (("crm", "running"), ("stock", "slot_lost"), ("web", "failing")):
        tables = {"public.customer": table, "a_schema_of_some_length.a_table_of_some_length": table}
        await api.admin.put(f"/v1/change-sources/{name}", json={"client_id": 1, "tables": tables})
        report = {"state": state, "message": "text without any end " * 20, "lag_ms": 40, "retained_bytes": 99_999}
        await api.admin.put(f"/v1/change-sources/{name}/status", json=report)
    row = {"before": None, "after": {"id": 1}, "source": {"schema": "public", "table": "cart"}, "op": "c", "ts_ms": 1}
    await api.admin.post("/v1/changes/debezium?source=crm", json=row)
    ids = []
    for fields in (
        {"entity": "tClientCustomer", "after": {"City": "Lund", "Note": "long" * 200}},
        {"entity": "tClientCustomerFlag", "after": {"Flag": 3}},
        {"entity": "tClientCustomerAddress", "after": {"City": "Lund"}, "application_id": 7},
    ):
        change = {"client_id": 1, "operation": "update", "key": {"CustomerId": 12}, "before": {"City": "?"}, **fields}
        ids.append((await api.admin.post("/v1/changes", json=change)).json()["id"])
    (unmapped,) = (await api.admin.get("/v1/changes?unmapped=true")).json()["items"]
    return (
        "/admin/changes", "/admin/changes?unmapped=true", *(f"/admin/changes/{id_}" for id_ in [*ids, unmapped["id"]]),
        "/admin/sources", "/admin/sources/crm", "/admin/sources/stock",
        f"/admin/event-settings/{settings[0]['id']}/edit",
    )  # fmt: skip
