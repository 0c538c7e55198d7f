"""A record of `logging` arrives as the SDK would make it, whichever way it takes."""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, LogRecordProcessor
from opentelemetry.sdk._logs._internal import LogRecordDroppedAttributesWarning, _disable_logger_configurator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from otelbot.export.encoding import encode_log
from otelbot.export.exporters import OtlpLogProcessor
from otelbot.instrumentation.logging import _Capture, part_of
from otelbot.logs import exceptions


class Kept(LogRecordProcessor):
    def __init__(self):
        self.records = []

    def on_emit(self, log_record):
        self.records.append(log_record)

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=0):
        return True


def record(message="%s paid %d", *args, level=logging.INFO, name="shop.orders", **extra):
    return logging.getLogger().makeRecord(name, level, "shop.py", 7, message, args, None, "pay", extra)


def captured(*records, **options):
    provider = LoggerProvider(shutdown_on_exit=False, **options)
    kept = Kept()
    provider.add_log_record_processor(kept)
    capture = _Capture(provider)
    for each in records:
        capture.emit(each)
    return kept.records


def test_a_plain_record_is_complete():
    (emitted,) = captured(record("%s paid %d", "Ada", 5))
    log = emitted.log_record
    assert (log.body, log.severity_text, log.severity_number.name) == ("Ada paid 5", "INFO", "INFO")
    assert log.attributes == {"code.function.name": "pay", "code.line.number": 7}
    assert emitted.instrumentation_scope.name == "shop.orders"
    assert emitted.resource.attributes["telemetry.sdk.name"] == "opentelemetry"
    assert emitted.dropped_attributes == 0


class Waiting:
    """Stands for the batches of an exporter."""

    def __init__(self):
        self.items = []

    def add_now(self, scope, encode, *what):
        self.items.append((scope, encode(*what)))

    add_later = add_now


def failed():
    made = record("it %s", "failed", level=logging.ERROR)
    made.exc_info = (LookupError, LookupError("no tea"), None)
    return made


RECORDS = [
    record("%s paid %d", "Ada", 5),
    record("a brew", level=logging.WARNING, order=5, paid=None),
    record(KeyError("Ada")),
    failed(),
    record("%(name)s paid", {"name": "Ada"}),
    record("Task exception was never retrieved: f(1)", name="asyncio"),
    record("%s", "GET /feed?token=1", name="aiohttp.access"),
    record("a long %s", "tale " * 1000),
    record("x", level=45, order=5, paid=True, tags=["a"]),
    record("x", order={"id": (5, object)}),
]


@pytest.mark.parametrize("traced", [True, False])
def test_a_record_that_only_the_exporter_sees_is_encoded_as_one_that_others_see_too(traced):
    provider, waiting = LoggerProvider(shutdown_on_exit=False), Waiting()
    provider.add_log_record_processor(OtlpLogProcessor(waiting))
    capture = _Capture(provider)
    context = SpanContext(7 << 64, 8, is_remote=False, trace_flags=TraceFlags(1))
    with use_span(NonRecordingSpan(context)) if traced else nullcontext():
        for each in RECORDS:
            capture.emit(each)
        seen = captured(*RECORDS)
    assert len(waiting.items) == len(seen) == len(RECORDS)
    for (scope, item), log_record in zip(waiting.items, seen, strict=True):
        assert scope == log_record.instrumentation_scope
        alone, beside_others = LogRecord.FromString(item), LogRecord.FromString(encode_log(log_record))
        alone.ClearField("observed_time_unix_nano")
        beside_others.ClearField("observed_time_unix_nano")
        assert alone == beside_others
        assert bool(alone.trace_id) is traced


def test_a_logger_that_is_switched_off_emits_nothing():
    provider, waiting = LoggerProvider(shutdown_on_exit=False), Waiting()
    provider.add_log_record_processor(OtlpLogProcessor(waiting))
    provider._set_logger_configurator(logger_configurator=_disable_logger_configurator)
    _Capture(provider).emit(record())
    assert waiting.items == []


def test_the_limits_of_the_provider_hold():
    (short,) = captured(record("x", city="Reykjavik"), log_record_limits=LogRecordLimits(max_attribute_length=4))
    assert short.log_record.attributes["city"] == "Reyk"
    (exact,) = captured(record("x", city="Riga"), log_record_limits=LogRecordLimits(max_attributes=3))
    assert len(exact.log_record.attributes) == 3
    with pytest.warns(LogRecordDroppedAttributesWarning):
        few = captured(record("x", city="Riga", dish="tea"), log_record_limits=LogRecordLimits(max_attributes=3))
    assert (len(few[0].log_record.attributes), few[0].dropped_attributes) == (3, 1)


def test_an_exception_among_the_arguments_is_shown_without_its_data():
    (emitted,) = captured(record("failed: %s", KeyError("Ada-Lovelace")))
    assert emitted.log_record.body.startswith("failed: ")
    assert "Ada" not in emitted.log_record.body


def test_levels_of_ones_own_have_the_severity_next_to_them():
    levels = (5, 10, 25, 30, 45, 50, 99)
    emitted = captured(*(record("x", level=level) for level in levels))
    names = [each.log_record.severity_number.name for each in emitted]
    assert names == ["UNSPECIFIED", "DEBUG", "INFO4", "WARN", "ERROR4", "FATAL", "FATAL4"]


def test_many_loggers_each_keep_their_name():
    names = [f"chat.{number}" for number in range(1200)]
    emitted = captured(*(record("x", name=name) for name in [*names, *names]))
    assert [each.instrumentation_scope.name for each in emitted] == [*names, *names]


def test_an_exception_has_its_fingerprint_and_is_reported_where_it_is_an_error(monkeypatch):
    reported = []
    monkeypatch.setattr(exceptions, "report", reported.append)
    error, warned = failed(), failed()
    warned.levelno = logging.WARNING
    (emitted, other) = captured(error, warned)
    assert emitted.log_record.attributes["exception.fingerprint"] == exceptions.fingerprint(error.exc_info[1])
    assert other.log_record.attributes["exception.fingerprint"]
    assert reported == [error.exc_info[1]]


def test_an_event_of_structlog_is_told_by_its_values():
    event = {"event": "paid %s", "positional_args": ("Ada",), "order": 5, "exc_info": KeyError("Ada")}
    (emitted,) = captured(record(event, _logger=logging.getLogger(), _name="info"))
    log = emitted.log_record
    assert log.body == "paid Ada"
    assert log.attributes["order"] == 5
    assert log.attributes["exception.message"] == "***"
    assert not {"_logger", "_name", "exc_info", "positional_args"} & set(log.attributes)


def test_the_wrapper_around_handlers_is_taken_for_a_part_of_logging():
    inner = sys._getframe

    def look():
        return inner(0)

    frame = part_of(logging, look)()
    assert frame.f_code.co_filename == logging.__file__
    assert frame.f_globals["__name__"] == "logging"
