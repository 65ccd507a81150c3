"""The languages that receivers are generated in, and the files of each. The reference page shows the same files."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from commerce_event.codegen import csharp, go, java, php, python_receiver, typescript
from commerce_event.codegen.fields import Field, fields_of, quoted, type_names
from commerce_event.codegen.templates import template
from commerce_event.contract.catalogue import EVENT_TYPES, EventType

_EXAMPLE: Final = EVENT_TYPES["OrderConfirmedEvent"]  # the type that handlers are written for
_WORD: Final = re.compile(r"[A-Z][A-Za-z0-9]*")


class SourceFile(msgspec.Struct, frozen=True):
    """A generated file. ``path`` is relative to the folder of the program."""

    path: str
    text: str
    syntax: str  # for highlighting


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """A language. ``handler`` is the path of the program, ``others`` are paths of the project's files."""

    name: str
    label: str
    handler: str
    models: str
    others: tuple[str, ...]
    setup: str  # a command that is run once before, if any
    command: str
    make_models: Callable[[Iterable[EventType]], str]

    def model_file(self, types: Sequence[EventType]) -> SourceFile:
        """Return the file with the models of event types."""
        return SourceFile(self.models, self.make_models(types), self.name)

    def files(self, types: Sequence[EventType]) -> list[SourceFile]:
        """Return the files of a receiver: the handler first, then the models, then those of the project.

        The handler shows the work of OrderConfirmedEvent, or of the first event type where that one is not among them.
        """
        example = next((each for each in types if each.name == _EXAMPLE.name), types[0])
        handler = self._handler_for(template(f"{self.name}/{self.handler}"), example)
        others = [SourceFile(path, template(f"{self.name}/{path}"), path.rpartition(".")[2]) for path in self.others]
        return [SourceFile(self.handler, handler, self.name), self.model_file(types), *others]

    def _handler_for(self, text: str, example: EventType) -> str:
        """Return the handler with the names of another event type in place of those of the template."""
        if example is _EXAMPLE:
            return text
        subject = _subject(example)
        class_name = type_names([example])[example.name]
        if self.name == "python" and example.is_own:
            imported = f"from commerce_event_sdk import Delivery, Receiver\nfrom event_types import {class_name}"
            text = text.replace("from commerce_event_sdk import Delivery, OrderConfirmedEvent, Receiver", imported)
            text = text.replace("receiver.on(OrderConfirmedEvent)", f"receiver.on({quoted(example.name)}, model=dict)")
            text = text.replace("event.OrderId", f"event[{quoted(subject.name)}]")
        words = {
            "OrderConfirmedEvent": example.name if self.name == "typescript" else class_name,
            "OrderId": subject.name,
            "order_id": re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", subject.name).lower(),
            "INTEGER": "TEXT" if subject.kind == "string" else "INTEGER",
        }
        return re.sub(r"\b(?:OrderConfirmedEvent|OrderId|order_id|INTEGER)\b", lambda found: words[found[0]], text)


def _subject(event_type: EventType) -> Field:
    """Return what an event is about, such as its order: the first property that is always there, else the client."""
    client, *others = fields_of(event_type)
    return next(
        (
            each
            for each in others
            if each.kind in {"int32", "int64", "string"}
            and not each.is_nullable
            and each.name != "ApplicationId"
            and _WORD.fullmatch(each.name)
        ),
        client,
    )


LANGUAGES: Final = (
    Language(
        name="python",
        label="Python",
        handler="handler.py",
        models="event_types.py",
        others=("requirements.txt",),
        setup="pip install -r requirements.txt",
        command="python handler.py",
        make_models=python_receiver.models,
    ),
    Language(
        name="typescript",
        label="TypeScript",
        handler="handler.ts",
        models="events.ts",
        others=("package.json", "tsconfig.json"),
        setup="npm install",
        command="npm start",
        make_models=typescript.models,
    ),
    Language(
        name="csharp",
        label="C#",
        handler="Handler.cs",
        models="Events.cs",
        others=("Receiver.csproj",),
        setup="",
        command="dotnet run",
        make_models=csharp.models,
    ),
    Language(
        name="java",
        label="Java",
        handler="src/main/java/Handler.java",
        models="src/main/java/Events.java",
        others=("pom.xml",),
        setup="",
        command="mvn -q compile exec:java",
        make_models=java.models,
    ),
    Language(
        name="php",
        label="PHP",
        handler="handler.php",
        models="events.php",
        others=("composer.json",),
        setup="",
        command="php -S 127.0.0.1:9000 handler.php",
        make_models=php.models,
    ),
    Language(
        name="go",
        label="Go",
        handler="main.go",
        models="events.go",
        others=("go.mod", "go.sum"),
        setup="",
        command="go run .",
        make_models=go.models,
    ),
)
BY_NAME: Final = {each.name: each for each in LANGUAGES}
