"""The server's origin as the browser sees it, also behind a proxy."""

from starlette.requests import Request


def over_tls(request: Request) -> bool:
    """Whether the browser uses TLS, to this server or to a proxy in front of it."""
    return "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "").lower()}


def origin_of(request: Request) -> str:
    """Return scheme, host and port of the browser's request, such as ``https://events.example.com``."""
    return f"{'https' if over_tls(request) else 'http'}://{request.url.netloc}"
