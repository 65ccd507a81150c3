"""Pages for people who open an address that answers programs with a problem."""

from starlette.requests import Request
from starlette.responses import Response

from commerce_event.web.compression import compress
from commerce_event.web.pages import Pages

_NOTE = "Programs get this as application/problem+json (RFC 9457)."


def wants_page(request: Request) -> bool:
    """Whether a browser asks: it names HTML in the Accept header, which programs do not."""
    return request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", "")


class ProblemPages:
    """Renders problems as pages."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def page(self, request: Request, title: str, texts: tuple[str, ...], status: int) -> Response:
        """Return a page that says what happened and leads on."""
        context = {"title": title, "texts": texts, "note": _NOTE}
        response = self._pages.page("problem_page.html", context, status)
        response.headers["Vary"] = "Accept"
        compress(request, response)
        return response
