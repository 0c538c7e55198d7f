"""What Python itself does by default and need not in a bot: parts of `OTELBOT_TUNE`, see docs/tuning.md."""

from __future__ import annotations

import gc
import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds. Python's own, and for how long a thread may then keep the event loop waiting for the interpreter.
_DEFAULT_SWITCH_INTERVAL, _SWITCH_INTERVAL = 0.005, 0.001
#: Python's own until 3.12, and since: the first is of how many new objects a collection begins with.
_THRESHOLDS, _THRESHOLDS_OF_NEWER_PYTHONS = (700, 10, 10), (2000, 10, 10)
#: So many allocations that no collection begins by itself; odd, so that it is known again.
_NEVER = 2**30 + 1


class Heap:
    """What is imported lives as long as the process: the garbage collector need not walk it again and again.

    A bot that disables the collector or freezes by itself is left alone.
    """

    def __init__(self) -> None:
        self._frozen = 0  # objects, when it was last done here

    def _is_ours(self) -> bool:
        count = gc.get_freeze_count()
        untouched = 0 < count <= self._frozen if self._frozen else count == 0
        return gc.isenabled() and gc.get_threshold()[0] > 0 and untouched

    def freeze(self) -> bool:
        """Collect what is garbage, which would be frozen as well, and freeze the rest. Returns whether it did."""
        if not hasattr(gc, "freeze") or not self._is_ours():  # PyPy has another collector
            return False
        gc.collect()
        self._freeze()
        if gc.get_threshold() == _THRESHOLDS:
            gc.set_threshold(*_THRESHOLDS_OF_NEWER_PYTHONS)
        return True

    def _freeze(self) -> None:
        gc.freeze()
        self._frozen = gc.get_freeze_count()

    @contextmanager
    def quiet_import(self) -> Iterator[None]:
        """Import without collections, then freeze: an import makes hundreds of thousands of objects and no garbage."""
        if not hasattr(gc, "freeze") or not self._is_ours():
            yield
            return
        gc.collect()  # few objects yet, and none of them is frozen as garbage
        before = gc.get_threshold()
        gc.set_threshold(_NEVER, *before[1:])
        try:
            yield
        finally:
            ours = gc.get_threshold()[0] == _NEVER
            if ours:
                gc.set_threshold(*before)
            if ours and self._is_ours():
                self._freeze()


def shorten_switch_interval() -> bool:
    """Have busy threads let the event loop in after 1 ms instead of 5 ms. Returns whether it is Python's own no more.

    The loop asks for the interpreter each time that it wakes up, which is several times for an update.
    """
    if not math.isclose(sys.getswitchinterval(), _DEFAULT_SWITCH_INTERVAL):
        return False
    sys.setswitchinterval(_SWITCH_INTERVAL)
    return True
