"""`types --language`: which files it writes, and what it says of wrong usage."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from processes import ADMIN_KEY, ServerProcess
from receiver_programs import HOSTILE

from commerce_event.codegen.languages import BY_NAME, LANGUAGES
from commerce_event.contract.catalogue import EVENT_TYPES
from commerce_event.contract.own_types import own_type


async def test_types_language_writes_the_files_of_each_language(tmp_path: Path) -> None:
    names = ",".join(BY_NAME)
    done = await run("types", "--language", names, "--out", "receivers", folder=tmp_path)

    assert done.code == 0, done.err
    listed = done.out.splitlines()
    for language in LANGUAGES:
        for each in language.files([*EVENT_TYPES.values()]):
            path = f"receivers/{language.name}/{each.path}"
            assert path in listed
            assert (tmp_path / path).read_text("utf-8") == each.text
        run_it = f"cd receivers/{language.name} && {language.setup and language.setup + ' && '}{language.command}"
        assert f"Run the {language.label} receiver with: export WEBHOOK_SECRET=whsec_… && {run_it}\n" in done.err
    assert sorted(listed) == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


async def test_types_language_keeps_files_that_exist(tmp_path: Path) -> None:
    (tmp_path / "events.go").write_text("mine")
    refused = await run("types", "--language", "go", "--out", ".", folder=tmp_path)

    assert (refused.code, refused.out) == (2, "")
    assert (
        refused.err
        == "commerce-event: events.go exists; choose another folder with --out, or overwrite it with --force.\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["events.go"], "nothing is written"

    (tmp_path / "main.go").write_text("mine")
    forced = await run("types", "--language", "go", "--out", ".", "--models-only", "--force", folder=tmp_path)
    assert (forced.code, forced.out) == (0, "events.go\n")
    assert "type OrderConfirmedEvent struct" in (tmp_path / "events.go").read_text()
    assert (tmp_path / "main.go").read_text() == "mine"


async def test_types_language_prints_a_single_file_of_selected_types() -> None:
    done = await run(
        "types", "--language", "typescript", "--models-only", "--type", "Supplier", "--type", "JobCompletedEvent"
    )

    assert (done.code, done.err) == (0, "")
    wanted = [each for each in EVENT_TYPES.values() if each.category == "Supplier" or each.name == "JobCompletedEvent"]
    assert done.out == BY_NAME["typescript"].model_file(wanted).text


async def test_types_language_url_has_own_types(server: ServerProcess, tmp_path: Path) -> None:
    await server.start()
    async with server.client() as client:
        assert (await client.post("/v1/event-types", json=HOSTILE)).status_code == 201
    environment = {"COMMERCE_EVENT_KEY": ADMIN_KEY}
    arguments = ("types", "--language", "python", "--url", server.url)
    models = await run(*arguments, "--models-only", environment=environment)
    only = await run(*arguments, "--type", "Export", "--out", str(tmp_path), environment=environment)

    assert models.out == BY_NAME["python"].model_file([*EVENT_TYPES.values(), own_type(**HOSTILE)]).text
    assert only.code == 0, only.err
    handler = (tmp_path / "handler.py").read_text("utf-8")
    assert '@receiver.on("String", model=dict)\ndef work(event: String_, delivery: Delivery)' in handler
    compile(handler, "handler.py", "exec")
    module: dict[str, Any] = {}
    exec((tmp_path / "event_types.py").read_text("utf-8"), module)
    assert module["String_"].__annotations__["class"] is str
    assert json.dumps([*module["String_"].__annotations__]).count("order") == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--language", "perl"), "There is no language 'perl'; choose from python, typescript, csharp, java, php, go."),
        (("--language", ","), "--language is empty; choose from python, typescript, csharp, java, php, go."),
        (("--language", "go"), "There are 4 files; name a folder for them with --out, or print the models of one "
         "language with --models-only."),
        (("--language", "go,php", "--models-only"), "There are 2 files; name a folder for them with --out, or print "
         "the models of one language with --models-only."),
        (("--language", "go", "--models-only", "--type", "OrderConfirmdEvent"),
         "There is no event type or category 'OrderConfirmdEvent'; did you mean OrderConfirmedEvent?"),
        (("--language", "go", "--models-only", "--type", "Refund"),
         "There is no event type or category 'Refund'; `commerce-event types` lists them."),
        (("--out", "x"), "--out, --type, --models-only and --force need --language, such as --language python."),
        (("--language", "go", "--models-only", "--url", "http://127.0.0.1:1"),
         "No key is set; export COMMERCE_EVENT_KEY=… (the server prints one at its first start)."),
    ],
)  # fmt: skip
async def test_types_language_wrong_usage_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = await run("types", *arguments)

    assert (done.code, done.out, done.err.strip()) == (2, "", f"commerce-event: {sentence}")


async def test_types_language_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = await run("types", "--language", "php", "--out", str(tmp_path / "file"))

    assert done.code == 1
    assert done.err == (
        f"commerce-event: {tmp_path}/file/handler.php cannot be written (File exists); choose another --out.\n"
    )
