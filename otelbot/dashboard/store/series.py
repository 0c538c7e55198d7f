"""Metrics: series for PromQL by the names that Prometheus has for them, their latest values, and whose they are."""

from __future__ import annotations

import json
import math
import struct
import time
from functools import lru_cache
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from otelbot.dashboard.promql import Series
from otelbot.dashboard.store import naming, rows
from otelbot.dashboard.store.intake.ids import NOTED_EACH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from otelbot.dashboard.promql import Matcher

_NAME, _BOUND = "__name__", "le"
_TIME, _VALUE, _SUM, _BUCKETS = range(1, 5)  # columns of `_POINTS`

# From each name to the next one in the index, instead of through all series.
_NAMES = """
WITH RECURSIVE found (name) AS (
    SELECT min(name) FROM series
    UNION ALL
    SELECT (SELECT min(name) FROM series WHERE name > found.name) FROM found WHERE found.name IS NOT NULL
)
SELECT name FROM found WHERE name IS NOT NULL
"""
_SERIES = """
SELECT series.*, resources.attributes AS resource_attributes
FROM json_each(?) AS names CROSS JOIN series ON series.name = names.value
JOIN resources ON resources.id = series.resource
WHERE series.last > ?
"""
_POINTS = """
SELECT points.series, time, points.value, points.sum, points.buckets
FROM json_each(?) AS wanted CROSS JOIN points ON points.series = wanted.value
WHERE time > ? AND time <= ? ORDER BY points.series, time
"""
_LATEST = """
SELECT series.*, resources.attributes AS resource_attributes, points.time, points.value, points.sum, points.buckets
FROM {series} JOIN resources ON resources.id = series.resource
JOIN points ON points.series = series.id AND points.time = series.last
WHERE series.last > :after ORDER BY series.name, series.last DESC
"""
_OF_NAMES = "json_each(:names) AS names CROSS JOIN series ON series.name = names.value"
_SERVICES = """
SELECT resources.*, newest
FROM resources LEFT JOIN (SELECT resource, max(last) AS newest FROM series GROUP BY resource) ON resource = resources.id
WHERE service IS NOT NULL ORDER BY last
"""


class _Part(NamedTuple):
    """One of the series in Prometheus that a series of the store is."""

    labels: dict[str, str]
    of: int = _VALUE  # of its points: `_VALUE`, `_SUM` or `_BUCKETS`
    bucket: int = 0


class Coarse(NamedTuple):
    """Of what came until `until` (s since the epoch) only the last sample of each `every` seconds: for charts of a day.

    Values at multiples of `every` are the same, and what is between two of them.
    """

    until: float
    every: int


class StoreSource:
    """The store as PromQL sees it (`promql.Source`): one query for the points of each selector.

    Series that differ by what is no label (a unit's case, a resource attribute that isn't promoted) are one.
    """

    def __init__(self, db: sqlite3.Connection, coarse: Coarse | None = None) -> None:
        self._db = db
        self._coarse = coarse

    def select(self, matchers: Sequence[Matcher], start: float, end: float) -> list[Series]:
        """Return the series that all matchers match, with their samples of `start < time <= end` (s since the epoch).

        :raises QueryError: for a matcher that is no regular expression.
        """
        after, until = _whole_ms(start), _whole_ms(end)
        wanted: dict[int, list[_Part]] = {}
        for row in self._db.execute(_SERIES, (json.dumps(self._names(matchers)), after)):
            if parts := [part for part in _parts(row) if _matches(part.labels, matchers)]:
                wanted[row["id"]] = parts
        samples: dict[tuple[tuple[str, str], ...], _Samples] = {}
        found = self._db.execute(_POINTS, (json.dumps(list(wanted)), after, until))
        for number, points in groupby(found, key=lambda row: row[0]):
            for part, times, values in _samples(_thinned(points, self._coarse), wanted[number]):
                key = tuple(sorted(part.labels.items()))
                samples.setdefault(key, _Samples(part.labels)).add(times, values)
        return [each.series() for each in samples.values() if each.times]

    def _names(self, matchers: Sequence[Matcher]) -> list[str]:
        """Return the OTLP names of the metrics that may be meant."""
        names = [row[0] for row in self._db.execute(_NAMES)]
        for matcher in matchers:
            if matcher.name == _NAME and matcher.op == "=":
                asked = naming.stem(matcher.value)
                names = [name for name in names if asked.startswith(naming.stem(name))]
        return names


