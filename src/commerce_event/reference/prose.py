"""Sentences of the document as HTML."""

from markupsafe import Markup, escape


def prose(text: str) -> Markup:
    """Return a sentence as markup; text between backticks becomes code."""
    pieces = [
        Markup("<code>{}</code>").format(each) if odd % 2 else escape(each) for odd, each in enumerate(text.split("`"))
    ]
    return Markup().join(pieces)
