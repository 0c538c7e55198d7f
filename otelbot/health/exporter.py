"""Whether telemetry leaves: nothing says so more surely than that it has not for a minute."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otelbot.health.checks import Check, Degraded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otelbot.export.sender import Sender

PATIENCE = 60.0  # seconds


@dataclass
class _Seen:
    """What was seen of a sender: what it had sent and what was refused, and since when nothing went through."""

    sent: int = 0
    refused: int = 0
    since: float | None = None


class Exporter:
    """:param senders: may still grow."""

    def __init__(self, senders: Sequence[Sender], now: Callable[[], float] = time.monotonic) -> None:
        self._senders = senders
        self._now = now
        self._seen: dict[int, _Seen] = {}

    def checks(self) -> Iterable[Check]:
        return [Check("exporter", self.look, timeout=2.0, critical=False)] if self._senders else []

    def look(self) -> None:
        now = self._now()
        stuck: dict[str, list[str]] = {}
        for number, sender in enumerate(self._senders):
            since = self._stuck_since(self._seen.setdefault(number, _Seen()), sender, now)
            if since is not None and now - since >= PATIENCE:
                stuck.setdefault(sender.target.origin, []).append(sender.target.signal)
        if stuck:
            what = "; ".join(f"{', '.join(which)} to {origin}" for origin, which in stuck.items())
            raise Degraded(f"for {PATIENCE:g} s and more nothing could be sent: {what}")

    @staticmethod
    def _stuck_since(seen: _Seen, sender: Sender, now: float) -> float | None:
        """Return since when all attempts have failed. That nothing was to be sent is no failure."""
        sent, refused = sender.sent, sender.dropped["refused"]
        if sent != seen.sent:
            seen.since = None
        elif seen.since is None and (sender._failing or refused > seen.refused):  # noqa: SLF001 - only this asks
            seen.since = now
        seen.sent, seen.refused = sent, refused
        return seen.since