class _Samples:
    """Samples of one set of labels, which may come from several series of the store."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.times: list[float] = []
        self.values: list[float] = []

    def add(self, times: list[float], values: list[float]) -> None:
        if self.times and times and times[0] <= self.times[-1]:
            merged = dict(zip(times, values, strict=True)) | dict(zip(self.times, self.values, strict=True))
            self.times = sorted(merged)
            self.values = [merged[time] for time in self.times]
        else:
            self.times += times
            self.values += values

    def series(self) -> Series:
        return Series(dict(self.labels), self.times, self.values)


def _whole_ms(seconds: float) -> int:
    """Return a time in whole ms, rounded down; a float of seconds is up to 0.0003 ms off."""
    return math.floor(max(-rows.LATEST, min(seconds * 1000 + 0.001, rows.LATEST)))


def _matches(labels: dict[str, str], matchers: Iterable[Matcher]) -> bool:
    return all(matcher.matches(labels.get(matcher.name, "")) for matcher in matchers)


def _thinned(points: Iterable[sqlite3.Row], coarse: Coarse | None) -> list[sqlite3.Row]:
    if coarse is None:
        return list(points)
    until, every = coarse.until * 1000, coarse.every * 1000
    kept: list[sqlite3.Row] = []
    before = None
    for row in points:
        time_ms = row[_TIME]
        slot = -(-time_ms // every) if time_ms <= until else None
        # What is smaller than the one before is a counter that began anew: both say something.
        if slot is not None and slot == before and row[_VALUE] >= kept[-1][_VALUE]:
            kept[-1] = row
        else:
            kept.append(row)
        before = slot
    return kept


def _samples(
    points: Sequence[Sequence[Any]], parts: Iterable[_Part]
) -> Iterator[tuple[_Part, list[float], list[float]]]:
    """Yield times (s) and values of each part of a series, given its rows of `_POINTS`."""
    times = [row[_TIME] / 1000 for row in points]
    cumulative: list[tuple[int, ...]] | None = None
    for part in parts:
        if part.of == _BUCKETS:
            if cumulative is None:
                cumulative = [_cumulative(row[_BUCKETS]) for row in points]
            yield part, times, [float(counts[part.bucket]) for counts in cumulative]
        else:
            kept = [(time, row[part.of]) for time, row in zip(times, points, strict=True) if row[part.of] is not None]
            yield part, [time for time, _ in kept], [value for _, value in kept]


def _cumulative(buckets: bytes) -> tuple[int, ...]:
    return tuple(accumulate(struct.unpack(f"<{len(buckets) // 8}Q", buckets)))


def _parts(row: sqlite3.Row) -> list[_Part]:
    """Return what a row of `_SERIES` is in Prometheus, where that does not refuse it."""
    family, labels = _named(row)
    if labels is None or not family:
        return []
    if row["kind"] != "histogram":
        return [_Part({_NAME: family, **labels})]
    bucket = {_NAME: f"{family}_bucket", **labels}
    return [
        _Part({_NAME: f"{family}_count", **labels}),
        _Part({_NAME: f"{family}_sum", **labels}, _SUM),
        _Part(bucket | {_BOUND: naming.fixed(math.inf)}),
        *(
            _Part(bucket | {_BOUND: naming.fixed(bound)}, _BUCKETS, place)
            for place, bound in enumerate(rows.decoded(row["bounds"] or "[]"))
        ),
    ]


def _named(row: sqlite3.Row) -> tuple[str, dict[str, str] | None]:
    family = naming.family(row["name"], row["unit"], row["kind"], bool(row["monotonic"]))
    return family, _labels(row["attributes"], row["resource_attributes"])


@lru_cache(maxsize=2048)
def _labels(attributes: str, resource: str) -> dict[str, str] | None:
    """Return a series' labels but the name. They are shared: nobody may change them."""
    return naming.labels(json.loads(attributes), rows.decoded(resource))


def latest(
    db: sqlite3.Connection, younger_than_s: float = 300, now: float | None = None, names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the newest point of each series that has one of the last `younger_than_s`, sorted by name and labels.

    Each is `{"name", "labels", "kind", "unit", "description", "time", "value"}`: name and labels as in Prometheus, kind
    `counter`, `gauge` or `histogram`, time in ms since the epoch. A histogram has, instead of the value, `count`, `sum`
    (None where nobody told it) and `buckets`: `[le, cumulative count]` with `+Inf` as the last.

    :param now: s since the epoch.
    :param names: of the metrics in OTLP that are wanted; none is all.
    """
    query = _LATEST.format(series=_OF_NAMES if names else "series")
    after = _whole_ms((time.time() if now is None else now) - younger_than_s)
    found: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, Any]] = {}
    for row in db.execute(query, {"after": after, "names": json.dumps(list(names))}):
        family, labels = _named(row)
        if labels is None or not family:
            continue
        key = (family, tuple(sorted(labels.items())))
        known = found.get(key)
        if known is None or known["time"] < row["time"]:
            found[key] = {"name": family, "labels": dict(labels), **_latest(row)}
    return [found[key] for key in sorted(found)]


def _latest(row: sqlite3.Row) -> dict[str, Any]:
    kind = row["kind"]
    told = {
        "kind": "counter" if kind == "sum" and row["monotonic"] else "gauge" if kind == "sum" else kind,
        "unit": row["unit"],
        "description": row["description"],
        "time": row["time"],
    }
    if kind != "histogram":
        return told | {"value": row["value"]}
    bounds = [*map(naming.fixed, rows.decoded(row["bounds"] or "[]")), naming.fixed(math.inf)]
    return told | {
        "count": row["value"],
        "sum": row["sum"],
        "buckets": [[le, count] for le, count in zip(bounds, _cumulative(row["buckets"]), strict=True)],
    }


def services(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return which processes have sent anything: `{"service", "instance", "bot", "environment", "last_seen"}`.

    `last_seen` is in ms since the epoch. A process whose resource has changed since its start is one.
    """
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for row in db.execute(_SERVICES):
        key = (row["service"], row["instance"])
        before = found.get(key, {})
        # `last` is by our clock and noted once a minute; what is newer is by the sender's, which may be ahead.
        noted = row["last"] // 1_000_000
        seen = max(noted, min(row["newest"] or 0, noted + NOTED_EACH // 1_000_000), before.get("last_seen", 0))
        found[key] = {
            "service": row["service"],
            "instance": row["instance"],
            "bot": row["bot"] or before.get("bot"),
            "environment": row["environment"] or before.get("environment"),
            "last_seen": seen,
        }
    return sorted(found.values(), key=lambda each: (each["service"], -each["last_seen"]))
