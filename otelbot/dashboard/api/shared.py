"""One answer for all who ask for the same at the same time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

_MOST = 200


@dataclass
class _Made:
    task: asyncio.Task[Any]
    until: float


class Shared:
    """Keeps answers for some seconds, and makes each once however many ask meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: dict[Hashable, _Made] = {}

    def forget(self) -> None:
        self._made.clear()

    async def get(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `make` returned at most `seconds` ago, or returns now; what it raises is kept for nobody else."""
        now = self._clock()
        made = self._made.get(key)
        if made is None or (now >= made.until and made.task.done()):
            self._made = {known: one for known, one in self._made.items() if one.until > now or not one.task.done()}
            while len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            task = asyncio.ensure_future(_run(make))
            task.add_done_callback(lambda done: self._ended(key, done))
            made = self._made[key] = _Made(task, now + seconds)
        # Who goes away while it is made does not take it from the others.
        return await asyncio.shield(made.task)

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if failed and (made := self._made.get(key)) is not None and made.task is task:
            del self._made[key]


async def _run(make: Callable[[], Awaitable[Any]]) -> Any:
    return await make()
