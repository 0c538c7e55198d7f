"""What comes in and what the bot does with it."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts import rules
from otelbot.alerts.promql import grown, quantile, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import traceql, traces
from otelbot.stack.dashboards.panels import Panel, Query

UPDATES = series(signals.UPDATE_DURATION, part="_count")
HANDLERS = series(signals.HANDLER_DURATION, part="_count")
_FAILED_HANDLERS = series(signals.HANDLER_DURATION, 'error_type!=""', part="_count")
_BUCKETS = series(signals.UPDATE_DURATION, part="_bucket")
_OF_HANDLER = 'span.aiogram.handler.name = "${__field.labels.aiogram_handler_name}"'
_TIME = series(signals.HANDLER_DURATION, part="_sum")
_HANDLER = "aiogram_handler_name"
_ALL = traces("kind = consumer")
_SLOW = traces("kind = consumer && duration > 1s", "Slow updates")
_FAILED = traces('span.telegram.update.outcome =~ "error|error_handled"', "Failed updates")
_DRILL = traces(_OF_HANDLER, "Traces of this handler")

DASHBOARD = Dashboard(
    "otelbot-updates",
    "Updates & handlers",
    "What comes in, which handlers take it, how long they need and where they fail.",
    (
        Row(
            "Updates",
            (
                Panel(
                    "Updates by type",
                    "Updates a minute, by the Bot API's types.",
                    (
                        Query(
                            f"60 * sum by (telegram_update_type) (rate({UPDATES}[$interval]))",
                            "{{telegram_update_type}}",
                        ),
                    ),
                    "opm",
                    link=_ALL,
                    stacked=True,
                ),
                Panel(
                    "In work",
                    "Updates that are being handled at the same time; it grows when handlers are slower than users.",
                    (Query(f"sum by (service_name) ({series(signals.UPDATE_ACTIVE)})", "{{service_name}}"),),
                    link=_SLOW,
                ),
                Panel(
                    "Answer times",
                    "How long updates took; each cell is a number of updates. The median is on the overview.",
                    (Query(f"sum by (le) (increase({_BUCKETS}[$interval]))", exemplars=True),),
                    "s",
                    "heatmap",
                    _SLOW,
                ),
                Panel(
                    "Waiting before handling",
                    "95th percentile, over 2 minutes, of the time from a message's date at Telegram (whole seconds) to"
                    " its handling.",
                    (Query(rules.UPDATE_BACKLOG.expr, "{{service_name}}"),),
                    "s",
                    rule=rules.UPDATE_BACKLOG,
                    link=_ALL,
                ),
            ),
        ),
        Row(
            "Handlers",
            (
                Panel(
                    "Busiest handlers",
                    "Runs a minute of the ten busiest handlers. A click on a line leads to its traces.",
                    (
                        Query(
                            f"topk(10, 60 * sum by ({_HANDLER}) (rate({HANDLERS}[$interval])))",
                            "{{aiogram_handler_name}}",
                        ),
                    ),
                    "opm",
                    link=_ALL,
                    drill=_DRILL,
                ),
                Panel(
                    "Slowest handlers",
                    "95th percentile of the ten slowest handlers; the dots are single runs, with their traces.",
                    (
                        Query(
                            f"topk(10, {quantile(0.95, signals.HANDLER_DURATION, '$interval', by=_HANDLER)})",
                            "{{aiogram_handler_name}}",
                            exemplars=True,
                        ),
                    ),
                    "s",
                    link=_SLOW,
                    drill=_DRILL,
                ),
                Panel(
                    "Failing handlers",
                    "Runs that ended with an exception, by handler and class of the exception.",
                    (
                        Query(
                            f"sum by ({_HANDLER}, error_type) ({grown(_FAILED_HANDLERS, '$interval')})",
                            "{{aiogram_handler_name}} {{error_type}}",
                        ),
                    ),
                    kind="bars",
                    link=_FAILED,
                    drill=traces(f"{_OF_HANDLER} && status = error", "Failed runs of this handler"),
                ),
                Panel(
                    "Time spent",
                    "Share of all handling time that each handler takes: where making it faster pays.",
                    (
                        Query(
                            f"topk(10, sum by ({_HANDLER}) (rate({_TIME}[$interval])))"
                            f" / scalar(sum(rate({_TIME}[$interval])))",
                            "{{aiogram_handler_name}}",
                        ),
                    ),
                    "percentunit",
                    link=_SLOW,
                    drill=_DRILL,
                ),
            ),
        ),
        Row(
            "Traces",
            (
                Panel(
                    "Failed updates",
                    "The latest updates whose handling failed; a click on one opens its trace.",
                    (Query(traceql('span.telegram.update.outcome =~ "error|error_handled"')),),
                    kind="traces",
                    link=_FAILED,
                ),
                Panel(
                    "Slow updates",
                    "The latest updates that took longer than a second.",
                    (Query(traceql("kind = consumer && duration > 1s")),),
                    kind="traces",
                    link=_SLOW,
                ),
            ),
        ),
    ),
)
