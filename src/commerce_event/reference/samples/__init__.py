"""Complete sample programs for receivers and publishers, without libraries, in seven languages."""

from importlib.resources import files
from typing import Final

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """A sample program in a file of this folder."""

    language: str
    label: str
    filename: str
    command: str  # runs it

    @property
    def syntax(self) -> str:
        """The language of the file, for highlighting."""
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
