"""The demo's view: traces are put together from spans in any order, and fit on narrow and wide screens."""

from __future__ import annotations

import io

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from rich.console import Console

from otelbot.demo.otlp import OtlpReceiver, Received
from otelbot.demo.otlp_views import spans_of, update_metrics
from otelbot.demo.traces import Traces
from otelbot.demo.view import View, _short, quantile


@pytest.fixture(scope="module")
def traces():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with (
        tracer.start_as_current_span(
            "message brew", kind=SpanKind.CONSUMER, attributes={"telegram.update.outcome": "handled"}
        ),
        tracer.start_as_current_span("brew"),
    ):
        with tracer.start_as_current_span("SELECT teas", attributes={"db.system.name": "postgresql"}):
            pass
        with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"http.request.method": "GET"}):
            pass
        attributes = {"telegram.method": "sendMessage", "http.response.status_code": 403}
        with tracer.start_as_current_span("sendMessage", kind=SpanKind.CLIENT, attributes=attributes) as call:
            call.set_status(StatusCode.ERROR)
    request = encode_spans(exporter.get_finished_spans())
    provider.shutdown()
    return request


@pytest.fixture(scope="module")
def metrics():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    meter = provider.get_meter("tests")
    duration = meter.create_histogram("telegram.bot.update.duration", "s", explicit_bucket_boundaries_advisory=[0.1, 1])
    duration.record(0.05, {"telegram.update.type": "message"})
    meter.create_counter("telegram.bot.commands", "{command}").add(3, {"telegram.command": "start"})
    request = encode_metrics(reader.get_metrics_data())
    provider.shutdown()
    return request


def console(width, *, terminal):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Console(file=out, width=width, height=30, force_terminal=terminal, color_system=None, legacy_windows=False)


def text_of(screen):
    screen.file.flush()
    return screen.file.buffer.getvalue().decode()


def fill(view, receiver, traces, metrics):
    update_metrics(receiver.metrics, metrics)
    view.take(Received("traces", b"", traces, {}, 0.0))


def test_spans_in_any_order(traces):
    spans = list(spans_of(traces))
    together = Traces()
    assert together.add(spans[:-1]) == []
    (trace,) = together.add(spans[-1:])
    assert trace.root.name == "message brew"
    (handler,) = trace.children(trace.root)
    assert [span.name for span in trace.children(handler)] == ["SELECT teas", "GET", "sendMessage"]
    assert together.fullest is trace


async def test_without_a_terminal_each_trace_is_printed_once(traces, metrics):
    screen, receiver = console(80, terminal=False), OtlpReceiver()
    view = View(screen, receiver)
    with view:
        fill(view, receiver, traces, metrics)
        view.refresh()
    screen.print(view.summary())
    shown = text_of(screen)
    assert shown.count("message brew") == 1
    assert "✓ PostgreSQL SELECT teas" in shown
    assert "✓ HTTP GET" in shown
    assert "✗ Bot API sendMessage" in shown
    assert "telegram.bot.update.duration" in shown
    assert "1 x 50 ms  p95 95 ms" in shown
    assert "5 spans   2 metrics   0 logs" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [80, 120])
async def test_screen(traces, metrics, width):
    screen, receiver = console(width, terminal=True), OtlpReceiver()
    view = View(screen, receiver)
    with view:
        fill(view, receiver, traces, metrics)
    picture = console(width, terminal=False)
    picture.print(view._screen(), height=30)
    lines = text_of(picture).splitlines()
    assert len(lines) == 30
    assert all(len(line) <= width for line in lines)
    shown = "\n".join(lines)
    assert "Ctrl-C stops" in shown
    assert "└── ✗ Bot API sendMessage" in shown
    assert ("update.type=message" in shown) == (width == 120)
    assert "message brew" in text_of(screen) or view.summary()


async def test_the_page_is_named_before_during_and_after(traces, metrics):
    page, receiver = "http://127.0.0.1:8080", OtlpReceiver()
    plain = console(80, terminal=False)
    with View(plain, receiver, page) as view:
        fill(view, receiver, traces, metrics)
    assert text_of(plain).startswith(f"dashboard: {page}\n")
    picture = console(80, terminal=False)
    picture.print(View(console(80, terminal=True), receiver, page)._screen(), height=30)
    lines = text_of(picture).splitlines()
    assert len(lines) == 30
    assert f"dashboard: {page}" in lines[1]
    plain.print(view.summary())
    assert f"The dashboard was at {page}" in text_of(plain)


async def test_what_there_is_no_room_for_is_said(traces, metrics):
    screen, receiver = console(80, terminal=True), OtlpReceiver()
    view = View(screen, receiver)
    with view:
        fill(view, receiver, traces, metrics)
    picture = console(80, terminal=False)
    picture.print(view._tree(view._traces.fullest, 4))
    lines = text_of(picture).splitlines()
    assert len(lines) == 4
    assert "… and 2 more" in lines[-1]


async def test_nothing_has_come_yet():
    screen = console(80, terminal=False)
    screen.print(View(console(80, terminal=True), OtlpReceiver())._screen(), height=20)
    assert "waiting for the first trace" in text_of(screen)


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [(0.5, [10, 0, 0], 0.5), (0.95, [0, 10, 0], 1.95), (0.95, [0, 0, 10], 2), (0.5, [5, 5, 0], 1)],
)
def test_quantile(q, buckets, expected):
    assert quantile(q, [1, 2], buckets) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (204_144_640, "By", "194.7 MiB"),
        (0.0123, "s", "12.3 ms"),
        (2, "s", "2 s"),
        (26.55, "s", "26.6 s"),
        (1234, "", "1234"),
    ],
)
def test_values_as_people_read_them(value, unit, shown):
    assert _short(value, unit) == shown
