"""`/metrics`: the newest value of each series in Prometheus' text format, and what the dashboard says of itself.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otelbot.dashboard.store.kinds import Stats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_is_label = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*").fullmatch
_is_name = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*").fullmatch
_PARTS = ("_bucket", "_count", "_sum")


@dataclass(frozen=True)
class _Own:
    """A metric of the dashboard's own."""

    name: str
    kind: str
    description: str
    values: tuple[tuple[dict[str, str], float], ...]


def exposition(points: Iterable[dict[str, Any]], stats: Stats, build: str) -> str:
    """Return the text.

    :param points: the newest point of each series, those of one metric together (`store.series.latest`).
    :param build: the dashboard's version.
    """
    lines: list[str] = []
    names: set[str] = set()
    for own in _own(stats, build):
        names.add(own.name)
        lines += _head(own.name, own.kind, own.description)
        lines += (_line(own.name, labels, value) for labels, value in own.values)
    kinds: dict[str, str] = {}
    for point in points:
        name, kind = point["name"], point["kind"]
        if name not in kinds:
            taken = {name, *(f"{name}{part}" for part in _PARTS)} if kind == "histogram" else {name}
            if not _is_name(name) or names & taken:
                continue  # a name can be one metric's only
            names |= taken
            kinds[name] = kind
            lines += _head(name, kind, point["description"])
        if kinds[name] == kind:
            lines += _lines(point)
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, description: str) -> Iterator[str]:
    if description:
        yield f"# HELP {name} {_escaped(description)}"
    yield f"# TYPE {name} {kind}"


def _lines(point: Mapping[str, Any]) -> Iterator[str]:
    name, labels = point["name"], point["labels"]
    if point["kind"] != "histogram":
        yield _line(name, labels, point["value"])
        return
    for bound, count in point["buckets"]:
        yield _line(f"{name}_bucket", labels | {"le": bound}, count)
    if point["sum"] is not None:
        yield _line(f"{name}_sum", labels, point["sum"])
    yield _line(f"{name}_count", labels, point["count"])


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text, quotes=True)}"' for label, text in labels.items() if _is_label(label))
    return f"{name}{{{pairs}}} {written(value)}" if pairs else f"{name} {written(value)}"


def _escaped(text: str, *, quotes: bool = False) -> str:
    # A lone surrogate is no UTF-8, and a carriage return ends a line for some readers.
    text = text.encode(errors="replace").decode().replace("\\", r"\\").replace("\n", r"\n").replace("\r", " ")
    return text.replace('"', r"\"") if quotes else text


def written(value: float) -> str:
    """Return a number as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))


def _own(stats: Stats, build: str) -> Iterator[_Own]:
    signals = {"traces": stats.traces, "metrics": stats.metrics, "logs": stats.logs}
    for what, description in (
        ("received", "Spans, data points and log records that came."),
        ("kept", "Those that were written."),
        ("rejected", "Those that can't be kept."),
        ("evicted", "Those that were removed again: too old, or no room."),
    ):
        values = tuple(({"signal": signal}, float(getattr(counts, what))) for signal, counts in signals.items())
        yield _Own(f"otelbot_dashboard_items_{what}_total", "counter", description, values)
    yield _Own(
        "otelbot_dashboard_unreadable_requests_total",
        "counter",
        "Requests that were no OTLP.",
        (({}, float(stats.unreadable)),),
    )
    yield _Own("otelbot_dashboard_database_bytes", "gauge", "Size of the database.", (({}, stats.database_bytes),))
    yield _Own("otelbot_dashboard_queue_bytes", "gauge", "What waits to be written.", (({}, stats.queue_bytes),))
    yield _Own("otelbot_dashboard_build_info", "gauge", "The dashboard's version.", (({"version": build}, 1.0),))
