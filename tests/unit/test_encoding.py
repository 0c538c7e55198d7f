"""What our encoder writes, decoded, is what the official encoder makes of the scrubbed telemetry."""

from __future__ import annotations

import enum
import math
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._internal.metrics_encoder import OTLPMetricExporterMixin
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as official_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk._logs import LogRecordLimits, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.metrics import Exemplar, MeterProvider
from opentelemetry.sdk.metrics._internal.point import Buckets
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import ExponentialHistogram as ExponentialHistogramData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from otelbot import privacy
from otelbot.export import connection, protobuf, values
from otelbot.export.encoding import encode_log, encode_span, logs_request, traces_request
from otelbot.export.exporters import OtlpMetricExporter
from otelbot.export.metric_encoding import encode_metrics
from otelbot.export.scrubber import (
    LONGEST_VALUE,
    Resources,
    ScrubbedLogExporter,
    _MetricScrubber,
    scrub_attributes,
    scrub_span,
    scrub_value,
)

TOKEN = "123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0"
INT64 = st.integers(-(2**63), 2**63 - 1)

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "GET", TOKEN, f"bot{TOKEN}/getMe", "DETAIL: Ada", "é", "\ud83d cut", "x" * 200, "\x00"]),
)
keys = st.one_of(st.text(min_size=1, max_size=8), st.sampled_from(["a", "b", "http.route", f"by {TOKEN}", "ключ"]))
scalars = st.one_of(
    texts,
    st.booleans(),
    INT64,
    st.sampled_from([0, 1, -1, 127, 128, 2**63 - 1, -(2**63), 2**63, -(2**70)]),
    st.floats(),
    st.sampled_from([0.0, 1.0, -0.0, math.nan, math.inf, -math.inf]),
    st.binary(max_size=8),
    st.none(),
)
any_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=6,
)
attributes = st.dictionaries(keys, any_values, max_size=6)
states = st.sampled_from([None, TraceState([("vendor", "1"), ("other", "x:y")]), TraceState([("vendor", TOKEN)])])
contexts = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.sampled_from([TraceFlags(0), TraceFlags(1)]),
    states,
)
nanoseconds = st.integers(0, 2**64 - 1)
scopes = st.one_of(
    st.none(),
    st.builds(
        InstrumentationScope, texts, st.one_of(st.none(), texts), st.one_of(st.none(), texts), st.none() | attributes
    ),
)
resources = st.builds(Resource, attributes, texts)


def same(ours, official, message):
    """Compare what is decoded, with `nan` equal to itself, as the bytes of both written by the official library."""
    decoded = message.FromString(ours)
    assert decoded.SerializeToString(deterministic=True) == official.SerializeToString(deterministic=True)


def scrubbed_with_counts(span, known):
    """The scrubber's copy, which says nothing of what was dropped, with the counts of the original."""
    copy = scrub_span(span, known)

    class Counted(ReadableSpan):
        dropped_attributes = span.dropped_attributes
        dropped_events = span.dropped_events
        dropped_links = span.dropped_links

    copy.__class__ = Counted
    return copy


@given(
    st.lists(
        st.builds(
            ReadableSpan,
            name=texts,
            context=contexts,
            parent=st.none() | contexts,
            attributes=st.none() | attributes,
            events=st.lists(st.builds(Event, texts, st.none() | attributes, nanoseconds), max_size=2),
            links=st.lists(st.builds(Link, contexts, st.none() | attributes), max_size=2),
            kind=st.sampled_from(SpanKind),
            status=st.builds(Status, st.just(StatusCode.ERROR), st.none() | texts)
            | st.sampled_from([Status(), Status(StatusCode.OK)]),
            start_time=st.none() | nanoseconds,
            end_time=nanoseconds,
        ),
        min_size=1,
        max_size=3,
    ),
    resources,
    scopes,
)
def test_spans_are_what_the_official_encoder_makes_of_them(spans, resource, scope):
    for span in spans:
        span._resource, span._instrumentation_scope = resource, scope
    scrubbed = [scrub_span(span, Resources()) for span in spans]
    ours = traces_request(scrubbed[0].resource, [(scope, [encode_span(span) for span in spans])])
    official = encode_spans([replaced_resource(span, scrubbed[0].resource) for span in scrubbed])
    same(ours, official, ExportTraceServiceRequest)


def replaced_resource(span, resource):
    span._resource = resource
    return span


