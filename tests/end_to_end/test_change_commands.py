"""Commands for event settings and change sources, against a real server."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Shell
from processes import ServerProcess

CUSTOMER, ADDRESS = "CustomerChangedNotification", "tClientCustomerAddress"
SET = ("event-settings", "set", CUSTOMER, ADDRESS, "--client", "1006")
SOURCES = """
change_sources:
  erp:
    client_id: 1006
    tables:
      public.customer:
        entity: tClientCustomer
        key: {CustomerId: id}
        fields: {FirstName: first_name}
  shop:
    client_id: {column: client}
    tables:
      public.part: {entity: tClientProductSku, key: {PartNo: part_no}, application_id: {column: shop}}
"""
SETTINGS = """
event_settings:
- client_id: 1006
  event_type: CustomerChangedNotification
  entity: tClientCustomerAddress
  on_delete: false
  fields: [City, Zip]
  filter: {Country: [SE, NO]}
  coalesce_s: 30
- {client_id: 1006, event_type: SkuChangedNotification, entity: tClientProductSku}
"""


@pytest.fixture
async def shell(server: ServerProcess) -> Shell:
    await server.start()
    return Shell(server)


async def test_settings_can_be_set_shown_and_removed(shell: Shell) -> None:
    made = await shell(*SET, "--field", "City", "--field", "Zip", "--no-delete", "--filter", '{"Country": "SE"}')
    assert made.code == 0, made.err
    id_, _, sentence = made.out.strip().partition(": ")
    assert sentence == (
        "When a customer's address is inserted or its City or Zip changes, tell client 1006's endpoints with "
        "CustomerChangedNotification (tClientCustomerAddress), where Country is SE."
    )
    changed = await shell.json(*SET, "--field", "*", "--filter", "{}", "--coalesce", "2m", "--disabled")
    listed = await shell("event-settings", "list", "--client", "1006")
    shown = await shell.json("event-settings", "show", id_)
    seen = await shell("event-settings", "preview", CUSTOMER, ADDRESS, "--client", "1006", "--since", "1h")
    removed = await shell("event-settings", "remove", id_)
    again = await shell("event-settings", "remove", id_)

    assert (changed["id"], changed["enabled"], changed["on_delete"]) == (id_, False, False)
    assert (changed["fields"], changed["filter"], changed["coalesce_s"]) == (None, None, 120)
    assert shown == changed
    assert f"{id_}  off  {changed['sentence']}" in listed.out
    assert seen.out == "0 changes would have raised 0 notifications.\n"
    assert (removed.code, removed.out) == (0, f"Event setting {id_} is removed.\n")
    assert (again.code, "There is no event setting" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--field", "CustomerIds"), "--field at /0: tClientCustomerAddress has no field 'CustomerIds'; did you mean"),
        (("--filter", "{"), "The filter is not JSON"),
        (("--coalesce", "soon"), "--coalesce: 'soon' is not a duration"),
        (("--no-insert", "--no-update", "--no-delete"), "--update: at least one of insert, update and delete"),
    ],
)
async def test_set_with_a_fault_says_what_to_do(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    for command in ("set", "preview"):
        done = await shell("event-settings", command, *SET[2:], *arguments)
        assert done.code == 2
        assert said in done.err


async def test_apply_settings_shows_the_difference_and_makes_it(shell: Shell, tmp_path: Path) -> None:
    await shell.json(*SET, "--field", "City")
    await shell.json("event-settings", "set", "CompanyChangedNotification", "tClientCompany", "--client", "1006")
    await shell.json("event-settings", "set", "CompanyChangedNotification", "tClientCompany", "--client", "7")
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS)

    before = await shell.json("event-settings", "list")
    tried = await shell("event-settings", "apply", str(file), "--dry-run", "--prune")
    assert (tried.code, await shell.json("event-settings", "list")) == (0, before)
    assert tried.out.splitlines()[-1] == (
        "Event settings: 1 would be added, 1 would be changed, 1 would be removed, 0 as in the file."
    )
    done = await shell("event-settings", "apply", str(file))
    assert [line.strip() for line in done.out.splitlines()] == [
        "+ SkuChangedNotification tClientProductSku, client 1006",
        "+ client_id: 1006", "+ event_type: SkuChangedNotification", "+ entity: tClientProductSku", "+ enabled: true",
        "+ on_insert: true", "+ on_update: true", "+ on_delete: true", "+ coalesce_s: 0.0",
        "~ CustomerChangedNotification tClientCustomerAddress, client 1006",
        "- on_delete: true", "+ on_delete: false", '- fields: ["City"]', '+ fields: ["City", "Zip"]',
        "- coalesce_s: 0.0", "+ coalesce_s: 30.0", '+ filter.Country: ["SE", "NO"]',
        "Event settings: 1 added, 1 changed, 0 removed, 0 as in the file.",
        "Kept although not in the file: 1; --prune removes it.",
    ]  # fmt: skip
    pruned = await shell.json("event-settings", "apply", str(file), "--prune")
    assert (pruned["added"], pruned["changed"], pruned["same"], len(pruned["removed"])) == ([], [], 2, 1)
    kept = await shell.json("event-settings", "list")
    assert sorted((each["client_id"], each["entity"]) for each in kept) == [
        (7, "tClientCompany"), (1006, "tClientCustomerAddress"), (1006, "tClientProductSku"),
    ]  # fmt: skip


async def test_exported_settings_and_sources_are_as_applied(shell: Shell, tmp_path: Path) -> None:
    for name, text in (("event-settings", SETTINGS), ("change-sources", SOURCES)):
        applied = await shell.json(name, "apply", "-", stdin=text)
        assert (len(applied["added"]), applied["dry_run"]) == (2, False)
        exported = await shell(name, "export")
        again = await shell.json(name, "apply", "-", "--prune", stdin=exported.out)
        assert (again["added"], again["changed"], again["removed"], again["same"]) == ([], [], [], 2)
        assert (await shell.json(name, "export")).keys() == {name.replace("-", "_")}
    assert "# When a customer's address is inserted" in (await shell("event-settings", "export")).out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Country: [SE", "Country: [{}", "line 8, column 12: /event_settings/0/filter/Country: in needs a text"),
        ("fields: [City, Zip]", "fields: [City, Zip", "line 8, column 9 is not YAML"),
        ("coalesce_s: 30", "coalesce: 30", "line 9, column 3: /event_settings/0/coalesce: is not a known property"),
        (
            "entity: tClientProductSku}",
            "entity: tClientCompany}",
            "line 10, column 57: /event_settings/1/entity: SkuChanged",
        ),
        ("  on_delete: false", "  on_delete: no", "line 6, column 3: /event_settings/0/on_delete: must be true or"),
        ("event_settings", "settings", "has no event_settings; write a list under that name"),
    ],
)
async def test_apply_with_a_fault_names_its_line_and_changes_nothing(
    shell: Shell, tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS.replace(old, new))

    done = await shell("event-settings", "apply", str(file))

    assert (done.code, said in done.err, done.err.count("\n")) == (2, True, 1), done.err
    assert await shell.json("event-settings", "list") == []


async def test_sources_can_be_applied_shown_and_removed(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(SOURCES)
    assert (await shell("change-sources", "apply", str(file), "--dry-run")).code == 0
    assert await shell.json("change-sources", "list") == []
    assert (await shell("change-sources", "apply", str(file))).code == 0
    shown = await shell.json("change-sources", "show", "shop")
    assert (shown["client_id"], shown["position"]) == ({"column": "client"}, None)
    assert "column client" in (await shell("change-sources", "list")).out

    file.write_text(SOURCES.replace("first_name", "given_name").partition("  shop:")[0])
    done = await shell("change-sources", "apply", str(file))
    assert "- tables.public.customer.fields.FirstName: first_name" in done.out
    assert "0 added, 1 changed, 0 removed, 0 as in the file" in done.out
    assert "Kept although not in the file: 1; --prune removes it." in done.out
    file.write_text(SOURCES.replace("CustomerId: id", "Id: id"))
    wrong = await shell("change-sources", "apply", str(file))
    assert (wrong.code, "line 8, column 9: /change_sources/erp/tables/public.customer/key" in wrong.err) == (2, True)

    assert (await shell("change-sources", "remove", "shop")).out == "Change source shop is removed.\n"
    gone = await shell("change-sources", "show", "shop")
    assert (gone.code, "There is no change source shop" in gone.err) == (2, True)


async def test_names_in_files_do_not_control_the_terminal(shell: Shell) -> None:
    table: Any = {"entity": "tClientCustomer", "key": {"CustomerId": "id"}, "fields": {"A": "\x1b[31mred"}}
    text = json.dumps({"change_sources": {"erp": {"client_id": 1, "tables": {"t": table}}}})

    done = await shell("change-sources", "apply", "-", stdin=text)

    assert (done.code, "\x1b" in done.out) == (0, False)
