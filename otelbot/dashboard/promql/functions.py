"""The functions that take numbers or instant vectors."""

from __future__ import annotations

import calendar
import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import promql_parser as ast

from otelbot.dashboard.promql import syntax
from otelbot.dashboard.promql.histograms import histogram_quantile
from otelbot.dashboard.promql.labels import label_join, label_replace
from otelbot.dashboard.promql.model import NAME
from otelbot.dashboard.promql.ranges import predict, quantile_over_time
from otelbot.dashboard.promql.values import Line, Scalar, apply, merged, without_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otelbot.dashboard.promql.binary import Value
    from otelbot.dashboard.promql.evaluate import Evaluator

    Arguments = Sequence[ast.Expr]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _or_nan(function: Callable[[float], float]) -> Callable[[float], float]:
    """Return `function`, which is not a number outside of its domain."""

    def guarded(value: float) -> float:
        try:
            return float(function(value))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return guarded


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return _or_nan(lambda value: function(value) if value else -math.inf)


def _sign(value: float) -> float:
    return value if value == 0 or math.isnan(value) else math.copysign(1, value)


def _date(part: Callable[[datetime], int]) -> Callable[[float], float]:
    """Return a function of a time (s since the epoch, UTC); beyond the years 1 to 9999 it is not a number."""

    def dated(value: float) -> float:
        try:
            return float(part(_EPOCH + timedelta(seconds=math.floor(value))))
        except (ValueError, OverflowError):
            return math.nan

    return dated


#: Functions of each value by itself.
_MATHS: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "exp": _or_nan(math.exp),
    "ln": _logarithm(math.log),
    "log2": _logarithm(math.log2),
    "log10": _logarithm(math.log10),
    "sqrt": _or_nan(math.sqrt),
    "sgn": _sign,
    "deg": math.degrees,
    "rad": math.radians,
}
#: The same of a time, which is that of the step when it is not said.
_DATES: dict[str, Callable[[float], float]] = {
    "minute": _date(lambda at: at.minute),
    "hour": _date(lambda at: at.hour),
    "day_of_week": _date(lambda at: at.isoweekday() % 7),
    "day_of_month": _date(lambda at: at.day),
    "day_of_year": _date(lambda at: at.timetuple().tm_yday),
    "days_in_month": _date(lambda at: calendar.monthrange(at.year, at.month)[1]),
    "month": _date(lambda at: at.month),
    "year": _date(lambda at: at.year),
}


def _of_each(function: Callable[[float], float]) -> Callable[[Evaluator, Arguments], Value]:
    return lambda evaluator, args: apply(function, evaluator.vector(args[0]))


def _of_date(function: Callable[[float], float]) -> Callable[[Evaluator, Arguments], Value]:
    def dated(evaluator: Evaluator, args: Arguments) -> Value:
        return apply(function, evaluator.vector(args[0]) if args else [_line(_time(evaluator, args))])

    return dated


def _line(scalar: Scalar) -> Line:
    return Line({}, list(scalar.values))


def _time(evaluator: Evaluator, _: Arguments) -> Scalar:
    return Scalar([time / 1000 for time in evaluator.times])


def _timestamp(evaluator: Evaluator, args: Arguments) -> Value:
    selector = syntax.bare(args[0])
    if isinstance(selector, ast.VectorSelector):
        lines = evaluator.data.instant(selector, evaluator.times, stamps=True)
    else:
        lines = [
            Line(
                line.labels,
                [
                    None if value is None else time / 1000
                    for value, time in zip(line.values, evaluator.times, strict=True)
                ],
            )
            for line in evaluator.vector(args[0])
        ]
    return merged(Line(without_name(line.labels), line.values) for line in lines)


def _scalar(evaluator: Evaluator, args: Arguments) -> Scalar:
    """Return the value of the only element, NaN if there is none or more than one."""
    lines = evaluator.vector(args[0])
    found = []
    for step in range(len(evaluator.times)):
        values = [line.values[step] for line in lines if line.values[step] is not None]
        found.append(values[0] if len(values) == 1 and values[0] is not None else math.nan)
    return Scalar(found)


