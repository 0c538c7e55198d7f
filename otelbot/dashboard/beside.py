"""A dashboard beside a bot, for `otelbot-instrument --dashboard`: nobody's child, and gone soon after the last bot.

The launcher runs `main` in a process of its own, which leaves the dashboard behind and says on its standard output, as
one line of JSON, where it is: `page`, `otlp` and `otlp_token`, or else the `problem`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from otelbot.dashboard import instance
from otelbot.dashboard.bots import Bots
from otelbot.dashboard.instance import FolderInUseError, Running, ServeError
from otelbot.dashboard.serve import PortInUseError, log_to_stderr, require_extra, serve, url
from otelbot.dashboard.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PATIENCE = 12.0  # seconds for another dashboard of the folder to come up or to go
_STEP = 0.2
_LOG = "dashboard.log"
_LOG_BYTES = 2**20  # a longer one is put aside when the next dashboard starts
_AGAIN = "again"


def main() -> None:
    """Find a dashboard, or leave one behind, for the process whose id is the last argument."""
    try:
        settings = Settings.from_environ(os.environ)
        require_extra()
        instance.prepare(settings.folder)
        found = _begin(int(sys.argv[-1]), settings)
    except (ServeError, SettingsError) as error:
        found = {"problem": str(error)}
    except Exception as error:
        found = {"problem": f"it failed ({type(error).__name__}: {error})"}
    print(json.dumps(found))  # noqa: T201 - this is the answer


def _begin(bot: int, settings: Settings) -> dict[str, Any]:
    bots = Bots(settings.folder)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with bots.lock() as mine:
            if mine:
                bots.add(bot)
                found = _leave_behind(settings)
                if _AGAIN not in found:
                    return found
        time.sleep(_STEP)
    return {"problem": f"{settings.folder} is in use by one that neither answers nor ends"}


def _leave_behind(settings: Settings) -> dict[str, Any]:
    """Start a dashboard and return what it says of itself."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        _be_dashboard(settings, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        said = answer.read()
    if not said:
        return {"problem": f"it ended at once; {settings.folder / _LOG} says why"}
    found: dict[str, Any] = json.loads(said)
    return found


def _be_dashboard(settings: Settings, writing: int) -> NoReturn:
    def say(found: dict[str, Any]) -> None:
        with suppress(OSError), os.fdopen(writing, "w", encoding="utf-8") as answer:
            json.dump(found, answer)

    try:
        _detach(settings.folder, writing)
        asyncio.run(_serve(settings, say))
    except FolderInUseError as error:
        say(_where(error.running) if error.running else {_AGAIN: True})
    except PortInUseError as error:
        say(_another(settings) or {"problem": str(error)})
    except ServeError as error:
        say({"problem": str(error)})
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(0)  # what runs at the end of a program is its parent's


def _detach(folder: Path, kept: int) -> None:
    """Hold nothing of the bot's: its streams, its working folder, the lock under which this was started."""
    log = folder / _LOG
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    streams = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream, of in ((0, streams[0]), (1, streams[1]), (2, streams[1])):
        os.dup2(of, stream)
    os.closerange(3, kept)
    os.closerange(kept + 1, 1024)
    os.chdir("/")
    log_to_stderr()


async def _serve(settings: Settings, say: Callable[[dict[str, Any]], None]) -> None:
    bots = Bots(settings.folder)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, bots.ask_to_end)
    watching = asyncio.ensure_future(bots.watch())
    watching.add_done_callback(lambda _: stop.set())
    try:
        await serve(settings, stop=stop, on_ready=lambda running: say(_where(running)))
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _where(running: Running) -> dict[str, Any]:
    return {"page": running.page, "otlp": running.otlp, "otlp_token": running.otlp_token}


def _another(settings: Settings) -> dict[str, Any] | None:
    """Return where a dashboard is that has another folder and this one's port, if it is one."""
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=3)
    try:
        connection.request("GET", "/api/health")
        if "dashboard" not in json.loads(connection.getresponse().read(2**20)):
            return None
    except (OSError, ValueError, TypeError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return {"page": url(settings.host, settings.port), "otlp": url(settings.otlp_host, settings.otlp_port)}
