"""Metrics as OTLP protobuf, scrubbed, as the official encoder makes them, without protobuf's library in the process."""

from __future__ import annotations

import math
import time
from struct import pack
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import ExponentialHistogram, Gauge, Histogram, Sum

from otelbot.export.encoding import export_request
from otelbot.export.protobuf import (
    FIXED64,
    LENGTH,
    VARINT,
    double,
    fixed64,
    sfixed64,
    sized,
    tag,
    varint,
    zigzag,
)
from otelbot.export.values import encode_attributes, encode_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import Metric, MetricsData

_NAME, _DESCRIPTION, _UNIT = tag(1, LENGTH), tag(2, LENGTH), tag(3, LENGTH)
_POINT, _TEMPORALITY, _MONOTONIC = tag(1, LENGTH), tag(2, VARINT), tag(3, VARINT)
_START, _TIME = tag(2, FIXED64), tag(3, FIXED64)

# A number: also what an exemplar has.
_AS_DOUBLE, _AS_INT = tag(4, FIXED64), tag(6, FIXED64)
_NUMBER_EXEMPLAR, _NUMBER_ATTRIBUTES = tag(5, LENGTH), tag(7, LENGTH)
_EXEMPLAR_TIME, _EXEMPLAR_DOUBLE, _EXEMPLAR_INT = tag(2, FIXED64), tag(3, FIXED64), tag(6, FIXED64)
_EXEMPLAR_SPAN_ID, _EXEMPLAR_TRACE_ID = tag(4, LENGTH) + b"\x08", tag(5, LENGTH) + b"\x10"
_FILTERED_ATTRIBUTES = tag(7, LENGTH)

# Histograms.
_COUNT, _SUM = tag(4, FIXED64), tag(5, FIXED64)
_BUCKET_COUNTS, _BOUNDS, _EXEMPLAR, _ATTRIBUTES = tag(6, LENGTH), tag(7, LENGTH), tag(8, LENGTH), tag(9, LENGTH)
_MIN, _MAX = tag(11, FIXED64), tag(12, FIXED64)
_EXPONENTIAL_ATTRIBUTES, _SCALE, _ZERO_COUNT = tag(1, LENGTH), tag(6, VARINT), tag(7, FIXED64)
_POSITIVE, _NEGATIVE, _FLAGS = tag(8, LENGTH), tag(9, LENGTH), tag(10, VARINT)
_EXPONENTIAL_EXEMPLAR, _EXPONENTIAL_MIN, _EXPONENTIAL_MAX = tag(11, LENGTH), tag(12, FIXED64), tag(13, FIXED64)
_OFFSET, _COUNTS = tag(1, VARINT), tag(2, LENGTH)


def encode_metrics(metrics_data: MetricsData) -> bytes:
    """Return an `ExportMetricsServiceRequest`, scrubbed.

    It is called in the reader's thread and lets the bot's go on after each metric: thousands of points take many
    milliseconds, and the interpreter would make the bot wait for five of them at a time.
    """
    encoded = []
    for resource_metrics in metrics_data.resource_metrics:
        groups = []
        for scope_metrics in resource_metrics.scope_metrics:
            metrics = []
            for metric in scope_metrics.metrics:
                metrics.append(_metric(metric))
                time.sleep(0)
            groups.append((scope_metrics.scope, metrics))
        encoded.append(export_request(resource_metrics.resource, groups))
    return b"".join(encoded)  # a repeated field: requests that follow each other are one with the parts of both


def _metric(metric: Metric) -> bytes:
    encoded = (
        _NAME
        + encode_name(metric.name)
        + _DESCRIPTION
        + encode_name(metric.description or "")
        + _UNIT
        + encode_name(metric.unit or "")
    )
    data = metric.data
    if not data.data_points:
        return encoded
    point, kind = _KINDS[type(data)]
    points = b"".join([_POINT + sized(point(each)) for each in data.data_points])
    if not isinstance(data, Gauge):
        points += _TEMPORALITY + varint(data.aggregation_temporality)
    if isinstance(data, Sum):
        points += _MONOTONIC + varint(data.is_monotonic)
    return encoded + kind + sized(points)


