"""Server-sent events: the page is told that something is new, and fetches what it shows."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from otelbot.dashboard.api.parameters import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

#: Each holds a connection; a browser opens one for each tab.
MOST_CLIENTS = 50
_LEAST = 1.0  # seconds between two events
_MOST = 5.0  # seconds without one
_STUCK = 10.0  # seconds until a client that does not read is given up


class Live:
    """The clients that listen.

    :param state: what they are told; it is told when it has changed, and every five seconds at least.
    """

    def __init__(self, state: Callable[[], dict[str, Any]]) -> None:
        self._state = state
        self._clients: set[asyncio.Task[Any]] = set()
        self._ended = False

    async def listen(self, request: web.Request) -> web.StreamResponse:
        if len(self._clients) >= MOST_CLIENTS:
            raise Refused(f"{MOST_CLIENTS} pages listen already; close one.", 503)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - aiohttp runs handlers in tasks
        self._clients.add(task)
        try:
            return await self._tell(request)
        finally:
            self._clients.discard(task)

    async def stop(self, _app: web.Application) -> None:
        """End all connections, which would hold the server open."""
        self._ended = True  # before Python 3.12 `wait_for` may lose a cancellation
        for client in self._clients:
            client.cancel()

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        told: dict[str, Any] | None = None
        due = 0.0
        try:
            while not self._ended:
                state = self._state()
                now = time.monotonic()
                if state != told or now >= due:
                    data = json.dumps(state | {"time": int(time.time() * 1000)})
                    await asyncio.wait_for(response.write(f"event: state\ndata: {data}\n\n".encode()), _STUCK)
                    told, due = state, now + _MOST
                await asyncio.sleep(_LEAST)
        except (ConnectionError, TimeoutError, asyncio.TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        return response
