"""Says once what is wrong with an endpoint, not once for each batch and signal."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otelbot.export.target import Target

_log = logging.getLogger("otelbot")

#: Seconds until an endpoint that came back and went again is worth another word.
_QUIET = 600.0


def say(level: int, message: str, *args: object) -> None:
    """Log, whatever the bot's own handlers do in a thread that is not the bot's."""
    with suppress(Exception):
        _log.log(level, message, *args)


class Outages:
    """What is known of the endpoints' health, shared by the senders of all signals."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._away: dict[str, set[str]] = {}  # the signals that an origin does not take
        self._said_at: dict[str, float] = {}  # when that was last said of an origin
        self._said: set[tuple[str, str]] = set()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    def _first(self, url: str, what: str) -> bool:
        with self._lock:
            new = (url, what) not in self._said
            self._said.add((url, what))
            return new

    def failed(self, target: Target, why: str, max_bytes: int) -> None:
        """The endpoint can't be reached, or asks to come again."""
        now = time.monotonic()
        with self._lock:
            away = self._away.setdefault(target.origin, set())
            new = not away and now - self._said_at.get(target.origin, -_QUIET) >= _QUIET
            away.add(target.signal)
            if new:
                self._said_at[target.origin] = now
        if new:
            say(
                logging.WARNING,
                "otelbot: %s does not take telemetry (%s); the bot goes on, up to %d MiB of each signal are kept and"
                " sent when it does. Is it running? OTEL_EXPORTER_OTLP_ENDPOINT says where, `otelbot doctor` tries it.",
                target.origin,
                why,
                max_bytes // 2**20,
            )

    def accepted(self, target: Target, rejected: int) -> None:
        with self._lock:
            away = self._away.get(target.origin, set())
            back = away == {target.signal}
            away.discard(target.signal)
        if back:
            say(logging.INFO, "otelbot: %s takes telemetry again", target.origin)
        if rejected and self._first(target.url, "partial"):
            say(
                logging.WARNING,
                "otelbot: %s refused %d items of an accepted batch of %s",
                target.origin,
                rejected,
                target.signal,
            )

    def refused(self, target: Target, why: str) -> None:
        """The endpoint won't ever take this batch."""
        if self._first(target.url, why):
            say(
                logging.WARNING,
                "otelbot: %s refuses %s (%s): dropped, and counted in otelbot.export.dropped. `otelbot doctor` tries"
                " it.",
                target.origin,
                target.signal,
                why,
            )

    def undelivered(self, target: Target, items: int) -> None:
        """The program ends with `items` unsent. Said only where nothing was said of the endpoint before."""
        with self._lock:
            known = bool(self._away.get(target.origin))
            self._away.setdefault(target.origin, set()).add(target.signal)
        level = logging.DEBUG if known else logging.WARNING
        say(
            level,
            "otelbot: %d items of %s were not delivered to %s before the end",
            items,
            target.signal,
            target.origin,
        )
