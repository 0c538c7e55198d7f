"""OTLP/JSON of what tests send, short to write."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otelbot.dashboard.store import Store

SHOP = {"service.name": "shop", "service.instance.id": "one", "telegram.bot.username": "shop_bot"}
SECOND = 10**9  # ns
NOW = time.time_ns()


def value(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {
            "doubleValue": given if abs(given) < 1e308 else str(given).replace("inf", "Infinity").replace("nan", "NaN")
        }
    if isinstance(given, bytes):
        return {"bytesValue": base64.b64encode(given).decode()}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(item) for item in given]}}
    if isinstance(given, dict):
        return {"kvlistValue": {"values": pairs(given)}}
    return {"stringValue": given}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(each)} for key, each in attributes.items()]


def span(trace: int, number: int, name: str, *, parent: int | None = 0, **more: Any) -> dict[str, Any]:
    """Return a span of trace `trace`; `parent=0` is a root. Times are seconds from now, attributes a dict."""
    start = NOW + int(more.pop("start", -10) * SECOND)
    made = {
        "traceId": trace_id(trace),
        "spanId": span_id(number),
        "name": name,
        "kind": more.pop("kind", 1),
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(more.pop("seconds", 0.1) * SECOND)),
        "attributes": pairs(more.pop("attributes", {})),
        "events": [
            {"name": event, "timeUnixNano": str(start), "attributes": pairs(attributes)}
            for event, attributes in more.pop("events", [])
        ],
        "links": [
            {"traceId": trace_id(one), "spanId": span_id(other), "attributes": []}
            for one, other in more.pop("links", [])
        ],
        "status": {"code": 2, "message": message} if (message := more.pop("error", None)) is not None else {},
    }
    if parent:
        made["parentSpanId"] = span_id(parent)
    assert not more
    return made


def update(trace: int, handler: str = "start", **more: Any) -> dict[str, Any]:
    """Return the span of an update: the root of a trace."""
    attributes = {
        "telegram.update.type": "message",
        "telegram.update.outcome": more.pop("outcome", "handled"),
        "aiogram.handler.name": handler,
        **more.pop("attributes", {}),
    }
    return span(trace, trace * 100, f"message {handler}", kind=5, attributes=attributes, **more)


def log(body: Any, **more: Any) -> dict[str, Any]:
    trace = more.pop("trace", None)
    made = {
        "timeUnixNano": str(NOW + int(more.pop("at", -10) * SECOND)),
        "severityNumber": more.pop("severity", 9),
        "severityText": more.pop("severity_text", "INFO"),
        "body": value(body),
        "attributes": pairs(more.pop("attributes", {})),
        "eventName": more.pop("event", ""),
    }
    if trace is not None:
        made |= {"traceId": trace_id(trace), "spanId": span_id(trace * 100)}
    assert not more
    return made


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span_id(number: int) -> str:
    return f"{number:016x}"


def request(
    signal: str, items: list[dict[str, Any]], resource: dict[str, Any], scope: str = "otelbot"
) -> dict[str, Any]:
    outer, inner, of_scope = {
        "traces": ("resourceSpans", "scopeSpans", "spans"),
        "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
        "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    }[signal]
    scoped = {"scope": {"name": scope, "version": "1"}, of_scope: items}
    return {outer: [{"resource": {"attributes": pairs(resource)}, inner: [scoped]}]}


class Fed:
    """A running store, and ways to fill it and to ask it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def send(self, signal: str, *items: dict[str, Any], resource: dict[str, Any] = SHOP) -> None:
        body = json.dumps(request(signal, list(items), resource)).encode()
        added = await self.store.add(signal, body, "", in_json=True)
        assert not added.rejected, added

    async def ask(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Return what a reading function answers, which must be what JSON can hold."""
        answer = await self.store.read(lambda db: function(db, *arguments, **more))
        return json.loads(json.dumps(answer, allow_nan=False))


def gauge(name: str, *points: tuple[float, float], unit: str = "", **attributes: Any) -> dict[str, Any]:
    """Return a metric with `(seconds from now, value)` each."""
    return {"name": name, "unit": unit, "description": f"About {name}.", "gauge": _numbers(points, attributes)}


def counter(name: str, *points: tuple[float, float], unit: str = "", **attributes: Any) -> dict[str, Any]:
    data = {"aggregationTemporality": 2, "isMonotonic": True, **_numbers(points, attributes)}
    return {"name": name, "unit": unit, "description": f"About {name}.", "sum": data}


def histogram(
    name: str, bounds: list[float], *points: tuple[float, float | None, list[int]], **attributes: Any
) -> dict[str, Any]:
    """Return a metric in seconds with `(seconds from now, sum, counts of the buckets)` each."""
    data = [
        {
            "timeUnixNano": str(NOW + int(at * SECOND)),
            "attributes": pairs(attributes),
            "count": str(sum(counts)),
            "bucketCounts": [str(count) for count in counts],
            "explicitBounds": bounds,
            **({} if total is None else {"sum": total}),
        }
        for at, total, counts in points
    ]
    return {"name": name, "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": data}}


def _numbers(points: tuple[tuple[float, float], ...], attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "dataPoints": [
            {"timeUnixNano": str(NOW + int(at * SECOND)), "asDouble": number, "attributes": pairs(attributes)}
            for at, number in points
        ]
    }