def _absent(evaluator: Evaluator, args: Arguments) -> Value:
    """Return 1 at the steps at which the argument has nothing, with the labels that its matchers name."""
    selector = args[0]
    if isinstance(selector, (ast.MatrixSelector, ast.SubqueryExpr)):
        ranges = evaluator.ranges(selector)
        present = [any(line.windows[step][1] > line.windows[step][0] for line in ranges) for step in evaluator.steps]
    else:
        lines = evaluator.vector(selector)
        present = [any(line.values[step] is not None for line in lines) for step in evaluator.steps]
    labels: dict[str, str] = {}
    if isinstance(selector, ast.MatrixSelector):
        selector = selector.vector_selector
    if isinstance(selector, ast.VectorSelector):
        wanted = [matcher for matcher in syntax.matchers(selector) if matcher.name != NAME]
        names = [matcher.name for matcher in wanted]
        labels = {
            matcher.name: matcher.value
            for matcher in wanted
            if matcher.op == "=" and matcher.value and names.count(matcher.name) == 1
        }
    return merged([Line(labels, [None if there else 1.0 for there in present])])


def _with_numbers(function: Callable[..., float]) -> Callable[[Evaluator, Arguments], Value]:
    """Return a function of an instant vector, and of further numbers that may differ at each step."""

    def called(evaluator: Evaluator, args: Arguments) -> Value:
        numbers = [evaluator.scalar(arg).values for arg in args[1:]]
        found = []
        for line in evaluator.vector(args[0]):
            rows = zip(line.values, *numbers, strict=True)
            values = [None if row[0] is None else function(*row) for row in rows]
            found.append(Line(without_name(line.labels), values))
        return merged(found)

    return called


def _clamp(evaluator: Evaluator, args: Arguments) -> Value:
    """Return nothing at steps at which the minimum is above the maximum."""
    lows, highs = (evaluator.scalar(arg).values for arg in args[1:])
    return merged(
        Line(
            without_name(line.labels),
            [
                None if value is None or high < low else _at_least(_at_most(value, high), low)
                for value, low, high in zip(line.values, lows, highs, strict=True)
            ],
        )
        for line in evaluator.vector(args[0])
    )


def _at_least(value: float, low: float) -> float:
    """Return the larger one; infinity even of NaN, as in Go."""
    if math.inf in (value, low):
        return math.inf
    return math.nan if math.isnan(value) or math.isnan(low) else max(value, low)


def _at_most(value: float, high: float) -> float:
    if -math.inf in (value, high):
        return -math.inf
    return math.nan if math.isnan(value) or math.isnan(high) else min(value, high)


def _round(value: float, nearest: float = 1.0) -> float:
    """Round to a multiple of `nearest`, halves up."""
    inverse = 1 / nearest if nearest else math.inf
    scaled = value * inverse + 0.5
    if not inverse:
        return math.nan
    return (math.floor(scaled) if math.isfinite(scaled) else scaled) / inverse


def _sorted(*, downwards: bool) -> Callable[[Evaluator, Arguments], Value]:
    """Return a function that sorts by value, NaN last; over several steps there is no order."""

    def by_value(line: Line) -> tuple[bool, float]:
        value = line.values[-1] or 0.0
        return (True, 0.0) if math.isnan(value) else (False, -value if downwards else value)

    return lambda evaluator, args: sorted(evaluator.vector(args[0]), key=by_value)


def _quantile_over_time(evaluator: Evaluator, args: Arguments) -> Value:
    shares = evaluator.scalar(args[0]).values
    lines = evaluator.ranges(args[1])
    return merged(Line(without_name(line.labels), quantile_over_time(line, shares)) for line in lines)


def _predict(evaluator: Evaluator, args: Arguments) -> Value:
    ahead = evaluator.scalar(args[1]).values
    lines = evaluator.ranges(args[0])
    return merged(Line(without_name(line.labels), predict(line, evaluator.times, ahead)) for line in lines)


#: By name; those of a range and nothing else are in `ranges.RANGES`.
FUNCTIONS: dict[str, Callable[[Evaluator, Any], Value]] = {
    **{name: _of_each(function) for name, function in _MATHS.items()},
    **{name: _of_date(function) for name, function in _DATES.items()},
    "time": _time,
    "pi": lambda evaluator, _: Scalar([math.pi] * len(evaluator.times)),
    "vector": lambda evaluator, args: [_line(evaluator.scalar(args[0]))],
    "scalar": _scalar,
    "timestamp": _timestamp,
    "absent": _absent,
    "absent_over_time": _absent,
    "clamp": _clamp,
    "clamp_min": _with_numbers(_at_least),
    "clamp_max": _with_numbers(_at_most),
    "round": _with_numbers(_round),
    "label_replace": label_replace,
    "label_join": label_join,
    "sort": _sorted(downwards=False),
    "sort_desc": _sorted(downwards=True),
    "histogram_quantile": lambda evaluator, args: histogram_quantile(
        evaluator.scalar(args[0]).values, evaluator.vector(args[1])
    ),
    "quantile_over_time": _quantile_over_time,
    "predict_linear": _predict,
}
