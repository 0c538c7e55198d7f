"""Shows in a terminal what the receiver got: traces as trees, metrics as a table, live or line by line."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from otelbot.demo.otlp_views import logs_of, spans_of
from otelbot.demo.traces import Traces

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from typing_extensions import Self

    from otelbot.demo.otlp import OtlpReceiver, Received
    from otelbot.demo.otlp_views import Attributes, Distribution, MetricView, SpanView
    from otelbot.demo.traces import Trace

# What is worth a look beside a span's name; the first two that the span has.
_TELLING = (
    "telegram.update.outcome",
    "error.type",
    "telegram.retry_after",
    "http.response.status_code",
    "aiogram.fsm.state",
    "db.query.summary",
)
_DATABASES = {"postgresql": "PostgreSQL ", "redis": "Redis "}
_FAMILIES = ("telegram.", "db.", "http.")
_PLAIN_FAMILIES = {"telegram", "aiogram"}
_HEADER = 3  # lines; one more with the page's address
SERIES = 4  # of one metric, on the screen
_WIDE = 110  # columns from which attributes are shown with their names


class View:
    """Subscribe `take` to a receiver. In a terminal, enter the view and call `refresh` now and then."""

    def __init__(self, console: Console, receiver: OtlpReceiver, page: str | None = None) -> None:
        """:param page: the URL of a dashboard that shows the same, for people to open."""
        self._console = console
        self._page = page
        self._receiver = receiver
        self._began = time.monotonic()
        self._traces = Traces()
        self._spans = 0
        self._logs = 0
        self.first_trace = asyncio.Event()
        self._stopping = False
        unicode = console.encoding.lower().startswith("utf")
        self._good, self._bad = ("✓", "✗") if unicode else ("ok", "ERR")
        self._live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        elif self._page:
            self._console.print(self._address())
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def take(self, received: Received) -> None:
        """Count what came; where there is no terminal to redraw, print each finished trace once."""
        if received.signal == "logs":
            self._logs += sum(1 for _ in logs_of(received.message))
        if received.signal == "traces":
            spans = list(spans_of(received.message))
            self._spans += len(spans)
            finished = self._traces.add(spans)
            if finished:
                self.first_trace.set()
            if self._live is None:
                for trace in finished:
                    self._console.print(self._tree(trace))

    def refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._screen(), refresh=True)

    def stopping(self) -> None:
        """Say that the end was asked for: it takes a moment."""
        self._stopping = True
        self.refresh()

    def summary(self) -> RenderableType:
        """Return what is left to read when the demo is over."""
        parts: list[RenderableType] = []
        if self._live is not None:
            for trace in (self._traces.fullest, self._traces.failed):
                if trace is not None:
                    parts += [self._tree(trace), Text()]
        if not self.first_trace.is_set():
            parts.append(Text("no trace has come: the bot had no time to start; give it more --seconds", "yellow"))
        parts += [self._table(None), self._counts()]
        if self._page:
            own = "a bot of your own: otelbot-instrument --dashboard python bot.py"
            parts.append(Text(f"The dashboard was at {self._page}; {own}"))
        return Group(*parts)

    def _address(self) -> Text:
        return Text("dashboard: ", "bold").append(f"{self._page}", f"bold underline cyan link {self._page}")

    def _screen(self) -> Layout:
        header = _HEADER + bool(self._page)
        space = self._console.size.height - header - 4  # the panels' borders
        fullest = len(self._traces.fullest.spans) if self._traces.fullest else 0
        traces_lines = max(space * 3 // 5, min(fullest, space - 5))
        rows = space - traces_lines
        known = len(self._receiver.metrics)
        title = "metrics" if known < rows else f"metrics, {max(rows - 1, 0)} of {known}: all of them at the end"
        hint = "   stopping …" if self._stopping else "   Ctrl-C stops"
        counts = self._counts().append(hint, "dim")
        head = Group(self._address(), counts) if self._page else counts
        layout = Layout()
        layout.split_column(
            Layout(Panel(head, title="otelbot demo", border_style="cyan"), size=header),
            Layout(Panel(self._latest(traces_lines), title="traces", title_align="left"), size=traces_lines + 2),
            Layout(Panel(self._table(rows), title=title, title_align="left")),
        )
        return layout

    def _counts(self) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis")
        for number, what in ((self._spans, "spans"), (len(self._receiver.metrics), "metrics"), (self._logs, "logs")):
            text.append(str(number), "bold green").append(f" {what}   ")
        return text.append(f"{time.monotonic() - self._began:.0f} s", "bold")

    def _latest(self, lines: int) -> RenderableType:
        """Show the fullest trace, which says most, one that failed, and as many of the latest as there is room for."""
        fullest, failed = self._traces.fullest, self._traces.failed
        if fullest is None:
            return Text("waiting for the first trace …", "dim")
        kept = len(failed.spans) if failed is not None and failed is not fullest else 0
        kept = kept if kept <= lines // 3 else 0
        first = min(len(fullest.spans), lines - kept)
        shown: list[RenderableType] = [self._tree(fullest, first)]
        lines -= first
        for trace in (*([failed] if kept and failed else []), *reversed(self._traces.finished.values())):
            if trace is fullest or (kept and trace is failed and len(shown) > 1):
                continue
            if len(trace.spans) <= lines:
                lines -= len(trace.spans)
                shown.append(self._tree(trace))
        return Group(*shown)

    def _tree(self, trace: Trace, lines: int | None = None) -> RenderableType:
        """Show a trace, the earliest span first; of one that is longer than `lines`, how much is left out."""
        root = trace.root
        if root is None:
            return Text()
        spare = len(trace.spans) if lines is None or lines >= len(trace.spans) else lines - 1
        tree = Tree(self._label(root), guide_style="dim")
        waiting, left_out = [(root, tree)], len(trace.spans) - spare
        spare -= 1
        while waiting:
            parent, branch = waiting.pop(0)
            for span in trace.children(parent)[: max(spare, 0)]:
                waiting.append((span, branch.add(self._label(span))))
                spare -= 1
        if left_out > 0:
            tree.add(Text(f"… and {left_out} more", "dim"))
        return tree

    def _label(self, span: SpanView) -> Text:
        bad = span.status == "ERROR"
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{self._bad if bad else self._good} ", "bold red" if bad else "green")
        text.append(_system(span), "cyan")
        text.append(span.name, "bold" if not span.parent_span_id else "")
        text.append(f"  {span.seconds * 1000:.1f} ms", "yellow")
        facts = [str(span.attributes[key]) for key in _TELLING if key in span.attributes]
        telling = [fact for fact in facts if fact != span.name]
        return text.append("".join(f"  {value}" for value in telling[:2]), "dim")

    def _table(self, lines: int | None) -> RenderableType:
        """Show the metrics, as many as there are lines: those of the bot first, their busiest series first."""
        table = Table(box=None, padding=(0, 1), expand=True, header_style="bold")
        table.add_column("metric", no_wrap=True, overflow="ellipsis", min_width=33)
        table.add_column("attributes", no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
        table.add_column("value", no_wrap=True, justify="right", overflow="ellipsis", min_width=24)
        metrics = sorted(self._receiver.metrics.values(), key=_order)
        # One line for the table's head and one for each metric; what is left goes to the first ones.
        spare = None if lines is None else max(lines - 1 - len(metrics), 0)
        wide = self._console.width >= _WIDE
        for metric in metrics:
            # The resource of a process may grow, e.g. by its bot's name: the later one counts.
            latest = {_condensed(attributes, named=True): (attributes, value) for attributes, value, _ in metric.points}
            busiest = sorted(latest.values(), key=lambda point: _weight(point[1]), reverse=True)
            if spare is not None:
                busiest = busiest[: 1 + min(spare, SERIES - 1)]
                spare -= max(len(busiest) - 1, 0)
            for number, (attributes, value) in enumerate(busiest):
                name = "" if number else metric.name
                table.add_row(name, _condensed(attributes, named=wide), _value(value, metric))
        return table


def _system(span: SpanView) -> str:
    """Say which other system a span talks to."""
    if "telegram.method" in span.attributes:
        return "Bot API "
    if "db.system.name" in span.attributes:
        system = str(span.attributes["db.system.name"])
        return _DATABASES.get(system, f"{system} ")
    return "HTTP " if span.kind == "CLIENT" and "http.request.method" in span.attributes else ""


def _order(metric: MetricView) -> tuple[int, str]:
    family = next((n for n, prefix in enumerate(_FAMILIES) if metric.name.startswith(prefix)), len(_FAMILIES))
    return family, metric.name


def _weight(value: float | Distribution) -> float:
    return value[0] if isinstance(value, tuple) else value


def _condensed(attributes: Attributes, *, named: bool) -> str:
    if named:
        return " ".join(f"{_short_key(key)}={value}" for key, value in attributes.items())
    return " ".join(str(value) for value in attributes.values())


def _short_key(key: str) -> str:
    """Leave out of an attribute's name which family it belongs to, but keep `update.type` apart from `error.type`."""
    family, _, rest = key.partition(".")
    return rest if "." in rest else rest if family in _PLAIN_FAMILIES and rest else key


