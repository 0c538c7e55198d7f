"""The functions that write labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from otelbot.dashboard.promql import syntax
from otelbot.dashboard.promql.model import QueryError, pattern
from otelbot.dashboard.promql.values import Line, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    import promql_parser as ast

    from otelbot.dashboard.promql.evaluate import Evaluator


def label_replace(evaluator: Evaluator, args: Sequence[ast.Expr]) -> list[Line]:
    """Write to a label what `replacement` makes of another one's value, where all of that matches `regex`."""
    target, replacement, source, regex = (_text(arg) for arg in args[1:])
    compiled = pattern(regex)
    found = []
    for line in evaluator.vector(args[0]):
        match = compiled.fullmatch(line.labels.get(source, ""))
        labels = line.labels if match is None else _relabelled(line.labels, target, _expanded(replacement, match))
        found.append(Line(labels, line.values))
    return merged(found)


def _expanded(template: str, match: re.Match[str]) -> str:
    """Fill `$1`, `${1}` and `$name` in; a group that is not there is empty."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match[int(name) if name.isdecimal() else name] or ""
        except (IndexError, ValueError):
            return ""

    return re.sub(r"\$(?:(\w+)|\{(\w+)\}|\$)", group, template, flags=re.ASCII)


def label_join(evaluator: Evaluator, args: Sequence[ast.Expr]) -> list[Line]:
    """Write the values of other labels to a label, with a separator between them."""
    target, separator, *sources = (_text(arg) for arg in args[1:])
    return merged(
        Line(
            _relabelled(line.labels, target, separator.join(line.labels.get(name, "") for name in sources)),
            line.values,
        )
        for line in evaluator.vector(args[0])
    )


def _relabelled(labels: dict[str, str], name: str, value: str) -> dict[str, str]:
    """Return the labels with another one; an empty value takes it away."""
    if not name:
        raise QueryError("A label to write to must have a name.")
    return {**{k: v for k, v in labels.items() if k != name}, **({name: value} if value else {})}


def _text(arg: ast.Expr) -> str:
    return cast("ast.StringLiteral", syntax.bare(arg)).val