def test_what_limits_dropped_is_counted():
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=0, max_event_attributes=1)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False, resource=Resource({"service.name": "shop"}))
    span = provider.get_tracer("scope").start_span("span", links=[Link(SpanContext(1, 2, True), {"a": 1, "b": 2})])
    span.set_attributes({"a": 1, "b": 2, "c": 3})
    for name in ("first", "second"):
        span.add_event(name, {"a": 1, "b": 2})
    span.end()
    official = encode_spans([span])
    same(
        traces_request(provider.resource, [(span.instrumentation_scope, [encode_span(span)])]),
        official,
        ExportTraceServiceRequest,
    )
    message = SpanMessage.FromString(encode_span(span))
    assert (message.dropped_attributes_count, message.dropped_events_count, message.dropped_links_count) == (2, 1, 1)
    assert message.events[0].dropped_attributes_count == 1


records = st.builds(
    LogRecord,
    timestamp=st.none() | nanoseconds,
    observed_timestamp=nanoseconds,
    severity_text=st.none() | texts,
    severity_number=st.none() | st.sampled_from(SeverityNumber),
    body=any_values,
    attributes=attributes,
    event_name=st.none() | texts,
)


@given(records, st.none() | contexts, resources, scopes, st.none() | st.integers(0, 3))
def test_log_records_are_what_the_official_encoder_makes_of_them(record, context, resource, scope, limit):
    if context is not None:
        record.trace_id, record.span_id, record.trace_flags = context.trace_id, context.span_id, context.trace_flags
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("warnings.warn", lambda *_, **__: None)  # the SDK's, of attributes that the limit dropped
        readable = ReadWriteLogRecord(record, resource, scope, LogRecordLimits(max_log_record_attributes=limit))
    scrubbed = ScrubbedLogExporter(None)._scrub(
        ReadableLogRecord(readable.log_record, resource, scope, readable.limits)
    )
    official = encode_logs([scrubbed])
    official.resource_logs[0].scope_logs[0].log_records[0].dropped_attributes_count = readable.dropped_attributes
    same(logs_request(scrubbed.resource, [(scope, [encode_log(readable)])]), official, ExportLogsServiceRequest)


numbers = st.one_of(INT64, st.floats())
exemplars = st.lists(
    st.builds(Exemplar, attributes, numbers, nanoseconds, st.none() | st.integers(1, 2**64 - 1), st.just(7)), max_size=2
)
number_points = st.builds(NumberDataPoint, attributes, nanoseconds, nanoseconds, numbers, exemplars)
counts = st.integers(0, 2**64 - 1)
histogram_points = st.builds(
    HistogramDataPoint,
    attributes,
    nanoseconds,
    nanoseconds,
    counts,
    numbers,
    st.lists(counts, max_size=4),
    st.lists(st.floats(), max_size=3),
    st.none() | numbers,
    st.none() | numbers,
    exemplars,
)
int32 = st.integers(-(2**31), 2**31 - 1)
buckets = st.builds(Buckets, int32, st.lists(counts, max_size=3))
exponential_points = st.builds(
    ExponentialHistogramDataPoint,
    attributes,
    nanoseconds,
    nanoseconds,
    counts,
    numbers,
    int32,
    counts,
    buckets,
    buckets,
    st.integers(0, 2**32 - 1),
    st.none() | numbers,
    st.none() | numbers,
    exemplars,
)
temporalities = st.sampled_from([AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
metrics = st.builds(
    Metric,
    texts,
    st.none() | texts,
    st.none() | texts,
    st.one_of(
        st.builds(Gauge, st.lists(number_points, max_size=2)),
        st.builds(Sum, st.lists(number_points, max_size=2), temporalities, st.booleans()),
        st.builds(Histogram, st.lists(histogram_points, max_size=2), temporalities),
        st.builds(ExponentialHistogramData, st.lists(exponential_points, max_size=2), temporalities),
    ),
)


@given(st.lists(metrics, max_size=3), resources, scopes.filter(bool))
def test_metrics_are_what_the_official_encoder_makes_of_them(metrics, resource, scope):
    data = MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])
    scrubbed = _MetricScrubber()(data)
    known = MetricsData([replace(data.resource_metrics[0], resource=scrubbed.resource_metrics[0].resource)])
    same(encode_metrics(known), official_metrics(scrubbed), ExportMetricsServiceRequest)


def test_what_the_sdk_measures_is_encoded():
    reader = InMemoryMetricReader()
    exponential = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], Resource({"service.name": "shop"}), views=[exponential], shutdown_on_exit=False)
    meter = provider.get_meter("scope", "1", "https://schema", {"a": 1})
    meter.create_counter("counter", "1", "what it counts").add(3, {"a": "x"})
    meter.create_up_down_counter("up").add(-2.5)
    meter.create_gauge("gauge").set(1)
    meter.create_observable_gauge("observable", [lambda _: ()])
    for value in (0, 0.004, -3, 10**6):
        meter.create_histogram("exponential").record(value, {"a": True})
        meter.create_histogram("histogram", explicit_bucket_boundaries_advisory=[0.005, 1]).record(value, {"a": 1})
    data = reader.get_metrics_data()
    provider.shutdown()
    same(encode_metrics(data), official_metrics(data), ExportMetricsServiceRequest)


