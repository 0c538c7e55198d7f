"""Bodies of OTLP/HTTP: decompressed within a bound, decoded, and answered by the specification.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otelbot.dashboard.otlp.json_form import from_otlp_json, to_otlp_json

JSON, PROTOBUF = "application/json", "application/x-protobuf"
#: Bytes of a body, compressed or not: what the Collector takes by default.
LARGEST = 20 * 2**20

REQUESTS: dict[str, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
_RESPONSES: dict[str, tuple[type[Message], str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
}
#: Of one body: each costs a copy of what comes after it.
_MOST_MEMBERS = 100
#: zlib's window bits; deflate is the zlib format, but some send it without its header.
_ENCODINGS = {"gzip": (31,), "deflate": (15, -15)}


class MalformedError(ValueError):
    """A body that can't be read, and why."""


class TooLargeError(MalformedError):
    """A body of more than `LARGEST` bytes."""

    def __init__(self) -> None:
        super().__init__(f"the body is larger than {LARGEST // 2**20} MiB: send smaller batches")


def decode(signal: str, body: bytes, encoding: str, *, in_json: bool) -> Any:
    """Return a body as the Export…ServiceRequest that it is.

    :param encoding: the header Content-Encoding, or nothing.
    :raises MalformedError: when it is none, or (`TooLargeError`) too large.
    """
    body = decompressed(body, encoding)
    kind = REQUESTS[signal]
    try:
        return from_otlp_json(body, kind) if in_json else kind.FromString(body)
    except DecodeError as error:
        raise MalformedError(f"the body is not {signal} in OTLP's protobuf encoding") from error
    except ValueError as error:
        raise MalformedError(f"the body is not {signal} in OTLP/JSON: {str(error)[:300]}") from error


def decompressed(body: bytes, encoding: str) -> bytes:
    """Undo a content encoding.

    :raises MalformedError: when the body is not in it, it is not known, or (`TooLargeError`) too much comes out.
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        if len(body) > LARGEST:
            raise TooLargeError
        return body
    if encoding not in _ENCODINGS:
        raise MalformedError(f"the content encoding {encoding[:50]!r} is none of gzip, deflate and identity")
    for bits in _ENCODINGS[encoding]:
        try:
            return _inflated(body, bits)
        except zlib.error:
            continue
    raise MalformedError(f"the body is not in {encoding}, which the header Content-Encoding says")


def _inflated(body: bytes, bits: int) -> bytes:
    parts = []
    left = LARGEST
    for _ in range(_MOST_MEMBERS):  # a gzip file can be several, one after the other
        stream = zlib.decompressobj(bits)
        part = stream.decompress(body, left + 1)
        left -= len(part)
        if left < 0:
            raise TooLargeError
        if not stream.eof:
            raise zlib.error("cut off")
        parts.append(part)
        body = stream.unused_data
        if not body or bits != 31:
            return b"".join(parts)
    raise MalformedError(f"the body is of more than {_MOST_MEMBERS} gzip files, one after the other")


def answered(signal: str, *, rejected: int = 0, reason: str = "", in_json: bool) -> bytes:
    """Return the body of a success, partial where something was rejected."""
    kind, field = _RESPONSES[signal]
    answer: Any = kind()
    if rejected or reason:
        setattr(answer.partial_success, field, rejected)
        answer.partial_success.error_message = reason
    if in_json:
        return json.dumps(to_otlp_json(answer)).encode()
    encoded: bytes = answer.SerializeToString()
    return encoded


def problem(text: str, *, in_json: bool) -> bytes:
    """Return a google.rpc.Status with a message, which is the body of a refusal."""
    if in_json:
        return json.dumps({"message": text}).encode()
    encoded = text.encode(errors="replace")
    # Field 2, length-delimited: too little to depend on googleapis-common-protos.
    size, prefix = len(encoded), bytearray(b"\x12")
    while size > 127:
        prefix.append(size & 127 | 128)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + encoded
