"""One run of one check: in a thread or on a loop, given up when its time is over.

What hangs can't be ended from outside, so who waits goes on without it. A run says itself when it has ended, until
then its check is not started again: at most one thread hangs for each check.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from otelbot import lifecycle
from otelbot.health import loops
from otelbot.health.quiet import quiet_context

if TYPE_CHECKING:
    from otelbot.health.checks import Check


class Run:
    """Started by `begin`; `wait` may be called from any thread."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.at = time.time()
        self.started = time.monotonic()
        self.ended: float | None = None
        self.error: BaseException | None = None
        self.is_cut_off = False  # cancelled, as everything is when the bot's loop ends: that says nothing
        self._given_up = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._done = threading.Event()

    def begin(self) -> None:
        try:
            if self.check.is_async:
                self._begin_on_loop()
            else:
                self._begin_in_thread()
        except Exception as error:
            self._end(error)

    def wait(self) -> bool:
        """Wait until it has ended or its time is over, and say which of the two."""
        return self._done.wait(max(self.started + self.check.timeout - time.monotonic(), 0))

    def give_up(self) -> None:
        """Ask it to end, where that can be asked."""
        self._given_up = True
        if self._loop is not None:
            self._call(self._loop, self._cancel)

    @property
    def has_ended(self) -> bool:
        return self._done.is_set()

    @property
    def hangs(self) -> bool:
        """Whether it still holds a thread or a task."""
        if self._done.is_set():
            return False
        return self._loop is None or loops.runs(self._loop)

    def _end(self, error: BaseException | None) -> None:
        self.error, self.ended = error, time.monotonic()
        self._done.set()

    def _begin_in_thread(self) -> None:
        with lifecycle.signals_blocked():
            threading.Thread(
                target=quiet_context().run, args=(self._run_here,), name="otelbot-health-check", daemon=True
            ).start()

    def _run_here(self) -> None:
        try:
            self.check.run()
        except BaseException as error:
            self._end(error)
        else:
            self._end(None)

    def _begin_on_loop(self) -> None:
        self._loop = self.check.loop or next(iter(loops.running()), None)
        if self._loop is None or not loops.runs(self._loop):
            self.is_cut_off = True  # the bot has not begun, or has ended: nothing can be said
            self._end(None)
            return
        self._loop.call_soon_threadsafe(self._begin_here, context=quiet_context())

    def _begin_here(self) -> None:
        if self._given_up:
            self._end(None)
            return
        self._task = asyncio.ensure_future(self.check.run())
        self._task.add_done_callback(self._ended_here)

    def _ended_here(self, task: asyncio.Task[Any]) -> None:
        self._task = None
        self.is_cut_off = task.cancelled()
        self._end(None if task.cancelled() else task.exception())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    @staticmethod
    def _call(loop: asyncio.AbstractEventLoop, function: Any) -> None:
        try:
            loop.call_soon_threadsafe(function, context=quiet_context())
        except RuntimeError:
            return  # closed meanwhile
