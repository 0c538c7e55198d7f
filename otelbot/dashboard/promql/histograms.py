"""`histogram_quantile` of classic histograms."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

from otelbot.dashboard.promql.values import Line, key, merged, without_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otelbot.dashboard.promql.values import Values

_SMALL = 1e-12  #: a relative difference of two counts that only rounding explains


def histogram_quantile(shares: Sequence[float], lines: list[Line]) -> list[Line]:
    """Return the quantile at each step of each histogram, whose lines differ only by `le`."""
    histograms: dict[frozenset[tuple[str, str]], tuple[dict[str, str], list[tuple[float, Values]]]] = {}
    for line in lines:
        labels = dict(line.labels)
        try:
            bound = float(labels.pop("le", ""))
        except ValueError:
            continue
        histograms.setdefault(key(labels), (labels, []))[1].append((bound, line.values))
    found = []
    for labels, buckets in histograms.values():
        buckets.sort(key=lambda bucket: bucket[0])
        bounds = [bound for bound, _ in buckets]
        by_step = zip(*(values for _, values in buckets), strict=True)
        values = [_at_step(share, bounds, counts) for share, counts in zip(shares, by_step, strict=True)]
        found.append(Line(without_name(labels), values))
    return merged(found)


def _at_step(share: float, bounds: list[float], counts: Sequence[float | None]) -> float | None:
    there = [(bound, count) for bound, count in zip(bounds, counts, strict=True) if count is not None]
    if not there:
        return None
    if math.isnan(share):
        return math.nan
    if not 0 <= share <= 1:
        return math.inf if share > 1 else -math.inf
    return _quantile(share, there)


def _quantile(share: float, buckets: list[tuple[float, float]]) -> float:
    bounds, counts = _cumulative(buckets)
    last = len(bounds) - 1
    if bounds[last] != math.inf or last < 1 or counts[last] == 0:
        return math.nan
    rank = share * counts[last]
    index = bisect_left(counts, rank, 0, last)
    if index == last:
        return bounds[last - 1]
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    start, before = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    within = counts[index] - before
    return start + (bounds[index] - start) * ((rank - before) / within) if within else math.nan


def _cumulative(buckets: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return bounds and counts: equal bounds put together, and no count below the one before it."""
    bounds: list[float] = []
    counts: list[float] = []
    for bound, count in buckets:
        if bounds and bounds[-1] == bound:
            counts[-1] += count
        else:
            bounds.append(bound)
            counts.append(count)
    high = counts[0]
    for index, count in enumerate(counts):
        if count < high or count - high < _SMALL * (count + high):
            counts[index] = high
        else:
            high = count
    return bounds, counts
