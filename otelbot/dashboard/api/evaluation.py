"""PromQL over the store, with what has been evaluated kept: a page that refreshes costs what is new."""

from __future__ import annotations

import json
import math
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from otelbot.alerts.promql import select
from otelbot.dashboard import promql
from otelbot.dashboard.promql import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otelbot.dashboard.promql import Matcher, Sample, Source

K = TypeVar("K")
V = TypeVar("V")
Key = tuple[tuple[str, str], ...]


class Resolution(NamedTuple):
    """How a range is shown: about 150 points, and rates over no less than a step, so that nothing falls between two,
    and over no fewer than four exports of a bot, which come every 15 s. Of bars there are fewer, side by side.
    """

    range: str
    seconds: int  # of the whole range
    step: int  # s between two points
    window: str  # of rates
    window_seconds: int
    bar: str  # what one bar stands for
    bar_seconds: int
    coarse: int  # s, of which one sample is enough; a step, a window and a bar are multiples of it


RESOLUTIONS = {
    resolution.range: resolution
    for resolution in (
        Resolution("15m", 900, 5, "1m", 60, "1m", 60, 0),
        Resolution("1h", 3600, 20, "1m", 60, "2m", 120, 0),
        Resolution("6h", 21_600, 120, "2m", 120, "10m", 600, 60),
        Resolution("24h", 86_400, 600, "10m", 600, "30m", 1800, 300),
    )
}
#: Seconds within which points may still change: an exporter repeats what was refused.
_UNSETTLED = 60
#: Seconds after which all is evaluated anew, for what came later than that.
_KEPT_FOR = 300
_MOST_KEPT = 400  # queries
_MOST_LINES = 200  # of a query that is kept


@dataclass(slots=True)
class Line:
    """The points of one series: seconds since the epoch with a value, ascending; there is none where it has none."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


def filled(expr: str, service: str | None) -> str:
    """Return a query with its `$select` filled in: one service, or all."""
    # A Go string, as PromQL has them, takes what JSON escapes.
    return select(expr, f"service_name={json.dumps(service, ensure_ascii=False)}" if service else "")


class Reading:
    """A source that reads what several queries of a page ask for once.

    :param until: no query looks beyond it (s since the epoch).
    """

    def __init__(self, source: Source, until: float) -> None:
        self._source = source
        self._until = until
        self._read: dict[tuple[Matcher, ...], tuple[float, list[Series]]] = {}

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> list[Series]:
        key = tuple(matchers)
        begin, series = self._read.get(key, (math.inf, []))
        if start < begin:
            begin, series = start, self._source.select(matchers, start, max(end, self._until))
            self._read[key] = begin, series
        if start == begin and end >= self._until:
            return series
        return [part for one in series if (part := _between(one, start, end)).times]


def _between(series: Series, start: float, end: float) -> Series:
    first, last = bisect_right(series.times, start), bisect_right(series.times, end)
    return Series(series.labels, series.times[first:last], series.values[first:last])


@dataclass(slots=True)
class _Kept:
    made: float
    first: float  # s, of the first point
    settled: float  # s, of the last point that does not change any more
    lines: dict[Key, dict[float, float]]


class Evaluation:
    """Evaluates queries, and keeps the points of range queries that cannot change any more.

    Points are at multiples of the step, so that a later request finds the same ones, with one more at its very end.
    It is used by several threads: what it keeps is replaced as a whole.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._samples: OrderedDict[str, tuple[float, list[Sample]]] = OrderedDict()

    def forget(self) -> None:
        """Evaluate all anew: the store was cleared."""
        self._kept = OrderedDict()
        self._samples = OrderedDict()

    def instant(self, query: str, source: Source, at: float, kept_for: float) -> list[Sample]:
        """Return the values of a query at a time (s since the epoch), or at most `kept_for` seconds before.

        :raises promql.QueryError: for a query that is none.
        """
        every = self._samples
        evaluated, samples = every.get(query, (-math.inf, []))
        if not at - kept_for < evaluated <= at:
            samples = promql.instant(query, source, at)
            self._keep(every, query, (at, samples))
        return samples

    def range(self, query: str, source: Source, start: float, end: float, step: int) -> list[Line]:
        """Return the points of a query from `start` to `end`, seconds since the epoch: every `step`, and at the end.

        :raises promql.QueryError: for a query that is none.
        """
        lines = self._aligned(query, source, (start, end, step), math.floor(end / step))
        if end % step:
            for sample in promql.instant(query, source, end):
                lines.setdefault(_key(sample.labels), []).append((end, sample.value))
        return _sorted(lines)

    def bars(self, query: str, source: Source, start: float, end: float, step: int) -> list[Line]:
        """Return the points of a query that looks `step` back from each, so that each event is in one of them.

        The last of them ends after `end`, and grows until then.
        """
        return _sorted(self._aligned(query, source, (start + step, end, step), math.ceil(end / step)))

    def _aligned(
        self, query: str, source: Source, span: tuple[float, float, int], last_step: int
    ) -> dict[Key, list[tuple[float, float]]]:
        start, end, step = span
        every = self._kept  # what `forget` leaves behind takes nothing that was read before it
        first, last = float(math.ceil(start / step) * step), float(last_step * step)
        kept = every.get((query, step))
        if kept is None or first < kept.first or kept.settled > last or self._clock() - kept.made > _KEPT_FOR:
            kept = _Kept(self._clock(), first, first - step, {})
        lines = {
            key: {at: value for at, value in points.items() if first <= at <= kept.settled}
            for key, points in kept.lines.items()
        }
        begin = max(first, kept.settled + step)
        if begin <= last:
            for series in promql.range_query(query, source, begin, last, float(step)):
                lines.setdefault(_key(series.labels), {}).update(zip(series.times, series.values, strict=True))
        settled = max(first - step, float(math.floor((end - _UNSETTLED) / step) * step))
        if len(lines) <= _MOST_LINES:
            self._keep(every, (query, step), _Kept(kept.made, first, settled, lines))
        return {key: sorted(points.items()) for key, points in lines.items() if points}

    def _keep(self, every: OrderedDict[K, V], key: K, kept: V) -> None:
        with self._lock:
            every[key] = kept
            every.move_to_end(key)
            while len(every) > _MOST_KEPT:
                every.popitem(last=False)


def _sorted(lines: dict[Key, list[tuple[float, float]]]) -> list[Line]:
    return [Line(dict(key), points) for key, points in sorted(lines.items())]


def _key(labels: dict[str, str]) -> Key:
    return tuple(sorted(labels.items()))
