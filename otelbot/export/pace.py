"""How long telemetry may wait before it is sent, where an endpoint asks for less than the defaults.

otelbot's dashboard shows what comes while its user looks on, and says so in its answers. What a variable sets stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Of an answer to telemetry: the seconds after which the endpoint would like the next.
HEADER = "otelbot-export-interval"
_LEAST = 1.0  # seconds, whatever an endpoint asks for


class Pace:
    """What was asked for; `ask` may be called from any thread."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._wake: list[Callable[[], object]] = []

    def ask(self, seconds: float) -> None:
        """Note what an endpoint asks for. The shortest time counts, and who waits by a longer one is woken."""
        seconds = max(seconds, _LEAST)
        if self._seconds is None or seconds < self._seconds:
            self._seconds = seconds
            for wake in self._wake:
                wake()

    def follow(self, default: float, wake: Callable[[], None]) -> Callable[[], float]:
        """Have `wake` called when less is asked for, and return what tells how many seconds to wait now."""
        self._wake.append(wake)
        return lambda: default if self._seconds is None else min(default, self._seconds)
