"""Is all well? What a person looks at first, also on a phone."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts import rules
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import logs, traces
from otelbot.stack.dashboards.panels import Panel, Query, shown

UPDATES = series(signals.UPDATE_DURATION, part="_count")
FAILED = series(signals.UPDATE_DURATION, f'{label(signals.UPDATE_OUTCOME)}=~"error|error_handled"', part="_count")
_HOUR = series(signals.USERS_ACTIVE, 'window="1h"')
_ALL_UPDATES = traces("kind = consumer")
_FAILED_UPDATES = traces('span.telegram.update.outcome =~ "error|error_handled"', "Failed updates")
_ERROR_LOGS = logs('| severity_text =~ "ERROR|FATAL"', "Errors in the log")


def _stat(title: str, description: str, expr: str, unit: str, **options: object) -> Panel:
    return Panel(title, description, (Query(expr),), unit, "stat", width=4, height=4, **options)  # type: ignore[arg-type]


DASHBOARD = Dashboard(
    "otelbot-overview",
    "Overview",
    "Is the bot well? Traffic, answer times, errors, firing alerts and what was deployed.",
    (
        Row(
            "Now",
            (
                _stat(
                    "Updates",
                    "Updates a minute, of all types.",
                    f"60 * sum(rate({UPDATES}[5m]))",
                    "opm",
                    link=_ALL_UPDATES,
                ),
                _stat(
                    "Handled well",
                    "Share of the updates in the dashboard's time that were handled without an error; the goal"
                    " is 99 %.",
                    f"1 - (sum(increase({FAILED}[$__range])) or vector(0)) /"
                    f" clamp_min(sum(increase({UPDATES}[$__range])), 1)",
                    "percentunit",
                    link=_FAILED_UPDATES,
                    limits=(rules.SLO, 0.95),
                ),
                _stat(
                    "Answer time",
                    "95th percentile, over 5 minutes, of the time from an update's arrival to the end of its handling.",
                    f"max({rules.SLOW_UPDATES.expr})",
                    "s",
                    link=traces("kind = consumer && duration > 1s", "Slow updates"),
                    limits=(1, rules.SLOW_UPDATES.threshold),
                ),
                _stat(
                    "Active users",
                    "Different users within the last hour.",
                    f"sum(max by (service_name, telegram_bot_id) ({_HOUR}))",
                    "short",
                    link=_ALL_UPDATES,
                ),
                _stat(
                    "Errors",
                    "Errors within the last hour: of handlers, Telegram, databases and other services.",
                    f"sum({grown(series(signals.ERRORS), '1h')}) or vector(0)",
                    "short",
                    link=_ERROR_LOGS,
                    limits=(1, 100),
                ),
                _stat(
                    "Last sign of life",
                    "Of the bot that has been silent for the longest: time since a successful getUpdates or a metric.",
                    f"max({rules.BOT_SILENT.expr})",
                    "s",
                    link=logs(title="Last words"),
                    limits=(60, rules.BOT_SILENT.threshold),
                ),
            ),
        ),
        Row(
            "Alerts and goal",
            (
                Panel(
                    "Firing alerts",
                    "Alerts that fire or are about to; each leads to its rule, which names its panel and its runbook.",
                    kind="alerts",
                    link=_ERROR_LOGS,
                    width=8,
                ),
                Panel(
                    "Error budget",
                    "How many times faster than allowed updates fail: at 1 the budget of 1 % is just used up."
                    " Over the last"
                    " hour and the last 5 minutes, the smaller of both.",
                    **shown(rules.BUDGET_FAST, "{{service_name}}"),
                    link=_FAILED_UPDATES,
                    width=8,
                ),
                Panel(
                    "Error budget, for hours",
                    "The same over the last 6 hours and the last 30 minutes.",
                    **shown(rules.BUDGET_SLOW, "{{service_name}}"),
                    link=_FAILED_UPDATES,
                    width=8,
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                Panel(
                    "Updates by outcome",
                    "Updates a minute. `error` is an exception that nobody handled, `unhandled` that no handler"
                    " wanted it.",
                    (
                        Query(
                            f"60 * sum by (telegram_update_outcome) (rate({UPDATES}[$interval]))",
                            "{{telegram_update_outcome}}",
                        ),
                    ),
                    "opm",
                    link=_ALL_UPDATES,
                    stacked=True,
                ),
                Panel(
                    "Slow answers",
                    "95th percentile of the handling of updates. The dots are single updates: a click opens the trace.",
                    (
                        Query(rules.SLOW_UPDATES.expr, "{{service_name}} p95"),
                        Query(quantile(0.5, signals.UPDATE_DURATION, "5m"), "{{service_name}} median", exemplars=True),
                    ),
                    "s",
                    rule=rules.SLOW_UPDATES,
                    link=traces("kind = consumer && duration > 1s", "Slow updates"),
                ),
                Panel(
                    "Errors a minute",
                    "Errors within a minute, of every kind.",
                    **shown(rules.ERROR_RATE, "{{service_name}}"),
                    link=_ERROR_LOGS,
                ),
                Panel(
                    "Silence",
                    "Time since a bot's last sign of life: a successful getUpdates, or any metric.",
                    **shown(rules.BOT_SILENT, "{{service_name}} {{telegram_bot_id}}"),
                    link=logs(title="Last words"),
                ),
            ),
        ),
        Row(
            "Processes",
            (
                Panel(
                    "Memory",
                    "Physical memory of the largest process of each service.",
                    **shown(rules.MEMORY_HIGH, "{{service_name}}"),
                    link=logs(),
                ),
                Panel(
                    "Running now",
                    "Each process, with its version and how long it has been running.",
                    (
                        Query(
                            "min by (service_name, service_version, telegram_bot_id, host_name, service_instance_id)"
                            f" ({series(signals.PROCESS_UPTIME)})"
                        ),
                    ),
                    "s",
                    "table",
                    logs(),
                    column="Running for",
                ),
                Panel(
                    "Service map",
                    "Who calls whom, from the traces: the bot, Telegram, databases and other services.",
                    (Query(""),),
                    "short",
                    "map",
                    _ALL_UPDATES,
                    width=24,
                    height=10,
                ),
            ),
        ),
    ),
)
