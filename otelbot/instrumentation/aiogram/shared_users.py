"""Active users over all replicas of a bot: a HyperLogLog of Redis' for each part of a window, which they share.

Only hashes go there, and Redis keeps but the sketch. Everything happens in the thread that collects metrics.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context

from otelbot.instrumentation.aiogram.users import WINDOWS, digest
from otelbot.privacy import exception_message

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("otelbot")
_TIMEOUT = 1.0  # seconds for each answer
_MOST_PENDING = 100_000  # users between two collections; more are not told apart


class SharedUsers:
    """:param url: of a Redis server, `redis://…`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._pending: dict[str, set[bytes]] = {}  # by bot
        self._bots: set[str] = set()
        self._said = False
        # Now, not at the first collection: what redis' instrumentation sets up, the SDK can't while it collects.
        self._client = self._connect()

    def _connect(self) -> Any:
        try:
            import redis

            from otelbot.instrumentation.pools import pools

            client = redis.Redis.from_url(self._url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
            pools().forget(client.connection_pool)  # it is none of the bot's
        except Exception as error:
            self._say(error)
            return None
        return client

    def _say(self, error: Exception) -> None:
        if not self._said:
            self._said = True
            _log.warning(
                "otelbot: OTELBOT_ACTIVE_USERS_REDIS_URL can't be used (%s: %s); active users are counted for this"
                " process alone",
                type(error).__name__,
                exception_message(error),
            )

    def after_fork_in_child(self) -> None:
        """Count anew; redis' client knows of forks."""
        self._lock = threading.Lock()
        self._pending, self._bots = {}, set()

    def add(self, bot_id: str, user_id: int) -> None:
        """Note that a user did something now. Returns at once."""
        with self._lock:
            pending = self._pending.setdefault(bot_id, set())
            if len(pending) < _MOST_PENDING:
                pending.add(digest(user_id))

    def count(self) -> dict[str, int] | None:
        """Return the number of users of this process's bots by window, over all replicas; None without Redis."""
        with self._lock:
            pending, self._pending = self._pending, {}
        self._bots.update(pending)
        if self._client is None:
            return None
        try:
            with _untraced():
                counted = self._exchange(pending, time.time())
        except Exception as error:
            self._say(error)
            return None
        return counted

    def _exchange(self, pending: dict[str, set[bytes]], now: float) -> dict[str, int]:
        pipeline = self._client.pipeline(transaction=False)
        for bot, users in pending.items():
            for window, (seconds, parts) in WINDOWS.items():
                key = _key(bot, window, int(now / (seconds / parts)))
                pipeline.pfadd(key, *users)
                pipeline.expire(key, int(seconds + seconds / parts))
        pipeline.execute()
        for bot in self._bots:
            for window, (seconds, parts) in WINDOWS.items():
                current = int(now / (seconds / parts))
                pipeline.pfcount(*(_key(bot, window, part) for part in range(current - parts + 1, current + 1)))
        counts = iter(pipeline.execute())
        totals = dict.fromkeys(WINDOWS, 0)
        for _ in self._bots:
            for window in WINDOWS:
                totals[window] += next(counts)
        return totals


def _key(bot: str, window: str, part: int) -> str:
    # The braces keep the keys of one bot on one node of a cluster, as PFCOUNT over several asks.
    return f"otelbot:users:{{{bot}}}:{window}:{part}"


@contextmanager
def _untraced() -> Iterator[None]:
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: SLF001
    try:
        yield
    finally:
        context.detach(token)
