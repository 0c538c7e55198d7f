"""Where OpenTelemetry's SDK hands over what leaves by OTLP/HTTP.

Spans and log records are encoded on the bot's thread, a few at once: that is some microseconds each, where encoding a
whole request of them would hold the interpreter for milliseconds. Nothing here waits for the network.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import Logger, LogRecordProcessor
from opentelemetry.sdk._logs._internal._logger_metrics import NoOpLoggerMetrics
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelbot import __version__, privacy, signals
from otelbot.export.encoding import encode_event, encode_log, encode_message, encode_record, encode_span
from otelbot.export.metric_encoding import encode_metrics
from otelbot.export.scrubber import Resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from otelbot.export.batches import Batches
    from otelbot.export.sender import Sender

_log = logging.getLogger("otelbot")


class OtlpSpanProcessor(SpanProcessor):
    """Hands sampled spans over to be encoded, scrubbed."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def on_end(self, span: ReadableSpan) -> None:
        context: Any = span._context  # noqa: SLF001 - the properties are calls
        if context is None or not context[3] & 1:  # its flags: whether it is sampled
            return
        # With an event it may be long, with the stack of an exception.
        add = self._batches.add_now if span._events else self._batches.add_later  # noqa: SLF001
        add(span._instrumentation_scope, encode_span, span)  # noqa: SLF001

    def shutdown(self) -> None:
        self._batches.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self._batches.hand_over()
        return True


class OtlpLogProcessor(LogRecordProcessor):
    """Hands log records over to be encoded, scrubbed."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self._batches.add_now(log_record.instrumentation_scope, encode_log, log_record)

    def emit_plain(self, scope: InstrumentationScope, *record: Any) -> None:
        """Take what `encode_record` takes, where there is no need of an object for it."""
        self._batches.add_now(scope, encode_record, *record)

    def emit_message(
        self, scope: InstrumentationScope, created: int, described: bytes, body: str, span: SpanContext | None
    ) -> None:
        """Take what `encode_message` takes of what is logged now."""
        add = self._batches.add_now if len(body) > _LONG else self._batches.add_later
        add(scope, encode_message, (created, time_ns(), described, body, span))

    def emit_event(self, described: bytes, attributes: Mapping[str, Any], span: SpanContext) -> None:
        """Take what `encode_event` takes of what has happened now, of otelbot's own."""
        self._batches.add_later(_OWN_SCOPE, encode_event, (time_ns(), described, attributes, span))

    def shutdown(self) -> None:
        self._batches.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self._batches.hand_over()
        return True


def sole_exporter(logger: Any) -> OtlpLogProcessor | None:
    """Return the processor of an SDK's logger, where it is ours alone and nothing is set that only the SDK does.

    Limits of one's own or the SDK's metrics about itself: then None. Whether it is switched off is not looked at.
    """
    processors: Any = getattr(getattr(logger, "_multi_log_record_processor", None), "_log_record_processors", ())
    if len(processors) != 1 or type(processors[0]) is not OtlpLogProcessor or type(logger) is not Logger:
        return None
    limits = logger._log_record_limits  # noqa: SLF001
    plain = (
        isinstance(logger._logger_metrics, NoOpLoggerMetrics)  # noqa: SLF001
        and limits.max_log_record_attribute_length is None
        and (limits.max_log_record_attributes is None or limits.max_log_record_attributes >= FEW_ATTRIBUTES)
    )
    return processors[0] if plain else None


#: Characters; a longer message is encoded at once, so that it is counted in bytes.
_LONG = 4096
#: Of a record; more are counted by the SDK.
FEW_ATTRIBUTES = 32
_OWN_SCOPE = InstrumentationScope(signals.SCOPE, __version__)


class OtlpMetricExporter(MetricExporter):
    """Encodes metrics, scrubbed. Temporality and histograms follow the standard variables, as in official exporters."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(preferred_temporality=_temporality(), preferred_aggregation=_aggregation())
        self._sender = sender
        self._resources = Resources(lasting=True)
        self._said = False

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
            generation = privacy.generation
            try:
                request = encode_metrics(MetricsData([self._known(each) for each in metrics_data.resource_metrics]))
            except Exception as error:
                self._refuse(error, points)
            else:
                self._sender.submit(request, points, generation)
        return MetricExportResult.SUCCESS

    def _known(self, resource_metrics: Any) -> Any:
        return replace(resource_metrics, resource=self._resources(resource_metrics.resource))

    def _refuse(self, error: Exception, points: int) -> None:
        self._sender.drop("refused", points)
        if not self._said:
            self._said = True
            with suppress(Exception):
                _log.warning(
                    "otelbot: the metrics can't be encoded (%s): dropped, and counted in otelbot.export.dropped",
                    type(error).__name__,
                )

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to do: `lifecycle` closes the sender, within its bound."""


def _temporality() -> dict[type, AggregationTemporality]:
    """https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/#additional-environment-variable-configuration."""
    preference = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    delta: dict[str, tuple[type, ...]] = {
        "delta": (Counter, ObservableCounter, Histogram),
        "lowmemory": (Counter, Histogram),
    }
    kinds = (Counter, UpDownCounter, Histogram, ObservableCounter, ObservableUpDownCounter, ObservableGauge)
    return {
        kind: AggregationTemporality.DELTA if kind in delta.get(preference, ()) else AggregationTemporality.CUMULATIVE
        for kind in kinds
    }


def _aggregation() -> dict[type, Aggregation]:
    wanted = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "").strip().lower()
    if wanted == "base2_exponential_bucket_histogram":
        return {Histogram: ExponentialBucketHistogramAggregation()}
    return {Histogram: ExplicitBucketHistogramAggregation()}
