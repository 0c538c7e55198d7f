"""Operators between numbers and instant vectors."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, cast

import promql_parser as ast

from otelbot.dashboard.promql.model import NAME, QueryError
from otelbot.dashboard.promql.values import Line, Scalar, key, merged, shown, without_name

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from otelbot.dashboard.promql.values import Values

    Operation = Callable[[float, float], float]
    Signature = Callable[[dict[str, str]], Hashable]

Value = Scalar | list[Line]


def _divided(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)


def _remainder(a: float, b: float) -> float:
    return math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:  # 0 to a negative power, or a root of a negative number
        return (math.copysign(math.inf, a) if b % 2 == 1 else math.inf) if a == 0 else math.nan


_ARITHMETIC: dict[str, Operation] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "%": _remainder,
    "^": _power,
    "atan2": math.atan2,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def combine(op: str, left: Value, right: Value, modifier: ast.BinModifier | None) -> Value:
    """Return `left op right`.

    :raises QueryError: when it is not plain which series belong together.
    """
    if modifier is not None and (modifier.fill_values.lhs is not None or modifier.fill_values.rhs is not None):
        raise QueryError("fill() is not supported; write `or` with a vector of the missing values.")
    as_bool = modifier is not None and modifier.return_bool
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        function = _ARITHMETIC.get(op) or _COMPARISONS[op]
        return Scalar([float(function(a, b)) for a, b in zip(left.values, right.values, strict=True)])
    if isinstance(left, Scalar):
        return _with_number(op, cast("list[Line]", right), left.values, as_bool=as_bool, swapped=True)
    if isinstance(right, Scalar):
        return _with_number(op, left, right.values, as_bool=as_bool, swapped=False)
    if op in {"and", "or", "unless"}:
        return _set_operation(op, left, right, _signature(modifier))
    return _matched(op, left, right, modifier, as_bool=as_bool)


def _with_number(op: str, lines: list[Line], numbers: list[float], *, as_bool: bool, swapped: bool) -> list[Line]:
    """Combine each element with a number, which is on the left when `swapped`. A comparison keeps the element."""
    found = []
    for line in lines:
        left, right = (numbers, line.values) if swapped else (line.values, numbers)
        values = _combined(op, left, right, kept=line.values, as_bool=as_bool)
        keep_name = op in _COMPARISONS and not as_bool
        found.append(Line(line.labels if keep_name else without_name(line.labels), values))
    return merged(found)


def _combined(
    op: str, left: Values | list[float], right: Values | list[float], *, kept: Values | list[float], as_bool: bool
) -> Values:
    if function := _ARITHMETIC.get(op):
        return [None if a is None or b is None else function(a, b) for a, b in zip(left, right, strict=True)]
    compare = _COMPARISONS[op]
    if as_bool:
        return [None if a is None or b is None else float(compare(a, b)) for a, b in zip(left, right, strict=True)]
    return [
        value if a is not None and b is not None and compare(a, b) else None
        for a, b, value in zip(left, right, kept, strict=True)
    ]


def _signature(modifier: ast.BinModifier | None) -> Signature:
    """Return the function that says what two series have in common when they belong together."""
    matching = modifier.matching if modifier else None
    names = matching.labels if matching else []
    if matching and matching.type == ast.LabelModifierType.Include:
        return lambda labels: tuple(labels.get(name, "") for name in names)
    ignored = {NAME, *names}
    return lambda labels: frozenset(item for item in labels.items() if item[0] not in ignored)


def _set_operation(op: str, left: list[Line], right: list[Line], signature: Signature) -> list[Line]:
    if op == "or":
        present = _presence(left, signature)
        return merged(left + [_where(line, present.get(signature(line.labels)), there=False) for line in right])
    present = _presence(right, signature)
    return merged(_where(line, present.get(signature(line.labels)), there=op == "and") for line in left)


def _presence(lines: list[Line], signature: Signature) -> dict[Hashable, list[bool]]:
    """Return for each signature at which steps something has it."""
    present: dict[Hashable, list[bool]] = {}
    for line in lines:
        here = [value is not None for value in line.values]
        mark = signature(line.labels)
        present[mark] = [a or b for a, b in zip(present[mark], here, strict=True)] if mark in present else here
    return present


def _where(line: Line, present: list[bool] | None, *, there: bool) -> Line:
    if present is None:
        return Line(line.labels, [None] * len(line.values)) if there else line
    return Line(
        line.labels, [value if here == there else None for value, here in zip(line.values, present, strict=True)]
    )


def _matched(
    op: str, left: list[Line], right: list[Line], modifier: ast.BinModifier | None, *, as_bool: bool
) -> list[Line]:
    card = modifier.card if modifier else ast.VectorMatchCardinality.OneToOne
    swapped = card == ast.VectorMatchCardinality.OneToMany
    many, one = (right, left) if swapped else (left, right)
    signature = _signature(modifier)
    ones: dict[Hashable, list[Line]] = {}
    for line in one:
        ones.setdefault(signature(line.labels), []).append(line)
    _check_ones(ones, many)

    one_to_one = card == ast.VectorMatchCardinality.OneToOne
    found: list[Line] = []
    pairs: dict[Hashable, list[tuple[Line, Line]]] = {}
    for ours in many:
        mark = signature(ours.labels)
        for theirs in ones.get(mark, ()):
            labels = _result_labels(op, ours.labels, theirs.labels, modifier, as_bool=as_bool)
            pairs.setdefault(mark if one_to_one else (mark, key(labels)), []).append((ours, theirs))
            a, b = (theirs.values, ours.values) if swapped else (ours.values, theirs.values)
            found.append(Line(labels, _combined(op, a, b, kept=a, as_bool=as_bool)))
    for same in pairs.values():
        _check_pairs(same, one_to_one=one_to_one)
    return merged(found)


def _result_labels(
    op: str, ours: dict[str, str], theirs: dict[str, str], modifier: ast.BinModifier | None, *, as_bool: bool
) -> dict[str, str]:
    labels = without_name(ours) if op in _ARITHMETIC or as_bool else dict(ours)
    if modifier is None:
        return labels
    matching = modifier.matching
    if modifier.card == ast.VectorMatchCardinality.OneToOne and matching:
        on = matching.type == ast.LabelModifierType.Include
        labels = {name: value for name, value in labels.items() if (name in matching.labels) == on}
    for name in modifier.group_labels or ():
        if theirs.get(name):
            labels[name] = theirs[name]
        else:
            labels.pop(name, None)
    return labels


def _check_ones(ones: dict[Hashable, list[Line]], many: list[Line]) -> None:
    for lines in ones.values():
        if len(lines) < 2:
            continue
        for step, values in enumerate(zip(*(line.values for line in lines), strict=True)):
            if len(values) - values.count(None) > 1 and any(line.values[step] is not None for line in many):
                raise QueryError(
                    f"Several series match at once where only one may, {shown(lines[0].labels)} and"
                    f" {shown(lines[1].labels)}: match on() more labels, or aggregate one side first."
                )


def _check_pairs(pairs: list[tuple[Line, Line]], *, one_to_one: bool) -> None:
    if len(pairs) < 2:
        return
    both = zip(
        *([a is not None and b is not None for a, b in zip(x.values, y.values, strict=True)] for x, y in pairs),
        strict=True,
    )
    if any(sum(at_step) > 1 for at_step in both):
        mend = "say group_left or group_right" if one_to_one else "the labels of a group must tell its series apart"
        raise QueryError(f"Several series match {shown(pairs[0][1].labels)}: {mend}.")
