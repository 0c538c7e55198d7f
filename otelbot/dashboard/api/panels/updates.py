"""What comes in and what the bot does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot import signals
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.alerts.rule import Text
from otelbot.dashboard.api.panels.model import (
    CALLS_TEXT,
    ERRORS_TEXT,
    HANDLER_TEXT,
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

_TYPE = label(signals.UPDATE_TYPE)
_OUTCOME = label(signals.UPDATE_OUTCOME)
_ERROR = label(signals.ERROR_TYPE)
_HANDLER = label(signals.HANDLER)


def panels(at: Resolution) -> tuple[Panel, ...]:
    updates = series(signals.UPDATE_DURATION, part="_count")
    failed = series(signals.UPDATE_DURATION, f'{_OUTCOME}=~"error|error_handled"', part="_count")
    buckets = series(signals.UPDATE_DURATION, part="_bucket")
    runs = series(signals.HANDLER_DURATION, part="_count")
    failed_runs = series(signals.HANDLER_DURATION, f'{_ERROR}!=""', part="_count")
    return (
        Panel(
            "rate",
            Text("Updates by type", "به‌روزرسانی‌ها بر حسب نوع"),
            Text(
                "Updates a minute, by the Bot API's types.", "شمار به‌روزرسانی‌ها در دقیقه، بر حسب نوع آن‌ها در Bot API."
            ),
            "per_minute",
            "area",
            (Query(per_minute(_TYPE, updates, at.window, at.window_seconds), f"{{{_TYPE}}}"),),
        ),
        Panel(
            "errors",
            Text("Failed updates", "به‌روزرسانی‌های ناموفق"),
            Text(
                "Updates whose handling ended with an exception, by its class; `error_handled` is one that an error"
                " handler took.",
                "به‌روزرسانی‌هایی که رسیدگی به آن‌ها با استثنا پایان یافت، بر حسب کلاس استثنا. `error_handled` یعنی"
                " یک error handler به آن رسیدگی کرد.",
            ),
            "count",
            "bar",
            (Query(f"sum by ({_OUTCOME}, {_ERROR}) ({grown(failed, at.bar)}) > 0", f"{{{_ERROR}}} {{{_OUTCOME}}}"),),
        ),
        Panel(
            "durations",
            Text("Response times", "زمان‌های پاسخ"),
            Text(
                "How long updates took; the colour of a cell says how many there were.",
                "مدت رسیدگی به به‌روزرسانی‌ها. رنگ هر خانه شمار آن‌ها را نشان می‌دهد.",
            ),
            "seconds",
            "heatmap",
            (Query(f"sum by (le) ({grown(buckets, at.bar)})", "{le}"),),
        ),
        Panel(
            "handlers",
            Text("Handlers", "handlerها"),
            Text(
                "Each handler within the range: its runs, those that ended with an exception, and how long they took,"
                " without filters and middlewares.",
                "هر handler در این بازه: شمار اجراها، اجراهایی که با استثنا پایان یافتند، و مدت آن‌ها بدون فیلترها و"
                " middlewareها.",
            ),
            "count",
            "table",
            rows=((_HANDLER, HANDLER_TEXT),),
            columns=(
                Column("calls", CALLS_TEXT, f"sum by ({_HANDLER}) ({total(runs, at.range)})"),
                Column("errors", ERRORS_TEXT, f"sum by ({_HANDLER}) ({total(failed_runs, at.range)})"),
                *quantiles(signals.HANDLER_DURATION, at.range, _HANDLER),
            ),
        ),
        Panel(
            "delay",
            Text("Waiting before handling", "انتظار پیش از رسیدگی"),
            Text(
                "95th percentile of the time from a message's date at Telegram, which has whole seconds, to the start"
                " of its handling.",
                "صدک ۹۵ زمان از تاریخ پیام در تلگرام، که دقت آن یک ثانیه است، تا آغاز رسیدگی به آن.",
            ),
            "seconds",
            "line",
            (Query(quantile(0.95, signals.UPDATE_DELAY, at.window, by="service_name"), "{service_name}"),),
        ),
        Panel(
            "active",
            Text("In work", "در حال رسیدگی"),
            Text(
                "Updates that are being handled at the same time; it grows when handlers are slower than users.",
                "شمار به‌روزرسانی‌هایی که هم‌زمان در حال رسیدگی‌اند. وقتی handlerها از کاربران کندتر باشند بیشتر می‌شود.",
            ),
            "count",
            "line",
            (Query(f"sum by (service_name) ({of_each_process(signals.UPDATE_ACTIVE)})", "{service_name}"),),
        ),
    )
