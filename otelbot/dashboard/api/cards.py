"""The figures that a person looks at first: each with its value now, whether that is well, and a line of the range."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from otelbot import signals
from otelbot.alerts import rules
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.dashboard import promql
from otelbot.dashboard.api.evaluation import filled
from otelbot.dashboard.api.panels import number
from otelbot.dashboard.api.panels.model import average, of_each_process, per_minute, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelbot.alerts.rule import Rule
    from otelbot.dashboard.api.evaluation import Evaluation, Resolution
    from otelbot.dashboard.promql import Source

Status = Literal["ok", "warning", "critical"]

_UPDATES = series(signals.UPDATE_DURATION, part="_count")
_FAILED = series(signals.UPDATE_DURATION, f'{label(signals.UPDATE_OUTCOME)}=~"error|error_handled"', part="_count")
_REFUSALS = series(signals.API_REJECTIONS)
_MEMORY = of_each_process(signals.PROCESS_MEMORY)
#: Fewer updates than these within 5 minutes say little about the share that fails.
_FEW = 20
#: Points of a card's line.
_SPARK = 60


def cards(
    evaluation: Evaluation,
    source: Source,
    at: Resolution,
    service: str | None,
    now: float,
    polls: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the cards.

    :param now: seconds since the epoch.
    :param polls: the newest points of POLLING_AGE of the range (`store.series.latest`).
    """

    def value(expr: str) -> float | None:
        samples = promql.instant(filled(expr, service), source, now)
        return samples[0].value if samples and math.isfinite(samples[0].value) else None

    def spark(expr: str) -> list[list[float | None]]:
        lines = evaluation.range(filled(expr, service), source, now - at.seconds, now, at.step)
        points = lines[0].points if lines else []
        every = max(len(points) // _SPARK, 1)
        # Counted from the end, so that the newest point is always there.
        return [[round(time * 1000), number(what)] for time, what in points[::-1][::every][::-1]]

    def beyond(rule: Rule) -> Status:
        values = [sample.value for sample in promql.instant(filled(rule.expr, service), source, now)]
        if not any(found > rule.threshold for found in values):
            return "ok"
        return "warning" if rule.severity in {"info", "warning"} else "critical"

    recent = value(f"sum({grown(_UPDATES, '5m')})") or 0
    failed = value(_failed_share("5m"))
    mean = value(average(signals.UPDATE_DURATION, "5m"))
    if mean is None:
        mean = value(_mean_of_range(at))
    users = {
        sample.labels.get(signals.WINDOW, ""): number(sample.value)
        for sample in promql.instant(filled(_users(), service), source, now)
    }
    updates_a_minute = per_minute("", _UPDATES, at.window, at.window_seconds)
    return {
        "messages_processed": {
            "value": round(value(f"sum({total(_UPDATES, at.range)})") or 0),
            "per_minute": number(value(f"sum({grown(_UPDATES, '1m')})") or 0.0),
            "unit": "count",
            "status": "ok",
            "spark": spark(updates_a_minute),
        },
        "average_response_time": {
            "value": number(mean),
            "p95": number(value(quantile(0.95, signals.UPDATE_DURATION, "5m", by=""))),
            "unit": "seconds",
            "status": beyond(rules.SLOW_UPDATES),
            "spark": spark(average(signals.UPDATE_DURATION, at.window)),
        },
        "memory": {
            "value": number(value(f"sum({_MEMORY})")),
            "processes": round(value(f"count({_MEMORY})") or 0),
            "unit": "bytes",
            "status": beyond(rules.MEMORY_HIGH),
            "spark": spark(f"sum({_MEMORY})"),
        },
        "active_users": {
            "value": users.get("1h"),
            "windows": users,
            "unit": "count",
            "status": "ok",
            "spark": spark(_users('window="1h"')),
        },
        "error_rate": {
            "value": number(failed),
            "unit": "ratio",
            "status": _failing(failed or 0, recent, beyond(rules.ERROR_RATE)),
            "spark": spark(_failed_share(at.window)),
        },
        "api_refusals": {
            "value": round(value(f"sum({total(_REFUSALS, at.range)})") or 0),
            "unit": "count",
            "status": _worst(beyond(rules.TOKEN_REVOKED), beyond(rules.FLOOD_CONTROL)),
            "spark": spark(f"sum({grown(_REFUSALS, at.window)})"),
        },
        "polling": _polling(polls, service, now) | {"spark": spark(f"max({of_each_process(signals.POLLING_AGE)})")},
    }


def _users(*matchers: str) -> str:
    by = f"service_name, telegram_bot_id, {signals.WINDOW}"
    return f"sum by ({signals.WINDOW}) (max by ({by}) ({series(signals.USERS_ACTIVE, *matchers)}))"


def _failed_share(window: str) -> str:
    every = f"sum({grown(_UPDATES, window)})"
    return f"(sum({grown(_FAILED, window)}) or 0 * {every}) / ({every} > 0)"


def _mean_of_range(at: Resolution) -> str:
    seconds = total(series(signals.UPDATE_DURATION, part="_sum"), at.range)
    return f"sum({seconds}) / (sum({total(_UPDATES, at.range)}) > 0)"


def _failing(share: float, updates: float, many: Status) -> Status:
    """By the goal of the error budget, and the pace at which it is used up in two days."""
    if updates < _FEW:
        return many
    pace = share / (1 - rules.SLO)
    return "critical" if pace > rules.BUDGET_FAST.threshold else _worst(many, "warning" if pace > 1 else "ok")


def _worst(*statuses: Status) -> Status:
    return "critical" if "critical" in statuses else "warning" if "warning" in statuses else "ok"


def _polling(polls: list[dict[str, Any]], service: str | None, now: float) -> dict[str, Any]:
    """Return for how long the bot that has waited longest has had no answer to getUpdates; null where none polls."""
    ages: dict[tuple[str, str], float] = {}
    for point in polls:
        labels: Mapping[str, str] = point["labels"]
        if service not in {None, labels.get("service_name")}:
            continue
        # What a process that has ended said last is as old as that.
        age = point["value"] + max(now - point["time"] / 1000, 0)
        bot = (labels.get("service_name", ""), labels.get(label(signals.BOT_ID), ""))
        ages[bot] = min(age, ages.get(bot, math.inf))
    worst = max(ages.values(), default=None)
    status = "none" if worst is None else "silent" if worst > rules.BOT_SILENT.threshold else "ok"
    return {"value": number(worst), "unit": "seconds", "status": status}
