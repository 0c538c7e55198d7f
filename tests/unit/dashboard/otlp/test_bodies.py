"""Bodies of requests: decoded whatever their form, refused with the reason, never more than a bound in memory."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
import zlib

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otelbot.dashboard.otlp import MalformedError, answered, decode, problem, to_otlp_json
from otelbot.dashboard.otlp.bodies import LARGEST, TooLargeError
from tests.unit.dashboard.store.filling import logs, metrics, span, trace_id, traces

REQUESTS = {
    "traces": traces(span(trace_id(), tea=2**40, kind__of="green")),
    "metrics": metrics("histogram", {"count": 2, "sum": 1.5, "explicit_bounds": [1], "bucket_counts": [2, 0]}),
    "logs": logs("tea", severity_number=9),
}


def raw_deflate(body):
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def in_two_parts(body):
    return gzip.compress(body[:10]) + gzip.compress(body[10:])


@pytest.mark.parametrize("signal", REQUESTS)
@pytest.mark.parametrize("in_json", [False, True])
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", in_two_parts),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
def test_each_form_is_read(signal, in_json, encoding, compress):
    request = REQUESTS[signal]
    body = json.dumps(to_otlp_json(request)).encode() if in_json else request.SerializeToString()
    assert decode(signal, compress(body), encoding, in_json=in_json) == request


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"\xff\xff", "", "protobuf"),
        (b"\xff\xff", "gzip", "not in gzip"),
        (gzip.compress(b"", mtime=0)[:-1], "gzip", "not in gzip"),
        (gzip.compress(b"", mtime=0) + b"more", "gzip", "not in gzip"),
        (b"\xff\xff", "deflate", "not in deflate"),
        (b"", "zstd", "'zstd' is none of gzip"),
        (b"", "x" * 10_000, "is none of gzip"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(body, encoding, reason):
    with pytest.raises(MalformedError, match=reason) as raised:
        decode("logs", body, encoding, in_json=False)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_bomb_does_not_go_off(encoding, wbits):
    stream = zlib.compressobj(wbits=wbits)
    bomb = b"".join([*(stream.compress(bytes(2**20)) for _ in range(300)), stream.flush()])
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="20 MiB"):
            decode("traces", bomb, encoding, in_json=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * LARGEST


def test_a_bomb_of_many_small_parts_does_not_go_off():
    part = gzip.compress(bytes(2**20))
    with pytest.raises(TooLargeError):
        decode("traces", part * 30, "gzip", in_json=False)


def test_a_body_of_very_many_parts_is_refused():
    with pytest.raises(MalformedError, match="more than 100 gzip files"):
        decode("traces", gzip.compress(b"") * 50_000, "gzip", in_json=False)


def test_a_plain_body_has_the_same_bound():
    with pytest.raises(TooLargeError):
        decode("logs", bytes(LARGEST + 1), "", in_json=False)


@pytest.mark.parametrize("in_json", [False, True])
def test_a_success_is_empty_and_a_partial_one_says_what_was_rejected(in_json):
    body = answered("traces", rejected=3, reason="no trace id", in_json=in_json)
    whole = answered("traces", in_json=in_json)
    if in_json:
        assert json.loads(whole) == {}
        assert json.loads(body) == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no trace id"}}
    else:
        assert whole == b""
        answer = MessageToDict(ExportTraceServiceResponse.FromString(body))
        assert answer == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no trace id"}}


@pytest.mark.parametrize("text", ["", "no", "x" * 127, "x" * 128, "é" * 20_000])
def test_a_refusal_is_a_status_of_google(text):
    assert json.loads(problem(text, in_json=True)) == {"message": text}
    status = problem(text, in_json=False)
    # Read as a message whose field 2 is a text: ExportTracePartialSuccess.error_message is one.
    assert type(ExportTraceServiceResponse().partial_success).FromString(status).error_message == text


@pytest.mark.parametrize("in_json", [False, True])
def test_noise_is_refused_or_read_and_nothing_else(in_json):
    good = json.dumps(to_otlp_json(REQUESTS["traces"])).encode() if in_json else REQUESTS["traces"].SerializeToString()
    for _ in range(300):
        noise = bytearray(good)
        for place in os.urandom(4):
            noise[place % len(noise)] ^= 1 << (place % 8)
        try:
            decode("traces", bytes(noise), "", in_json=in_json)
        except MalformedError:
            continue
