"""From a tree to its values, for all steps at once."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, cast

import promql_parser as ast

from otelbot.dashboard.promql import syntax
from otelbot.dashboard.promql.aggregate import aggregate
from otelbot.dashboard.promql.binary import combine
from otelbot.dashboard.promql.functions import FUNCTIONS
from otelbot.dashboard.promql.model import QueryError
from otelbot.dashboard.promql.ranges import RANGES
from otelbot.dashboard.promql.selectors import check_size, windows
from otelbot.dashboard.promql.values import Line, RangeLine, Scalar, apply, merged, without_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otelbot.dashboard.promql.binary import Value
    from otelbot.dashboard.promql.selectors import Data

_SUBQUERY_STEP = 15_000  #: ms, of `[1h:]`: as often as a bot's metrics come


class Evaluator:
    """Evaluates expressions at `times` (ms, ascending)."""

    def __init__(self, data: Data, times: Sequence[int]) -> None:
        self.data = data
        self.times: Sequence[int] = times
        self.steps = range(len(times))

    def value(self, expr: ast.Expr) -> Value:
        """Return the value of anything but a range or a string."""
        self.data.check_time()
        if isinstance(expr, ast.ParenExpr):
            return self.value(expr.expr)
        if isinstance(expr, ast.NumberLiteral):
            return Scalar([expr.val] * len(self.times))
        if isinstance(expr, ast.VectorSelector):
            return self.data.instant(expr, self.times)
        if isinstance(expr, ast.UnaryExpr):
            value = self.value(expr.expr)
            if isinstance(value, Scalar):
                return Scalar([-number for number in value.values])
            return apply(operator.neg, value)
        if isinstance(expr, ast.BinaryExpr):
            return combine(str(expr.op).strip().lower(), self.value(expr.lhs), self.value(expr.rhs), expr.modifier)
        if isinstance(expr, ast.AggregateExpr):
            return self._aggregate(expr)
        if isinstance(expr, ast.Call):
            return self._call(expr)
        raise QueryError("A range or a string has no value at a time: put a function such as rate() around a range.")

    # The parser has seen to it that arguments are of the right kind.

    def vector(self, expr: ast.Expr) -> list[Line]:
        return cast("list[Line]", self.value(expr))

    def scalar(self, expr: ast.Expr) -> Scalar:
        return cast("Scalar", self.value(expr))

    def ranges(self, expr: ast.Expr) -> list[RangeLine]:
        """Return the samples of a range at each step."""
        expr = syntax.bare(expr)
        if isinstance(expr, ast.MatrixSelector):
            return self.data.range(expr, self.times)
        return self._subquery(cast("ast.SubqueryExpr", expr))

    def _subquery(self, expr: ast.SubqueryExpr) -> list[RangeLine]:
        """Evaluate the inside once, at all multiples of the subquery's step that some step of ours looks at."""
        shift = syntax.shift(expr, self.data.edges)
        ends = [shift.of(time) for time in self.times]
        back = syntax.length(expr)
        step = max(syntax.milliseconds(expr.step), 1) if expr.step else _SUBQUERY_STEP
        start = ((ends[0] - back) // step + 1) * step
        inside = range(start, ends[-1] + 1, step)
        if not inside:
            return []
        check_size(1, len(inside))
        lines = []
        for line in Evaluator(self.data, inside).vector(expr.expr):
            pairs = [(time / 1000, value) for time, value in zip(inside, line.values, strict=True) if value is not None]
            samples_at = [time for time, _ in pairs]
            found = windows(samples_at, ends, back)
            lines.append(RangeLine(line.labels, samples_at, [value for _, value in pairs], found))
        return lines

    def _aggregate(self, expr: ast.AggregateExpr) -> list[Line]:
        parameter = None
        if expr.param is not None:
            inner = syntax.bare(expr.param)
            parameter = inner.val if isinstance(inner, ast.StringLiteral) else self.scalar(inner).values
        return aggregate(str(expr.op).strip().lower(), expr.modifier, self.vector(expr.expr), parameter)

    def _call(self, expr: ast.Call) -> Value:
        name, args = expr.func.name, expr.args
        if over := RANGES.get(name):
            keep = name == "last_over_time"  # which is a value of the metric itself
            found = []
            for line in self.ranges(args[0]):
                self.data.check_time()
                found.append(Line(line.labels if keep else without_name(line.labels), over(line)))
            return merged(found)
        function = FUNCTIONS.get(name)
        if function is None:
            raise QueryError(f"The function {name}() is not supported.")
        return function(self, args)
