"""From a query's text to the parser's tree, and what its nodes say in the terms of the other modules.

All times are whole milliseconds, as in Prometheus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import promql_parser as ast

from otelbot.dashboard.promql.model import NAME, Matcher, QueryError, pattern

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

LOOKBACK = 300_000  #: how old a sample may be that still is the value of now

#: The parser takes a stack's worth of memory for each level, and the process with it when that is gone.
_MOST_LEVELS = 50
_MOST_OPERATORS = 100
_LONGEST = 20_000
_STRINGS = re.compile(r"""(?s)"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|#[^\n]*""")
_OPERATORS = re.compile(r"[-+*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
#: Pairs, as the parser's are not hashable.
_OPS = ((ast.MatchOp.Equal, "="), (ast.MatchOp.NotEqual, "!="), (ast.MatchOp.Re, "=~"), (ast.MatchOp.NotRe, "!~"))
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Edges:
    """The first and the last time of the whole query: `start()` and `end()`."""

    first: int
    last: int


@dataclass(frozen=True)
class Shift:
    """The time that a selector or a subquery looks at: `at`, or else that of the evaluation, less `offset`."""

    at: int | None
    offset: int

    def of(self, time: int) -> int:
        return (time if self.at is None else self.at) - self.offset


def parse(query: str) -> ast.Expr:
    """Return the tree of a query.

    :raises QueryError: when it is none, with the parser's words.
    """
    outside = _STRINGS.sub('""', query)
    depth = deepest = 0
    for character in outside:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if len(query) > _LONGEST or deepest > _MOST_LEVELS or len(_OPERATORS.findall(outside)) > _MOST_OPERATORS:
        raise QueryError(
            f"The query is too long: {_LONGEST} characters, {_MOST_LEVELS} levels of brackets and"
            f" {_MOST_OPERATORS} operators are the most."
        )
    if re.search(r"@\s*-", outside):
        raise QueryError("A time after @ cannot be negative.")
    try:
        return ast.parse(query)
    except (ValueError, UnicodeError) as error:
        words = " ".join(str(error).split())
        raise QueryError(f"This is no PromQL: {words[:200].rstrip('.')}.") from error


def children(expr: ast.Expr) -> Iterator[ast.Expr]:
    """Yield what an expression is made of, but not the inside of selectors."""
    if isinstance(expr, (ast.ParenExpr, ast.UnaryExpr, ast.SubqueryExpr, ast.AggregateExpr)):
        yield expr.expr
        if isinstance(expr, ast.AggregateExpr) and isinstance(expr.param, ast.Expr):
            yield expr.param
    elif isinstance(expr, ast.BinaryExpr):
        yield expr.lhs
        yield expr.rhs
    elif isinstance(expr, ast.Call):
        yield from expr.args


def bare(expr: ast.Expr) -> ast.Expr:
    """Return an expression without parentheses around it."""
    while isinstance(expr, ast.ParenExpr):
        expr = expr.expr
    return expr


def matchers(selector: ast.VectorSelector) -> tuple[Matcher, ...]:
    """Return a selector's conditions, of which one may be for the name."""
    if selector.matchers.or_matchers:
        raise QueryError("`or` between matchers is not supported; write two selectors with `or` between them.")
    found = [Matcher(NAME, "=", selector.name)] if selector.name else []
    for matcher in selector.matchers.matchers:
        op = next(text for op, text in _OPS if op == matcher.op)
        found.append(Matcher(matcher.name, op, matcher.value))
        if found[-1].op in {"=~", "!~"}:
            pattern(matcher.value)
    return tuple(found)


def shift(node: ast.VectorSelector | ast.SubqueryExpr, edges: Edges) -> Shift:
    try:
        offset = milliseconds(node.offset) if node.offset else 0
        if node.at is None:
            return Shift(None, offset)
        if node.at.type == ast.AtModifierType.Start:
            return Shift(edges.first, offset)
        if node.at.type == ast.AtModifierType.End:
            return Shift(edges.last, offset)
        when = node.at.at
    except (ValueError, OverflowError) as error:
        raise QueryError("A time after @ or offset is beyond what can be reckoned with.") from error
    return Shift(round(cast("datetime", when).timestamp() * 1000), offset)


def length(node: ast.MatrixSelector | ast.SubqueryExpr) -> int:
    """Return how far back a range reaches."""
    try:
        duration = node.range
    except (ValueError, OverflowError) as error:
        raise QueryError("A range is longer than what can be reckoned with.") from error
    return max(milliseconds(cast("timedelta", duration)), 1)


def milliseconds(duration: timedelta) -> int:
    return duration // _MILLISECOND


def is_scalar(expr: ast.Expr) -> bool:
    """Tell whether an expression's value is a number without labels."""
    if isinstance(expr, (ast.ParenExpr, ast.UnaryExpr)):
        return is_scalar(expr.expr)
    if isinstance(expr, ast.BinaryExpr):
        return is_scalar(expr.lhs) and is_scalar(expr.rhs)
    return isinstance(expr, ast.NumberLiteral) or (
        isinstance(expr, ast.Call) and expr.func.return_type == ast.ValueType.Scalar
    )
