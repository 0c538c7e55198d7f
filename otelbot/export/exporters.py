"""OpenTelemetry exporters that encode with the official encoder and hand the bytes to a `Sender`.

They return as soon as the batch is queued, so that the SDK's processors never wait for the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.common._internal.metrics_encoder import OTLPMetricExporterMixin
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from otelbot.export.sender import Sender


class OtlpSpanExporter(SpanExporter):
    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._sender.submit(encode_spans(spans).SerializeToString(), len(spans))
        return SpanExportResult.SUCCESS


class OtlpLogExporter(LogRecordExporter):
    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self._sender.submit(encode_logs(batch).SerializeToString(), len(batch))
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to do: `lifecycle` closes the sender, within its bound."""

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True


class OtlpMetricExporter(MetricExporter, OTLPMetricExporterMixin):
    """Temporality and histogram aggregation follow the standard variables, as in the official exporters."""

    def __init__(self, sender: Sender) -> None:
        self._common_configuration()
        self._sender = sender

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,
    ) -> MetricExportResult:
        points = sum(
            len(metric.data.data_points)
            for resource_metrics in metrics_data.resource_metrics
            for scope_metrics in resource_metrics.scope_metrics
            for metric in scope_metrics.metrics
        )
        if points:
            self._sender.submit(encode_metrics(metrics_data).SerializeToString(), points)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to do: `lifecycle` closes the sender, within its bound."""
