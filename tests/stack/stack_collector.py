"""What the tests of the Collector's own files share: Collectors before OTLP receivers, and OTLP/JSON to send them."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.stack.services import ShippedCollector

if TYPE_CHECKING:
    from pathlib import Path

_SIGNAL_EXPORTERS = ("otlp_http/tempo", "otlp_http/prometheus", "otlp_http/loki")
_serial = itertools.count(1)


def stack_collector(folder: Path, backend: str, *overlays: str, **environ: str) -> ShippedCollector:
    """Return a Collector of base.yaml and `overlays` whose three backends are at `backend`, without its long pauses."""
    backends = {f"{name}_OTLP_ENDPOINT": backend for name in ("TEMPO", "PROMETHEUS", "LOKI")}
    collector = ShippedCollector(folder, "base.yaml", *overlays, **{**backends, **environ})
    collector.config = {
        "receivers": {"host_metrics/queue": {"collection_interval": "1s"}},
        "connectors": {
            "span_metrics": {"metrics_flush_interval": "300ms"},
            "service_graph": {
                "metrics_flush_interval": "300ms",
                "store": {"ttl": "300ms"},
                "store_expiration_loop": "100ms",
            },
        },
        "exporters": {name: impatient() for name in _SIGNAL_EXPORTERS},
    }
    return collector


def impatient() -> dict[str, Any]:
    """Return what makes an exporter send at once and try again soon."""
    return {
        "retry_on_failure": {"initial_interval": "100ms", "max_interval": "300ms"},
        "sending_queue": {"batch": {"flush_timeout": "100ms"}},
    }


def attributes(**values: Any) -> list[dict[str, Any]]:
    """Return OTLP/JSON's attributes; `a__b` is written for `a.b`."""
    return [{"key": key.replace("__", "."), "value": any_value(value)} for key, value in values.items()]


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": any_value(item)} for key, item in value.items()]}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"stringValue": value}


def span(name: str, seconds: float = 0.02, *, trace: str = "", parent: str = "", **more: Any) -> dict[str, Any]:
    """Return a span that has just ended, of a new trace unless `trace` is given; `more` is OTLP/JSON's own."""
    number = next(_serial)
    end = time.time_ns()
    return {
        "traceId": trace or trace_id(),
        "spanId": f"{number:016x}",
        "parentSpanId": parent,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(end - int(seconds * 1e9)),
        "endTimeUnixNano": str(end),
        **more,
    }


def trace_id() -> str:
    return f"{time.time_ns():024x}{next(_serial):08x}"


def traces(*spans: dict[str, Any], service: str = "shop", **resource: Any) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(service__name=service, **resource)},
                "scopeSpans": [{"scope": {"name": "test"}, "spans": list(spans)}],
            }
        ]
    }


def logs(*bodies: Any) -> dict[str, Any]:
    records = [{"timeUnixNano": str(time.time_ns()), "body": any_value(body)} for body in bodies]
    resource = {"attributes": attributes(service__name="shop")}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": "test"}, "logRecords": records}]}]}


def gauge(name: str, value: int) -> dict[str, Any]:
    point = {"timeUnixNano": str(time.time_ns()), "asInt": str(value)}
    resource = {"attributes": attributes(service__name="shop")}
    metrics = [{"name": name, "gauge": {"dataPoints": [point]}}]
    return {
        "resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": {"name": "test"}, "metrics": metrics}]}]
    }


async def send_all(collector: ShippedCollector, names: list[str]) -> None:
    """Send a span, a log record and a gauge of each name, each by itself, and see them taken."""
    for name in names:
        bodies = {"traces": traces(span(name)), "logs": logs(name), "metrics": gauge(name, 1)}
        statuses = await asyncio.gather(*(collector.post(signal, body) for signal, body in bodies.items()))
        assert statuses == [200, 200, 200]


async def own_metrics(collector: ShippedCollector) -> dict[str, float]:
    """Return the Collector's own page, as Prometheus reads it: name and labels, value."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{collector.metrics_port}/metrics") as response,
    ):
        page = await response.text()
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}
