"""A record of `logging` arrives as the SDK would make it, whichever way it takes."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits, LogRecordProcessor
from opentelemetry.sdk._logs._internal import LogRecordDroppedAttributesWarning

from otelbot.instrumentation.logging import _Capture


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


def test_a_plain_record_is_spared_the_sdks_cleaning_and_any_other_is_not():
    # What is used of the SDK for that is private: were it to change, this is where it shows.
    plain, nested = captured(record("x", order=5), record("x", order={"id": (5, object)}))
    assert type(plain.log_record.attributes) is dict
    assert isinstance(nested.log_record.attributes, BoundedAttributes)
    assert nested.log_record.attributes["order"] == {"id": (5, str(object))}


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
