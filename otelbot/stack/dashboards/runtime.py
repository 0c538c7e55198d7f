"""The process: memory, processor, event loop, garbage collector."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts import rules
from otelbot.alerts.promql import quantile, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import logs, traces
from otelbot.stack.dashboards.panels import Panel, Query, shown

_BY = "service_name, service_instance_id"
_SLOW = traces("kind = consumer && duration > 1s", "Slow updates")
_BLOCKED_LOGS = logs('|= "event loop was blocked"', "What blocked")
_NAME = "{{service_name}} {{service_instance_id}}"

DASHBOARD = Dashboard(
    "otelbot-runtime",
    "Runtime",
    "Memory, processor, event loop and garbage collector of the bot's processes.",
    (
        Row(
            "Event loop",
            (
                Panel(
                    "Blocks",
                    "Times, within 5 minutes, that something held the event loop for longer than 0.1 s: nobody"
                    " is served"
                    " meanwhile. The log record and the handler's span name the line.",
                    **shown(rules.LOOP_BLOCKED, "{{service_name}}"),
                    link=_BLOCKED_LOGS,
                ),
                Panel(
                    "Lag",
                    "How late the event loop ran what was due: 99th percentile.",
                    (Query(quantile(0.99, signals.LOOP_LAG, "$interval", by=_BY), _NAME),),
                    "s",
                    link=_SLOW,
                ),
                Panel(
                    "Utilization",
                    "Share of the time that the event loop's thread was on a processor; near 100 % one process"
                    " is not enough.",
                    (Query(f"max by ({_BY}) ({series(signals.LOOP_UTILIZATION)})", _NAME),),
                    "percentunit",
                    link=_SLOW,
                ),
                Panel(
                    "Tasks",
                    "Tasks that have not ended; a number that only grows is a leak.",
                    (Query(f"sum by ({_BY}) ({series(signals.LOOP_TASKS)})", _NAME),),
                    link=_SLOW,
                ),
            ),
        ),
        Row(
            "Process",
            (
                Panel(
                    "Memory by process",
                    "Physical and virtual memory.",
                    (
                        Query(f"sum by ({_BY}) ({series(signals.PROCESS_MEMORY)})", f"{_NAME} physical"),
                        Query(f"sum by ({_BY}) ({series(signals.PROCESS_VIRTUAL)})", f"{_NAME} virtual"),
                    ),
                    "bytes",
                    link=logs(),
                ),
                Panel(
                    "Processor",
                    "Processors in use, in user and system time.",
                    (
                        Query(
                            f"sum by (service_name, type) (rate({series(signals.PROCESS_CPU)}[$interval]))",
                            "{{service_name}} {{type}}",
                        ),
                    ),
                    "short",
                    link=_SLOW,
                    stacked=True,
                ),
                Panel(
                    "Threads and files",
                    "Threads and open file descriptors.",
                    (
                        Query(f"sum by ({_BY}) ({series(signals.PROCESS_THREADS)})", f"{_NAME} threads"),
                        Query(f"sum by ({_BY}) ({series(signals.PROCESS_FILES)})", f"{_NAME} files"),
                    ),
                    link=logs(),
                ),
                Panel(
                    "Uptime",
                    "Time since each process began; a saw is a bot that dies again and again.",
                    (Query(f"max by ({_BY}) ({series(signals.PROCESS_UPTIME)})", _NAME),),
                    "s",
                    link=logs(title="Log"),
                ),
                Panel(
                    "Garbage collections",
                    "Collections a minute, by generation; those of generation 2 stop everything for longest.",
                    (
                        Query(
                            f"60 * sum by (cpython_gc_generation) (rate({series(signals.GC_COLLECTIONS)}[$interval]))",
                            "generation {{cpython_gc_generation}}",
                        ),
                    ),
                    "opm",
                    link=_SLOW,
                ),
                Panel(
                    "Collected objects",
                    "Objects that they freed, a second; what could not be freed is a line of its own.",
                    (
                        Query(f"sum(rate({series(signals.GC_COLLECTED)}[$interval]))", "freed"),
                        Query(f"sum(rate({series(signals.GC_UNCOLLECTABLE)}[$interval]))", "not freed"),
                    ),
                    link=logs(),
                ),
            ),
        ),
    ),
)
