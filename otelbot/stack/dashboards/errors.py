"""What went wrong, by kind and word by word."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts.promql import grown, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import logql, logs, traceql, traces
from otelbot.stack.dashboards.panels import Panel, Query

_ERRORS = series(signals.ERRORS)
_RECORDS = series(signals.LOG_RECORDS)
_FAILED = traces("status = error", "Failed spans")
_ERROR_LOGS = logs('| severity_text =~ "ERROR|FATAL"', "Errors in the log")

DASHBOARD = Dashboard(
    "otelbot-errors",
    "Errors & logs",
    "What failed and where, the log, and the traces of both.",
    (
        Row(
            "Errors",
            (
                Panel(
                    "Errors by part",
                    "Errors by the part of the bot that they came from.",
                    (Query(f"sum by (component) ({grown(_ERRORS, '$interval')})", "{{component}}"),),
                    kind="bars",
                    link=_FAILED,
                ),
                Panel(
                    "Errors by kind",
                    "Errors by the class of the exception, or the status of the answer. A click leads to their traces.",
                    (Query(f"sum by (error_type) ({grown(_ERRORS, '$interval')})", "{{error_type}}"),),
                    kind="bars",
                    link=_FAILED,
                    drill=traces('span.error.type = "${__field.labels.error_type}"', "Spans with this error"),
                ),
                Panel(
                    "Most frequent errors",
                    "In the dashboard's time.",
                    (
                        Query(
                            f"topk(10, sum by (error_type, component) (increase({_ERRORS}[$__range])))",
                            "{{component}}: {{error_type}}",
                        ),
                    ),
                    kind="ranking",
                    link=_FAILED,
                ),
                Panel(
                    "Log records",
                    "Records a minute, by severity.",
                    (Query(f"60 * sum by (severity) (rate({_RECORDS}[$interval]))", "{{severity}}"),),
                    "opm",
                    link=logs(),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Traces and logs",
            (
                Panel(
                    "Failed traces",
                    "The latest updates whose handling failed; a click on one opens its trace, and from there"
                    " its logs.",
                    (Query(traceql('span.telegram.update.outcome =~ "error|error_handled"')),),
                    kind="traces",
                    link=_FAILED,
                    width=24,
                ),
                Panel(
                    "Errors in the log",
                    "Records of ERROR and above; `trace_id` in a record's details opens its trace.",
                    (Query(logql('| severity_text =~ "ERROR|FATAL"')),),
                    kind="logs",
                    link=_ERROR_LOGS,
                    width=24,
                    height=10,
                ),
                Panel(
                    "Log",
                    "Everything that the bot logged.",
                    (Query(logql()),),
                    kind="logs",
                    link=logs(),
                    width=24,
                    height=12,
                ),
            ),
        ),
    ),
)
