"""Sample programs: receivers in each language, as `commerce-event types --language` writes them, and shell scripts."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

import msgspec

from commerce_event.codegen.languages import LANGUAGES, SourceFile
from commerce_event.contract.catalogue import EventType


class Sample(msgspec.Struct, frozen=True):
    """A program of one or more files, the one to read first."""

    language: str
    label: str
    command: str  # runs it
    files: tuple[SourceFile, ...]

    @property
    def main(self) -> SourceFile:
        return self.files[0]


def handlers(types: Sequence[EventType]) -> tuple[Sample, ...]:
    """Return a receiver in each language for these event types."""
    return tuple(
        Sample(
            each.name,
            each.label,
            " && ".join(command for command in (each.setup, each.command) if command),
            tuple(each.files(types)),
        )
        for each in LANGUAGES
    )


def _script(language: str, label: str, path: str) -> Sample:
    text = (files(__package__) / path).read_text("utf-8")
    return Sample(language, label, f"sh {path}", (SourceFile(path, text, "shell"),))


SIGNED: Final = _script("curl", "curl", "signed.sh")
PUBLISH: Final = _script("publish", "curl: publish", "publish.sh")
