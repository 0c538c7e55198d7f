"""bot.log and errors.log in one folder, written by a thread, safe with several processes on the same folder.

Lines wait in memory, bounded by bytes, so that the bot never waits for the disk. Every batch is written under an
advisory lock of the folder: whoever holds it sees whether the file is due to be put aside, or has been by another.
`logging.handlers` and its kin are not used: they lock and write each record on the bot's thread.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from otelbot import lifecycle, privacy
from otelbot.logs.folder import BOT, ERRORS, Folder, LogFile
from otelbot.logs.troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otelbot.logs.folder import Rotation

#: Seconds that lines may wait for others to be written with them.
_GATHERING = 0.2
#: Bytes at which they wait no longer.
_PLENTY = 256 * 1024
#: Seconds until a folder that failed is tried again, and between two rounds of housekeeping.
_PAUSE, _ROUND = 1.0, 3600.0


class _Line(NamedTuple):
    encoded: bytes
    generation: int  # of the secrets that were known when it was scrubbed


class _Queue:
    """The lines that wait for one file, and those that are being written."""

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self.lines: deque[_Line] = deque()
        self.taken: list[_Line] = []
        self.bytes = 0  # of the lines that wait

    def add(self, line: _Line) -> None:
        self.lines.append(line)
        self.bytes += len(line.encoded)

    def drop_oldest(self, most: int) -> int:
        dropped = 0
        while self.bytes > most and len(self.lines) > 1:
            self.bytes -= len(self.lines.popleft().encoded)
            dropped += 1
        return dropped

    def take(self) -> None:
        self.taken, self.lines, self.bytes = list(self.lines), deque(), 0

    def written(self, count: int) -> None:
        """Note that the first `count` of what was taken are in the file; the others wait again."""
        for line in reversed(self.taken[count:]):
            self.lines.appendleft(line)
            self.bytes += len(line.encoded)
        self.taken = []


class LogFiles:
    """Writes lines to the files of one folder. All methods may be called from any thread; none raises.

    :param max_bytes: of lines that wait for each file.
    """

    def __init__(self, path: str, rotation: Rotation, max_bytes: int) -> None:
        self._folder = Folder(path, rotation)
        self._max_bytes = max_bytes
        self._troubles = Troubles(path, max_bytes)
        self._closed = False
        self._reset()
        if hasattr(os, "register_at_fork"):
            # Weakly: a hook can't be taken back.
            os.register_at_fork(after_in_child=_after_fork(weakref.ref(self)))

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._all = _Queue(LogFile(self._folder, BOT))
        self._errors = _Queue(LogFile(self._folder, ERRORS))
        self._queues = (self._all, self._errors)
        self._urgent = False
        self._failing = False
        self._gave_up = False
        self._chores: Iterator[None] | None = None
        self._chores_begun = float("-inf")
        # Started now: no thread can be started once the interpreter shuts down.
        with lifecycle.signals_blocked():
            threading.Thread(target=self._run, name="otelbot-logs", daemon=True).start()

    def after_fork_in_child(self) -> None:
        """Start anew: the thread stayed with the parent, which writes what was queued."""
        if self._closed:
            return
        self._chores = None  # closes what it holds open, before the folder does
        self._folder.after_fork_in_child()
        for queue in self._queues:
            queue.file.close()
        self._reset()

    def write(self, line: bytes, *, error: bool) -> None:
        """Queue a line, which ends with its line's end, for bot.log, and for errors.log where it is an error's."""
        entry = _Line(line, privacy.generation)
        with self._changed:
            if self._closed:
                return
            first = not self._all.lines
            dropped = 0
            for queue in self._queues if error else (self._all,):
                queue.add(entry)
                dropped += queue.drop_oldest(self._max_bytes)
            self._troubles.lost(dropped)
            # A folder that fails is not tried for each error.
            urgent = not self._urgent and not self._failing and (error or self._all.bytes >= _PLENTY)
            if urgent:
                self._urgent = True
            if first or urgent:
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued is written, the folder fails once more, or `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._gave_up = False
            while self._waiting() and not self._gave_up:
                self._urgent = True
                self._changed.notify_all()
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    break
            return not self._waiting()

    def close(self, timeout: float) -> None:
        """Flush, then stop for good."""
        self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _waiting(self) -> bool:
        return any(queue.lines or queue.taken for queue in self._queues)

    def _run(self) -> None:
        while self._gather():
            if self._waiting():
                self._write()
            self._keep_house()
        for queue in self._queues:
            queue.file.close()

    def _gather(self) -> bool:
        """Wait for something to do; returns whether there is, and not the end."""
        with self._changed:
            while not self._closed and not self._waiting():
                due = self._chores_due_in()
                if due <= 0:
                    return True
                self._changed.wait(due)
            until = time.monotonic() + (_PAUSE if self._failing else _GATHERING)
            while not self._closed and not self._urgent and (remaining := until - time.monotonic()) > 0:
                self._changed.wait(remaining)
            self._urgent = False
            return not self._closed

    def _chores_due_in(self) -> float:
        return 0.0 if self._chores is not None else min(self._chores_begun + _ROUND - time.time(), _ROUND)

    def _write(self) -> None:
        with self._changed:
            for queue in self._queues:
                queue.take()
        failure: Exception | None = None
        rotated = False
        for queue in self._queues:
            written = 0
            lines = [_up_to_date(line) for line in queue.taken]
            try:
                if lines:
                    for count, aside in queue.file.write(lines):
                        written += count
                        rotated |= aside
            except Exception as error:
                failure = error
            with self._changed:
                queue.written(written)
                self._troubles.lost(queue.drop_oldest(self._max_bytes))
            if queue.file.rotation_failure is not None:
                self._troubles.tell_of_housekeeping(queue.file.rotation_failure)
        with self._changed:
            self._failing = failure is not None
            self._gave_up |= self._failing
            if rotated:
                self._chores_begun = float("-inf")
            self._changed.notify_all()
        self._troubles.tell(failure)  # with no lock held: it logs, and so comes back here

    def _keep_house(self) -> None:
        """Do a small piece of what there is to do, so that lines never wait long for it."""
        if self._chores_due_in() > 0:
            return
        try:
            if self._chores is None:
                self._chores_begun = time.time()
                self._chores = self._folder.housekeeping()
            next(self._chores)
        except StopIteration:
            self._chores = None
        except Exception as error:
            self._chores = None
            self._troubles.tell_of_housekeeping(error)


def _up_to_date(line: _Line) -> bytes:
    """Return a line without the secrets that became known since it was scrubbed."""
    return line.encoded if line.generation == privacy.generation else privacy.overwrite(line.encoded)


def _after_fork(known: weakref.ref[LogFiles]) -> Callable[[], None]:
    def start_anew() -> None:
        if (files := known()) is not None:
            files.after_fork_in_child()

    return start_anew
