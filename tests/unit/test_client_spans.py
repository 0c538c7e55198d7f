"""Spans of database clients: what is kept of one operation never shows in another."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from otelbot.instrumentation.asyncpg import AsyncpgRules
from otelbot.instrumentation.clients import ClientTracer

SELECT = {"db.system.name": "postgresql", "server.address": "db", "server.port": 5432, "db.query.text": "SELECT 'Ada'"}


class Client:
    """A traced client, with what it has sent."""

    def __init__(self, monkeypatch, sampler):
        self.reader, self.exporter = InMemoryMetricReader(), InMemorySpanExporter()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        monkeypatch.setattr(metrics, "get_meter", meters.get_meter)
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = ClientTracer(provider.get_tracer("db"), AsyncpgRules())

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    def points(self, name):
        scopes = self.reader.get_metrics_data().resource_metrics[0].scope_metrics
        named = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in named for point in metric.data.data_points]


@pytest.fixture
def client(monkeypatch):
    return Client(monkeypatch, ALWAYS_ON)


def test_the_same_statement_again_is_described_the_same(client):
    for place in ("first", "second", "third"):
        with client.tracer.start_as_current_span("SELECT", attributes=SELECT) as span:
            assert trace.get_current_span() is span
            if place == "second":
                span.set_attribute("db.response.status_code", "42P01")
                span.set_attribute("shop.basket", 3)
    assert not trace.get_current_span().is_recording()
    texts = [span.attributes["db.query.text"] for span in client.spans]
    assert texts == ["SELECT ?"] * 3
    assert ["shop.basket" in span.attributes for span in client.spans] == [False, True, False]
    by_status = {
        point.attributes.get("db.response.status_code"): point.count
        for point in client.points("db.client.operation.duration")
    }
    assert by_status == {None: 2, "42P01": 1}


def test_an_error_is_counted_and_a_cancellation_is_none(client):
    for error in (OSError("Ada"), asyncio.CancelledError()):
        with pytest.raises(type(error)), client.tracer.start_as_current_span("SELECT", attributes=SELECT):
            raise error
    failed, cancelled = client.spans
    assert failed.attributes["error.type"] == "OSError"
    assert (failed.status.is_ok, "error.type" in cancelled.attributes) == (False, False)
    (errors,) = client.points("telegram.bot.errors")
    assert (dict(errors.attributes), errors.value) == ({"error.type": "OSError", "component": "database"}, 1)


def test_what_a_pool_resets_with_is_no_span_each_time(client):
    reset = {"db.query.text": "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"}
    for _ in range(2):
        with client.tracer.start_as_current_span("SELECT", attributes=reset) as span:
            assert not span.is_recording()
    assert client.spans == ()


def test_attributes_that_cannot_be_kept_are_described_each_time(client):
    for _ in range(2):
        with client.tracer.start_as_current_span("SELECT", attributes={**SELECT, "hosts": ["a", "b"]}):
            pass
    assert [span.attributes["hosts"] for span in client.spans] == [("a", "b")] * 2


def test_more_statements_than_are_kept_are_described_as_well(client):
    for number in [*range(300), *range(300)]:
        with client.tracer.start_as_current_span("SELECT", attributes={"db.query.text": f"SELECT * FROM t{number}"}):
            pass
    assert [span.name for span in client.spans[300:]] == [f"SELECT t{number}" for number in range(300)]


def test_what_is_not_sampled_is_measured_all_the_same(monkeypatch):
    client = Client(monkeypatch, ALWAYS_OFF)
    with client.tracer.start_as_current_span("SELECT", attributes=SELECT) as span:
        assert span.is_recording()  # so that the instrumentation tells what the duration is recorded with
        span.set_attribute("db.namespace", "shop")
    (point,) = client.points("db.client.operation.duration")
    assert (point.count, point.attributes["db.namespace"], point.exemplars) == (1, "shop", [])
    assert client.spans == ()
