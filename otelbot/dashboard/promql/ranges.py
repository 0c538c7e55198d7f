"""The functions of a range of samples: each gives one value for each window of a series."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otelbot.dashboard.promql.values import RangeLine, Values


def extrapolated(line: RangeLine, *, counter: bool, per_second: bool) -> Values:
    """Return by how much a series changed within each window, extended to the window's edges as Prometheus does.

    A counter that shrinks began anew at 0.
    """
    times, samples = line.times, line.values
    resets = _resets(samples) if counter else []
    found: Values = []
    for first, end, start, stop in line.windows:
        last = end - 1
        if last <= first:
            found.append(None)
            continue
        grown = samples[last] - samples[first]
        if resets:
            for index in resets:
                if first < index <= last:
                    grown += samples[index - 1]
        first_at, last_at = round(times[first] * 1000), round(times[last] * 1000)
        sampled = (last_at - first_at) / 1000
        usual = sampled / (last - first)
        before, after = (first_at - start) / 1000, (stop - last_at) / 1000
        if before >= usual * 1.1:
            before = usual / 2
        if counter and grown > 0 and samples[first] >= 0:
            before = min(before, sampled * (samples[first] / grown))  # a counter was never below 0
        if after >= usual * 1.1:
            after = usual / 2
        factor = (sampled + before + after) / sampled
        if per_second:
            factor /= (stop - start) / 1000
        found.append(grown * factor)
    return found


def between_last_two(line: RangeLine, *, rate: bool) -> Values:
    """Return the difference of the last two samples; with `rate` a second's, of a counter."""
    times, samples = line.times, line.values
    found: Values = []
    for first, end, _, _ in line.windows:
        if end - first < 2:
            found.append(None)
            continue
        now, before = samples[end - 1], samples[end - 2]
        grown = now if rate and now < before else now - before
        seconds = (round(times[end - 1] * 1000) - round(times[end - 2] * 1000)) / 1000
        found.append(grown / seconds if rate else grown)
    return found


def deriv(line: RangeLine) -> Values:
    """Return the slope of a straight line through each window's samples, by second."""
    return [
        None if end - first < 2 else _straight(line, first, end, line.times[first])[0]
        for first, end, _, _ in line.windows
    ]


def predict(line: RangeLine, times: Sequence[int], ahead: Sequence[float]) -> Values:
    """Return what the straight line gives `ahead` seconds after each of `times` (ms)."""
    found: Values = []
    for (first, end, _, _), time, seconds in zip(line.windows, times, ahead, strict=True):
        if end - first < 2:
            found.append(None)
        else:
            slope, level = _straight(line, first, end, time / 1000)
            found.append(slope * seconds + level)
    return found


def quantile_over_time(line: RangeLine, shares: Sequence[float]) -> Values:
    return [
        quantile(share, line.values[first:end]) if first < end else None
        for (first, end, _, _), share in zip(line.windows, shares, strict=True)
    ]


def total(values: Sequence[float]) -> float:
    """Return an exact sum; of infinities and NaN what floating point says."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def mean(values: Sequence[float]) -> float:
    return total(values) / len(values)


def lowest(values: Sequence[float]) -> float:
    """Return the minimum, of which NaN is none unless there is nothing else."""
    return min((value for value in values if value == value), default=math.nan)  # noqa: PLR0124


def highest(values: Sequence[float]) -> float:
    return max((value for value in values if value == value), default=math.nan)  # noqa: PLR0124


def variance(values: Sequence[float]) -> float:
    if not all(map(math.isfinite, values)):
        return math.nan
    middle = mean(values)
    return total([(value - middle) * (value - middle) for value in values]) / len(values)


def deviation(values: Sequence[float]) -> float:
    return math.sqrt(variance(values))


def quantile(share: float, values: Sequence[float]) -> float:
    """Return the value at `share` of the sorted values, between two of them if need be; NaN counts as the lowest."""
    if math.isnan(share):
        return math.nan
    if not 0 <= share <= 1:
        return math.inf if share > 1 else -math.inf
    ordered = sorted(values, key=lambda value: -math.inf if math.isnan(value) else value)
    ordered.sort(key=math.isnan, reverse=True)
    rank = share * (len(ordered) - 1)
    lower = math.floor(rank)
    weight = rank - lower
    return ordered[lower] * (1 - weight) + ordered[min(lower + 1, len(ordered) - 1)] * weight


def _resets(values: Sequence[float]) -> list[int]:
    return [index for index in range(1, len(values)) if values[index] < values[index - 1]]


def _changes(values: Sequence[float]) -> float:
    pairs = pairwise(values)
    return float(sum(before != now and not (math.isnan(before) and math.isnan(now)) for before, now in pairs))


def _straight(line: RangeLine, first: int, end: int, origin: float) -> tuple[float, float]:
    """Return the slope and the value at `origin` (s) of the line with the least squares."""
    values = line.values[first:end]
    if all(value == values[0] for value in values):
        return (math.nan, math.nan) if math.isinf(values[0]) else (0.0, values[0])
    seconds = [(round(time * 1000) - round(origin * 1000)) / 1000 for time in line.times[first:end]]
    count = len(values)
    sum_x, sum_y = total(seconds), total(values)
    covariance = total([x * y for x, y in zip(seconds, values, strict=True)]) - sum_x * sum_y / count
    slope = covariance / (total([x * x for x in seconds]) - sum_x * sum_x / count)
    return slope, sum_y / count - slope * sum_x / count


def _each(function: Callable[[Sequence[float]], float]) -> Callable[[RangeLine], Values]:
    def over(line: RangeLine) -> Values:
        values = line.values
        return [function(values[first:end]) if first < end else None for first, end, _, _ in line.windows]

    return over


def _extreme(
    quick: Callable[[Sequence[float]], float], with_nan: Callable[[Sequence[float]], float]
) -> Callable[[RangeLine], Values]:
    def over(line: RangeLine) -> Values:
        return _each(with_nan if line.has_nan else quick)(line)

    return over


#: Functions with no other argument than the range.
RANGES: dict[str, Callable[[RangeLine], Values]] = {
    "rate": lambda line: extrapolated(line, counter=True, per_second=True),
    "increase": lambda line: extrapolated(line, counter=True, per_second=False),
    "delta": lambda line: extrapolated(line, counter=False, per_second=False),
    "irate": lambda line: between_last_two(line, rate=True),
    "idelta": lambda line: between_last_two(line, rate=False),
    "deriv": deriv,
    "resets": _each(lambda values: float(len(_resets(values)))),
    "changes": _each(_changes),
    "avg_over_time": _each(mean),
    "sum_over_time": _each(total),
    "min_over_time": _extreme(min, lowest),
    "max_over_time": _extreme(max, highest),
    "stddev_over_time": _each(deviation),
    "stdvar_over_time": _each(variance),
    "count_over_time": lambda line: [float(end - first) or None for first, end, _, _ in line.windows],
    "present_over_time": lambda line: [1.0 if end > first else None for first, end, _, _ in line.windows],
    "last_over_time": lambda line: [line.values[end - 1] if end > first else None for first, end, _, _ in line.windows],
}
