"""The demo's own dashboard: the real one, in the demo's process, with a folder that goes with it."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.serve import PortInUseError, serve
from otelbot.dashboard.settings import FOLDER, OTLP_PORT, PORT, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from otelbot.dashboard.instance import Running


@asynccontextmanager
async def dashboard() -> AsyncIterator[Running]:
    """Run a dashboard and yield where it is: at its usual port, or another one where that is in use.

    :raises ServeError: when it can't run.
    """
    # Nothing may be printed into the picture.
    logging.getLogger("otelbot.dashboard").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(prefix="otelbot-dashboard-") as folder:
        stop = asyncio.Event()
        try:
            running, task = await _start(PORT.default, Path(folder), stop)
        except PortInUseError:
            running, task = await _start(0, Path(folder), stop)
        try:
            yield running
        finally:
            stop.set()
            await task


async def _start(port: int, folder: Path, stop: asyncio.Event) -> tuple[Running, asyncio.Task[None]]:
    # None of the user's own settings, and no environ: a demo tells nobody of its alerts.
    settings = Settings.from_environ({FOLDER.name: str(folder), PORT.name: str(port), OTLP_PORT.name: "0"})
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(serve(settings, stop=stop, on_ready=ready.set_result, environ={}))
    waiting: set[asyncio.Future[Any]] = {ready, task}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await task  # raises why
    return ready.result(), task
