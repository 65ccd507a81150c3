"""HTML pages from templates: all values are escaped, and only the server's own files may run."""

import re
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from commerce_event import __version__
from commerce_event.web.assets import Assets

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def breakable(name: str) -> Markup:
    """Return a name as markup that may be wrapped before each of its words."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])|(?<=_)(?=\w)", name))


class Pages:
    """Renders the templates of some packages; the first package that has a template is used."""

    def __init__(self, assets: Assets, *packages: str, **shared: Any) -> None:
        """``shared`` values and functions are available in every template."""
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(package) for package in packages]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(asset=assets.url, breakable=breakable, version=__version__, **shared)

    def text(self, template: str, context: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(context)

    def page(self, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self.text(template, context), status, HEADERS)
