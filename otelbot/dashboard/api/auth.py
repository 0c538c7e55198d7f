"""Who may see the page: on the loopback interface everybody of this machine, elsewhere who has the token."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from otelbot.dashboard.api.parameters import Refused
from otelbot.dashboard.settings import is_loopback

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

COOKIE = "otelbot-dashboard"
_MONTH = 30 * 86_400
_UNKNOWN = (
    "This page asks for its token: open the URL that `otelbot dashboard` printed, which ends in ?token=…,"
    " or send it as `Authorization: Bearer …`."
)


@dataclass(frozen=True)
class PageOptions:
    """Where the page listens, the token that it asks for, and the URL of a reverse proxy before it.

    Without a token `host` must be of the loopback interface.
    """

    host: str
    token: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(f"a page on {self.host} needs a token: set OTELBOT_DASHBOARD_TOKEN")


def guard(options: PageOptions) -> Middleware:
    """Return the middleware that turns away who may not see the page, or not change anything."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if options.token is None:
            _require_loopback(request)
        elif (given := request.query.get("token")) is not None and request.method == "GET":
            return _let_in(request, given, options.token)
        elif not _knows(request, options.token):
            raise Refused(_UNKNOWN, 401)
        if request.method in {"POST", "DELETE"} and not request.path.startswith("/api/v1/"):
            _require_own_page(request, options.url)
        return await handler(request)

    return guarded


def _require_loopback(request: web.Request) -> None:
    """Refuse a page of the web whose name its owner has made lead to this machine (DNS rebinding)."""
    host = (_address(f"//{request.host}").hostname or "").rstrip(".")
    if not (is_loopback(host) or host.endswith(".localhost")):
        raise Refused(
            "This page answers to localhost only; to reach it by another name set OTELBOT_DASHBOARD_TOKEN.", 403
        )


def _let_in(request: web.Request, given: str, token: str) -> web.StreamResponse:
    if not _same(given, token):
        raise Refused(_UNKNOWN, 401)
    # Relative, so that no `Host` decides where it leads to; of //host/ a browser would make another server.
    rest = [(name, value) for name, value in request.rel_url.query.items() if name != "token"]
    path = "/" + request.rel_url.with_query(rest).raw_path_qs.lstrip("/\\")
    answer = web.Response(status=303, headers={"Location": path})
    # Lax and not Strict: with Strict a link in a notification, opened from a mail or chat on the web, would be
    # refused. What changes something is no GET, and must come from this page.
    answer.set_cookie(COOKIE, token, max_age=_MONTH, httponly=True, samesite="Lax", secure=request.secure)
    return answer


def _knows(request: web.Request, token: str) -> bool:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _same(credentials.strip(), token):
        return True
    return _same(request.cookies.get(COOKIE, ""), token)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _require_own_page(request: web.Request, proxy: str | None) -> None:
    """Refuse what another page sends: a form cannot send JSON, and a browser names the origin.

    :param proxy: another URL of this page, for a proxy that does not pass on by which name it was asked.
    """
    if request.content_type != "application/json":
        raise Refused("A change needs the header Content-Type: application/json.", 415)
    origin = request.headers.get("Origin")
    if origin is None or _address(origin).netloc.lower() == request.host.lower():
        return
    if proxy is None or origin.lower() != proxy.lower():
        raise Refused(
            "A change must come from this page itself; behind a reverse proxy set OTELBOT_DASHBOARD_URL.", 403
        )


def _address(given: str) -> SplitResult:
    """Return the parts of a URL, all of them empty where it is none."""
    try:
        return urlsplit(given)
    except ValueError:
        return urlsplit("")
