"""What is wrong now: said in the log when it begins, and on the page for as long as it lasts."""

from __future__ import annotations

import logging
import threading
import time

from otelbot.dashboard.store.kinds import Trouble

_logger = logging.getLogger(__name__)


class Troubles:
    """For any thread. Each trouble has a key, under which it is settled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, Trouble] = {}

    def tell(self, key: str, what: str, mend: str) -> None:
        with self._lock:
            if key in self._now:
                return
            self._now[key] = Trouble(time.time(), what, mend)
        _logger.error("otelbot dashboard: %s: %s", what, mend)

    def settle(self, *keys: str) -> None:
        with self._lock:
            gone = [self._now.pop(key) for key in keys if key in self._now]
        for trouble in gone:
            _logger.warning("otelbot dashboard: no longer: %s", trouble.what)

    def all(self) -> list[Trouble]:
        with self._lock:
            return list(self._now.values())
