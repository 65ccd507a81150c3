"""Static files, served from memory under a versioned path, so that browsers cache them for good."""

import gzip
import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from commerce_event.web.compression import SIZE_MIN, accepts_gzip

_ROOT: Final = "/assets"
_HEADERS: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
_ICON_HEADERS: Final = {**_HEADERS, "Cache-Control": "public, max-age=86400"}  # its path has no version
_TYPES: Final = {
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}


class Asset(msgspec.Struct, frozen=True):
    """A static file and its media type. ``gzipped`` is empty when compressing it saves nothing."""

    content: bytes
    media_type: str
    gzipped: bytes = b""


class Assets:
    """The static files of some packages. Names are paths below each package's ``static`` folder."""

    def __init__(self, *packages: str) -> None:
        self._files: dict[str, Asset] = {}
        for package in packages:
            for name, content in _read(files(package) / "static"):
                self._files[name] = _asset(name, content)
        self._version = _version_of(self._files)

    def url(self, name: str) -> str:
        """Return the path of a file. Raises KeyError when there is no such file.

        All files share one version, so that style sheets can use relative URLs.
        """
        if name not in self._files:
            raise KeyError(f"there is no asset {name}")
        return f"{_ROOT}/{self._version}/{name}"

    def route(self) -> Route:
        return Route(_ROOT + "/{version}/{name:path}", self._serve, methods=["GET"])

    def icon_route(self) -> Route:
        """Return the route of the icon, which browsers and other programs look for without reading a page."""

        async def serve(request: Request) -> Response:
            return _response(request, self._files["favicon.ico"], _ICON_HEADERS)

        return Route("/favicon.ico", serve, methods=["GET"])

    async def _serve(self, request: Request) -> Response:
        asset = self._files.get(request.path_params["name"])
        if asset is None or request.path_params["version"] != self._version:
            return Response("There is no such file.", 404, media_type="text/plain")
        return _response(request, asset, _HEADERS)


def _response(request: Request, asset: Asset, headers: Mapping[str, str]) -> Response:
    if not asset.gzipped:
        return Response(asset.content, headers=headers, media_type=asset.media_type)
    varied = {**headers, "Vary": "Accept-Encoding"}
    if not accepts_gzip(request):
        return Response(asset.content, headers=varied, media_type=asset.media_type)
    return Response(asset.gzipped, headers={**varied, "Content-Encoding": "gzip"}, media_type=asset.media_type)


def _asset(name: str, content: bytes) -> Asset:
    """Return a file, compressed once; fonts are compressed already."""
    media_type = _media_type(name)
    gzipped = b"" if len(content) < SIZE_MIN or media_type.startswith("font/") else gzip.compress(content, mtime=0)
    return Asset(content, media_type, gzipped if len(gzipped) < len(content) else b"")


def _read(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry.read_bytes()


def _version_of(found: Mapping[str, Asset]) -> str:
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + hashlib.sha256(found[name].content).digest())
    return digest.hexdigest()[:12]


def _media_type(name: str) -> str:
    suffix = name[name.rfind(".") :] if "." in name else ""
    return _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain; charset=utf-8"
