"""Every field of every signal passes the scrubber: a token planted anywhere does not reach the exporter."""

from __future__ import annotations

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otelbot import resource, selftest
from otelbot.export.scrubber import LONGEST_VALUE, Resources, ScrubbedLogExporter, ScrubbedSpanExporter, scrub_value


def test_a_token_in_every_field_does_not_get_out():
    assert selftest.run() == {}


def test_values_keep_their_types_and_nesting():
    value = {"a": [1, 2.5, True, None, "text"], "b": {"c": "123456:" + "x" * 35}, "d": b"bytes"}
    assert scrub_value(value) == {"a": [1, 2.5, True, None, "text"], "b": {"c": "***"}, "d": "bytes"}


def test_what_utf8_or_otlp_can_not_hold_is_changed_instead_of_lost():
    assert scrub_value("cut \ud83d") == "cut ?"
    assert scrub_value(2**70) == str(2**70)
    assert scrub_value(bytearray(b"text")) == "text"


def test_a_value_is_scrubbed_before_it_is_cut():
    token = "123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0"
    assert "AAHf" not in scrub_value("x" * (LONGEST_VALUE - 30) + token)


def test_a_value_without_bound_is_cut():
    assert len(scrub_value("x" * (LONGEST_VALUE + 1000))) == LONGEST_VALUE + 1


def test_spans_keep_everything_else():
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ScrubbedSpanExporter(memory)))
    tracer = provider.get_tracer("scope", "1.0", "https://schema")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner", attributes={"n": 1}) as span:
        span.add_event("event", {"k": "v"}, 5)
    inner, outer = memory.get_finished_spans()
    assert inner.parent.span_id == outer.context.span_id
    assert (inner.name, dict(inner.attributes), inner.resource.attributes["service.name"]) == (
        "inner",
        {"n": 1},
        "shop",
    )
    assert [(event.name, dict(event.attributes), event.timestamp) for event in inner.events] == [
        ("event", {"k": "v"}, 5)
    ]
    assert (inner.instrumentation_scope.name, inner.instrumentation_scope.schema_url) == ("scope", "https://schema")
    assert inner.end_time >= inner.start_time


def test_log_records_of_other_processors_are_not_changed():
    plain, scrubbed = InMemoryLogRecordExporter(), InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(ScrubbedLogExporter(scrubbed)))
    provider.add_log_record_processor(SimpleLogRecordProcessor(plain))
    from opentelemetry._logs import LogRecord

    body = "token 123456:" + "x" * 35
    provider.get_logger("shop").emit(LogRecord(body=body, attributes={"a": 1}))
    assert plain.get_finished_logs()[0].log_record.body == body
    assert scrubbed.get_finished_logs()[0].log_record.body == "token ***"


def test_the_resource_names_the_bot_when_there_is_one(monkeypatch):
    monkeypatch.setattr(resource, "_overlay", resource._Overlay())
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ScrubbedSpanExporter(memory)))
    tracer = provider.get_tracer("scope")

    def exported():
        tracer.start_span("span").end()
        return {
            key: value for key, value in memory.get_finished_spans()[-1].resource.attributes.items() if "bot" in key
        }

    assert exported() == {}
    resource.bot_seen(7)
    assert exported() == {"telegram.bot.id": "7"}
    resource.bot_seen(7, "shop_bot")
    assert exported() == {"telegram.bot.id": "7", "telegram.bot.username": "shop_bot"}
    resource.bot_seen(7)
    assert exported() == {"telegram.bot.id": "7", "telegram.bot.username": "shop_bot"}
    resource.bot_seen(8)
    assert exported() == {}


@pytest.mark.parametrize(("later", "bot"), [(None, {"telegram.bot.id": "7"}), (resource.many_bots, {})])
def test_metrics_name_no_bot_before_one_works_and_keep_their_resource_from_then_on(monkeypatch, later, bot):
    monkeypatch.setattr(resource, "_overlay", resource._Overlay())
    resources, original = Resources(lasting=True), Resource({"service.name": "shop"})
    plain = {"service.name": "shop"}
    assert dict(resources(original).attributes) == plain
    resource.bot_seen(7)
    assert dict(resources(original).attributes) == plain  # exported while the program starts
    if later is not None:
        later()
    resource.at_work()
    for _ in range(2):
        assert dict(resources(original).attributes) == {**plain, **bot}
        resource.bot_seen(8)
