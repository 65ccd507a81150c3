"""Code for the eye: comments, strings, numbers and keywords marked, every character escaped."""

import re
from typing import Final

from markupsafe import Markup, escape

_SLASHES: Final = r"//[^\n]*"
_HASH: Final = r"(?<!\S)#[^\n]*"
_QUOTED: Final = r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`'
_SHELL_QUOTED: Final = r'"(?:[^"\\]|\\.)*"|\'[^\']*\''
_NUMBER: Final = r"\b\d[\d_]*(?:\.\d+)?\b"
_NEVER: Final = r"(?!)"
_COMMENTS: Final = {"python": _HASH, "php": f"{_SLASHES}|{_HASH}", "shell": _HASH}
_KEYWORDS: Final = {
    "python": "and as class def except False finally for from if import in is None not or pass raise return self True "
    "try while with",
    "javascript": "async await catch const else export for from function if import let new of return throw try",
    "csharp": "async await bool byte catch continue else false foreach if int long new out return static string true "
    "try using var",
    "java": "boolean byte catch class else false final for if import int long new null public return static String "
    "throws true try void",
    "php": "as echo else exit false foreach function if null return true",
    "go": "defer else err false for func go if import nil package range return string true type var",
    "shell": "curl else fi for if openssl printf set then",
}
_CLASSES: Final = ("comment", "string", "value", "keyword")


def code(text: str, language: str) -> Markup:
    """Return a program's text as markup; an unknown language is read as one like JavaScript."""
    known = language if language in _KEYWORDS else "javascript"
    pieces: list[Markup] = []
    end = 0
    for match in _PATTERNS[known].finditer(text):
        pieces.append(escape(text[end : match.start()]))
        pieces.append(Markup('<span class="{}">{}</span>').format(match.lastgroup, match[0]))
        end = match.end()
    pieces.append(escape(text[end:]))
    return Markup().join(pieces)


def prose(text: str) -> Markup:
    """Return a sentence in which what stands between backticks is code."""
    pieces = [
        Markup("<code>{}</code>").format(each) if odd % 2 else escape(each) for odd, each in enumerate(text.split("`"))
    ]
    return Markup().join(pieces)


def _pattern(language: str) -> re.Pattern[str]:
    parts = (
        _COMMENTS.get(language, _SLASHES),
        _SHELL_QUOTED if language == "shell" else _QUOTED,
        _NEVER if language == "shell" else _NUMBER,  # a shell's numbers are parts of words
        rf"\b(?:{'|'.join(_KEYWORDS[language].split())})\b",
    )
    return re.compile("|".join(f"(?P<{name}>{part})" for name, part in zip(_CLASSES, parts, strict=True)))


_PATTERNS: Final = {language: _pattern(language) for language in _KEYWORDS}
