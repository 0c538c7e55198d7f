"""Recording rules: the names that the guides to operating a bot give their thirteen metrics, at no cost to the bot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otelbot import signals
from otelbot.alerts.promql import label, name

if TYPE_CHECKING:
    from otelbot.signals import Instrument

#: What every series keeps of its resource, beside the labels that the guides name.
_RESOURCE = ("job", "instance", "service_name", "service_instance_id", "telegram_bot_id", "deployment_environment_name")

_STATUS = label(signals.UPDATE_OUTCOME)


def recording() -> dict[str, Any]:
    """Return a Prometheus rule file."""
    update = {"type": label(signals.UPDATE_TYPE)}
    api = {"endpoint": label(signals.METHOD)}
    database = {"operation": label(signals.DB_OPERATION)}
    rules = [
        _counter("messages_processed_total", signals.UPDATE_DURATION, update | {"status": _STATUS}, part="_count"),
        *_histogram("message_processing_duration_seconds", signals.UPDATE_DURATION, update),
        _counter("commands_executed_total", signals.COMMANDS, {"command": label(signals.COMMAND), "status": _STATUS}),
        _counter("user_activities_total", signals.USER_ACTIONS, {"action": signals.ACTION}),
        _gauge("active_users", f'{name(signals.USERS_ACTIVE)}{{window="1h"}}', "max"),
        _counter("errors_total", signals.ERRORS, {"type": label(signals.ERROR_TYPE), "component": signals.COMPONENT}),
        _operations(),
        *_histogram("database_operation_duration_seconds", signals.DB_DURATION, database),
        _counter(
            "api_calls_total", signals.API_DURATION, api | {"status_code": label(signals.HTTP_STATUS)}, part="_count"
        ),
        *_histogram("api_call_duration_seconds", signals.API_DURATION, api),
        _gauge("bot_uptime_seconds", name(signals.PROCESS_UPTIME), "max"),
        _gauge("memory_usage_bytes", name(signals.PROCESS_MEMORY), "sum"),
        _gauge(
            "database_connections_active",
            f'{name(signals.DB_CONNECTIONS)}{{{label(signals.DB_CONNECTION_STATE)}="used"}}',
            "sum",
        ),
    ]
    return {"groups": [{"name": "otelbot names of the guides", "interval": "15s", "rules": rules}]}


def _summed(expr: str, labels: dict[str, str], *more: str) -> str:
    """Return `expr` with its labels renamed, new name → old name, and summed over all others."""
    for new, old in labels.items():
        if new != old:
            expr = f'label_replace({expr}, "{new}", "$1", "{old}", "(.*)")'
    return f"sum by ({', '.join((*_RESOURCE, *labels, *more))}) ({expr})"


def _counter(record: str, instrument: Instrument, labels: dict[str, str], part: str = "") -> dict[str, str]:
    return {"record": record, "expr": _summed(name(instrument) + part, labels)}


def _histogram(record: str, instrument: Instrument, labels: dict[str, str]) -> list[dict[str, str]]:
    base = name(instrument)
    return [
        {"record": f"{record}_bucket", "expr": _summed(f"{base}_bucket", labels, "le")},
        {"record": f"{record}_count", "expr": _summed(f"{base}_count", labels)},
        {"record": f"{record}_sum", "expr": _summed(f"{base}_sum", labels)},
    ]


def _operations() -> dict[str, str]:
    """Return operations with `status`, `success` or `error`, by whether they have a type of error."""
    counted = f"{name(signals.DB_DURATION)}_count"
    error = label(signals.ERROR_TYPE)
    for status, pattern in (("success", ""), ("error", ".+")):
        counted = f'label_replace({counted}, "status", "{status}", "{error}", "{pattern}")'
    labels = {"operation": label(signals.DB_OPERATION), "status": "status"}
    return {"record": "database_operations_total", "expr": _summed(counted, labels)}


def _gauge(record: str, expr: str, how: str) -> dict[str, str]:
    return {"record": record, "expr": f"{how} by ({', '.join(_RESOURCE)}) ({expr})"}
