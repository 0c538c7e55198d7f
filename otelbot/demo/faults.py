"""What can go wrong with an HTTP answer, on demand: errors, cuts, redirects, garbage, delays.

A fault either answers the request in its own way or returns None, and then the server goes on as usual.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Act = Callable[[web.Request], Awaitable["web.StreamResponse | None"]]

# The status under which a call is recorded when the connection was closed instead of answered.
CUT = 0


@dataclass
class Fault:
    method: str
    act: Act
    times: int | None
    token: str | None = None


class Faults:
    """The faults that are waiting for their calls, the oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, method: str, token: str) -> Act | None:
        """Return the fault that this call meets, and count it as used."""
        for fault in self._waiting:
            if fault.method == method and fault.token in {None, token}:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                return fault.act
        return None


def error(status: int, description: str, **parameters: int | None) -> web.Response:
    """Answer as Telegram does when a call fails; `parameters` are `retry_after` and `migrate_to_chat_id`."""
    answer: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    given = {name: value for name, value in parameters.items() if value is not None}
    if given:
        answer["parameters"] = given
    headers = {"Retry-After": str(given["retry_after"])} if "retry_after" in given else None
    return web.json_response(answer, status=status, headers=headers)


def answering(make: Callable[[], web.Response]) -> Act:
    """Answer with a new response each time: aiohttp sends a response object only once."""

    async def act(_request: web.Request) -> web.StreamResponse:
        return make()

    return act


def cutting(*, after_headers: bool) -> Act:
    """Close the connection without an answer, or in the middle of its body."""

    async def act(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        if after_headers:
            await response.prepare(request)
            await response.write(b'{"ok":true,"result":')
        if request.transport is not None:
            request.transport.close()
        return response

    return act


def hanging(seconds: float, closing: asyncio.Event) -> Act:
    """Answer late; a server that is being stopped does not wait."""

    async def act(_request: web.Request) -> web.StreamResponse | None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(closing.wait(), seconds)
        return None

    return act
