"""PromQL over any source of series, with the answers that Prometheus 3 gives.

Not supported: native histograms, what Prometheus calls experimental, and the remarks that it gives beside an answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from otelbot.dashboard.promql import syntax
from otelbot.dashboard.promql.evaluate import Evaluator
from otelbot.dashboard.promql.model import Matcher, QueryError, Sample, Series, Source
from otelbot.dashboard.promql.selectors import Data
from otelbot.dashboard.promql.values import Scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otelbot.dashboard.promql.binary import Value

__all__ = ["MOST_STEPS", "Matcher", "QueryError", "Sample", "Series", "Source", "instant", "is_scalar", "range_query"]

MOST_STEPS = 11_000  #: of a range query, as in Prometheus


def instant(query: str, source: Source, at: float) -> list[Sample]:
    """Return the value of each series at a time (s since the epoch); a mere number is one without labels.

    :raises QueryError: when the query is wrong, or asks for what is not supported.
    """
    time = _milliseconds(at)
    value = _evaluated(query, source, [time], time)
    if isinstance(value, Scalar):
        return [Sample({}, value.values[0])]
    return [Sample(line.labels, line.values[0]) for line in value if line.values[0] is not None]


def range_query(query: str, source: Source, start: float, end: float, step: float) -> list[Series]:
    """Return the values from `start` to `end` (s since the epoch), one every `step` seconds, sorted by labels.

    A series has no sample at the steps at which the query has no value for it.

    :raises QueryError: as `instant`, and when there are more than `MOST_STEPS` steps.
    """
    first, last, every = _milliseconds(start), _milliseconds(end), _milliseconds(step)
    if every < 1 or last < first:
        raise QueryError("A range needs a step above zero, and an end that is not before its start.")
    times = range(first, last + 1, every)
    if len(times) > MOST_STEPS:
        raise QueryError(f"{len(times)} steps are too many, {MOST_STEPS} are the most: take a longer step.")
    value = _evaluated(query, source, times, last)
    if isinstance(value, Scalar):
        return [Series({}, [time / 1000 for time in times], value.values)]
    found = []
    for line in value:
        samples = [(time / 1000, number) for time, number in zip(times, line.values, strict=True) if number is not None]
        if samples:
            found.append(Series(line.labels, [time for time, _ in samples], [number for _, number in samples]))
    return sorted(found, key=lambda series: sorted(series.labels.items()))


def is_scalar(query: str) -> bool:
    """Tell whether a query's value is a mere number, which has no labels.

    :raises QueryError: when it is none.
    """
    return syntax.is_scalar(syntax.parse(query))


def _evaluated(query: str, source: Source, times: Sequence[int], end: int) -> Value:
    """:param end: of the period that was asked for, which the last step may not reach."""
    edges = syntax.Edges(times[0], end)
    tree = syntax.parse(query)
    return Evaluator(Data(source, tree, edges), times).value(tree)


def _milliseconds(seconds: float) -> int:
    if not math.isfinite(seconds) or abs(seconds) > 1e11:
        raise QueryError("A time must be a number of seconds since the epoch.")
    return round(seconds * 1000)