@pytest.mark.parametrize(
    ("value", "told"),
    [(2**70, float(2**70)), (10**400, math.inf), (-(10**400), -math.inf)],
    ids="large huge low".split(),
)
def test_a_sum_beyond_what_otlp_holds_does_not_cost_the_other_metrics(value, told):
    point = NumberDataPoint({}, 1, 2, value)
    metric = Metric("sum", None, None, Sum([point], AggregationTemporality.CUMULATIVE, True))
    scope_metrics = ScopeMetrics(InstrumentationScope("scope"), [metric], "")
    encoded = encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope_metrics], "")]))
    decoded = ExportMetricsServiceRequest.FromString(encoded)
    assert decoded.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].as_double == told


@pytest.mark.parametrize("temporality", ["", "cumulative", "DELTA", " lowmemory "])
@pytest.mark.parametrize("aggregation", ["", "explicit_bucket_histogram", "base2_exponential_bucket_histogram"])
def test_the_standard_variables_choose_temporality_and_histograms(monkeypatch, temporality, aggregation):
    for name, value in (("TEMPORALITY_PREFERENCE", temporality), ("DEFAULT_HISTOGRAM_AGGREGATION", aggregation)):
        if value:
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_METRICS_{name}", value)
        else:
            monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_METRICS_{name}", raising=False)

    class Official(OTLPMetricExporterMixin):
        def __init__(self):
            self._common_configuration()

    ours, official = OtlpMetricExporter(None), Official()
    assert ours._preferred_temporality == official._preferred_temporality
    assert {kind: type(each) for kind, each in ours._preferred_aggregation.items()} == {
        kind: type(each) for kind, each in official._preferred_aggregation.items()
    }


def test_metrics_that_can_not_be_encoded_are_counted_and_said_once(caplog):
    dropped = []
    exporter = OtlpMetricExporter(SimpleNamespace(drop=lambda reason, items: dropped.append((reason, items))))
    point = NumberDataPoint({}, 1, -1, 5)  # before 1970
    metric = Metric("sum", None, None, Sum([point, point], AggregationTemporality.CUMULATIVE, True))
    scope_metrics = ScopeMetrics(InstrumentationScope("scope"), [metric], "")
    for _ in range(2):
        exporter.export(MetricsData([ResourceMetrics(Resource({}), [scope_metrics], "")]))
    assert dropped == [("refused", 2), ("refused", 2)]
    assert caplog.text.count("the metrics can't be encoded") == 1


def test_the_bots_process_does_without_protobufs_library():
    program = """
import sys
import otelbot.startup, otelbot.distro, otelbot.configurator, otelbot.instrumentation.aiogram
otelbot.configurator.build()
print(*(name for name in sys.modules if name.startswith(("google.protobuf", "opentelemetry.proto"))))
"""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTELBOT_FLUSH_TIMEOUT": "0.1"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert ended.stdout.strip() == ""


def pairs(attributes):
    return KeyValueList.FromString(values.encode_attributes(b"\x0a", attributes))


