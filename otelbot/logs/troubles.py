"""Says once what is wrong with the folder of log files, not once for each line."""

from __future__ import annotations

import logging
import time

from otelbot.export.outages import say
from otelbot.privacy import scrub

#: Seconds until a folder that recovered and failed again is worth another word.
_QUIET = 600.0


class Troubles:
    """What is known of a folder's health. Only `lost` is called from the bot's threads, under the files' lock."""

    def __init__(self, path: str, max_bytes: int) -> None:
        self._path = scrub(path)
        self._kept = f"{max_bytes / 2**20:.3g} MiB"
        self._said_at = float("-inf")
        self._failing = False
        self._lost = 0
        self._lost_said = False

    def lost(self, lines: int) -> None:
        """Count lines that were dropped."""
        self._lost += lines

    def tell(self, failure: Exception | None) -> None:
        """Say how an attempt to write went, where that is news."""
        if failure is not None:
            self._failing = True
            self._warn(failure)
        elif self._failing:
            self._failing = False
            lost, self._lost = self._lost, 0
            say(logging.INFO, "otelbot: OTELBOT_LOG_DIR=%s is written again; %d lines were lost", self._path, lost)
        if self._lost and not self._lost_said:
            self._lost_said = True
            say(
                logging.WARNING,
                "otelbot: more lines wait for OTELBOT_LOG_DIR=%s than the %s that are kept: the oldest are dropped."
                " OTELBOT_EXPORT_QUEUE_BYTES keeps more.",
                self._path,
                self._kept,
            )

    def tell_of_housekeeping(self, failure: Exception) -> None:
        """Say why files can't be put aside, compressed or removed."""
        self._warn(failure)

    def _warn(self, failure: Exception) -> None:
        now = time.monotonic()
        if now - self._said_at < _QUIET:
            return
        self._said_at = now
        why = failure.strerror if isinstance(failure, OSError) and failure.strerror else type(failure).__name__
        say(
            logging.WARNING,
            "otelbot: OTELBOT_LOG_DIR=%s can't be used as it should (%s); the bot goes on, up to %s of lines are kept"
            " and written once they can be. Make it a folder that this user may write to, with room.",
            self._path,
            why,
            self._kept,
        )
