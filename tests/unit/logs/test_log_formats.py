"""A log record on a line: complete, scrubbed, and readable by every JSON parser, whatever was logged."""

from __future__ import annotations

import json
import logging
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelbot.logs.formats import as_dict, ascii_only, console_line, json_line
from tests.support import KEY, TOKEN

FIRST = ["timestamp", "severity", "logger", "message"]


def readable(body="paid", *, scope="shop.orders", attributes=None, **options):
    record = LogRecord(
        timestamp=options.pop("timestamp", 1_764_324_900_123_456_789),
        severity_number=options.pop("severity_number", SeverityNumber.INFO),
        body=body,
        event_name=options.pop("event_name", None),
    )
    for name, value in options.items():
        setattr(record, name, value)
    made = ReadWriteLogRecord(
        log_record=record,
        resource=Resource({"service.name": "shop"}),
        instrumentation_scope=InstrumentationScope(scope),
    )
    record.attributes = {} if attributes is None else attributes  # as they are: the SDK would clean them
    return made


def strictly(line):
    def refuse(word):
        raise AssertionError(word)

    return json.loads(line, parse_constant=refuse)


class Silent:
    def __str__(self):
        raise ValueError


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary()
    | st.text(st.characters(codec=None))
    | st.builds(Silent)
    | st.builds(ValueError, st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(body=values, attributes=st.dictionaries(st.text(st.characters(codec=None)), values), scope=st.text())
def test_every_record_is_one_line_that_every_parser_takes(body, attributes, scope):
    told = as_dict(readable(body, scope=scope, attributes=attributes))
    line = json_line(told)
    assert len(line.splitlines()) == 1
    assert line.encode("utf-8").count(b"\n") == 0
    parsed = strictly(line)
    assert list(parsed)[:4] == FIRST
    assert parsed["service.name"] == "shop"
    assert parsed["severity"] == "INFO"
    assert strictly(ascii_only(line)) == parsed
    assert ascii_only(line).isascii()
    assert console_line(parsed)


def test_a_line_says_what_happened_where_and_in_which_trace():
    line = json_line(
        as_dict(
            readable(
                "Käse 🧀 bezahlt",
                event_name="shop.order.paid",
                trace_id=0xAF7651916CD43DD8448EB211C80319C,
                span_id=0xB7AD6B7169203331,
                attributes={"order": 5, "price": 1.5, "paid": True, "tags": ("a", "b")},
            )
        )
    )
    assert "Käse 🧀 bezahlt" in line
    assert list(strictly(line).items()) == [
        ("timestamp", "2025-11-28T10:15:00.123456Z"),
        ("severity", "INFO"),
        ("logger", "shop.orders"),
        ("message", "Käse 🧀 bezahlt"),
        ("event.name", "shop.order.paid"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("span_id", "b7ad6b7169203331"),
        ("service.name", "shop"),
        ("pid", os.getpid()),
        ("order", 5),
        ("price", 1.5),
        ("paid", True),
        ("tags", ["a", "b"]),
    ]


def test_attributes_overwrite_nothing():
    told = as_dict(readable(attributes=dict.fromkeys(("message", "pid", "severity", "trace_id", "logger"), "mine")))
    assert (told["message"], told["severity"], told["logger"]) == ("paid", "INFO", "shop.orders")
    assert (told["pid"], told["attributes.pid"]) == (os.getpid(), "mine")
    assert told["trace_id"] == "mine"  # there is none of the record's


@pytest.mark.parametrize("place", ["body", "attribute", "key", "nested", "scope", "exception", "bytes"])
def test_a_token_is_masked_wherever_it_stands(place):
    made = {
        "body": lambda: readable(f"GET /bot{TOKEN}/getMe"),
        "attribute": lambda: readable(attributes={"url": f"/bot{TOKEN}"}),
        "key": lambda: readable(attributes={TOKEN: 1}),
        "nested": lambda: readable({"a": [{"b": TOKEN}]}),
        "scope": lambda: readable(scope=TOKEN),
        "exception": lambda: readable(attributes={"error": RuntimeError(TOKEN)}),
        "bytes": lambda: readable(attributes={"raw": TOKEN.encode()}),
    }[place]()
    assert KEY not in json_line(as_dict(made))
    assert "***" in json_line(as_dict(made))


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (SeverityNumber.TRACE, "DEBUG"),
        (SeverityNumber.DEBUG, "DEBUG"),
        (SeverityNumber.INFO, "INFO"),
        (SeverityNumber.INFO2, "INFO"),
        (SeverityNumber.WARN, "WARN"),
        (SeverityNumber.ERROR, "ERROR"),
        (SeverityNumber.ERROR4, "ERROR"),
        (SeverityNumber.FATAL, "FATAL"),
        (SeverityNumber.UNSPECIFIED, "INFO"),
        (None, "INFO"),
    ],
)
def test_levels(number, severity):
    assert as_dict(readable(severity_number=number))["severity"] == severity


def test_what_json_has_no_number_for_becomes_text():
    told = strictly(json_line(as_dict(readable(attributes={"a": math.nan, "b": -math.inf, "c": 2**70, "d": 2**40}))))
    assert (told["a"], told["b"], told["c"], told["d"]) == ("nan", "-inf", str(2**70), 2**40)


@pytest.mark.parametrize("timestamp", [None, 0, -(10**20), 10**25])
def test_a_time_that_is_none_becomes_now(timestamp):
    stamp = as_dict(readable(timestamp=timestamp))["timestamp"]
    assert len(stamp) == len("2026-11-28T10:15:00.123456Z")
    assert stamp > "2026"


def test_something_that_contains_itself_ends():
    endless = {}
    endless["self"] = endless
    assert strictly(json_line(as_dict(readable(attributes={"endless": endless}))))["endless"]["self"]


def test_a_line_for_people():
    told = as_dict(
        readable(
            "paid",
            severity_number=SeverityNumber.WARN,
            trace_id=0xAF7651916CD43DD8448EB211C80319C,
            attributes={"order": 5, "who": "Ada L", "code.function.name": "pay"},
        )
    )
    line = console_line(told)
    assert line.endswith(' WARN  shop.orders paid order=5 who="Ada L" trace=0af76519')
    assert "\x1b" not in line
    assert "\x1b[33mWARN " in console_line(told, colours=True)


def test_a_line_for_people_has_the_stack_below_and_commands_no_terminal():
    stack = 'Traceback (most recent call last):\n  File "shop.py", line 1\nKeyError: ***\n'
    told = as_dict(readable("a\x1b[2Jb\rc", attributes={"exception.type": "KeyError", "exception.stacktrace": stack}))
    line = console_line(told)
    assert line.splitlines()[0].endswith("shop.orders a\\x1b[2Jb\\x0dc")
    assert line.splitlines()[-1] == "    KeyError: ***"
    assert "\x1b" not in line


@pytest.mark.parametrize("told", [{}, {"timestamp": 7, "severity": [], "message": {"a": 1}, "trace_id": 5}])
def test_a_line_for_people_of_a_record_that_somebody_else_wrote(told):
    assert console_line(told, colours=True)


def test_an_event_is_named_by_its_name():
    told = as_dict(readable("telegram.bot.startup", scope="otelbot", event_name="telegram.bot.startup"))
    assert console_line(told).split(maxsplit=2)[2] == "INFO  telegram.bot.startup"
    assert as_dict(readable(None, event_name="shop.closed"))["message"] == "shop.closed"
    assert logging.getLevelName(logging.INFO) == told["severity"]
