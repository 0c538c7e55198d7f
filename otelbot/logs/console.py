"""stdout where otelbot shapes it, and the bot's own console handlers, which then stay silent.

Silent only for what was written here: a record that does not come by (a level that is not captured, the time after the
last flush) is printed as without otelbot. What the bot prints by `print` goes its own way.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from functools import wraps
from typing import Any, TextIO

from otelbot.logs.formats import ascii_only

#: Records that are remembered, at least; a QueueListener prints them later, in a thread of its own.
_REMEMBERED = 4096
#: Seconds that a pipe which the program has made non-blocking may take to have room.
_PATIENCE = 0.1


class Stdout:
    """Writes whole lines to the process's stdout, at once. Never raises."""

    def __init__(self) -> None:
        self._cut = False  # whether the last line did not go out in full
        self._start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start)  # another thread may have held the lock

    def _start(self) -> None:
        self._lock = threading.RLock()

    def write(self, line: str) -> None:
        """Write `line` and a line's end, after what the bot has printed so far.

        Past the stream's buffer: what a closed pipe did not take would stay there and fail once more at the end.
        """
        stream = sys.__stdout__
        try:
            if stream is None:
                return
            with self._lock:
                stream.flush()
                self._write(stream.fileno(), _encoded(f"{line}\n", stream))
        except (OSError, ValueError, RuntimeError):  # closed, detached, or in the middle of a write of its own
            pass

    def _write(self, fd: int, encoded: bytes) -> None:
        if self._cut:
            encoded = b"\n" + encoded
        left = memoryview(encoded)
        try:
            while left:
                try:
                    left = left[os.write(fd, left) :]
                except BlockingIOError:
                    if not select.select([], [fd], [], _PATIENCE)[1]:
                        break
        finally:
            if len(left) != len(encoded):
                self._cut = bool(left)

    def coloured(self) -> bool:
        """Whether people look at it in a terminal and have not refused colours (https://no-color.org)."""
        try:
            return not os.environ.get("NO_COLOR") and sys.__stdout__ is not None and sys.__stdout__.isatty()
        except (OSError, ValueError):
            return False


def _encoded(text: str, stream: TextIO) -> bytes:
    try:
        return text.encode(stream.encoding or "utf-8")
    except UnicodeError:
        return ascii_only(text).encode("ascii")


class Silence:
    """Keeps the bot's console handlers from printing what `note` was told of."""

    def __init__(self) -> None:
        self._newest: set[tuple[str, int]] = set()
        self._older: set[tuple[str, int]] = set()

    def note(self, logger: str, created: int) -> None:
        """Remember a record by its logger and by its time in nanoseconds, as the capture of `logging` gives it."""
        if len(self._newest) >= _REMEMBERED:
            self._newest, self._older = set(), self._newest
        self._newest.add((logger, created))

    def covers(self, record: logging.LogRecord) -> bool:
        key = (record.name, int(record.created * 1e9))
        return key in self._newest or key in self._older

    def install(self) -> None:
        """Have it asked by every handler. Filters still run: they may add to the record what the next handlers show."""
        from otelbot.instrumentation.logging import part_of

        original = logging.Handler.handle
        covers, prints = self.covers, _prints  # what is a part of `logging` knows nothing of this module

        def handle(handler: logging.Handler, record: logging.LogRecord) -> Any:
            if covers(record) and prints(handler):
                return handler.filter(record)
            return original(handler, record)

        logging.Handler.handle = wraps(original)(part_of(logging, handle))  # type: ignore[assignment, method-assign]


def _prints(handler: logging.Handler) -> bool:
    """Whether a handler writes to the process's stdout or stderr: logging's, those made from it, and rich's."""
    try:
        if isinstance(handler, logging.FileHandler):
            return False
        if isinstance(handler, logging.StreamHandler):
            if type(handler).emit is not logging.StreamHandler.emit:
                return False  # one of the bot's own, which may send the record anywhere
            stream = handler.stream
        else:
            stream = getattr(getattr(handler, "console", None), "file", None)
        if stream is None:
            return False
        if any(stream is each for each in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
            return True
        return stream.fileno() in {1, 2}
    except Exception:  # a stream in memory, or one that is closed
        return False
