"""The OTLP receiver takes what the official encoders make, in protobuf and JSON, and refuses on demand."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelbot.demo.otlp import OtlpReceiver, from_otlp_json, to_otlp_json

RESOURCE = Resource({"service.name": "tea"})
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
async def otlp():
    async with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
async def http(otlp):
    async with aiohttp.ClientSession(otlp.url) as session:
        yield session


@pytest.fixture(scope="module")
def traces():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("before") as before:
        pass
    link = trace.Link(before.get_span_context(), {"why": "order"})
    values = {"n": 2**40, "list": ["a", "b"], "raw": b"\x00\xff"}
    with (
        tracer.start_as_current_span("update", kind=trace.SpanKind.CONSUMER, links=[link]),
        tracer.start_as_current_span("call", attributes=values) as span,
    ):
        span.add_event("late", {"ok": True})
        span.set_status(trace.StatusCode.ERROR, "no tea")
    request = encode_spans(exporter.get_finished_spans())
    provider.shutdown()
    return request


def metrics():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], RESOURCE)
    meter = provider.get_meter("tests")
    cups = meter.create_counter("cups", "{cup}", "drunk")
    active = meter.create_up_down_counter("active")
    active.add(1)
    meter.create_gauge("warmth", "Cel").set(61.5)
    duration = meter.create_histogram("duration", "s", explicit_bucket_boundaries_advisory=[1, 2])
    for number in range(3):
        cups.add(1, {"kind": "green"})
        duration.record(number + 0.5)
        yield encode_metrics(reader.get_metrics_data())
    provider.shutdown()


def logs():
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(RESOURCE)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("tests").emit(
        LogRecord(
            timestamp=1,
            severity_text="INFO",
            severity_number=SeverityNumber.INFO,
            body={"tea": "ready"},
            attributes={"cup": 1},
            event_name="tea.ready",
        )
    )
    return encode_logs(exporter.get_finished_logs())


async def test_traces(otlp, http, traces):
    async with http.post("/v1/traces", data=traces.SerializeToString(), headers=PROTOBUF) as response:
        assert (response.status, response.content_type) == (200, "application/x-protobuf")
        assert ExportTraceServiceResponse.FromString(await response.read()) == ExportTraceServiceResponse()
    before, call, update = await otlp.wait_for_spans(3)
    assert (update.kind, update.parent_span_id, update.resource["service.name"]) == ("CONSUMER", "", "tea")
    assert update.links == [(before.trace_id, before.span_id, {"why": "order"})]
    assert (call.parent_span_id, call.trace_id) == (update.span_id, update.trace_id)
    assert call.attributes == {"n": 2**40, "list": ["a", "b"], "raw": b"\x00\xff"}
    assert call.events == [("late", {"ok": True})]
    assert (call.status, call.status_message, call.scope) == ("ERROR", "no tea", "tests")
    assert call.end >= call.start > 0
    assert otlp.requests[0].message == traces


async def test_metrics_keep_the_latest_points(otlp, http):
    for request in metrics():
        await http.post("/v1/metrics", data=request.SerializeToString(), headers=PROTOBUF)
    cups = otlp.metrics["cups"]
    assert (cups.unit, cups.description, cups.kind, cups.monotonic) == ("{cup}", "drunk", "sum", True)
    ((attributes, value, resource),) = cups.points
    assert (attributes, value, resource["service.name"]) == ({"kind": "green"}, 3, "tea")
    assert otlp.metrics["active"].monotonic is False
    assert otlp.metrics["warmth"].kind == "gauge"
    assert otlp.metrics["duration"].points[0][1] == (3, 4.5, [1, 2], [1, 1, 1])


async def test_logs(otlp, http):
    await http.post("/v1/logs", data=logs().SerializeToString(), headers=PROTOBUF)
    (log,) = otlp.logs
    assert (log.body, log.severity_text, log.severity_number) == ({"tea": "ready"}, "INFO", 9)
    assert (log.attributes, log.event_name, log.trace_id, log.scope) == ({"cup": 1}, "tea.ready", "", "tests")


def test_json_follows_the_otlp_mapping(traces):
    as_json = to_otlp_json(traces)
    spans = as_json["resourceSpans"][0]["scopeSpans"][0]["spans"]
    original = traces.resource_spans[0].scope_spans[0].spans
    assert spans[1]["traceId"] == original[1].trace_id.hex()
    assert spans[1]["parentSpanId"] == original[2].span_id.hex()
    assert spans[2]["kind"] == 5
    assert spans[2]["links"][0]["spanId"] == original[0].span_id.hex()
    assert spans[0]["startTimeUnixNano"] == str(original[0].start_time_unix_nano)
    values = {pair["key"]: pair["value"] for pair in spans[1]["attributes"]}
    assert values["n"] == {"intValue": str(2**40)}
    assert values["raw"] == {"bytesValue": "AP8="}
    assert from_otlp_json(json.dumps(as_json), ExportTraceServiceRequest) == traces


async def test_json_body(otlp, http, traces):
    async with http.post("/v1/traces", json=to_otlp_json(traces) | {"unknownField": 1}) as response:
        assert (response.status, await response.json()) == (200, {})
    assert otlp.requests[0].message == traces


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies(otlp, http, traces, encoding, compress):
    headers = PROTOBUF | {"Content-Encoding": encoding, "X-Tenant": "leaf"}
    body = compress(traces.SerializeToString())
    async with http.post("/v1/traces", data=body, headers=headers) as response:
        assert response.status == 200
    assert otlp.requests[0].body == traces.SerializeToString()
    assert b"no tea" in otlp.raw
    assert b"leaf" in otlp.raw


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (PROTOBUF, b"\xff\xff\xff", 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, b"\xff\xff\xff", 400),
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json"}, b"[]", 400),
        ({"Content-Type": "application/json"}, b'{"resourceSpans": 1}', 400),
        (
            {"Content-Type": "application/json"},
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
            400,
        ),
        ({"Content-Type": "text/plain"}, b"", 415),
    ],
)
async def test_malformed_requests(otlp, http, headers, body, status):
    async with http.post("/v1/traces", data=body, headers=headers) as response:
        assert response.status == status
    assert otlp.requests == []
    assert len(otlp.refused) == 1


async def test_faults(otlp, http, traces):
    async def send(signal="traces", **options):
        data = traces.SerializeToString() if signal == "traces" else b""
        async with http.post(f"/v1/{signal}", data=data, headers=PROTOBUF, **options) as response:
            return response.status, response.headers.get("Retry-After")

    otlp.answer_with(429, headers={"Retry-After": "2"}, signal="traces")
    assert await send("logs") == (200, None)
    assert await send() == (429, "2")
    otlp.reset()
    with pytest.raises(aiohttp.ClientOSError):
        await send()
    otlp.hang(30)
    with pytest.raises(asyncio.TimeoutError):
        await send(timeout=aiohttp.ClientTimeout(total=0.05))
    otlp.hang(0.01)
    assert await send() == (503, None)
    otlp.answer_with(400, times=None)
    assert await send() == (400, None)
    otlp.clear_faults()
    assert await send() == (200, None)
    assert otlp.refused == [("traces", how) for how in ("429", "reset", "hang", "hang", "400")]
    assert len(otlp.requests) == 2


async def test_subscriber_without_keeping(traces):
    seen = []
    async with OtlpReceiver(keep=False) as otlp, aiohttp.ClientSession(otlp.url) as http:
        otlp.on_request = seen.append
        await http.post("/v1/traces", data=traces.SerializeToString(), headers=PROTOBUF)
        assert (otlp.requests, otlp.spans, otlp.raw) == ([], [], b"")
    assert [received.signal for received in seen] == ["traces"]


async def test_waiting_in_vain(otlp):
    with pytest.raises(TimeoutError, match="in vain for 2 spans"):
        await otlp.wait_for_spans(2, timeout=0.01)
