"""`commerce-event types --language`: write models and handlers for receivers."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from commerce_event.cli.api import Api, at
from commerce_event.cli.errors import UsageError, WorkFailedError
from commerce_event.codegen.languages import BY_NAME, Language, SourceFile
from commerce_event.contract.catalogue import CONTRACT, Catalogue, EventType
from commerce_event.contract.near_names import nearest_name
from commerce_event.contract.own_types import InvalidTypeError, is_name, own_type


def generate(
    languages: Sequence[str],
    selection: Sequence[str],
    out: Path | None,
    *,
    server: Api | None,
    models_only: bool,
    force: bool,
) -> None:
    """Write the files of receivers into a folder, or print the file when there is only one.

    ``selection`` names event types, categories or ``*``; all are written by default. Several languages get a folder
    each. No file is written when one of them exists, unless ``force`` is set.
    """
    chosen = _languages(languages)
    types = _types(_catalogue(server), _split(selection))
    made = [(language, [language.model_file(types)] if models_only else language.files(types)) for language in chosen]
    if out is None:
        _print([each for _, files in made for each in files])
        return
    paths = {
        (out / language.name if len(made) > 1 else out) / each.path: each for language, files in made for each in files
    }
    _write(paths, force=force)
    for language, _ in made:
        if not models_only:
            folder = out / language.name if len(made) > 1 else out
            run = " && ".join(each for each in (f"cd {folder}", language.setup, language.command) if each)
            print(f"Run the {language.label} receiver with: export WEBHOOK_SECRET=whsec_… && {run}", file=sys.stderr)


def _split(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))


def _languages(given: Sequence[str]) -> list[Language]:
    names = _split(given)
    for name in names:
        if name not in BY_NAME:
            raise UsageError(f"There is no language {name!r}; choose from {', '.join(BY_NAME)}")
    if not names:
        raise UsageError(f"--language is empty; choose from {', '.join(BY_NAME)}")
    return [BY_NAME[name] for name in names]


def _types(catalogue: Catalogue, selection: Sequence[str]) -> list[EventType]:
    for each in selection:
        if each not in catalogue.entries:
            near = nearest_name(each, catalogue.types)
            hint = f"did you mean {near}?" if near else "`commerce-event types` lists them"
            raise UsageError(f"There is no event type or category {each!r}; {hint}")
    return catalogue.select(selection or ["*"])


def _catalogue(server: Api | None) -> Catalogue:
    """Return the event types of a server, or those of the contract."""
    if server is None:
        return CONTRACT
    own = [each for each in server.get("/v1/event-types")["items"] if each.get("own")]
    return Catalogue(_own_type(server.get(at("event-types", each["name"]))) for each in own)


def _own_type(shown: Any) -> EventType:
    try:
        name = shown["name"]
        if not is_name(name):  # it becomes a word of a program
            raise WorkFailedError(f"The server has an event type {name!r}, which cannot be the name of a class")
        return own_type(name, shown["category"], shown["kind"], shown["description"], shown["schema"], shown["example"])
    except (InvalidTypeError, KeyError, TypeError) as error:
        raise WorkFailedError(f"An event type of the server cannot be read ({error}); is the server newer?") from None


def _print(files: Sequence[SourceFile]) -> None:
    if len(files) > 1:
        raise UsageError(
            f"There are {len(files)} files; name a folder for them with --out, or print the models of one language "
            "with --models-only"
        )
    print(files[0].text, end="")


def _write(files: dict[Path, SourceFile], *, force: bool) -> None:
    existing = [path for path in files if path.exists()]
    if existing and not force:
        raise UsageError(f"{existing[0]} exists; choose another folder with --out, or overwrite it with --force")
    for path, each in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(each.text, "utf-8", newline="\n")
        except OSError as error:
            raise WorkFailedError(f"{path} cannot be written ({error.strerror}); choose another --out") from None
        print(path)