def _value(value: float | Distribution, metric: MetricView) -> Text:
    unit = "" if metric.unit.startswith("{") or metric.unit == "1" else metric.unit
    if not isinstance(value, tuple):
        return Text(_short(value, unit), "bold")
    count, total, bounds, buckets = value
    average = total / count if count else 0.0
    text = Text(f"{count} x {_short(average, unit)}", "bold")
    if count and bounds:
        text.append(f"  p95 {_short(quantile(0.95, bounds, buckets), unit)}", "yellow")
    return text


def _short(value: float, unit: str) -> str:
    if unit == "s" and value < 1:
        return f"{value * 1000:.3g} ms"
    if unit == "By":
        return f"{value / 2**20:.1f} MiB"
    return f"{value:.6g} {unit}".rstrip() if float(value).is_integer() else f"{value:.3g} {unit}".rstrip()


def quantile(q: float, bounds: list[float], buckets: list[int]) -> float:
    """Estimate a quantile as Prometheus does: linear within the bucket, the last bound for what lies beyond it."""
    rank = q * sum(buckets)
    seen = 0
    lower = 0.0
    for bound, inside in zip(bounds, buckets, strict=False):
        if inside and seen + inside >= rank:
            return lower + (bound - lower) * (rank - seen) / inside
        seen += inside
        lower = bound
    return bounds[-1]
