"""The charts and tables of each page: their queries, and the answers to them as JSON."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.api.evaluation import filled
from otelbot.dashboard.api.panels import conversations, databases, overview, runtime, telegram, updates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelbot.alerts.rule import Text
    from otelbot.dashboard.api.evaluation import Evaluation, Line, Resolution
    from otelbot.dashboard.api.panels.model import Column, Panel
    from otelbot.dashboard.promql import Source

PAGES = {
    "overview": overview.panels,
    "updates": updates.panels,
    "telegram": telegram.panels,
    "conversations": conversations.panels,
    "databases": databases.panels,
    "runtime": runtime.panels,
}
#: Series of a chart and rows of a table beyond these are left out, the smallest first: nobody can tell them apart.
_MOST_SERIES = 12
_MOST_ROWS = 100
#: Seconds at most for which a table stays as it is: it looks at every histogram of the whole range.
_TABLE_KEPT = 15

_placeholder = re.compile(r"\{(\w+)\}")


def build(
    page: str, evaluation: Evaluation, source: Source, at: Resolution, service: str | None, now: float
) -> dict[str, Any]:
    """Return a page's panels with what they show.

    :param page: a key of PAGES.
    :param now: seconds since the epoch; the panels end there.
    """
    return {
        "page": page,
        "range": at.range,
        "start": round((now - at.seconds) * 1000),
        "end": round(now * 1000),
        "panels": [_build(panel, evaluation, source, at, service, now) for panel in PAGES[page](at)],
    }


def _build(
    panel: Panel, evaluation: Evaluation, source: Source, at: Resolution, service: str | None, now: float
) -> dict[str, Any]:
    built: dict[str, Any] = {
        "id": panel.id,
        "title": said(panel.title),
        "help": said(panel.help),
        "unit": panel.unit,
        "kind": panel.kind,
    }
    if panel.rows:
        return built | _table(panel, evaluation, source, min(at.step, _TABLE_KEPT), service, now)
    start = now - at.seconds
    in_bars = panel.kind in {"bar", "heatmap"}
    if in_bars:
        built["width_ms"] = at.bar_seconds * 1000
    lines: list[tuple[str, Line]] = []
    for query in panel.queries:
        expr = filled(query.expr, service)
        if in_bars:
            found = evaluation.bars(expr, source, start, now, at.bar_seconds)
        else:
            found = evaluation.range(expr, source, start, now, at.step)
        lines += [(_named(query.name, line.labels), line) for line in found]
    if panel.kind == "heatmap":
        lines = _cells(lines)
        left_out = 0
    else:
        left_out = max(len(lines) - _MOST_SERIES, 0)
        smallest = {id(line) for _, line in sorted(lines, key=lambda one: _size(one[1]))[:left_out]}
        lines = [one for one in lines if id(one[1]) not in smallest]
    grid = sorted({time for _, line in lines for time, _ in line.points})
    return built | {
        "series": [
            {"name": name, "labels": line.labels, "points": _points(line, grid)}
            for name, line in zip(_distinct(name for name, _ in lines), (line for _, line in lines), strict=True)
        ],
        "left_out": left_out,
    }


def said(text: Text) -> dict[str, str]:
    return {"en": text.en, "fa": text.fa}


def _named(template: str, labels: dict[str, str]) -> str:
    name = _placeholder.sub(lambda match: labels.get(match[1], ""), template)
    return " ".join(name.split()) or "-"


def _distinct(names: Iterable[str]) -> list[str]:
    """Number what has the same name: processes of one service."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return distinct


def _size(line: Line) -> float:
    return sum(value for _, value in line.points if math.isfinite(value))


def _points(line: Line, grid: list[float]) -> list[list[float | None]]:
    """Return a line's points, with null where others have one: a gap that a chart shows."""
    values = dict(line.points)
    times = [time for time in grid if line.points[0][0] <= time <= line.points[-1][0]]
    return [[round(time * 1000), number(values.get(time))] for time in times]


def number(value: float | None) -> float | None:
    """Return a number as JSON can have it, and with no more digits than a person can use."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")


def _cells(lines: list[tuple[str, Line]]) -> list[tuple[str, Line]]:
    """Return what is in each bucket instead of in all up to it, which is how Prometheus has them; the lowest first."""
    below: dict[float, float] = {}
    for _, line in sorted(lines, key=lambda one: float(one[1].labels.get("le", "inf"))):
        cumulative = dict(line.points)
        line.points = [(time, max(value - below.get(time, 0), 0)) for time, value in line.points]
        below |= cumulative
    return sorted(lines, key=lambda one: float(one[1].labels.get("le", "inf")))


def _table(
    panel: Panel, evaluation: Evaluation, source: Source, kept_for: float, service: str | None, now: float
) -> dict[str, Any]:
    columns = [{"id": name, "title": said(title), "unit": "text"} for name, title in panel.rows]
    columns += [{"id": column.id, "title": said(column.title), "unit": column.unit} for column in panel.columns]
    rows: dict[tuple[str, ...], dict[str, float | None]] = {}
    for column in panel.columns:
        for sample in evaluation.instant(filled(column.expr, service), source, now, kept_for):
            key = tuple(sample.labels.get(name, "") for name, _ in panel.rows)
            rows.setdefault(key, {})[column.id] = number(sample.value)
    kept = {key: values for key, values in rows.items() if values.get(panel.columns[0].id)}
    ordered = sorted(kept.items(), key=lambda row: (-(row[1][panel.columns[0].id] or 0), row[0]))
    return {
        "columns": columns,
        "rows": [[*key, *(_cell(values, column) for column in panel.columns)] for key, values in ordered[:_MOST_ROWS]],
        "left_out": max(len(ordered) - _MOST_ROWS, 0),
    }


def _cell(values: dict[str, float | None], column: Column) -> float | None:
    value = values.get(column.id)
    if column.unit == "count":
        return round(value or 0)  # `increase` extrapolates
    return value
