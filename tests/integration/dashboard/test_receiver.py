"""OTLP over HTTP: what senders hear, and what the official exporters, a bot and floods leave in the store."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading

import aiohttp
import pytest
import urllib3
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otelbot.dashboard import receiver
from otelbot.dashboard.otlp import to_otlp_json
from otelbot.demo.telegram import message_update
from otelbot.demo.waiting import PATIENCE
from tests.integration.dashboard.receiving import receiving
from tests.support import TOKEN
from tests.unit.dashboard.store.filling import logs, metrics, opened, rows, span, trace_id, traces, until

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def store(tmp_path):
    async with opened(tmp_path / "dashboard") as store:
        yield store


@pytest.fixture
async def url(store):
    async with receiving(store) as url:
        yield url


@pytest.fixture
async def http(url):
    async with aiohttp.ClientSession(url) as session:
        yield session


def message_of(status):
    """Return the message of a google.rpc.Status in protobuf."""
    return type(ExportTraceServiceResponse().partial_success).FromString(status).error_message


async def test_each_signal_is_taken_in_both_encodings(store, http):
    for signal, request in {
        "traces": traces(span(trace_id())),
        "metrics": metrics("gauge", {"as_int": 1}),
        "logs": logs("tea"),
    }.items():
        body = gzip.compress(request.SerializeToString())
        async with http.post(f"/v1/{signal}", data=body, headers=PROTOBUF | {"Content-Encoding": "gzip"}) as response:
            assert (response.status, response.content_type) == (200, "application/x-protobuf")
            assert await response.read() == b""
        async with http.post(f"/v1/{signal}", json=to_otlp_json(request)) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            assert await response.json() == {}
    assert await rows(store, "SELECT count(*) FROM logs") == [(2,)]


async def test_what_cannot_be_kept_is_a_partial_success(http):
    request = traces(span(trace_id()), span(b""), span(b"short"))
    async with http.post("/v1/traces", data=request.SerializeToString(), headers=PROTOBUF) as response:
        assert response.status == 200
        answer = ExportTraceServiceResponse.FromString(await response.read()).partial_success
    assert answer.rejected_spans == 2
    assert "trace id" in answer.error_message


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        (PROTOBUF, b"\xff\xff", 400, "not traces in OTLP's protobuf"),
        (PROTOBUF | {"Content-Encoding": "gzip"}, b"\xff\xff", 400, "not in gzip"),
        (PROTOBUF | {"Content-Encoding": "br"}, b"", 400, "none of gzip"),
        (JSON, b'{"resourceSpans": 1}', 400, "OTLP/JSON"),
        ({"Content-Type": "text/plain"}, b"", 415, "content type"),
        ({}, b"", 415, "content type"),
        (PROTOBUF, bytes(21 * 2**20), 413, "20 MiB"),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(bytes(21 * 2**20)), 413, "20 MiB"),
    ],
)
async def test_a_refusal_says_why_and_nothing_is_stored(store, url, headers, body, status, reason):
    def send():
        with urllib3.PoolManager(timeout=PATIENCE, retries=False) as http:
            return http.request("POST", f"{url}/v1/traces", body=body, headers=headers)

    response = await asyncio.to_thread(send)
    assert response.status == status
    if headers == JSON:
        assert reason in response.json()["message"]
    else:
        assert response.headers["Content-Type"] == "application/x-protobuf"
        assert reason in message_of(response.data)
    assert await rows(store, "SELECT count(*) FROM spans UNION SELECT count(*) FROM resources") == [(0,)]


async def test_chunks_without_end_are_refused(http):
    async def chunks():
        for _ in range(30):
            yield bytes(2**20)

    try:
        async with http.post("/v1/logs", data=chunks(), headers=PROTOBUF) as response:
            assert response.status == 413
    except aiohttp.ClientOSError:
        pass  # it was closed while we still sent


async def test_a_sender_that_dies_while_it_sends_is_no_error_of_ours(store, url, http, caplog):
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/logs HTTP/1.1", "Host: x", "Content-Type: application/x-protobuf", "Content-Length: 99", "", "half"
    writer.write("\r\n".join(head).encode())
    await writer.drain()
    writer.transport.abort()
    async with http.post("/v1/logs", data=logs("tea").SerializeToString(), headers=PROTOBUF) as response:
        assert response.status == 200
    await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert store.stats().unreadable == 0


async def test_a_body_that_never_ends_is_given_up(store, url, http, monkeypatch):
    monkeypatch.setattr(receiver, "_BODY_TAKES", 0.1)
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/logs HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 99", "", "half"
    writer.write("\r\n".join(head).encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body took longer than" in answer


async def test_other_methods_and_paths(http):
    async with http.get("/v1/traces") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    async with http.post("/v1/profiles", data=b"", headers=PROTOBUF) as response:
        assert response.status == 404


async def test_a_token_is_asked_for_where_other_machines_reach_the_receiver(store):
    body = logs("tea").SerializeToString()
    async with receiving(store, "s3cret") as url, aiohttp.ClientSession(url) as http:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            async with http.post("/v1/logs", data=body, headers=PROTOBUF | given) as response:
                assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert "OTEL_EXPORTER_OTLP_HEADERS" in message_of(await response.read())
        async with http.post("/v1/logs", data=body, headers=PROTOBUF | {"Authorization": "Bearer s3cret"}) as response:
            assert response.status == 200
    assert await rows(store, "SELECT count(*) FROM logs") == [(1,)]


async def test_a_flood_is_slowed_down_and_all_that_was_acknowledged_is_kept(store, http):
    """The writer stands still: what comes meanwhile is bounded, and the senders are told to come again."""
    store._jobs._most = 300_000
    body = logs("x" * 50_000).SerializeToString()
    go, begun = threading.Event(), threading.Event()

    def wait(_db):
        begun.set()
        go.wait(PATIENCE)

    async def send():
        async with http.post("/v1/logs", data=body, headers=PROTOBUF) as response:
            return response.status, response.headers.get("Retry-After")

    held = asyncio.create_task(store.write(wait))
    await asyncio.to_thread(begun.wait, PATIENCE)
    sending = {asyncio.create_task(send()) for _ in range(40)}
    waiting = 5  # as many as there is room for
    while len(sending) > waiting:
        done, sending = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        assert {task.result() for task in done} == {(503, "1")}
        assert store.queue_bytes <= 300_000
    go.set()
    await held
    assert [(await task) for task in sending] == [(200, None)] * waiting
    assert (await send())[0] == 200
    assert await rows(store, "SELECT count(*) FROM logs") == [(waiting + 1,)]


async def test_a_database_that_takes_nothing_is_told_to_senders(store, http):
    await store.write(lambda db: db.execute("PRAGMA max_page_count = 1").fetchall())
    body = logs("x" * 5000).SerializeToString()

    async def send():
        async with http.post("/v1/logs", data=body, headers=PROTOBUF) as response:
            return response.status, response.headers.get("Retry-After"), message_of(await response.read())

    while (answer := await send())[0] == 200:
        pass
    assert answer[:2] == (503, "5")
    assert "free space" in answer[2]
    await store.write(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchall())
    assert (await send())[0] == 200


async def test_what_the_official_exporters_send(store, url):
    resource = Resource({"service.name": "tea"})
    tracing, logging = TracerProvider(resource=resource), LoggerProvider(resource)
    measuring = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"))], resource)
    spans = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip)
    tracing.add_span_processor(BatchSpanProcessor(spans))
    records = OTLPLogExporter(f"{url}/v1/logs", compression=Compression.Deflate)
    logging.add_log_record_processor(BatchLogRecordProcessor(records))
    tracer = tracing.get_tracer("tests", "1")
    with tracer.start_as_current_span("update", kind=trace.SpanKind.CONSUMER) as update:
        context = update.get_span_context()
        with tracer.start_as_current_span("call") as call:
            call.record_exception(ValueError("<script>"))
            call.set_status(trace.StatusCode.ERROR, "no tea")
        record = LogRecord(timestamp=1, severity_number=SeverityNumber.WARN, body={"tea": 1}, event_name="tea.ready")
        logging.get_logger("tests").emit(record)
    measuring.get_meter("tests").create_counter("cups", "{cup}").add(2, {"kind": "green"})
    measuring.get_meter("tests").create_histogram("warmth", "Cel").record(61.5)

    for provider in (tracing, logging, measuring):
        await asyncio.to_thread(provider.shutdown)
    identifier = context.trace_id.to_bytes(16, "big")
    assert await rows(store, "SELECT trace_id, name, spans, errors FROM traces") == [(identifier, "update", 2, 1)]
    ((body, event, of_trace),) = await rows(store, "SELECT body, event, trace_id FROM logs")
    assert (json.loads(body), event, of_trace) == ({"tea": 1}, "tea.ready", identifier)
    query = "SELECT name, kind, value FROM points JOIN series ON id = series ORDER BY name"
    assert await rows(store, query) == [("cups", "sum", 2), ("warmth", "histogram", 1)]


async def test_what_a_bot_sends(store, url, api, run):
    bot = await run(
        """
        @dp.message()
        async def on_tea(message):
            await message.answer("here")

        main()
        """,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "tea-shop"},
    )
    api.push(TOKEN, message_update("tea"))
    await until(lambda: rows(store, "SELECT count(*) FROM traces WHERE root IS NOT NULL AND outcome IS NOT NULL"))
    assert await bot.stop() == 0
    ((name, handler, outcome, kind, user, spans, service),) = await rows(
        store,
        "SELECT name, handler, outcome, update_type, user_hash, spans, service"
        " FROM traces JOIN resources ON id = resource WHERE outcome IS NOT NULL",
    )
    assert (name, handler, outcome, kind, service) == ("message on_tea", "on_tea", "handled", "message", "tea-shop")
    assert user
    assert spans >= 2
    await until(lambda: rows(store, "SELECT count(*) FROM series WHERE name = 'telegram.bot.update.duration'"))
    await until(lambda: rows(store, "SELECT count(*) FROM logs WHERE event = 'telegram.bot.shutdown'"))
    assert store.stats().unreadable == 0
    assert store.troubles == []
