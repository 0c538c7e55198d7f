"""The newest values of all that is known, by Prometheus' names and by those of the guides to operating a bot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otelbot.alerts.recording import recording
from otelbot.dashboard import promql
from otelbot.dashboard.api.panels import number

if TYPE_CHECKING:
    from otelbot.dashboard.promql import Source

#: The guides' names, with what each is made of; the buckets of histograms are left to `/metrics`.
_GUIDES: dict[str, str] = {
    rule["record"]: rule["expr"]
    for group in recording()["groups"]
    for rule in group["rules"]
    if not rule["record"].endswith("_bucket")
}


def metrics(
    latest: list[dict[str, Any]], source: Source, service: str | None, now: float
) -> dict[str, list[dict[str, Any]]]:
    """Return the values of each metric by its name, with their labels; of a histogram `_count` and `_sum`.

    :param latest: the newest point of each series (`store.series.latest`).
    :param now: seconds since the epoch.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for guide, expr in _GUIDES.items():
        for sample in promql.instant(expr, source, now):
            _add(found, guide, sample.labels, sample.value, service)
    for point in latest:
        if point["kind"] == "histogram":
            _add(found, f"{point['name']}_count", point["labels"], point["count"], service)
            _add(found, f"{point['name']}_sum", point["labels"], point["sum"], service)
        else:
            _add(found, point["name"], point["labels"], point["value"], service)
    return found


def _add(
    found: dict[str, list[dict[str, Any]]], name: str, labels: dict[str, str], value: float | None, service: str | None
) -> None:
    if service in {None, labels.get("service_name")}:
        found.setdefault(name, []).append({"labels": labels, "value": number(value)})
