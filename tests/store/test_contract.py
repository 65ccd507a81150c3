"""How the contract is applied: validation modes, on both engines."""

from stores import Engine

from commerce_event.core.model import ValidationEntry
from commerce_event.store.port import Store


def entry(client: int = 1, event_type: str = "*", **fields: object) -> ValidationEntry:
    return ValidationEntry(client_id=client, event_type=event_type, **({"mode": "warn", "updated_ms": 5} | fields))  # type: ignore[arg-type]


async def test_put_validation_stores_and_replaces_entries_with_their_revision(engine: Engine) -> None:
    store = await engine.open()
    before = await store.registry.config_version()
    versions = [
        await store.contract.put_validation(each)
        for each in (entry(), entry(2), entry(event_type="Order"), entry(mode="off", updated_ms=9))
    ]
    await store.close()
    store = await engine.open()

    assert versions == [before + 1, before + 2, before + 3, before + 4]
    assert await store.contract.validation() == [
        entry(2, revision=before + 2),
        entry(event_type="Order", revision=before + 3),
        entry(mode="off", updated_ms=9, revision=before + 4),
    ]
    assert await store.registry.config_version() == before + 4


async def test_delete_validation_deletes_one_entry_and_raises_the_version(store: Store) -> None:
    await store.contract.put_validation(entry())
    last = await store.contract.put_validation(entry(2))

    assert await store.contract.delete_validation(1, "*") == last + 1
    assert await store.contract.delete_validation(1, "Order") == last + 2  # there is none
    assert await store.contract.validation() == [entry(2, revision=last)]
