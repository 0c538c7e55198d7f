"""OTLP/JSON as the specification has it: hexadecimal ids, 64-bit numbers as text or number, unknown fields ignored."""

from __future__ import annotations

import json

import pytest

from otelbot.dashboard.otlp import MalformedError, decode

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def of(span):
    """Return a body with one span, written as JSON by hand."""
    return '{"resourceSpans":[{"scopeSpans":[{"spans":[' + span + "]}]}]}"


def read(span):
    request = decode("traces", of(span).encode(), "", in_json=True)
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_the_example_of_the_specification():
    span = read(
        f'{{"traceId":"{TRACE.upper()}","spanId":"{SPAN}","parentSpanId":"","name":"I\'m a server span","kind":2,'
        '"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,'
        '"attributes":[{"key":"my.span.attr","value":{"stringValue":"some value"}},'
        '{"key":"bytes","value":{"bytesValue":"AP8="}},{"key":"nan","value":{"doubleValue":"NaN"}},'
        '{"key":"big","value":{"intValue":"9007199254740993"}}]}'
    )
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id) == (TRACE, SPAN, b"")
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.kind) == (
        1544712660 * 10**9,
        1544712661 * 10**9,
        2,
    )
    assert span.attributes[1].value.bytes_value == b"\x00\xff"
    assert span.attributes[2].value.double_value != span.attributes[2].value.double_value
    assert span.attributes[3].value.int_value == 9007199254740993


def test_unknown_fields_are_ignored_also_those_in_snake_case():
    span = read(f'{{"spanId":"{SPAN}","trace_id":"{TRACE}","start_time_unix_nano":5,"newThing":{{"a":[1]}}}}')
    assert (span.span_id.hex(), span.trace_id, span.start_time_unix_nano) == (SPAN, b"", 0)


def test_null_is_as_if_it_was_not_there():
    span = read('{"traceId":null,"name":null,"attributes":null,"startTimeUnixNano":null}')
    assert (span.trace_id, span.name, len(span.attributes)) == (b"", "", 0)


def test_unknown_enum_values_are_kept():
    assert read('{"kind":77}').kind == 77


@pytest.mark.parametrize(
    "span",
    [
        '{"traceId":"5b8efff798038103d269b633813fc6 0c"}',
        '{"traceId":"W47/95gDgQPSabYzgT/GDA=="}',
        '{"traceId":"abc"}',
        '{"traceId":5}',
        '{"traceId":["ab"]}',
        '{"startTimeUnixNano":NaN}',
        '{"startTimeUnixNano":-1}',
        '{"startTimeUnixNano":"1.5"}',
        '{"startTimeUnixNano":"soon"}',
        '{"startTimeUnixNano":18446744073709551616}',
        '{"name":5}',
        '{"name":"\\ud800"}',
        '{"attributes":{"a":1}}',
        '{"attributes":[{"key":"a","value":{"intValue":"99999999999999999999"}}]}',
        '{"attributes":[{"key":"a","value":{"doubleValue":Infinity}}]}',
        "5",
    ],
)
def test_what_otlp_does_not_say_is_refused(span):
    with pytest.raises(MalformedError, match="OTLP/JSON"):
        read(span)


@pytest.mark.parametrize(
    "body", ["", "[]", "null", "{", "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, of("{}") + "x"]
)
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(MalformedError, match="OTLP/JSON"):
        decode("traces", body.encode(), "", in_json=True)


def test_values_that_contain_values_without_end_are_refused():
    value = '{"stringValue":"x"}'
    for _ in range(200):
        value = f'{{"arrayValue":{{"values":[{value}]}}}}'
    with pytest.raises(MalformedError):
        read(f'{{"attributes":[{{"key":"deep","value":{value}}}]}}')


def test_an_empty_request_is_one():
    for body in ("{}", '{"resourceSpans":[]}', '{"resourceSpans":null}', json.dumps({"other": [1, 2]})):
        assert len(decode("traces", body.encode(), "", in_json=True).resource_spans) == 0
