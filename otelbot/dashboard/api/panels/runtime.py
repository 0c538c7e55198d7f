"""The process: event loop, processor, memory, garbage collector, and what became of its telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelbot import signals
from otelbot.alerts.promql import grown, quantile, series
from otelbot.alerts.rule import Text
from otelbot.dashboard.api.panels.model import PROCESS, Panel, Query, of_each_process, per_minute

if TYPE_CHECKING:
    from otelbot.dashboard.api.evaluation import Resolution

_GENERATION = "cpython_gc_generation"


def panels(at: Resolution) -> tuple[Panel, ...]:
    def each(instrument: signals.Instrument, name: str = "{service_name}") -> Query:
        return Query(of_each_process(instrument), name)

    cpu = grown(series(signals.PROCESS_CPU), at.window)
    dropped = grown(series(signals.EXPORT_DROPPED), at.bar)
    return (
        Panel(
            "lag",
            Text("Event loop lag", "تأخیر حلقهٔ رویداد"),
            Text(
                "How late the event loop ran what was due: 99th percentile.",
                "حلقهٔ رویداد آنچه نوبتش رسیده بود را با چه تأخیری اجرا کرد: صدک ۹۹.",
            ),
            "seconds",
            "line",
            (Query(quantile(0.99, signals.LOOP_LAG, at.window, by=PROCESS), "{service_name}"),),
        ),
        Panel(
            "utilization",
            Text("Event loop in use", "بهره‌گیری از حلقهٔ رویداد"),
            Text(
                "Share of the time that the event loop's thread was on a processor; near 100 % one process is not"
                " enough.",
                "سهمی از زمان که رشتهٔ حلقهٔ رویداد روی پردازنده بود. نزدیک ۱۰۰٪ یعنی یک فرایند کافی نیست.",
            ),
            "ratio",
            "line",
            (each(signals.LOOP_UTILIZATION),),
        ),
        Panel(
            "blocked",
            Text("Blocks of the event loop", "مسدود شدن حلقهٔ رویداد"),
            Text(
                "Times that something held the event loop for longer than 0.1 s: nobody is served meanwhile. The log"
                " record names the line of code.",
                "دفعاتی که چیزی حلقهٔ رویداد را بیش از ۰٫۱ ثانیه نگه داشت. در این مدت به هیچ کاربری پاسخ داده نمی‌شود."
                " لاگ خط کد را نشان می‌دهد.",
            ),
            "count",
            "bar",
            (Query(f"sum by (service_name) ({grown(series(signals.LOOP_BLOCKED), at.bar)}) > 0", "{service_name}"),),
        ),
        Panel(
            "tasks",
            Text("Tasks", "taskها"),
            Text(
                "Tasks of the event loop that have not ended; a number that only grows is a leak.",
                "taskهای پایان‌نیافتهٔ حلقهٔ رویداد. شماری که فقط بیشتر شود نشت است.",
            ),
            "count",
            "line",
            (each(signals.LOOP_TASKS),),
        ),
        Panel(
            "cpu",
            Text("Processor", "پردازنده"),
            Text(
                "Share of one processor, in user and system time; two processors in full use are 200 %.",
                "سهم از یک پردازنده، در زمان کاربر و سیستم. دو پردازندهٔ پر ۲۰۰٪ است.",
            ),
            "ratio",
            "area",
            (Query(f"sum by (service_name, type) ({cpu}) / {at.window_seconds}", "{service_name} {type}"),),
        ),
        Panel(
            "memory",
            Text("Memory", "حافظه"),
            Text("Physical and virtual memory of each process.", "حافظهٔ فیزیکی و مجازی هر فرایند."),
            "bytes",
            "line",
            (
                each(signals.PROCESS_MEMORY, "{service_name} rss"),
                each(signals.PROCESS_VIRTUAL, "{service_name} virtual"),
            ),
        ),
        Panel(
            "threads",
            Text("Threads and files", "رشته‌ها و فایل‌ها"),
            Text("Threads and open file descriptors of each process.", "رشته‌ها و فایل‌های باز هر فرایند."),
            "count",
            "line",
            (
                each(signals.PROCESS_THREADS, "{service_name} threads"),
                each(signals.PROCESS_FILES, "{service_name} files"),
            ),
        ),
        Panel(
            "gc",
            Text("Garbage collections", "زباله‌روبی"),
            Text(
                "Collections a minute, by generation; those of generation 2 stop everything for longest.",
                "شمار زباله‌روبی‌ها در دقیقه، بر حسب نسل. نسل ۲ همه‌چیز را بیش از بقیه متوقف می‌کند.",
            ),
            "per_minute",
            "line",
            (
                Query(
                    per_minute(_GENERATION, series(signals.GC_COLLECTIONS), at.window, at.window_seconds),
                    f"generation {{{_GENERATION}}}",
                ),
            ),
        ),
        Panel(
            "uptime",
            Text("Uptime", "مدت کارکرد"),
            Text(
                "Time since each process began; a saw is a bot that dies again and again.",
                "زمان از آغاز هر فرایند. خط دندانه‌دار یعنی رباتی که پیاپی از کار می‌افتد.",
            ),
            "seconds",
            "line",
            (each(signals.PROCESS_UPTIME),),
        ),
        Panel(
            "log_records",
            Text("Log records", "رکوردهای لاگ"),
            Text("Log records by severity.", "شمار رکوردهای لاگ بر حسب شدت."),
            "count",
            "bar",
            (
                Query(
                    f"sum by ({signals.SEVERITY}) ({grown(series(signals.LOG_RECORDS), at.bar)}) > 0",
                    f"{{{signals.SEVERITY}}}",
                ),
            ),
        ),
        Panel(
            "dropped",
            Text("Telemetry dropped", "از دست رفتن داده‌های پایش"),
            Text(
                "Spans, data points and log records that the bot could not deliver.",
                "spanها، نقطه‌های متریک و رکوردهای لاگی که ربات نتوانست بفرستد.",
            ),
            "count",
            "bar",
            (
                Query(
                    f"sum by ({signals.SIGNAL}, {signals.REASON}) ({dropped}) > 0",
                    f"{{{signals.SIGNAL}}} {{{signals.REASON}}}",
                ),
            ),
        ),
    )
