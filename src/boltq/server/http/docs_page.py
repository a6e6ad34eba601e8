"""Serves the API's description, and a page to read it and try it out, from files that BoltQ brings along."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from boltq.server.http.answers import as_json
from boltq.server.http.calls import ApiCall
from boltq.server.http.openapi import document

FOLDER: Final = Path(__file__).parents[1] / "_docs"

FILES: Final = {
    "/docs": ("index.html", "text/html; charset=utf-8"),
    "/docs/start.js": ("start.js", "text/javascript; charset=utf-8"),
    "/docs/swagger-ui.css": ("swagger-ui.css.gz", "text/css; charset=utf-8"),
    "/docs/swagger-ui-bundle.js": ("swagger-ui-bundle.js.gz", "text/javascript; charset=utf-8"),
}
"""Each address, its file and its type. There are no others: no address is ever made into a path."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none';"
    " style-src 'self' 'unsafe-inline';"  # Swagger UI sets styles from its script
    " form-action 'none'; frame-ancestors 'none'"
)


class Served(NamedTuple):
    """Something that does not change while the process lives."""

    packed: bytes  # with gzip
    plain: bytes  # kept as well, so that any number of clients that read slowly share it
    kind: str
    tag: str  # its ETag

    @classmethod
    def of(cls, packed: bytes, kind: str) -> "Served":
        """With the tag that its content has."""
        return cls(packed, gzip.decompress(packed), kind, f'"{hashlib.sha256(packed).hexdigest()[:32]}"')


def docs_routes(calls: Sequence[ApiCall]) -> list[Route]:
    """What is served here: /openapi.json, /docs and the files of the page."""

    @cache
    def description() -> Served:
        return Served.of(gzip.compress(as_json(document(calls)), mtime=0), "application/json")

    pages = [Route(path, _endpoint(cache(_reader(*about))), methods=["GET"]) for path, about in FILES.items()]
    return [Route("/openapi.json", _endpoint(description), methods=["GET"]), *pages]


def _reader(name: str, kind: str) -> Callable[[], Served]:
    def read() -> Served:
        content = (FOLDER / name).read_bytes()
        return Served.of(content if name.endswith(".gz") else gzip.compress(content, mtime=0), kind)

    return read


def _endpoint(served: Callable[[], Served]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _answer(request, served())

    return endpoint


def _answer(request: Request, served: Served) -> Response:
    """The thing itself, or that the client has it already."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "cache-control": "no-cache",
        "etag": f"W/{served.tag}",  # weak: packed or not, it is the same
        "vary": "Accept-Encoding",
        "content-security-policy": POLICY,
    }
    if served.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if packed:
        return Response(served.packed, headers=headers | {"content-encoding": "gzip"}, media_type=served.kind)
    return Response(served.plain, headers=headers, media_type=served.kind)
