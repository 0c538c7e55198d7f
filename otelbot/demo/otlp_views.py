"""Received telemetry in a form that is easy to look at: one flat object per span, metric and log record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

Attributes = dict[str, Any]
# count, sum, bounds, bucket counts
Distribution = tuple[int, float, list[float], list[int]]
Point = tuple[Attributes, "int | float | Distribution", Attributes]

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")


@dataclass(frozen=True)
class SpanView:
    name: str
    trace_id: str
    span_id: str
    parent_span_id: str  # "" for a root
    kind: str
    start: int  # ns since the epoch
    end: int
    attributes: Attributes
    events: list[tuple[str, Attributes]]
    links: list[tuple[str, str, Attributes]]  # trace id, span id, attributes
    status: str  # UNSET, OK or ERROR
    status_message: str
    resource: Attributes
    scope: str

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9


@dataclass
class MetricView:
    """A metric with its latest data point per resource and attributes."""

    name: str
    unit: str
    description: str
    kind: str  # histogram, sum or gauge
    monotonic: bool
    latest: dict[str, Point] = field(default_factory=dict, repr=False)

    @property
    def points(self) -> list[Point]:
        """Attributes, value (a `Distribution` for a histogram), resource."""
        return list(self.latest.values())


@dataclass(frozen=True)
class LogView:
    body: Any
    severity_text: str
    severity_number: int
    attributes: Attributes
    trace_id: str
    span_id: str
    event_name: str
    scope: str
    resource: Attributes


def value_of(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [value_of(item) for item in value.array_value.values]
        case "kvlist_value":
            return attributes_of(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)


def attributes_of(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: value_of(pair.value) for pair in pairs}


def spans_of(request: ExportTraceServiceRequest) -> Iterator[SpanView]:
    for by_resource in request.resource_spans:
        resource = attributes_of(by_resource.resource.attributes)
        for by_scope in by_resource.scope_spans:
            for span in by_scope.spans:
                yield SpanView(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_span_id=span.parent_span_id.hex(),
                    kind=_KINDS[span.kind],
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes=attributes_of(span.attributes),
                    events=[(event.name, attributes_of(event.attributes)) for event in span.events],
                    links=[(k.trace_id.hex(), k.span_id.hex(), attributes_of(k.attributes)) for k in span.links],
                    status=_STATUSES[span.status.code],
                    status_message=span.status.message,
                    resource=resource,
                    scope=by_scope.scope.name,
                )


def logs_of(request: ExportLogsServiceRequest) -> Iterator[LogView]:
    for by_resource in request.resource_logs:
        resource = attributes_of(by_resource.resource.attributes)
        for by_scope in by_resource.scope_logs:
            for record in by_scope.log_records:
                yield LogView(
                    body=value_of(record.body),
                    severity_text=record.severity_text,
                    severity_number=record.severity_number,
                    attributes=attributes_of(record.attributes),
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    event_name=record.event_name,
                    scope=by_scope.scope.name,
                    resource=resource,
                )


def update_metrics(metrics: dict[str, MetricView], request: ExportMetricsServiceRequest) -> None:
    """Put the request's data points in the place of the older ones."""
    for by_resource in request.resource_metrics:
        resource = attributes_of(by_resource.resource.attributes)
        for by_scope in by_resource.scope_metrics:
            for metric in by_scope.metrics:
                kind = metric.WhichOneof("data")
                if kind is None:
                    continue
                view = metrics.get(metric.name)
                if view is None:
                    name = "histogram" if kind == "exponential_histogram" else kind
                    monotonic = kind == "sum" and metric.sum.is_monotonic
                    view = MetricView(metric.name, metric.unit, metric.description, name, monotonic)
                    metrics[metric.name] = view
                for attributes, value in _points(metric, kind):
                    key = repr((sorted(resource.items()), sorted(attributes.items())))
                    view.latest[key] = (attributes, value, resource)


def _points(metric: Metric, kind: str) -> Iterator[tuple[Attributes, int | float | Distribution]]:
    for point in getattr(metric, kind).data_points:
        attributes = attributes_of(point.attributes)
        if kind in {"sum", "gauge"}:
            yield attributes, getattr(point, point.WhichOneof("value") or "as_int")
        elif kind == "histogram":
            yield attributes, (point.count, point.sum, list(point.explicit_bounds), list(point.bucket_counts))
        else:
            yield attributes, (point.count, point.sum, [], [])
