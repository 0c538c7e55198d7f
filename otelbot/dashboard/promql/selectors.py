"""Selectors: what a query needs of the source, fetched once, and what of it each step sees."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from typing import TYPE_CHECKING

import promql_parser as ast

from otelbot.dashboard.promql import syntax
from otelbot.dashboard.promql.model import QueryError
from otelbot.dashboard.promql.syntax import LOOKBACK, Edges
from otelbot.dashboard.promql.values import Line, RangeLine, is_stale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otelbot.dashboard.promql.model import Matcher, Series, Source
    from otelbot.dashboard.promql.values import Values, Window

#: Of one selector, steps times series; a range query of a day has some hundred thousand.
_MOST_VALUES = 5_000_000
_LONGEST = 10  #: seconds that a query may take


class Data:
    """The samples that a query asks for. Selectors with the same matchers and touching times share one fetch."""

    def __init__(self, source: Source, query: ast.Expr, edges: Edges) -> None:
        """:param edges: the period that `query` will be evaluated for."""
        self.edges = edges
        self._deadline = time.monotonic() + _LONGEST
        needs: dict[tuple[Matcher, ...], list[tuple[int, int]]] = {}
        for matchers, start, end in _needs(query, edges.first, edges.last, edges):
            needs.setdefault(matchers, []).append((start, end))
        self._fetched = {
            matchers: [
                (start, end, source.select(matchers, start / 1000, end / 1000)) for start, end in _joined(periods)
            ]
            for matchers, periods in needs.items()
        }

    def check_time(self) -> None:
        """:raises QueryError: when the query has taken too long."""
        if time.monotonic() > self._deadline:
            raise QueryError(
                f"The query takes longer than {_LONGEST} s: ask for fewer series, less time or fewer steps."
            )

    def series(self, selector: ast.VectorSelector, start: int, end: int) -> list[Series]:
        """Return the series of a selector with all samples of `start < time <= end` (ms), and maybe more."""
        periods = self._fetched[syntax.matchers(selector)]
        return next(series for first, last, series in periods if first <= start and end <= last)

    def instant(self, selector: ast.VectorSelector, times: Sequence[int], *, stamps: bool = False) -> list[Line]:
        """Return the latest value of each series at each time (ms); with `stamps` the time of that value (s)."""
        shift = syntax.shift(selector, self.edges)
        looks = [shift.of(moment) for moment in times]
        limits = [(look / 1000, (look - LOOKBACK) / 1000) for look in looks]
        series = self.series(selector, looks[0] - LOOKBACK, looks[-1])
        check_size(len(series), len(times))
        lines = []
        for one in series:
            samples_at, samples = one.times, one.values
            values: Values = []
            index = 0
            for at, oldest in limits:
                index = bisect_right(samples_at, at, index)
                if index and samples_at[index - 1] > oldest and not is_stale(samples[index - 1]):
                    values.append(samples_at[index - 1] if stamps else samples[index - 1])
                else:
                    values.append(None)
            if values.count(None) < len(values):
                lines.append(Line(one.labels, values))
        return lines

    def range(self, selector: ast.MatrixSelector, times: Sequence[int]) -> list[RangeLine]:
        """Return the samples of the range before each time (ms)."""
        shift = syntax.shift(selector.vector_selector, self.edges)
        ends = [shift.of(moment) for moment in times]
        back = syntax.length(selector)
        series = self.series(selector.vector_selector, ends[0] - back, ends[-1])
        check_size(len(series), len(times))
        lines = []
        for one in series:
            samples_at, samples = one.times, one.values
            if math.isnan(sum(samples)):
                kept = [(at, value) for at, value in zip(samples_at, samples, strict=True) if not is_stale(value)]
                samples_at, samples = [at for at, _ in kept], [value for _, value in kept]
            lines.append(RangeLine(one.labels, samples_at, samples, windows(samples_at, ends, back)))
        return lines


def windows(samples_at: Sequence[float], ends: Sequence[int], back: int) -> list[Window]:
    """Return for each end (ms, ascending) which samples are in the `back` ms before it."""
    found: list[Window] = []
    first = end = 0
    for stop in ends:
        first = bisect_right(samples_at, (stop - back) / 1000, first)
        end = bisect_right(samples_at, stop / 1000, max(first, end))
        found.append((first, end, stop - back, stop))
    return found


def check_size(series: int, steps: int) -> None:
    """:raises QueryError: when so many values are more than one can wait for."""
    if series * steps > _MOST_VALUES:
        raise QueryError(
            f"The query looks at {series} series at {steps} times: ask for fewer series, a shorter range or a longer"
            " step."
        )


def _needs(expr: ast.Expr, first: int, last: int, edges: Edges) -> Iterator[tuple[tuple[Matcher, ...], int, int]]:
    """Yield each selector's matchers and the period it looks at, when `expr` is evaluated from `first` to `last`."""
    if isinstance(expr, ast.VectorSelector):
        shift = syntax.shift(expr, edges)
        yield syntax.matchers(expr), shift.of(first) - LOOKBACK, shift.of(last)
    elif isinstance(expr, ast.MatrixSelector):
        shift = syntax.shift(expr.vector_selector, edges)
        back = syntax.length(expr)
        yield syntax.matchers(expr.vector_selector), shift.of(first) - back, shift.of(last)
    elif isinstance(expr, ast.SubqueryExpr):
        shift = syntax.shift(expr, edges)
        yield from _needs(expr.expr, shift.of(first) - syntax.length(expr), shift.of(last), edges)
    else:
        for part in syntax.children(expr):
            yield from _needs(part, first, last, edges)


def _joined(periods: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put periods together that touch."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(periods):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
