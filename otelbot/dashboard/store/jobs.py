"""What waits for the writer: requests and changes, bounded in bytes, each with the future of who waits for it."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.store.kinds import BusyError

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Callable

QUEUE_BYTES = 32 * 2**20
_GROUP_BYTES = 4 * 2**20  # that go into one transaction
_GROUP = 64
_OVERHEAD = 1024  # bytes that a request takes besides its body


@dataclass
class Request:
    signal: str
    body: bytes
    encoding: str
    in_json: bool
    future: asyncio.Future[Any] = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.body) + _OVERHEAD


@dataclass
class Change:
    change: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any] = field(repr=False)
    size: int = 0


class Jobs:
    """First in, first out."""

    def __init__(self, most_bytes: int = QUEUE_BYTES) -> None:
        self.bytes = 0  # of what waits or is being written
        self._most = most_bytes
        self._waiting: deque[Request | Change] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, job: Request | Change) -> None:
        """:raises BusyError: when too much waits already."""
        with self._changed:
            if self._closed or (job.size and self.bytes and self.bytes + job.size > self._most):
                raise BusyError(1)
            self.bytes += job.size
            self._waiting.append(job)
            self._changed.notify()

    def take(self, timeout: float) -> list[Request | Change] | None:
        """Return what goes into the next transaction; nothing after `timeout` seconds, None when closed and empty."""
        with self._changed:
            if not self._waiting and not self._closed and timeout:
                self._changed.wait(timeout)
            if not self._waiting:
                return None if self._closed else []
            group = [self._waiting.popleft()]
            size = group[0].size
            while isinstance(group[0], Request) and self._waiting and len(group) < _GROUP and size < _GROUP_BYTES:
                if not isinstance(self._waiting[0], Request):
                    break
                group.append(self._waiting.popleft())
                size += group[-1].size
            return group

    def done(self, group: list[Request | Change]) -> None:
        """Make room for others."""
        with self._changed:
            self.bytes -= sum(job.size for job in group)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


def resolve(
    loop: asyncio.AbstractEventLoop, outcomes: list[tuple[Request | Change, Any]], then: Callable[[], None]
) -> None:
    """Give each future its result or exception, in the loop, after `then`."""

    def act() -> None:
        then()
        for job, outcome in outcomes:
            if job.future.done():  # whoever waited has gone
                continue
            if isinstance(outcome, BaseException):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(act)
