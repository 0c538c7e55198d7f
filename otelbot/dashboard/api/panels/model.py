"""What a panel is made of. `$select` of a query stands for the service that is shown, or for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from otelbot.alerts.promql import grown, series
from otelbot.alerts.rule import Text

if TYPE_CHECKING:
    from otelbot import signals

Unit = Literal["seconds", "bytes", "count", "ratio", "per_minute", "text"]
#: A line, filled to the ground (area), bars side by side, cells of colour, a table, or a table that is a funnel.
Kind = Literal["line", "area", "bar", "heatmap", "table", "funnel"]

HANDLER_TEXT = Text("Handler", "handler")
CALLS_TEXT = Text("Calls", "فراخوانی‌ها")
ERRORS_TEXT = Text("Errors", "خطاها")
P50_TEXT = Text("p50", "صدک ۵۰")
P95_TEXT = Text("p95", "صدک ۹۵")
P99_TEXT = Text("p99", "صدک ۹۹")


@dataclass(frozen=True)
class Query:
    """A query of lines or bars; in `name`, which is a line's legend, `{label}` stands for a label's value."""

    expr: str
    name: str


@dataclass(frozen=True)
class Column:
    """A column of a table: its query has one value for each row."""

    id: str
    title: Text
    expr: str
    unit: Unit = "count"


@dataclass(frozen=True)
class Panel:
    """One panel.

    :param rows: of a table: the labels whose values name a row, each with its column's title.
    :param columns: of a table; it is sorted by the first of them, the largest first.
    """

    id: str
    title: Text
    help: Text
    unit: Unit
    kind: Kind
    queries: tuple[Query, ...] = ()
    rows: tuple[tuple[str, Text], ...] = ()
    columns: tuple[Column, ...] = ()


PROCESS = "service_name, service_instance_id"


def of_each_process(instrument: signals.Instrument, *by: str) -> str:
    """Return a gauge of each process, and of each of `by` in it.

    Once a bot is known its id is on the resource: for a while a process has the series that it began with as well.
    """
    return f"max by ({', '.join((PROCESS, *by))}) (last_over_time({series(instrument)}[90s]))"


def per_minute(by: str, selector: str, window: str, seconds: int) -> str:
    """Return how many a minute there were within `window`, of `seconds`, the first one of a kind as well."""
    return f"{60 / seconds:g} * sum by ({by}) ({grown(selector, window)})"


def total(selector: str, range_: str) -> str:
    """Return by how much each counter has grown within a range; of what ran before anybody knew it, since then."""
    return f"({grown(selector, range_)} or increase({selector}[{range_}]))"


def average(instrument: signals.Instrument, window: str, *, by: str = "", matchers: tuple[str, ...] = ()) -> str:
    """Return the mean of what a histogram observed within `window`; none where it observed nothing."""
    observed = grown(series(instrument, *matchers, part="_sum"), window)
    count = grown(series(instrument, *matchers, part="_count"), window)
    return f"(sum by ({by}) ({observed}) / sum by ({by}) ({count}) >= 0)"


def quantile_of_range(share: float, instrument: signals.Instrument, range_: str, by: str) -> str:
    """Return the quantile of a histogram over a whole range."""
    return (
        f"(histogram_quantile({share:g}, sum by (le, {by}) ({total(series(instrument, part='_bucket'), range_)})) >= 0)"
    )


def quantiles(instrument: signals.Instrument, range_: str, by: str) -> tuple[Column, ...]:
    """Return the columns that every table of durations ends with."""
    return tuple(
        Column(f"p{share * 100:.0f}", title, quantile_of_range(share, instrument, range_, by), "seconds")
        for share, title in ((0.5, P50_TEXT), (0.95, P95_TEXT), (0.99, P99_TEXT))
    )
