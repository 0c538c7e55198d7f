"""Connection pools: how many connections are used and idle, how long one waits for one, and whether they can be made.

https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools
"""

from __future__ import annotations

from collections import Counter
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import Observation

from otelbot import __version__, settings, signals
from otelbot.health.quiet import checking
from otelbot.instrumentation.meters import create
from otelbot.instrumentation.patching import never_raises
from otelbot.signals import Cap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions


class State(NamedTuple):
    """A pool at one moment. `limit` is None where there is none."""

    system: str
    name: str
    used: int
    idle: int
    limit: int | None


def pool_name(host: object, port: object, namespace: object) -> str:
    """Return `db.client.connection.pool.name`, as the conventions make it where the client has no name for a pool.

    >>> pool_name("localhost", 5432, "shop")
    'localhost:5432/shop'
    """
    where = f"{host}:{port}" if port else str(host or "unknown")
    return where if namespace is None else f"{where}/{namespace}"


class Pools:
    """Every pool of the process, for as long as the program holds it."""

    def __init__(self) -> None:
        self._read: WeakKeyDictionary[Any, Callable[[Any], State | None]] = WeakKeyDictionary()
        meter = metrics.get_meter(signals.SCOPE, __version__)
        create(meter, signals.DB_CONNECTIONS, self._observe_connections)
        create(meter, signals.DB_CONNECTIONS_MAX, self._observe_limits)
        self._wait_time = create(meter, signals.DB_WAIT_TIME)
        self._timeouts = create(meter, signals.DB_TIMEOUTS)
        self._failures = create(meter, signals.DB_CONNECTION_FAILURES)
        self._cap = Cap(signals.DB_POOL, settings.current().cardinality_limit)
        self._names: WeakKeyDictionary[Any, tuple[str, str]] = WeakKeyDictionary()  # system and name, for metrics

    @never_raises
    def watch(self, pool: Any, read: Callable[[Any], State | None]) -> None:
        """Have `read(pool)` asked at each collection."""
        self._read[pool] = read

    @never_raises
    def forget(self, pool: Any) -> None:
        """Leave out a pool that is none of the bot's."""
        self._read.pop(pool, None)

    @never_raises
    def waited(self, pool: Any, seconds: float, *, in_vain: bool) -> None:
        """Note that a connection was asked for, and how long that took."""
        if checking.get():
            return
        names = self._names.get(pool)
        if names is None:
            read = self._read.get(pool)
            state = read(pool) if read is not None else None
            if state is None:
                return
            names = (state.system, self._cap(state.name))
            self._timeouts.add(0, names)  # so that the first one is seen
            if not in_vain:  # it is connected, so the name is the one that stays
                self._names[pool] = names
        if in_vain:
            self._timeouts.add(1, names)
        else:
            self._wait_time.record(seconds, names)

    @never_raises
    def expect(self, system: str) -> None:
        """Begin to count from zero: a counter that appears with its first failure hides that one from `rate`."""
        self._failures.add(0, (system,))

    @never_raises
    def failed(self, system: str) -> None:
        """Note that a connection could not be made."""
        if not checking.get():
            self._failures.add(1, (system,))

    def found(self) -> list[tuple[Any, Callable[[], State | None]]]:
        """Return every pool, with what tells its state: None where it is closed or keeps no connections."""
        found: list[tuple[Any, Callable[[], State | None]]] = []
        for reference in self._read.keyrefs():
            pool = reference()
            read = self._read.get(pool) if pool is not None else None
            if read is not None:
                found.append((pool, partial(read, pool)))
        return found

    def _states(self) -> Iterable[State]:
        for pool, read in list(self._read.items()):
            try:
                state = read(pool)
            except Exception:  # noqa: S112 - a pool that is being made or closed
                continue
            if state is not None:
                yield state._replace(name=self._cap(state.name))

    def _observe_connections(self, _options: CallbackOptions) -> Iterable[Observation]:
        counts: Counter[tuple[str, str, str]] = Counter()  # several pools may go to one database
        for state in self._states():
            counts[state.system, state.name, "used"] += state.used
            counts[state.system, state.name, "idle"] += state.idle
        return [
            Observation(count, {signals.DB_SYSTEM: system, signals.DB_POOL: name, signals.DB_CONNECTION_STATE: state})
            for (system, name, state), count in counts.items()
        ]

    def _observe_limits(self, _options: CallbackOptions) -> Iterable[Observation]:
        limits: Counter[tuple[str, str]] = Counter()
        for state in self._states():
            if state.limit is not None:
                limits[state.system, state.name] += state.limit
        return [
            Observation(limit, {signals.DB_SYSTEM: system, signals.DB_POOL: name})
            for (system, name), limit in limits.items()
        ]


@cache
def pools() -> Pools:
    """Return the pools of this process."""
    return Pools()
