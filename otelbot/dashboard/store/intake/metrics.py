"""Data points: which series they are of, and their rows. What is stored is cumulative, with explicit buckets.

- Delta temporality is added up; what was added up so far is the newest row.
- Exponential histograms become explicit ones with fixed bounds (`exponential.py`).
- A summary becomes a histogram without buckets: its count and sum; quantiles can't be added up.
- Points with the flag that there is no value, and NaN, which SQLite does not have, are left out.
"""

from __future__ import annotations

import math
import operator
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from otelbot.dashboard.otlp.values import text
from otelbot.dashboard.store.intake.exponential import explicit
from otelbot.dashboard.store.intake.times import sane

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from otelbot.dashboard.store.intake.ids import Ids
    from otelbot.dashboard.store.intake.series import SeriesIds

_NO_VALUE = 1  # flag NO_RECORDED_VALUE
_DELTA = 1
_INSERT = "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)"
_SEEN = "UPDATE series SET last = max(last, ?) WHERE id = ?"


class Stream(NamedTuple):
    """What the points of a metric have in common; with resource, attributes and bounds it makes a series."""

    name: str
    kind: str  # gauge, sum or histogram
    monotonic: bool
    unit: str
    description: str
    delta: bool


class _Value(NamedTuple):
    value: float
    sum: float | None = None
    bounds: tuple[float, ...] | None = None
    buckets: Sequence[int] = ()


@dataclass
class Points:
    """The rows of one request."""

    rows: list[tuple[int, int, float, float | None, bytes | None]] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    skipped: int = 0  # accepted, and nothing to keep
    rejected: int = 0
    reason: str = ""

    @property
    def count(self) -> int:
        return len(self.rows) + self.skipped

    def insert(self, db: sqlite3.Connection) -> None:
        db.executemany(_INSERT, self.rows)
        db.executemany(_SEEN, [(time, series) for series, time in self.last.items()])

    def reject(self, reason: str) -> None:
        self.rejected += 1
        self.reason = self.reason or reason


def read_points(request: Any, ids: Ids, series: SeriesIds, now: int) -> Points:
    """Return the rows of an ExportMetricsServiceRequest that came at `now` (ns)."""
    read = Points()
    for of_resource in request.resource_metrics:
        resource = ids.resource(of_resource.resource, now)
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                _read(metric, read, resource, series, now)
    return read


def _read(metric: Any, read: Points, resource: int, series: SeriesIds, now: int) -> None:
    field_name = metric.WhichOneof("data")
    if field_name is None:
        return
    data = getattr(metric, field_name)
    points: Iterable[Any] = data.data_points
    temporality = getattr(data, "aggregation_temporality", 0)
    stream = Stream(
        text(metric.name),
        field_name if field_name in {"gauge", "sum"} else "histogram",
        bool(getattr(data, "is_monotonic", field_name != "gauge")),
        text(metric.unit),
        text(metric.description),
        temporality == _DELTA,
    )
    value_of = _VALUES[field_name]
    for point in points:
        if not stream.name:
            read.reject("a metric has no name")
            continue
        if point.flags & _NO_VALUE:
            read.skipped += 1
            continue
        try:
            value = value_of(point, stream)
        except ValueError as error:
            read.reject(f"{error} in {stream.name[:100]!r}")
            continue
        if math.isnan(value.value):
            read.skipped += 1
            continue
        number = series.number(stream, resource, point.attributes, value.bounds)
        if number is None:
            read.reject(f"more than {series.most} series: {stream.name[:100]!r} or others have too many attributes")
            continue
        time = sane(point.time_unix_nano, now) // 1_000_000
        _append(read, series, stream, number, time, value)


def _append(read: Points, series: SeriesIds, stream: Stream, number: int, time: int, value: _Value) -> None:
    buckets: Sequence[int]
    if stream.delta:
        total = series.total(number)
        if not total.add(time, value.value, value.sum, value.buckets):
            read.skipped += 1  # sent again
            return
        row_time, count, row_sum, buckets = total.time, total.value, total.sum, total.buckets
    else:
        row_time, count, row_sum, buckets = time, value.value, value.sum, value.buckets
    packed = struct.pack(f"<{len(buckets)}Q", *buckets) if value.bounds is not None else None
    read.rows.append((number, row_time, count, row_sum, packed))
    read.last[number] = max(row_time, read.last.get(number, 0))


def _number(point: Any, _stream: Stream) -> _Value:
    kind = point.WhichOneof("value")
    if kind is None:
        raise ValueError("a data point without a value")
    return _Value(float(getattr(point, kind)))


def _histogram(point: Any, _stream: Stream) -> _Value:
    bounds, buckets = tuple(point.explicit_bounds), list(point.bucket_counts)
    if not buckets and not bounds:
        buckets = [point.count]
    if len(buckets) != len(bounds) + 1:
        raise ValueError(f"{len(buckets)} buckets for {len(bounds)} bounds")
    if not all(map(math.isfinite, bounds)) or any(map(operator.ge, bounds, bounds[1:])):
        raise ValueError("bounds that do not ascend")
    return _Value(float(point.count), _sum(point), bounds, buckets)


def _exponential(point: Any, stream: Stream) -> _Value:
    bounds, buckets = explicit(point, stream.unit)
    return _Value(float(point.count), _sum(point), bounds, buckets)


def _summary(point: Any, _stream: Stream) -> _Value:
    total = None if math.isnan(point.sum) else float(point.sum)
    return _Value(float(point.count), total, (), [point.count])


def _sum(point: Any) -> float | None:
    return float(point.sum) if point.HasField("sum") and not math.isnan(point.sum) else None


_VALUES: dict[str, Any] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
