"""Which event loops the bot works on, for the checks that have to run there."""

from __future__ import annotations

import asyncio
import os
from weakref import WeakSet, ref

_known: list[ref[asyncio.AbstractEventLoop]] = []
#: Loops that ran when this process was forked: they say that they run, but their threads stayed behind.
_left_behind: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def note(loop: asyncio.AbstractEventLoop) -> None:
    """Note a loop that the bot works on; the one that is noted last is tried first."""
    _known[:] = [each for each in _known if each() not in {None, loop}] + [ref(loop)]


def note_running() -> None:
    """Note the loop that runs in this thread, where one does."""
    try:
        note(asyncio.get_running_loop())
    except RuntimeError:
        return


def runs(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether something that is given to `loop` will be done."""
    return loop.is_running() and not loop.is_closed() and loop not in _left_behind


def running() -> list[asyncio.AbstractEventLoop]:
    """Return the loops that the bot works on now, the newest first."""
    found = [each() for each in reversed(list(_known))]
    return [loop for loop in found if loop is not None and runs(loop)]


def leave_behind(loop: asyncio.AbstractEventLoop) -> None:
    """Note a loop of the process that this one was forked from."""
    if loop.is_running():
        _left_behind.add(loop)


def _after_fork_in_child() -> None:
    for each in _known:
        if (loop := each()) is not None:
            leave_behind(loop)
    _known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
