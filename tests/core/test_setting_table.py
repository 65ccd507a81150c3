"""The event settings that count for a change."""

from typing import Any

import msgspec
import pytest

from commerce_event.core.changes import rules
from commerce_event.core.changes.model import EventSetting
from commerce_event.core.changes.rules import ActiveSetting
from commerce_event.core.changes.setting_table import SettingTable
from commerce_event.core.filters import CompiledFilter

CUSTOMER, COMPANY = "tClientCustomer", "tClientCompany"


def setting(number: int, client_id: int = 1, **fields: Any) -> EventSetting:
    wanted = {"event_type": "CustomerChangedNotification", "entity": CUSTOMER, **fields}
    return EventSetting(id=number, client_id=client_id, **wanted)


def ids(found: Any) -> list[int]:
    return [active.setting.id for active in found]


def test_active_returns_settings_of_the_client_and_the_entity() -> None:
    table = SettingTable([setting(1), setting(2, client_id=2), setting(3, entity=COMPANY)])

    assert ids(table.active(1, CUSTOMER, None)) == [1]
    assert ids(table.active(1, COMPANY, 5)) == [3]
    assert ids(table.active(2, COMPANY, None)) == ids(table.active(3, CUSTOMER, None)) == []


def test_active_setting_of_an_application_replaces_the_general_one() -> None:
    table = SettingTable([setting(1), setting(2, application_id=7)])

    assert ids(table.active(1, CUSTOMER, 7)) == [2]
    assert ids(table.active(1, CUSTOMER, 8)) == ids(table.active(1, CUSTOMER, None)) == [1]


def test_active_setting_that_is_off_replaces_the_general_one_with_nothing() -> None:
    table = SettingTable([setting(1), setting(2, application_id=7, enabled=False)])

    assert ids(table.active(1, CUSTOMER, 7)) == []
    assert ids(table.active(1, CUSTOMER, 8)) == [1]


def test_active_returns_the_same_object_until_a_setting_of_the_client_changes() -> None:
    table = SettingTable([setting(1), setting(2, client_id=2)])
    before = table.active(1, CUSTOMER, None)
    [compiled] = before

    table.put(setting(3, client_id=2, entity=COMPANY))
    assert table.active(1, CUSTOMER, None) is before
    assert table.active(1, CUSTOMER, 12) is before  # no setting names that application

    table.put(setting(4, entity=COMPANY))
    [after] = table.active(1, CUSTOMER, None)
    assert after is compiled


def test_active_costs_no_memory_for_changes_of_unnamed_applications_and_entities() -> None:
    table = SettingTable([setting(1)])
    for number in range(100):
        table.active(1, CUSTOMER, number)
        table.active(1, f"tOther{number}", None)

    assert len(table._clients[1]._known) == 1


def test_active_does_not_compile_settings_of_other_clients(monkeypatch: Any) -> None:
    table = SettingTable([setting(number, client_id=number) for number in range(1, 100)])
    compiled: list[int] = []
    init = ActiveSetting.__init__

    def counted(self: ActiveSetting, of: EventSetting) -> None:
        compiled.append(of.id)
        init(self, of)

    monkeypatch.setattr(ActiveSetting, "__init__", counted)
    table.active(7, CUSTOMER, None)
    table.active(7, CUSTOMER, 3)

    assert compiled == [7]


def test_tracked_since_is_the_earliest_of_the_settings_that_are_on() -> None:
    table = SettingTable(
        [
            setting(1, active_since_ms=50),
            setting(2, active_since_ms=30, application_id=4),
            setting(3, active_since_ms=10, application_id=5, enabled=False),
        ]
    )

    assert table.tracked_since(1, CUSTOMER) == 30
    assert table.tracked_since(1, COMPANY) is table.tracked_since(2, CUSTOMER) is None


def test_put_deleted_setting_removes_it() -> None:
    table = SettingTable([setting(1), setting(2, client_id=2)])
    table.active(1, CUSTOMER, None)
    table.put(msgspec.structs.replace(setting(1), deleted_ms=5))

    assert table.get(1) is None
    assert table.active(1, CUSTOMER, None) == ()
    assert table.tracked_since(1, CUSTOMER) is None
    assert [each.id for each in table.all()] == [2]
    assert table.of_client(1) == []


def test_setting_of_an_unknown_type_or_with_an_unknown_filter_is_left_out() -> None:
    table = SettingTable([setting(1), setting(2, event_type="New"), setting(3, filter={"A": {"like": 1}})])

    assert ids(table.active(1, CUSTOMER, None)) == [1]
    assert len(table.all()) == 3


def test_active_compiles_only_the_filters_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile_noted(filter_: Any) -> CompiledFilter:
        compiled.append(filter_)
        return CompiledFilter(filter_)

    monkeypatch.setattr(rules, "CompiledFilter", compile_noted)
    table = SettingTable([setting(number, application_id=number, filter={"City": str(number)}) for number in range(9)])

    assert table.tracked_since(1, CUSTOMER) == 0
    assert ids(table.active(1, CUSTOMER, 5)) == ids(table.active(1, CUSTOMER, 5)) == [5]
    assert compiled == [{"City": "5"}]
