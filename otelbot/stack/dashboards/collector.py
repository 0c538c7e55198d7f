"""The stack itself: is telemetry on its way, do the parts have room."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts import rules, stack_rules
from otelbot.alerts.promql import series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import logs, traces
from otelbot.stack.dashboards.panels import Panel, Query, shown

_LOGS = logs(title="Log of the bots")
_EXPORT_LOGS = logs('|= "otelbot:"', "What otelbot says")
_KINDS = ("spans", "metric_points", "log_records")


def _rates(*names: str) -> tuple[Query, ...]:
    """Return a query for each kind of telemetry; what never failed has no series, which is a zero."""
    return tuple(
        Query(f"sum(rate(otelcol_{name}_{kind}[$interval])) or vector(0)", f"{name.rpartition('_')[2]} {kind}")
        for name in names
        for kind in _KINDS
    )


DASHBOARD = Dashboard(
    "otelbot-collector",
    "Collector & stack",
    "Is telemetry on its way, and do the Collector, Prometheus, Tempo, Loki and Grafana have what they need?",
    (
        Row(
            "On its way",
            (
                Panel(
                    "Sent by the bots",
                    "Spans, data points and log records a minute that the endpoint accepted, as the bots count them.",
                    (Query(f"60 * sum by (signal) (rate({series(signals.EXPORT_SENT)}[$interval]))", "{{signal}}"),),
                    "opm",
                    link=_EXPORT_LOGS,
                    width=8,
                ),
                Panel(
                    "Dropped by the bots",
                    "What could not be delivered within 5 minutes, as the bots count it.",
                    **shown(rules.TELEMETRY_DROPPED, "{{service_name}} {{signal}}"),
                    link=_EXPORT_LOGS,
                    width=8,
                ),
                Panel(
                    "Processes heard of",
                    "Bots' processes whose metrics came within 5 minutes, by way of the Collector, to Prometheus.",
                    **shown(stack_rules.TELEMETRY_MISSING, "processes"),
                    link=_LOGS,
                    width=8,
                ),
                Panel(
                    "Received and refused",
                    "What the Collector took and what it refused, because its memory was full, a second.",
                    _rates("receiver_accepted", "receiver_refused"),
                    "short",
                    link=traces(),
                ),
                Panel(
                    "Passed on and lost",
                    "What Prometheus, Tempo and Loki took, and what they refused for good, which is lost, a second.",
                    _rates("exporter_sent", "exporter_send_failed"),
                    "short",
                    link=traces(),
                ),
                Panel(
                    "Lost by the Collector",
                    "Items, within 5 minutes, that a back end refused for good or that a full queue had no room for.",
                    **shown(stack_rules.COLLECTOR_LOSES, "{{exporter}}"),
                    link=_LOGS,
                ),
                Panel(
                    "Queues",
                    "How full the Collector's queues on disk are; they grow while a back end is away.",
                    **shown(stack_rules.COLLECTOR_QUEUE, "{{exporter}} {{data_type}}"),
                    link=_LOGS,
                ),
            ),
        ),
        Row(
            "The parts",
            (
                Panel(
                    "Running",
                    "1 is a part that answers Prometheus, 0 one that does not.",
                    **shown(stack_rules.PART_DOWN, "{{job}}"),
                    link=_LOGS,
                ),
                Panel(
                    "Memory of the parts",
                    "Physical memory; Docker ends a part that passes the limit in docker-compose.yml.",
                    (
                        Query(
                            "max by (job) (process_resident_memory_bytes or otelcol_process_memory_rss)",
                            "{{job}}",
                        ),
                    ),
                    "bytes",
                    link=_LOGS,
                ),
                Panel(
                    "Disk",
                    "How full the disk is that the Collector's queue, and with it the databases of the stack, are on.",
                    **shown(stack_rules.COLLECTOR_DISK, "{{host_name}} {{mountpoint}}"),
                    link=_LOGS,
                ),
                Panel(
                    "Series in Prometheus",
                    "Series in memory: what it needs memory for.",
                    (Query("prometheus_tsdb_head_series", "series"),),
                    "short",
                    link=_LOGS,
                ),
            ),
        ),
    ),
)
