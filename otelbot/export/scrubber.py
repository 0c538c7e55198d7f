"""The last line: no telemetry leaves but through here, with every string of it scrubbed.

Each exporter of another package is wrapped; ours scrubs while it encodes (`values.py`), with the same functions. Added
is what became known of the process after its resource was made (`resource.overlay`); texts that libraries leave
unbounded are cut.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status

from otelbot import privacy, resource
from otelbot.privacy import scrub

#: Characters of one value. Statements of a pipeline and bodies of a log have no bound of their own.
LONGEST_VALUE = 32_768


def cut(text: str) -> str:
    """Return a scrubbed text cut to its bound; only then: half a token could not be recognized."""
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def scrub_text(text: str) -> str:
    """Return `text` scrubbed, cut, and as UTF-8 can hold it: one lone surrogate would cost the whole batch."""
    text = cut(scrub(text))
    return text if text.isascii() else text.encode(errors="replace").decode()


def scrub_value(value: Any) -> Any:
    """Return an attribute value or log body with its strings scrubbed: any nesting of sequences and mappings."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return scrub_text(bytes(value).decode(errors="replace"))
    if isinstance(value, Mapping):
        return scrub_attributes(value)
    if isinstance(value, Sequence):
        return [scrub_value(item) for item in value]
    return scrub_text(str(value))


def scrub_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes with keys and values scrubbed."""
    if not attributes:
        return {}
    return {scrub_key(key): scrub_value(value) for key, value in attributes.items()}


def scrub_key(key: Any) -> str:
    """Return an attribute's key as text, scrubbed."""
    return scrub_text(key if isinstance(key, str) else str(key))


def scrub_scope(scope: Any) -> Any:
    """Return a copy of an `InstrumentationScope`, scrubbed, or None for None."""
    if scope is None:
        return None
    return InstrumentationScope(
        scrub_text(scope.name),
        scrub_text(scope.version) if scope.version else None,
        scrub_text(scope.schema_url) if scope.schema_url else None,
        scrub_attributes(scope.attributes) or None,
    )


class Resources:
    """Scrubs each resource once: a process has one, seldom two.

    Metrics keep theirs once the bot works: a resource that changes makes new series of every metric, and sums
    over both are wrong until the old ones are forgotten.
    """

    def __init__(self, *, lasting: bool = False) -> None:
        self._lasting = lasting
        self._settled: tuple[int, Resource] | None = None  # process id, resource
        self._known: dict[tuple[int, int, int], tuple[Resource, Resource]] = {}

    def __call__(self, original: Resource) -> Resource:
        if self._settled is not None and self._settled[0] == os.getpid():
            return self._settled[1]
        overlay, version, settled = resource.lasting_overlay() if self._lasting else (*resource.overlay(), False)
        key = (id(original), version, privacy.generation)
        known = self._known.get(key)
        if known is None or known[0] is not original:
            if len(self._known) > 64:
                self._known.clear()
            merged = {**original.attributes, **overlay}
            known = self._known[key] = (
                original,
                Resource(scrub_attributes(merged), scrub_text(original.schema_url or "")),
            )
        if settled:
            self._settled = (os.getpid(), known[1])
        return known[1]


def _without_secret_state(context: SpanContext | None) -> Any:
    """Return a span context without its `tracestate` where that holds a secret: it comes from other programs."""
    if context is None or not context.trace_state:
        return context
    header = context.trace_state.to_header()
    if scrub(header) == header:
        return context
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def scrub_span(span: ReadableSpan, resources: Resources) -> ReadableSpan:
    """Return a copy of an ended span with its name, attributes, events, links, status, scope and resource scrubbed."""
    status = span.status
    if status.description:
        status = Status(status.status_code, scrub_text(status.description))
    return ReadableSpan(
        name=scrub_text(span.name),
        context=_without_secret_state(span.get_span_context()),
        parent=span.parent,
        resource=resources(span.resource),
        attributes=scrub_attributes(span.attributes),
        events=[
            Event(scrub_text(event.name), scrub_attributes(event.attributes), event.timestamp) for event in span.events
        ],
        links=[Link(_without_secret_state(link.context), scrub_attributes(link.attributes)) for link in span.links],
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=scrub_scope(span.instrumentation_scope),
    )


class ScrubbedSpanExporter(SpanExporter):
    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._resources = Resources()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([scrub_span(span, self._resources) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class ScrubbedLogExporter(LogRecordExporter):
    def __init__(self, exporter: LogRecordExporter) -> None:
        self._exporter = exporter
        self._resources = Resources()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        return self._exporter.export([self._scrub(record) for record in batch])

    def _scrub(self, readable: ReadableLogRecord) -> ReadableLogRecord:
        # The SDK hands the same record to every processor: change a copy.
        record = _copy(readable.log_record)
        record.body = scrub_value(record.body)
        record.attributes = scrub_attributes(record.attributes)
        if record.event_name:
            record.event_name = scrub_text(record.event_name)
        if record.severity_text:
            record.severity_text = scrub_text(record.severity_text)
        return ReadableLogRecord(
            log_record=record,
            resource=self._resources(readable.resource),
            instrumentation_scope=scrub_scope(readable.instrumentation_scope),
            limits=readable.limits,
        )

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _copy(record: Any) -> Any:
    duplicate = object.__new__(type(record))
    duplicate.__dict__.update(record.__dict__)
    return duplicate


class ScrubbedMetricExporter(MetricExporter):
    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001 - the reader asks for it by this name
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001
        )
        self._exporter = exporter
        self._scrub = _MetricScrubber()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        return self._exporter.export(self._scrub(metrics_data), timeout_millis=timeout_millis, **kwargs)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._exporter.shutdown(timeout_millis=timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis=timeout_millis)


def scrub_reader(reader: MetricReader) -> MetricReader:
    """Have what a reader of another package collects, such as Prometheus', scrubbed before it sees it."""
    scrub_metrics, receive = _MetricScrubber(), reader._receive_metrics  # noqa: SLF001 - where the SDK hands it over

    def receive_scrubbed(metrics_data: MetricsData | None, *args: Any, **kwargs: Any) -> None:
        receive(scrub_metrics(metrics_data) if metrics_data is not None else None, *args, **kwargs)  # type: ignore[arg-type]

    reader._receive_metrics = receive_scrubbed  # type: ignore[method-assign]  # noqa: SLF001
    return reader


class _MetricScrubber:
    def __init__(self) -> None:
        self._resources = Resources(lasting=True)

    def __call__(self, metrics_data: MetricsData) -> MetricsData:
        return MetricsData([self._scrub(each) for each in metrics_data.resource_metrics])

    def _scrub(self, resource_metrics: ResourceMetrics) -> ResourceMetrics:
        return replace(
            resource_metrics,
            resource=self._resources(resource_metrics.resource),
            scope_metrics=[
                replace(
                    scope_metrics,
                    scope=scrub_scope(scope_metrics.scope),
                    metrics=[_scrub_metric(metric) for metric in scope_metrics.metrics],
                )
                for scope_metrics in resource_metrics.scope_metrics
            ],
        )


def _scrub_metric(metric: Any) -> Any:
    points = [
        replace(
            point,
            attributes=scrub_attributes(point.attributes),
            exemplars=[
                replace(exemplar, filtered_attributes=scrub_attributes(exemplar.filtered_attributes))
                for exemplar in point.exemplars
            ],
        )
        for point in metric.data.data_points
    ]
    return replace(
        metric,
        name=scrub_text(metric.name),
        unit=scrub_text(metric.unit or ""),
        description=scrub_text(metric.description or ""),
        data=replace(metric.data, data_points=points),
    )
