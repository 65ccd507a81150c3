"""The files of receivers in each language. A line with ``@@NAME@@`` stands for what a generator writes."""

import re
from importlib.resources import files

_MARK = re.compile(r"^.*@@([A-Z0-9]+)@@.*$", re.MULTILINE)


def template(path: str, **parts: str) -> str:
    """Return the text of a file of this folder, with the parts in place of the lines that are marked."""
    text = (files(__package__) / path).read_text("utf-8")
    return _MARK.sub(lambda mark: parts[mark[1]], text)
