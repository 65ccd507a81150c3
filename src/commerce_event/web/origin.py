"""Where a browser is, as it sees the server: through a proxy, that is another address than ours."""

from starlette.requests import Request


def over_tls(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to the proxy before us."""
    return "https" in {request.url.scheme, request.headers.get("x-forwarded-proto", "").lower()}


def origin_of(request: Request) -> str:
    """Return scheme, host and port that the browser asked for, such as ``https://events.example.com``."""
    return f"{'https' if over_tls(request) else 'http'}://{request.url.netloc}"
