"""The page's files, and plotly.js from its wheel: nothing is fetched from outside."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from otelbot.dashboard.api.parameters import Refused

_PAGE = Path(__file__).parents[1] / "page"
#: By what the page is made of, and not by what the machine's own list says.
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_BINARY = {".png", ".ico", ".woff2"}


async def index(_request: web.Request) -> web.Response:
    return await _file("index.html")


async def file(request: web.Request) -> web.Response:
    return await _file(request.match_info["file"])


async def plotly(request: web.Request) -> web.Response:
    """Answer with plotly.js as its wheel has it: it is packed once, and a browser keeps it for a day."""
    script = await asyncio.to_thread(_plotly)
    if script is None:
        raise Refused("Charts need plotly, which is not installed: pip install 'otelbot[dashboard]'.", 404)
    headers = {"ETag": script.tag, "Cache-Control": "private, max-age=86400", "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == script.tag:
        return web.Response(status=304, headers=headers)
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body = script.packed
        headers["Content-Encoding"] = "gzip"
    else:
        body = await asyncio.to_thread(gzip.decompress, script.packed)
    return web.Response(body=body, headers=headers, content_type=_TYPES[".js"], charset="utf-8")


class _Script(NamedTuple):
    tag: str
    packed: bytes


@cache
def _plotly() -> _Script | None:
    # The package is looked for and not imported: that would cost 50 MB.
    spec = find_spec("plotly")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "package_data" / "plotly.min.js"
        if path.is_file():
            script = path.read_bytes()
            return _Script(f'"{hashlib.sha256(script).hexdigest()[:16]}"', gzip.compress(script, 6))
    return None


async def _file(name: str) -> web.Response:
    body = await asyncio.to_thread(_read, name)
    if body is None:
        raise web.HTTPNotFound
    suffix = Path(name).suffix
    charset = None if suffix in _BINARY else "utf-8"
    response = web.Response(
        body=body, content_type=_TYPES[suffix], charset=charset, headers={"Cache-Control": "no-cache"}
    )
    response.enable_compression()
    return response


def _read(name: str) -> bytes | None:
    """Return a file of the page; None for any other, wherever its name leads."""
    try:
        path = (_PAGE / name).resolve()
        if not path.is_relative_to(_PAGE.resolve()) or path.suffix not in _TYPES or not path.is_file():
            return None
        return path.read_bytes()
    except (OSError, ValueError):  # too long a name, or one with NUL
        return None
