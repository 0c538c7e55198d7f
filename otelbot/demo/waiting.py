"""Waiting for something to become true, woken by changes instead of by a clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Seconds before something that does not come is given up. Long, because only a fault needs it, and a busy machine
#: takes ten seconds to start a bot.
PATIENCE = 60.0


class Changes:
    """Tells everybody who waits that something has changed."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def tell(self) -> None:
        if self._next is not None:
            self._next.set_result(None)
            self._next = None

    async def until(self, look: Callable[[], T | None], timeout: float, what: str) -> T:
        """Return the first true value that `look` gives.

        :param timeout: seconds.
        :raises TimeoutError: with `what` in its text.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not (found := look()):
            if self._next is None:
                self._next = loop.create_future()
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes together with the change,
            # https://github.com/python/cpython/issues/86296
            done, _ = await asyncio.wait({self._next}, timeout=max(deadline - loop.time(), 0))
            if not done and loop.time() >= deadline:
                raise TimeoutError(f"waited {timeout:g} s in vain for {what}")
        return found
