"""How answers leave: JSON that every reader takes, headers that let no telemetry run, errors as sentences."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from typing import TYPE_CHECKING, Any

from aiohttp import web

from otelbot.dashboard.api.parameters import Refused
from otelbot.dashboard.store.kinds import BusyError, UnwritableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler


_log = logging.getLogger("otelbot.dashboard")
_HEADERS = {
    # plotly.js writes styles, and makes pictures to download from blobs.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # `same-origin` and not `no-referrer`, with which a browser may hide the origin that changes are checked by.
    "Referrer-Policy": "same-origin",
}
_WORTH_PACKING = 1400  # bytes: what fits into one packet gains nothing


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return `value` as JSON; NaN and the infinities, which JSON does not have, become null."""
    try:
        # ASCII, so that a lone surrogate is escaped instead of being no UTF-8.
        body = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        body = json.dumps(finite(value), separators=(",", ":"), allow_nan=False)
    response = web.Response(text=body, status=status, headers=headers, content_type="application/json")
    if len(body) > _WORTH_PACKING:
        response.enable_compression()
    return response


def finite(value: Any) -> Any:
    """Return `value` with null for each number that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with one sentence whatever a request ends with: as JSON to programs, as plain text to a browser."""
    try:
        return await handler(request)
    except Refused as error:
        return _error(request, error.status, str(error))
    except TimeoutError:
        return _error(request, 503, "Reading took too long; ask for a shorter range.")
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return _error(request, 405, f"{error.method} is not possible here, but {allowed}.", {"Allow": allowed})
    except web.HTTPNotFound:
        return _error(request, 404, "There is nothing here; docs/dashboard-api.md lists what there is.")
    except web.HTTPRequestEntityTooLarge:
        return _error(request, 413, "The body is too large.")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error(request, error.status, f"{error.reason}.")
    except ConnectionError:
        raise  # the client has gone
    except (sqlite3.OperationalError, BusyError, UnwritableError) as error:
        _log.warning("otelbot dashboard: %s %s: %s", request.method, request.path, error)
        return _error(request, 503, f"The database does not answer now: {error}.")
    except Exception:
        _log.exception("otelbot dashboard: %s %s failed", request.method, request.path)
        return _error(request, 500, "The dashboard failed to answer this; its log says why.")


def _error(request: web.Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> web.Response:
    headers = dict(headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="otelbot dashboard"'
    if status == 503:
        headers["Retry-After"] = "5"
    if request.path.startswith("/api/v1/"):
        kind = "bad_data" if status == 400 else "execution"
        return answer({"status": "error", "errorType": kind, "error": sentence}, status, headers)
    if request.path.startswith("/api/"):
        return answer({"error": sentence}, status, headers)
    return web.Response(text=sentence + "\n", status=status, headers=headers)
