"""PostgreSQL, Redis and other people's services, as the bot sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot import signals
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.alerts.rule import Text
from otelbot.dashboard.api.panels.model import (
    CALLS_TEXT,
    ERRORS_TEXT,
    Column,
    Panel,
    Query,
    of_each_process,
    per_minute,
    quantiles,
    total,
)

if TYPE_CHECKING:
    from otelbot.dashboard.api.evaluation import Resolution

_SYSTEM = label(signals.DB_SYSTEM)
_OPERATION = label(signals.DB_OPERATION)
_BY = f"{_SYSTEM}, {_OPERATION}"
_POOL_NAME = label(signals.DB_POOL)
_POOL = f"{_SYSTEM}, {_POOL_NAME}"
_STATE = label(signals.DB_CONNECTION_STATE)
_ERROR = label(signals.ERROR_TYPE)
_HOST = label(signals.SERVER_ADDRESS)
_NAME = f"{{{_SYSTEM}}} {{{_OPERATION}}}"


def panels(at: Resolution) -> tuple[Panel, ...]:
    calls = series(signals.DB_DURATION, part="_count")
    failed = series(signals.DB_DURATION, f'{_ERROR}!=""', part="_count")
    http = series(signals.HTTP_DURATION, part="_count")
    most = of_each_process(signals.DB_CONNECTIONS_MAX, _POOL)
    return (
        Panel(
            "rate",
            Text("Operations", "عملیات"),
            Text("Statements, commands and pipelines a minute.", "شمار دستورها و pipelineها در دقیقه."),
            "per_minute",
            "area",
            (Query(per_minute(_BY, calls, at.window, at.window_seconds), _NAME),),
        ),
        Panel(
            "durations",
            Text("Durations", "مدت عملیات"),
            Text("95th percentile of each operation.", "صدک ۹۵ مدت هر نوع عملیات."),
            "seconds",
            "line",
            (Query(quantile(0.95, signals.DB_DURATION, at.window, by=_BY), _NAME),),
        ),
        Panel(
            "operations",
            Text("Operations in detail", "جزئیات عملیات"),
            Text(
                "Each operation within the range: how many there were, how many failed, and how long they took.",
                "هر نوع عملیات در این بازه: شمار، ناموفق‌ها و مدت آن.",
            ),
            "count",
            "table",
            rows=((_SYSTEM, Text("System", "سامانه")), (_OPERATION, Text("Operation", "عملیات"))),
            columns=(
                Column("calls", CALLS_TEXT, f"sum by ({_BY}) ({total(calls, at.range)})"),
                Column("errors", ERRORS_TEXT, f"sum by ({_BY}) ({total(failed, at.range)})"),
                *quantiles(signals.DB_DURATION, at.range, _BY),
            ),
        ),
        Panel(
            "errors",
            Text("Failed operations", "عملیات ناموفق"),
            Text("Operations that failed, by class of the exception.", "عملیات ناموفق بر حسب کلاس استثنا."),
            "count",
            "bar",
            (
                Query(
                    f"sum by ({_SYSTEM}, {_ERROR}) ({grown(failed, at.bar)}) > 0",
                    f"{{{_SYSTEM}}} {{{_ERROR}}}",
                ),
            ),
        ),
        Panel(
            "pool",
            Text("Connections", "اتصال‌ها"),
            Text(
                "Connections of each pool: used, idle, and the most that it may open.",
                "اتصال‌های هر استخر: در حال استفاده، بیکار، و بیشترین شمار مجاز.",
            ),
            "count",
            "line",
            (
                Query(
                    f"sum by ({_POOL}, {_STATE}) ({of_each_process(signals.DB_CONNECTIONS, _POOL, _STATE)})",
                    f"{{{_POOL_NAME}}} {{{_STATE}}}",
                ),
                Query(f"sum by ({_POOL}) ({most})", f"{{{_POOL_NAME}}} max"),
            ),
        ),
        Panel(
            "wait",
            Text("Waiting for a connection", "انتظار برای اتصال"),
            Text(
                "95th percentile of the time that it takes to get a connection from a pool.",
                "صدک ۹۵ زمان گرفتن یک اتصال از استخر.",
            ),
            "seconds",
            "line",
            (Query(quantile(0.95, signals.DB_WAIT_TIME, at.window, by=_POOL), f"{{{_POOL_NAME}}}"),),
        ),
        Panel(
            "connection_failures",
            Text("Failed connections", "اتصال‌های ناموفق"),
            Text(
                "Connections that could not be made, and those that a pool did not have in time.",
                "اتصال‌هایی که برقرار نشدند، و آن‌هایی که استخر به‌موقع نداشت.",
            ),
            "count",
            "bar",
            (
                Query(
                    f"sum by ({_SYSTEM}) ({grown(series(signals.DB_CONNECTION_FAILURES), at.bar)}) > 0",
                    f"{{{_SYSTEM}}}",
                ),
                Query(
                    f"sum by ({_POOL}) ({grown(series(signals.DB_TIMEOUTS), at.bar)}) > 0", f"{{{_POOL_NAME}}} timeout"
                ),
            ),
        ),
        Panel(
            "http",
            Text("Other services", "سرویس‌های دیگر"),
            Text(
                "HTTP requests a minute by host; those to the Bot API are on Telegram's page.",
                "شمار درخواست‌های HTTP در دقیقه بر حسب میزبان. درخواست‌های Bot API در صفحهٔ تلگرام‌اند.",
            ),
            "per_minute",
            "area",
            (Query(per_minute(_HOST, http, at.window, at.window_seconds), f"{{{_HOST}}}"),),
        ),
        Panel(
            "http_durations",
            Text("Response times of other services", "زمان پاسخ سرویس‌های دیگر"),
            Text("95th percentile of HTTP requests by host.", "صدک ۹۵ درخواست‌های HTTP بر حسب میزبان."),
            "seconds",
            "line",
            (Query(quantile(0.95, signals.HTTP_DURATION, at.window, by=_HOST), f"{{{_HOST}}}"),),
        ),
    )
