"""Programs for the other end, complete and without any library, in the languages that integrators use."""

from importlib.resources import files
from typing import Final

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """A program in a file of this folder."""

    language: str
    label: str
    filename: str
    start: str  # how it is run

    @property
    def syntax(self) -> str:
        """What the file is written in."""
        return "shell" if self.filename.endswith(".sh") else self.language

    @property
    def text(self) -> str:
        return (files(__package__) / self.filename).read_text("utf-8")


HANDLERS: Final = (
    Sample("python", "Python", "handler.py", "python handler.py"),
    Sample("javascript", "Node.js", "handler.mjs", "node handler.mjs"),
    Sample("csharp", "C#", "Handler.cs", "dotnet run"),
    Sample("java", "Java", "Handler.java", "java Handler.java"),
    Sample("php", "PHP", "handler.php", "php -S 127.0.0.1:9000 handler.php"),
    Sample("go", "Go", "handler.go", "go run handler.go"),
    Sample("curl", "curl", "signed.sh", "sh signed.sh"),
)
PUBLISH: Final = Sample("publish", "curl: publish", "publish.sh", "sh publish.sh")
SAMPLES: Final = (*HANDLERS, PUBLISH)
