"""The bots that a dashboard beside them lives for: a file for each, written by its launcher."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from otelbot.dashboard import instance

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

#: Held by who adds a bot or takes the decision to end, so that none is added to a dashboard that goes.
_LOCK = "beside.lock"
#: Seconds that a dashboard outlives its last bot: for the bot's last telemetry, and for a bot that is started again.
GRACE = 10.0
#: Seconds that one which is told to end waits for its bots, which often are as well, and then outlives them.
_LAST, _LAST_GRACE = 8.0, 1.0
_LOOK = 0.5  # seconds
_NEAR = 10.0  # seconds; two processes see the start of a third differently when the machine's clock is being set


class Bots:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "bots"
        self._lock = folder / _LOCK
        self._known: dict[int, psutil.Process] = {}
        self._asked: float | None = None

    def lock(self) -> AbstractContextManager[bool]:
        return instance.locked(self._lock)

    def add(self, pid: int) -> None:
        """Note a process to live for. Needs the lock.

        :raises OSError: when the folder can't be written.
        :raises psutil.Error: when there is no such process.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / str(pid)).write_text(str(psutil.Process(pid).create_time()), encoding="ascii")

    def ask_to_end(self) -> None:
        if self._asked is None:
            self._asked = time.monotonic()

    async def watch(self) -> None:
        """Return when the time has come to end."""
        alone_since = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK)
            now = time.monotonic()
            if self._asked is not None and now - self._asked > _LAST:
                return
            if self._any():
                alone_since = now
            elif now - alone_since > (GRACE if self._asked is None else _LAST_GRACE) and self._leave():
                return

    def _leave(self) -> bool:
        """Let nobody find this dashboard any more, unless a bot has come."""
        with suppress(instance.ServeError), self.lock() as mine:
            if mine and not self._any():
                instance.forget(self._lock.parent)
                return True
        return False

    def _any(self) -> bool:
        files = list(self._folder.iterdir()) if self._folder.is_dir() else []
        alive = [file for file in files if self._is_alive(file)]  # looks at all: who has gone is forgotten
        return bool(alive)

    def _is_alive(self, file: Path) -> bool:
        try:
            pid = int(file.name)
            process = self._known.get(pid)
            if process is None:
                process = psutil.Process(pid)
                if abs(process.create_time() - float(file.read_text(encoding="ascii"))) > _NEAR:
                    raise psutil.NoSuchProcess(pid)
                self._known[pid] = process
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except psutil.AccessDenied:
            return True
        except (OSError, ValueError, psutil.Error):
            pass
        self._known.pop(int(file.name) if file.name.isdecimal() else -1, None)
        with suppress(OSError):
            file.unlink()
        return False