def _gauge(point: Any) -> bytes:
    """The SDK has a start time for gauges, the official encoder leaves it out: it means nothing there."""
    return (
        _TIME
        + fixed64(point.time_unix_nano)
        + _number(_AS_INT, _AS_DOUBLE, point.value)
        + encode_attributes(_NUMBER_ATTRIBUTES, point.attributes or {})
        + _exemplars(_NUMBER_EXEMPLAR, point.exemplars)
    )


def _sum(point: Any) -> bytes:
    return _START + fixed64(point.start_time_unix_nano or 0) + _gauge(point)


def _histogram(point: Any) -> bytes:
    encoded = _times_and_count(point)
    if counts := point.bucket_counts:
        encoded += _BUCKET_COUNTS + sized(pack(f"<{len(counts)}Q", *counts))
    if bounds := point.explicit_bounds:
        encoded += _BOUNDS + sized(pack(f"<{len(bounds)}d", *bounds))
    return (
        encoded
        + _optional(_SUM, point.sum)
        + _optional(_MIN, point.min)
        + _optional(_MAX, point.max)
        + encode_attributes(_ATTRIBUTES, point.attributes or {})
        + _exemplars(_EXEMPLAR, point.exemplars)
    )


def _exponential_histogram(point: Any) -> bytes:
    encoded = _times_and_count(point) + _SCALE + zigzag(point.scale) + _ZERO_COUNT + fixed64(point.zero_count)
    for field, buckets in ((_POSITIVE, point.positive), (_NEGATIVE, point.negative)):
        if counts := buckets.bucket_counts:
            packed = b"".join(map(varint, counts))
            encoded += field + sized(_OFFSET + zigzag(buckets.offset) + _COUNTS + sized(packed))
    if point.flags:
        encoded += _FLAGS + varint(point.flags)
    return (
        encoded
        + _optional(_SUM, point.sum)
        + _optional(_EXPONENTIAL_MIN, point.min)
        + _optional(_EXPONENTIAL_MAX, point.max)
        + encode_attributes(_EXPONENTIAL_ATTRIBUTES, point.attributes or {})
        + _exemplars(_EXPONENTIAL_EXEMPLAR, point.exemplars)
    )


def _times_and_count(point: Any) -> bytes:
    return (
        _START
        + fixed64(point.start_time_unix_nano or 0)
        + _TIME
        + fixed64(point.time_unix_nano)
        + _COUNT
        + fixed64(point.count)
    )


#: How the points of each kind are encoded, and the field that they are in.
_KINDS: dict[type, tuple[Callable[[Any], bytes], bytes]] = {
    Gauge: (_gauge, tag(5, LENGTH)),
    Sum: (_sum, tag(7, LENGTH)),
    Histogram: (_histogram, tag(9, LENGTH)),
    ExponentialHistogram: (_exponential_histogram, tag(10, LENGTH)),
}


def _optional(field: bytes, value: float | None) -> bytes:
    return b"" if value is None else field + _double(value)


def _number(as_int: bytes, as_double: bytes, value: float) -> bytes:
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return as_int + sfixed64(value)
    return as_double + _double(value)


def _double(value: float) -> bytes:
    """Return any number, also a sum that has grown beyond what OTLP can hold."""
    try:
        return double(float(value))
    except OverflowError:
        return double(math.inf if value > 0 else -math.inf)


def _exemplars(field: bytes, exemplars: Sequence[Any]) -> bytes:
    encoded = b""
    for exemplar in exemplars:
        body = (
            _EXEMPLAR_TIME
            + fixed64(exemplar.time_unix_nano)
            + _number(_EXEMPLAR_INT, _EXEMPLAR_DOUBLE, exemplar.value)
            + encode_attributes(_FILTERED_ATTRIBUTES, exemplar.filtered_attributes or {})
        )
        if exemplar.span_id is not None and exemplar.trace_id is not None:
            body += _EXEMPLAR_SPAN_ID + exemplar.span_id.to_bytes(8, "big")
            body += _EXEMPLAR_TRACE_ID + exemplar.trace_id.to_bytes(16, "big")
        encoded += field + sized(body)
    return encoded
