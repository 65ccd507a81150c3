"""JSON and code as HTML: indented, highlighted, every character escaped."""

import re
from functools import cache
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Number, String, Token
from pygments.util import ClassNotFound

# The CSS class of a token: that of its nearest ancestor here.
_CLASSES: Final = {
    Comment: "comment",
    String: "string",
    Literal: "value",
    Number: "value",
    Keyword: "keyword",
    Keyword.Constant: "value",
    Name.Tag: "key",
}


_INDENTED_MAX: Final = 1_000_000  # bytes; deep nesting makes 15 MB of 256 KB
_HIGHLIGHTED_JSON_MAX: Final = 250_000  # characters, which take up to 50 ms
_JSON_TOKEN: Final = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")(?P<colon>(?=\s*:))?|-?[0-9][0-9.eE+-]*|true|false|null', re.DOTALL
)
_HIGHLIGHTED_MAX: Final = 100_000  # characters, each of which takes up to 2 microseconds


def json_text(value: Any) -> str:
    """Return a value, or JSON bytes as they are, indented; text that is not JSON, or too long then, is not changed."""
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    try:
        indented = msgspec.json.format(raw, indent=2)
        return (indented if len(indented) <= _INDENTED_MAX else raw).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")


def value_text(value: Any) -> str:
    """Return a value as one line of JSON, a string as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def highlight_json(text: str) -> Markup:
    """Return JSON text as markup, each name and value in a span. Other text, and a very long one, is only escaped."""
    if len(text) > _HIGHLIGHTED_JSON_MAX:
        return escape(text)
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return escape(text)
    return highlight_json_part(text)


def highlight_json_part(text: str) -> Markup:
    """Return the beginning of a JSON text as markup."""
    pieces: list[str] = []
    end = 0
    for match in _JSON_TOKEN.finditer(text):
        css_class = "key" if match["colon"] is not None else "string" if match["string"] else "value"
        begin, stop = match.span("string") if match["string"] else match.span()
        pieces += (escape(text[end:begin]), f'<span class="{css_class}">', escape(text[begin:stop]), "</span>")
        end = stop
    pieces.append(str(escape(text[end:])))
    return Markup("".join(pieces))  # noqa: S704 - every part is escaped


def highlight_code(text: str, language: str) -> Markup:
    """Return code as markup: the text itself, with spans. An unknown language, or a long text, is only escaped."""
    lexer = _lexer(language)
    if lexer is None or len(text) > _HIGHLIGHTED_MAX:
        return escape(text)
    pieces: list[str] = []
    open_class = ""
    for _, token, part in lexer.get_tokens_unprocessed(text):
        css_class = _css_class(token)
        if css_class != open_class:
            pieces.append(("</span>" if open_class else "") + (f'<span class="{css_class}">' if css_class else ""))
            open_class = css_class
        pieces.append(str(escape(part)))
    if open_class:
        pieces.append("</span>")
    return Markup("".join(pieces))  # noqa: S704 - every part is escaped


@cache
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, ensurenl=False, stripnl=False)
    except ClassNotFound:
        return None


@cache
def _css_class(token: Any) -> str:
    while token is not Token:
        if token in _CLASSES:
            return _CLASSES[token]
        token = token.parent
    return ""
