"""Aggregation over the series of an instant vector: `sum by (…) (…)` and its like."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import promql_parser as ast

from otelbot.dashboard.promql.model import NAME, QueryError
from otelbot.dashboard.promql.ranges import deviation, highest, lowest, mean, quantile, total, variance
from otelbot.dashboard.promql.values import Line, key, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otelbot.dashboard.promql.values import Values

_OPERATORS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": total,
    "avg": mean,
    "min": lowest,
    "max": highest,
    "count": lambda values: float(len(values)),
    "group": lambda _: 1.0,
    "stddev": deviation,
    "stdvar": variance,
}


def aggregate(
    operator: str, modifier: ast.AggModifier | None, lines: list[Line], parameter: Sequence[float] | str | None
) -> list[Line]:
    """Return a line for each group; of topk and bottomk the chosen lines.

    :param parameter: topk's, bottomk's and quantile's number at each step, or count_values' label.
    """
    groups: dict[frozenset[tuple[str, str]], tuple[dict[str, str], list[Line]]] = {}
    for line in lines:
        labels = _group(line.labels, modifier)
        groups.setdefault(key(labels), (labels, []))[1].append(line)
    if operator in {"topk", "bottomk"}:
        counts = _counts(cast("Sequence[float]", parameter), len(lines))
        return [line for _, members in groups.values() for line in _chosen(operator, members, counts)]
    if operator == "count_values":
        label = cast("str", parameter)
        return merged(line for labels, members in groups.values() for line in _value_counts(labels, members, label))
    if operator == "quantile":
        shares = cast("Sequence[float]", parameter)
        return [Line(labels, _quantiles(shares, members)) for labels, members in groups.values()]
    function = _OPERATORS.get(operator)
    if function is None:
        raise QueryError(f"The aggregation {operator} is not supported.")
    return [
        Line(labels, [function(values) if values else None for values in _by_step(members)])
        for labels, members in groups.values()
    ]


def _quantiles(shares: Sequence[float], members: list[Line]) -> Values:
    return [
        quantile(share, values) if values else None for share, values in zip(shares, _by_step(members), strict=True)
    ]


def _group(labels: dict[str, str], modifier: ast.AggModifier | None) -> dict[str, str]:
    if modifier is None:
        return {}
    names = modifier.labels
    if modifier.type == ast.AggModifierType.By:
        return {name: labels[name] for name in names if labels.get(name)}
    return {name: value for name, value in labels.items() if name != NAME and name not in names}


def _by_step(members: list[Line]) -> list[list[float]]:
    """Return the values that there are at each step."""
    return [
        [value for value in values if value is not None]
        for values in zip(*(line.values for line in members), strict=True)
    ]


def _counts(parameter: Sequence[float], most: int) -> list[int]:
    if any(math.isnan(count) for count in parameter):
        raise QueryError("The number of topk or bottomk is NaN.")
    return [int(max(0, min(count, most))) for count in parameter]


def _chosen(operator: str, members: list[Line], counts: list[int]) -> list[Line]:
    """Return the lines with the highest or lowest values, each with None where it is not among them.

    The best one comes first, as seen at the last step.
    """
    chosen: list[Values] = [[None] * len(counts) for _ in members]
    best: list[int] = []
    for step, count in enumerate(counts):
        found = [(index, line.values[step]) for index, line in enumerate(members)]
        best = [index for index, _ in _ordered(found, highest_first=operator == "topk")[:count]]
        for index in best:
            chosen[index][step] = members[index].values[step]
    order = best + [index for index in range(len(members)) if index not in set(best)]
    return merged(Line(members[index].labels, chosen[index]) for index in order)


def _ordered(found: Iterable[tuple[int, float | None]], *, highest_first: bool) -> list[tuple[int, float]]:
    """Sort what has a value; NaN is last."""
    sign = -1 if highest_first else 1
    return sorted(
        ((index, value) for index, value in found if value is not None),
        key=lambda pair: (True, 0.0) if math.isnan(pair[1]) else (False, sign * pair[1]),
    )


def _value_counts(labels: dict[str, str], members: list[Line], label: str) -> list[Line]:
    counts: dict[str, Values] = {}
    by_step = _by_step(members)
    for step, values in enumerate(by_step):
        for value in values:
            row = counts.setdefault(_written(value), [None] * len(by_step))
            row[step] = (row[step] or 0.0) + 1
    return [Line({**labels, label: text}, row) for text, row in counts.items()]


def _written(value: float) -> str:
    """Return a number as Prometheus writes it, without an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = f"{Decimal(repr(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
