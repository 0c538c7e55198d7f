"""OTLP over HTTP: what senders get to hear. What they send is the store's."""

from __future__ import annotations

import asyncio
import hmac
import math
from typing import TYPE_CHECKING

from aiohttp import web

from otelbot.dashboard.otlp import MalformedError, answered, problem
from otelbot.dashboard.otlp.bodies import JSON, LARGEST, PROTOBUF, TooLargeError
from otelbot.dashboard.store import QUEUE_BYTES, BusyError, UnwritableError
from otelbot.export import pace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.dashboard.store import Store

_RETRY_UNWRITABLE = 5.0  # s
#: Seconds that a body may take to come: what has come of it keeps others out.
_BODY_TAKES = 30.0
#: Seconds: who looks at the page sees what happens now. otelbot's exporter follows it.
_LIVE = {pace.HEADER: "2"}


def receiver_app(store: Store, token: str | None) -> web.Application:
    """Return the application of `POST /v1/{traces,metrics,logs}`, to be run with `auto_decompress=False`.

    :param token: that senders must show as `Authorization: Bearer …`; None where only this machine reaches it.
    """
    receiver = _Receiver(store, token)
    app = web.Application()
    app.router.add_route("*", "/v1/{signal:traces|metrics|logs}", receiver.on_export)
    return app


class _Receiver:
    def __init__(self, store: Store, token: str | None) -> None:
        self._store = store
        self._token = token
        self._reading = 0  # bytes of bodies that are not read to their end

    async def on_export(self, request: web.Request) -> web.Response:
        signal = request.match_info["signal"]
        in_json = request.content_type == JSON
        if request.method != "POST":
            return _refused(405, "OTLP is sent with POST", in_json, {"Allow": "POST"})
        if not self._is_allowed(request):
            what = (
                "the header Authorization: Bearer and the dashboard's token are missing: set OTEL_EXPORTER_OTLP_HEADERS"
            )
            return _refused(401, what, in_json, {"WWW-Authenticate": "Bearer"})
        if not in_json and request.content_type != PROTOBUF:
            return _refused(415, f"the content type is neither {PROTOBUF} nor {JSON}", in_json)
        encoding = request.headers.get("Content-Encoding", "")
        try:
            body = await asyncio.wait_for(self._body(request), _BODY_TAKES)
            added = await self._store.add(signal, body, encoding, in_json=in_json)
        except asyncio.TimeoutError:
            return _refused(408, f"the body took longer than {_BODY_TAKES:g} s", in_json, {"Connection": "close"})
        except TooLargeError as error:
            return _refused(413, str(error), in_json)
        except MalformedError as error:
            return _refused(400, str(error), in_json)
        except BusyError as error:
            return _refused(503, str(error), in_json, {"Retry-After": str(math.ceil(error.retry_after))})
        except UnwritableError as error:
            return _refused(503, str(error), in_json, {"Retry-After": str(math.ceil(_RETRY_UNWRITABLE))})
        answer = answered(signal, rejected=added.rejected, reason=added.reason, in_json=in_json)
        return web.Response(body=answer, content_type=JSON if in_json else PROTOBUF, headers=_LIVE)

    async def _body(self, request: web.Request) -> bytes:
        """Read a body, unless it is too large, or too much is being read and waits already."""
        if (request.content_length or 0) > LARGEST:
            raise TooLargeError
        parts = bytearray()
        try:
            async for part in request.content.iter_any():
                parts += part
                self._reading += len(part)
                if len(parts) > LARGEST:
                    raise TooLargeError
                if self._reading + self._store.queue_bytes > QUEUE_BYTES:
                    raise BusyError(1)
        except (ConnectionError, web.RequestPayloadError) as error:
            raise MalformedError("the body was cut off") from error  # nobody is left to hear it: no error of ours
        finally:
            self._reading -= len(parts)
        return bytes(parts)

    def _is_allowed(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(errors="replace"), f"Bearer {self._token}".encode())


def _refused(status: int, text: str, in_json: bool, headers: Mapping[str, str] | None = None) -> web.Response:
    body = problem(text, in_json=in_json)
    return web.Response(status=status, body=body, content_type=JSON if in_json else PROTOBUF, headers=headers)
