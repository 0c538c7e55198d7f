"""The names that Prometheus gives to the instruments of `signals.py`, and the few forms that queries are made of.

`$select` inside the braces of a query stands for a dashboard's variables; an alert rule, which looks at everything, has
nothing there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otelbot import signals

if TYPE_CHECKING:
    from otelbot.signals import Instrument

#: What an alert names, and what the series of one bot have in common over its instances and restarts.
BY = "service_name, deployment_environment_name"

_UNITS = {"s": "seconds", "By": "bytes"}
#: One process, as one bot's: its counters begin anew with a second bot, when the bot's id leaves the resource.
_PROCESS = f"service_name, service_instance_id, {signals.BOT_ID.replace('.', '_')}"
_LONGEST_START = 300  # seconds from a process's start to its first metric, at most
_SECONDS = {
    "1m": 60,
    "2m": 120,
    "5m": 300,
    "10m": 600,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "6h": 21_600,
    "24h": 86_400,
}


def name(instrument: Instrument) -> str:
    """Return an instrument's name in Prometheus; of a histogram without `_bucket`, `_count` or `_sum`.

    By `translation_strategy: UnderscoreEscapingWithSuffixes`,
    https://prometheus.io/docs/prometheus/latest/configuration/configuration/#configuration-file
    """
    words = [instrument.name.replace(".", "_")]
    if unit := _UNITS.get(instrument.unit):
        words.append(unit)
    elif instrument.unit == "1" and instrument.kind == "observable_gauge":
        words.append("ratio")
    if instrument.kind in {"counter", "observable_counter"}:
        words.append("total")
    return "_".join(words)


def label(attribute: str) -> str:
    """Return the label that an attribute becomes."""
    return attribute.replace(".", "_")


def series(instrument: Instrument, *matchers: str, part: str = "") -> str:
    """Return a selector, e.g. `telegram_bot_errors_total{component="http",$select}`.

    :param part: of a histogram `_bucket`, `_count` or `_sum`.
    """
    return f"{name(instrument)}{part}{{{','.join((*matchers, '$select'))}}}"


def grown(selector: str, window: str) -> str:
    """Return by how much each counter has grown within `window`, in whole numbers.

    `increase` does not see the first event of a series, and an error of a new kind begins a series: here a series that
    was not there at the window's beginning counts in full, and one that ended within the window, with its process,
    still counts. One that was silent for less than an hour was there. Of a process that runs for longer than anybody
    has known of it (Prometheus was away, or is new) nobody can tell, and nothing is counted.
    """
    now = f"last_over_time({selector}[{window}])"
    uptime = series(signals.PROCESS_UPTIME)
    unknown = (
        f"({uptime} > {_LONGEST_START + _SECONDS.get(window, 3600)}"
        f" unless on ({_PROCESS}) last_over_time({uptime}[1h] offset {window}))"
    )
    return f"(({now} - last_over_time({selector}[1h] offset {window})) >= 0 or {now} unless on ({_PROCESS}) {unknown})"


def or_zero(expr: str, by: str = BY) -> str:
    """Return `expr`, by `by`, with 0 for each bot of which it says nothing: what never happened is no missing data."""
    return f"({expr} or 0 * max by ({by}) ({series(signals.PROCESS_UPTIME)}))"


def quantile(share: float, instrument: Instrument, window: str, *, by: str = BY, matchers: tuple[str, ...] = ()) -> str:
    """Return the quantile of a histogram over `window`, which sees the first observations as well.

    Where nothing was observed there is no value: Grafana before 11 takes NaN to be beyond any threshold.
    """
    buckets = grown(series(instrument, *matchers, part="_bucket"), window)
    return f"(histogram_quantile({share:g}, sum by (le, {by}) ({buckets})) >= 0)"


def select(query: str, matchers: str = "") -> str:
    """Fill `$select` in."""
    if matchers:
        return query.replace("$select", matchers)
    return re.sub(r",?\$select|\{\$select\}", "", query).replace("{}", "")
