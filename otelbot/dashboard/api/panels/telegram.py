"""What the bot asks of Telegram, and what Telegram says."""

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
    per_minute,
    quantiles,
    total,
)

if TYPE_CHECKING:
    from otelbot.dashboard.api.evaluation import Resolution

_METHOD = label(signals.METHOD)
_STATUS = label(signals.HTTP_STATUS)
_ERROR = label(signals.ERROR_TYPE)
_BOT = f"service_name, {label(signals.BOT_ID)}"


def panels(at: Resolution) -> tuple[Panel, ...]:
    calls = series(signals.API_DURATION, part="_count")
    failed = series(signals.API_DURATION, f'{_ERROR}!=""', part="_count")
    return (
        Panel(
            "rate",
            Text("Calls by method", "فراخوانی‌ها بر حسب متد"),
            Text(
                "Attempts of Bot API calls a minute; of getUpdates only those that failed.",
                "شمار فراخوانی‌های Bot API در دقیقه. از getUpdates فقط ناموفق‌ها شمرده می‌شوند.",
            ),
            "per_minute",
            "area",
            (Query(per_minute(_METHOD, calls, at.window, at.window_seconds), f"{{{_METHOD}}}"),),
        ),
        Panel(
            "errors",
            Text("Failed calls", "فراخوانی‌های ناموفق"),
            Text(
                "Attempts that failed, by class of the exception and HTTP status; without a status it was the network.",
                "فراخوانی‌هایی که ناموفق ماندند، بر حسب کلاس استثنا و وضعیت HTTP. نبودن وضعیت یعنی خطای شبکه.",
            ),
            "count",
            "bar",
            (Query(f"sum by ({_ERROR}, {_STATUS}) ({grown(failed, at.bar)}) > 0", f"{{{_ERROR}}} {{{_STATUS}}}"),),
        ),
        Panel(
            "methods",
            Text("Methods", "متدها"),
            Text(
                "Each method within the range: its attempts, those that failed, and how long they took.",
                "هر متد در این بازه: شمار فراخوانی‌ها، ناموفق‌ها و مدت آن‌ها.",
            ),
            "count",
            "table",
            rows=((_METHOD, Text("Method", "متد")),),
            columns=(
                Column("calls", CALLS_TEXT, f"sum by ({_METHOD}) ({total(calls, at.range)})"),
                Column("errors", ERRORS_TEXT, f"sum by ({_METHOD}) ({total(failed, at.range)})"),
                *quantiles(signals.API_DURATION, at.range, _METHOD),
            ),
        ),
        Panel(
            "refusals",
            Text("Why Telegram refused", "دلیل رد شدن از سوی تلگرام"),
            Text(
                "Refused calls by reason. A user who blocked the bot is no error of it.",
                "فراخوانی‌های ردشده بر حسب دلیل. کاربری که ربات را مسدود کرده خطای ربات نیست.",
            ),
            "count",
            "bar",
            (
                Query(
                    f"sum by ({signals.REASON}) ({grown(series(signals.API_REJECTIONS), at.bar)}) > 0",
                    f"{{{signals.REASON}}}",
                ),
            ),
        ),
        Panel(
            "retry_after",
            Text("Flood control (429)", "محدودیت ارسال (429)"),
            Text(
                "Time that Telegram asked the bot to wait, by method.",
                "مدتی که تلگرام از ربات خواست صبر کند، بر حسب متد.",
            ),
            "seconds",
            "bar",
            (Query(f"sum by ({_METHOD}) ({grown(series(signals.API_RETRY_AFTER), at.bar)}) > 0", f"{{{_METHOD}}}"),),
        ),
        Panel(
            "polling_age",
            Text("Since the last successful getUpdates", "زمان از آخرین getUpdates موفق"),
            Text(
                "With the default timeout it stays below 10 s when all is well.",
                "با زمان انتظار پیش‌فرض، اگر همه‌چیز خوب باشد، زیر ۱۰ ثانیه می‌ماند.",
            ),
            "seconds",
            "line",
            (
                Query(
                    f"max by ({_BOT}) ({series(signals.POLLING_AGE)})", f"{{service_name}} {{{label(signals.BOT_ID)}}}"
                ),
            ),
        ),
        Panel(
            "batch",
            Text("Updates in an answer", "به‌روزرسانی‌ها در هر پاسخ"),
            Text(
                "95th percentile of the updates in an answer to getUpdates; at 100 more are waiting.",
                "صدک ۹۵ شمار به‌روزرسانی‌ها در هر پاسخ getUpdates. مقدار ۱۰۰ یعنی باز هم به‌روزرسانی در صف است.",
            ),
            "count",
            "line",
            (Query(quantile(0.95, signals.POLLING_BATCH, at.window, by="service_name"), "{service_name}"),),
        ),
        Panel(
            "polling_failures",
            Text("Failed polls", "getUpdatesهای ناموفق"),
            Text(
                "Attempts of getUpdates that failed, by class of the exception; a conflict is a second poller or a"
                " webhook.",
                "getUpdatesهای ناموفق بر حسب کلاس استثنا. Conflict یعنی برنامهٔ دیگری هم getUpdates می‌گیرد یا webhook"
                " تنظیم شده است.",
            ),
            "count",
            "bar",
            (Query(f"sum by ({_ERROR}) ({grown(series(signals.POLLING_FAILURES), at.bar)}) > 0", f"{{{_ERROR}}}"),),
        ),
        Panel(
            "callback_delay",
            Text("Time to answer a button", "زمان پاسخ به دکمه"),
            Text(
                "95th percentile of the time until a callback query was answered; the button shows a clock meanwhile.",
                "صدک ۹۵ زمان تا پاسخ به callback query. در این مدت دکمه نشان انتظار دارد.",
            ),
            "seconds",
            "line",
            (Query(quantile(0.95, signals.CALLBACK_ANSWER_DELAY, at.window, by="service_name"), "{service_name}"),),
        ),
    )
