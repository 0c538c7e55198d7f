"""PostgreSQL, Redis and other people's services, as the bot sees them."""

from __future__ import annotations

from otelbot import signals
from otelbot.alerts import rules
from otelbot.alerts.promql import grown, label, quantile, series
from otelbot.stack.dashboards.dashboard import Dashboard, Row
from otelbot.stack.dashboards.links import logs, traceql, traces
from otelbot.stack.dashboards.panels import Panel, Query, shown

_CALLS = series(signals.DB_DURATION, part="_count")
_FAILED = series(signals.DB_DURATION, 'error_type!=""', part="_count")
_SYSTEM = label(signals.DB_SYSTEM)
_BY = f"{_SYSTEM}, {label(signals.DB_OPERATION)}"
_POOL = f"{_SYSTEM}, {label(signals.DB_POOL)}"
_STATE = label(signals.DB_CONNECTION_STATE)
_HTTP = series(signals.HTTP_DURATION, part="_count")
_ALL = traces('span.db.system.name != ""', "Queries")
_SLOW = traces('span.db.system.name != "" && duration > 100ms', "Slow queries")
_FAILED_QUERIES = traces('span.db.system.name != "" && status = error', "Failed queries")
_DRILL = traces(
    'span.db.system.name = "${__field.labels.db_system_name}"'
    ' && span.db.operation.name = "${__field.labels.db_operation_name}"',
    "Traces of this operation",
)
_WAITING = traces('span.db.system.name != "" && duration > 100ms', "Slow queries")
_CONNECTION_LOGS = logs('|~ "(?i)connect"', "Log of connections")
_HTTP_TRACES = traces('kind = client && span.url.full != ""', "HTTP requests")

DASHBOARD = Dashboard(
    "otelbot-databases",
    "Database & cache",
    "Queries, connections and other services, as the bot sees them.",
    (
        Row(
            "Queries",
            (
                Panel(
                    "Operations",
                    "Statements, commands and pipelines a minute.",
                    (
                        Query(
                            f"topk(15, 60 * sum by ({_BY}) (rate({_CALLS}[$interval])))",
                            "{{db_system_name}} {{db_operation_name}}",
                        ),
                    ),
                    "opm",
                    link=_ALL,
                    drill=_DRILL,
                ),
                Panel(
                    "Slowest operations",
                    "95th percentile of the ten slowest; the dots lead to traces.",
                    (
                        Query(
                            f"topk(10, {quantile(0.95, signals.DB_DURATION, '$interval', by=_BY)})",
                            "{{db_system_name}} {{db_operation_name}}",
                            exemplars=True,
                        ),
                    ),
                    "s",
                    link=_SLOW,
                    drill=_DRILL,
                ),
                Panel(
                    "Failed operations",
                    "Share of the operations that failed.",
                    (
                        Query(
                            f"(sum by ({_SYSTEM}) ({grown(_FAILED, '$interval')})"
                            f" or 0 * sum by ({_SYSTEM}) ({grown(_CALLS, '$interval')}))"
                            f" / clamp_min(sum by ({_SYSTEM}) ({grown(_CALLS, '$interval')}), 1)",
                            "{{db_system_name}}",
                        ),
                    ),
                    "percentunit",
                    link=_FAILED_QUERIES,
                ),
                Panel(
                    "Time in databases",
                    "Seconds that updates spend in each database, a second.",
                    (
                        Query(
                            f"sum by ({_SYSTEM}) (rate({series(signals.DB_DURATION, part='_sum')}[$interval]))",
                            "{{db_system_name}}",
                        ),
                    ),
                    "s",
                    link=_SLOW,
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Connections",
            (
                Panel(
                    "Connections",
                    "Connections of each pool, used and idle.",
                    (
                        Query(
                            f"sum by ({_POOL}, {_STATE}) ({series(signals.DB_CONNECTIONS)})",
                            "{{db_client_connection_pool_name}} {{db_client_connection_state}}",
                        ),
                    ),
                    link=_WAITING,
                ),
                Panel(
                    "Pool in use",
                    "Share of the connections a pool may open that are in use.",
                    **shown(rules.POOL_EXHAUSTED, "{{service_name}} {{db_client_connection_pool_name}}"),
                    link=_WAITING,
                ),
                Panel(
                    "Waiting for a connection",
                    "95th percentile of the time that it takes to get a connection from a pool.",
                    (
                        Query(
                            quantile(0.95, signals.DB_WAIT_TIME, "$interval", by=_POOL),
                            "{{db_client_connection_pool_name}}",
                            exemplars=True,
                        ),
                    ),
                    "s",
                    link=_WAITING,
                ),
                Panel(
                    "Pool had none in time",
                    "Requests for a connection that ran into the pool's timeout.",
                    (
                        Query(
                            f"sum by ({_POOL}) ({grown(series(signals.DB_TIMEOUTS), '$interval')})",
                            "{{db_client_connection_pool_name}}",
                        ),
                    ),
                    kind="bars",
                    link=_WAITING,
                ),
                Panel(
                    "Failed connections",
                    "Connections to databases, but Redis, that could not be made, within 2 minutes.",
                    **shown(rules.DATABASE_DOWN, "{{service_name}} {{db_system_name}}"),
                    link=_CONNECTION_LOGS,
                ),
                Panel(
                    "Failed connections to Redis",
                    "Connections to Redis that could not be made, within 2 minutes.",
                    **shown(rules.REDIS_DOWN, "{{service_name}}"),
                    link=_CONNECTION_LOGS,
                ),
            ),
        ),
        Row(
            "Other services",
            (
                Panel(
                    "HTTP requests",
                    "Requests to other services a minute, by host and status.",
                    (
                        Query(
                            f"60 * sum by (server_address, http_response_status_code) (rate({_HTTP}[$interval]))",
                            "{{server_address}} {{http_response_status_code}}",
                        ),
                    ),
                    "opm",
                    link=_HTTP_TRACES,
                ),
                Panel(
                    "HTTP response times",
                    "95th percentile by host; the dots lead to traces.",
                    (
                        Query(
                            quantile(0.95, signals.HTTP_DURATION, "$interval", by="server_address"),
                            "{{server_address}}",
                            exemplars=True,
                        ),
                    ),
                    "s",
                    link=_HTTP_TRACES,
                ),
                Panel(
                    "Slow queries",
                    "The latest database calls that took longer than 100 ms.",
                    (Query(traceql('span.db.system.name != "" && duration > 100ms')),),
                    kind="traces",
                    link=_SLOW,
                    width=24,
                ),
            ),
        ),
    ),
)
