"""Whether the bots are well, by what they say of themselves and by whether they say anything; and the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from otelbot import signals
from otelbot.alerts.promql import name
from otelbot.alerts.rules import BOT_SILENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelbot.dashboard.store import Store

Status = Literal["healthy", "degraded", "unhealthy", "unknown"]

#: What `otelbot.health.status` says; in between is degraded.
_HEALTHY, _UNHEALTHY = 1.0, 0.0
_ORDER: tuple[Status, ...] = ("unknown", "healthy", "degraded", "unhealthy")
#: Seconds for which a bot that handled updates is missed, as the alert rule does.
MISSED_FOR = 86_400
#: What is asked of the store.
METRICS = (signals.HEALTH_STATUS.name, signals.UPDATE_DURATION.name)
#: The check that the dashboard adds: whether a bot has been heard of.
HEARD = "heard"


def services(found: Iterable[dict[str, Any]], latest: Iterable[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    """Return each process that is alive, and of a service that is missed the last one.

    :param found: what has sent anything (`store.series.services`), of one service the newest first.
    :param latest: the newest points of METRICS of the last day (`store.series.latest`).
    :param now: seconds since the epoch.
    """
    checks: dict[tuple[str, str], dict[str, Status]] = {}
    bots: set[str] = set()
    for point in latest:
        labels = point["labels"]
        service = labels.get("service_name", "")
        if point["name"] == name(signals.HEALTH_STATUS):
            own = checks.setdefault((service, labels.get("service_instance_id", "")), {})
            own[labels.get(signals.CHECK, "")] = _status(point["value"])
        elif point["name"] == name(signals.UPDATE_DURATION):
            bots.add(service)
    answers: list[dict[str, Any]] = []
    heard: set[str] = set()
    for process in found:
        service = process["service"]
        silent = now - process["last_seen"] / 1000
        alive = silent <= BOT_SILENT.threshold
        missed = service in bots and service not in heard and silent <= MISSED_FOR
        if not alive and not missed:
            continue
        heard.add(service)
        told = dict(checks.get((service, process["instance"] or ""), {})) if alive else {}
        told[HEARD] = "healthy" if alive else "unhealthy"
        answers.append(
            {
                "service": service,
                "instance": process["instance"],
                "status": worst(told.values()),
                "checks": {check: {"status": status} for check, status in sorted(told.items())},
                "last_seen": process["last_seen"],
            }
        )
    return answers


def dashboard(store: Store, build: str) -> dict[str, Any]:
    """Return how the dashboard itself is."""
    stats = store.stats()
    troubles = [
        {"what": trouble.what, "mend": trouble.mend, "at": round(trouble.at * 1000)} for trouble in store.troubles
    ]
    counts = {"traces": stats.traces, "metrics": stats.metrics, "logs": stats.logs}
    return {
        "status": "degraded" if troubles else "healthy",
        "troubles": troubles,
        "database_bytes": stats.database_bytes,
        "max_bytes": store.limits.max_bytes,
        "queue_bytes": stats.queue_bytes,
        "received": {signal: count.received for signal, count in counts.items()},
        "kept": {signal: count.kept for signal, count in counts.items()},
        "rejected": {signal: count.rejected for signal, count in counts.items()},
        "evicted": {signal: count.evicted for signal, count in counts.items()},
        "unreadable": stats.unreadable,
        "version": build,
    }


def _status(value: float) -> Status:
    return "healthy" if value >= _HEALTHY else "unhealthy" if value <= _UNHEALTHY else "degraded"


def worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=_ORDER.index, default="unknown")