def as_python(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [as_python(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: as_python(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


@given(any_values)
def test_values_are_changed_as_by_the_scrubber(value):
    decoded = as_python(AnyValue.FromString(values.encode_value(value)))
    assert repr(decoded) == repr(listed(scrub_value(value)))


def listed(value):
    if isinstance(value, dict):
        return {key: listed(each) for key, each in value.items()}
    return [listed(each) for each in value] if isinstance(value, list) else value


def test_equal_values_of_different_types_stay_different():
    for value in (1, True, 1.0, "1", 0, False, 0.0, 1, True, 1.0, "1"):
        (pair,) = pairs({"key": value}).values
        assert (type(as_python(pair.value)), as_python(pair.value)) == (type(value), value)


def test_subclasses_of_text_and_numbers_are_told_by_their_value():
    class Color(str, enum.Enum):
        RED = "red"

    class Size(enum.IntEnum):
        BIG = 7

    told = {pair.key: as_python(pair.value) for pair in pairs({Color.RED: Color.RED, "size": Size.BIG}).values}
    assert told == {"red": "red", "size": 7} == scrub_attributes({Color.RED: Color.RED, "size": Size.BIG})


def test_keys_that_become_one_are_told_once_with_the_last_value():
    other = TOKEN.replace("123456789", "987654321")
    assert [(pair.key, as_python(pair.value)) for pair in pairs({TOKEN: 1, "a": 2, other: 3}).values] == [
        ("***", 3),
        ("a", 2),
    ]


def test_a_value_is_scrubbed_before_it_is_cut():
    (pair,) = pairs({"text": "x" * (LONGEST_VALUE - 30) + TOKEN}).values
    assert TOKEN[:20] not in pair.value.string_value
    (pair,) = pairs({"text": "x" * (LONGEST_VALUE + 1000)}).values
    assert len(pair.value.string_value) == LONGEST_VALUE + 1


@pytest.fixture
def no_secrets(monkeypatch):
    for name, empty in (("_secrets", set()), ("_keys", set()), ("_key_lengths", set()), ("_secret_pattern", None)):
        monkeypatch.setattr(privacy, name, empty)
    privacy._forget_scrubbed()
    yield
    monkeypatch.undo()
    privacy._forget_scrubbed()


def test_a_secret_that_becomes_known_later_is_masked_in_what_was_kept(no_secrets):
    secret = "hook-Secret-17"
    scope, resource = InstrumentationScope(secret), Resource({"a": secret})
    provider = TracerProvider(shutdown_on_exit=False, resource=resource)

    def told():
        span = provider.get_tracer("scope").start_span(secret, attributes={secret: 1, "a": secret, "n": [secret]})
        span.add_event(secret)
        span.end()
        return traces_request(resource, [(scope, [encode_span(span)])])

    assert told().count(secret.encode()) == 7
    privacy.register_secret(secret)
    assert secret.encode() not in told()


def test_the_memory_for_values_is_bounded(monkeypatch):
    values._forget()
    for number in range(2000):
        pairs({"id": number, "statement": f"SELECT {number}", f"key {number}": 1, "long": "x" * 100_000})
    (known,) = values._known.fields.values()
    assert len(known._keys) <= values._MOST_TEXTS
    assert len(known._keys["id"].integers) == values._MOST_VALUES
    assert sum(name == "statement" for name, _ in known) == values._MOST_VALUES
    assert not any(name == "long" for name, _ in known)
    for number in range(20_000):
        pairs({f"key {number % 100}": f"{number}" + "x" * 200})
    assert sum(map(len, values._known.fields[known._field].values())) <= values._MOST_KEPT


def test_a_list_among_the_attributes_takes_no_room_from_texts():
    values._forget()
    for number in range(2 * values._MOST_VALUES):
        pairs({"handler": "start", "tags": [str(number)]})
    pairs({"handler": "buy"})
    (known,) = values._known.fields.values()
    assert {("handler", "start"), ("handler", "buy")} == {*known}


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_on_the_wire(number):
    assert AnyValue.FromString(b"\x18" + protobuf.varint(number)).int_value == number
    assert protobuf.varint(number) == AnyValue(int_value=number).SerializeToString()[1:]


@given(st.integers(0, 2**63 - 1), st.text(max_size=300))
def test_a_partial_success_is_read(rejected, message):
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    assert connection._rejected(answer.SerializeToString()) == rejected


@given(st.binary(max_size=40))
def test_an_answer_that_is_no_protobuf_rejects_nothing_and_raises_nothing(body):
    assert connection._rejected(body) >= 0


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html>", b"\x0a\x7f\x08", b"\x0a\x02\x08\xff", b"\x08\x05", b"\xff" * 11]
)
def test_malformed_answers_reject_nothing(body):
    assert connection._rejected(body) == 0


def test_what_the_sdk_keeps_behind_its_properties_is_still_there():
    """The encoder reads it there; the SDK is pinned, and this notices when it is not what it was."""
    provider = TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("scope").start_span("span", attributes={"a": 1}, kind=SpanKind.CLIENT)
    span.end()
    behind = (span._name, span._kind, span._context, span._parent, span._start_time, span._end_time, span._status)
    assert behind == (span.name, span.kind, span.context, span.parent, span.start_time, span.end_time, span.status)
    assert span._attributes._dict == dict(span.attributes) == {"a": 1}
    assert tuple(span.context)[:5] == (
        span.context.trace_id,
        span.context.span_id,
        span.context.is_remote,
        span.context.trace_flags,
        span.context.trace_state,
    )
    assert [SpanMessage.SpanKind.Name(kind.value + 1) for kind in SpanKind] == [
        f"SPAN_KIND_{kind.name}" for kind in SpanKind
    ]
