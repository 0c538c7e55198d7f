"""Is all well? What a person looks at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot import signals
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.alerts.rule import Text
from otelbot.dashboard.api.panels.model import Panel, Query, average, of_each_process, per_minute

if TYPE_CHECKING:
    from otelbot.dashboard.api.evaluation import Resolution

_OUTCOME = label(signals.UPDATE_OUTCOME)
_ERROR = label(signals.ERROR_TYPE)


def panels(at: Resolution) -> tuple[Panel, ...]:
    updates = series(signals.UPDATE_DURATION, part="_count")
    active = series(signals.USERS_ACTIVE)
    return (
        Panel(
            "throughput",
            Text("Updates by outcome", "به‌روزرسانی‌ها بر حسب نتیجه"),
            Text(
                "Updates a minute. `error` is an exception that nobody handled, `unhandled` that no handler wanted it.",
                "شمار به‌روزرسانی‌ها در دقیقه. `error` یعنی استثنایی که کسی به آن رسیدگی نکرد و `unhandled` یعنی"
                " هیچ handler‌ای آن را نخواست.",
            ),
            "per_minute",
            "area",
            (Query(per_minute(_OUTCOME, updates, at.window, at.window_seconds), f"{{{_OUTCOME}}}"),),
        ),
        Panel(
            "response_time",
            Text("Response time", "زمان پاسخ"),
            Text(
                "Time from an update's arrival to the end of its handling: the mean, and what half, 95 % and 99 % of"
                " the updates stay below.",
                "زمان از رسیدن به‌روزرسانی تا پایان رسیدگی به آن: میانگین، و مقداری که نیمی، ۹۵٪ و ۹۹٪ به‌روزرسانی‌ها"
                " از آن سریع‌ترند.",
            ),
            "seconds",
            "line",
            (
                Query(average(signals.UPDATE_DURATION, at.window), "avg"),
                *(
                    Query(quantile(share, signals.UPDATE_DURATION, at.window, by=""), f"p{share * 100:.0f}")
                    for share in (0.5, 0.95, 0.99)
                ),
            ),
        ),
        Panel(
            "memory",
            Text("Memory", "حافظه"),
            Text("Physical memory of each process.", "حافظهٔ فیزیکی هر فرایند."),
            "bytes",
            "line",
            (Query(of_each_process(signals.PROCESS_MEMORY), "{service_name}"),),
        ),
        Panel(
            "users",
            Text("Active users", "کاربران فعال"),
            Text(
                "Different users within the last 5 minutes, hour and day, estimated within 3 %.",
                "شمار کاربران متفاوت در ۵ دقیقه، یک ساعت و یک روز گذشته، با خطای حداکثر ۳٪.",
            ),
            "count",
            "line",
            (
                Query(
                    f"sum by ({signals.WINDOW}) (max by (service_name, telegram_bot_id, {signals.WINDOW}) ({active}))",
                    f"{{{signals.WINDOW}}}",
                ),
            ),
        ),
        Panel(
            "errors",
            Text("Errors by type", "خطاها بر حسب نوع"),
            Text(
                "Errors of handlers, the Bot API, databases and other services, by part and class of the exception.",
                "خطاهای handlerها، Bot API، پایگاه‌های داده و سرویس‌های دیگر، بر حسب بخش و کلاس استثنا.",
            ),
            "count",
            "bar",
            (
                Query(
                    f"sum by ({signals.COMPONENT}, {_ERROR}) ({grown(series(signals.ERRORS), at.bar)}) > 0",
                    f"{{{signals.COMPONENT}}} {{{_ERROR}}}",
                ),
            ),
        ),
    )
