"""Passes the demo's telemetry on to a Collector, so that a stack has something to show."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from typing_extensions import Self

    from otelbot.demo.otlp import Received

_PATIENCE = 10.0  # seconds
_MOST = 1_000  # requests that wait


class Forwarder:
    """`async with Forwarder(endpoint) as forward:`, then `forward.take(received)`.

    :param endpoint: the base URL of an OTLP/HTTP receiver, e.g. `http://localhost:4318`.
    """

    def __init__(self, endpoint: str) -> None:
        self.failed: str | None = None  #: the last reason why a request was not taken
        self.taken = 0
        self.endpoint = endpoint
        self._queue: asyncio.Queue[Received] = asyncio.Queue(_MOST)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_PATIENCE), headers={"Content-Type": "application/x-protobuf"}
        )
        self._task = asyncio.ensure_future(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._queue.join(), _PATIENCE)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._session.close()

    def take(self, received: Received) -> None:
        try:
            self._queue.put_nowait(received)
        except asyncio.QueueFull:
            self.failed = "is too slow"

    async def _send(self) -> None:
        base = self.endpoint.rstrip("/")
        while True:
            received = await self._queue.get()
            try:
                async with self._session.post(f"{base}/v1/{received.signal}", data=received.body) as response:
                    if response.ok:
                        self.taken += 1
                    else:
                        self.failed = f"answered {response.status}"
            except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
                self.failed = f"can't be reached ({type(error).__name__})"
            finally:
                self._queue.task_done()
