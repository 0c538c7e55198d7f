"""Spans and log records as OTLP protobuf, scrubbed, in a few microseconds each, and the requests made of them.

The decoded bytes equal what the official encoder makes of the scrubbed input.
https://github.com/open-telemetry/opentelemetry-proto/tree/main/opentelemetry/proto
"""
# ruff: noqa: SLF001 - the SDK's properties make a read-only view or a copy of what they return

from __future__ import annotations

from itertools import chain, repeat
from struct import Struct
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode
from opentelemetry.trace.span import DEFAULT_TRACE_STATE

from otelbot import privacy
from otelbot.export.protobuf import FIXED32, FIXED64, LENGTH, VARINT, fixed32, fixed64, lengths, sized, tag, varint
from otelbot.export.values import (
    encode_attributes,
    encode_name,
    encode_resource,
    encode_scope,
    encode_text,
    encode_value,
)
from otelbot.tracing import LeanSpan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, Status, TraceState

    #: The encoded spans, log records or metrics of each scope.
    Groups = Iterable[tuple[InstrumentationScope | None, Sequence[bytes]]]

_LOW = 0xFFFF_FFFF_FFFF_FFFF
_ids = Struct(">2sQQ2sQ").pack  # a trace's id and a span's, each with tag and length
_times = Struct("<cQcQ").pack
_parent_and_flags = Struct(">2sQ6s").pack
#: What a span's parent, or who is linked to, is known to be: 0x100, and 0x200 where it is remote.
_FLAGS = (fixed32(0x100), fixed32(0x300))

_TRACE_ID, _SPAN_ID = tag(1, LENGTH) + b"\x10", tag(2, LENGTH) + b"\x08"
_TRACE_STATE, _PARENT, _NAME = tag(3, LENGTH), tag(4, LENGTH) + b"\x08", tag(5, LENGTH)
_KINDS = tuple(tag(6, VARINT) + varint(kind + 1) for kind in range(5))  # SpanKind's INTERNAL is 0, OTLP's is 1
_START, _END = tag(7, FIXED64), tag(8, FIXED64)
_ATTRIBUTES, _DROPPED_ATTRIBUTES = tag(9, LENGTH), tag(10, VARINT)
_EVENT, _DROPPED_EVENTS, _LINK, _DROPPED_LINKS = tag(11, LENGTH), tag(12, VARINT), tag(13, LENGTH), tag(14, VARINT)
_STATUS, _STATUS_MESSAGE, _STATUS_CODE = tag(15, LENGTH), tag(2, LENGTH), tag(3, VARINT)
_UNSET = _STATUS + b"\x00"
_PARENT_FLAGS = tuple(tag(16, FIXED32) + flags for flags in _FLAGS)

_EVENT_TIME, _EVENT_NAME, _EVENT_ATTRIBUTES = tag(1, FIXED64), tag(2, LENGTH), tag(3, LENGTH)
_LINK_ATTRIBUTES, _LINK_FLAGS = tag(4, LENGTH), tuple(tag(6, FIXED32) + flags for flags in _FLAGS)
_EVENT_DROPPED, _LINK_DROPPED = tag(4, VARINT), tag(5, VARINT)

_LOG_TIME, _SEVERITY, _SEVERITY_TEXT, _BODY = tag(1, FIXED64), tag(2, VARINT), tag(3, LENGTH), tag(5, LENGTH)
_LOG_ATTRIBUTES, _LOG_DROPPED, _LOG_FLAGS = tag(6, LENGTH), tag(7, VARINT), tag(8, FIXED32)
_LOG_TRACE_ID, _LOG_SPAN_ID = tag(9, LENGTH) + b"\x10", tag(10, LENGTH) + b"\x08"
_STRING = tag(1, LENGTH)  # of a body
_OBSERVED, _EVENT_NAME_OF_LOG = tag(11, FIXED64), tag(12, LENGTH)

_RESOURCE, _SCOPE_GROUP, _SCOPE, _ITEM, _SCHEMA = (
    tag(1, LENGTH),
    tag(2, LENGTH),
    tag(1, LENGTH),
    tag(2, LENGTH),
    tag(3, LENGTH),
)


def encode_span(span: Any) -> bytes:
    """Return the body of a `Span`, scrubbed, from an ended span of the SDK or anything with its attributes.

    The SDK's properties make views and copies of what they return, so what is behind them is read.
    """
    trace_id, span_id, _, _, trace_state, _ = span._context
    parent = span._parent
    attributes = span._attributes
    encoded = b"".join(
        (
            _ids(_TRACE_ID, trace_id >> 64, trace_id & _LOW, _SPAN_ID, span_id),
            _NAME,
            encode_name(span._name),
            _KINDS[span._kind._value_],
            _times(_START, span._start_time or 0, _END, span._end_time or 0),
            # Indices of a span context: 1 is its id, 2 says whether it is remote.
            _PARENT_FLAGS[0] if parent is None else _parent_and_flags(_PARENT, parent[1], _PARENT_FLAGS[parent[2]]),
            encode_attributes(_ATTRIBUTES, attributes) if attributes else b"",
        )
    )
    if trace_state is DEFAULT_TRACE_STATE and type(span) is LeanSpan and not span._more:
        return encoded + _UNSET
    return b"".join((encoded, *_more(span, trace_state)))


def _more(span: Any, trace_state: TraceState) -> Iterator[bytes]:
    """Yield what few spans have."""
    if trace_state:
        state = ",".join([f"{key}={value}" for key, value in trace_state.items()])
        if privacy.scrub(state) == state:  # it comes from other programs; cut in pieces it would be none
            yield _TRACE_STATE + sized(state.encode(errors="replace"))
    if dropped := span.dropped_attributes:
        yield _DROPPED_ATTRIBUTES + varint(dropped)
    for event in span._events:
        yield _EVENT + sized(_event(event))
    for link in span._links:
        yield _LINK + sized(_link(link))
    if dropped := span.dropped_events:
        yield _DROPPED_EVENTS + varint(dropped)
    if dropped := span.dropped_links:
        yield _DROPPED_LINKS + varint(dropped)
    yield _status(span._status)


def _event(event: Event) -> bytes:
    encoded = _EVENT_TIME + fixed64(event.timestamp or 0) + _EVENT_NAME + encode_name(event.name)
    if event.attributes:
        encoded += encode_attributes(_EVENT_ATTRIBUTES, event.attributes)
    return encoded + _EVENT_DROPPED + varint(event.dropped_attributes)


def _link(link: Link) -> bytes:
    trace_id, span_id, is_remote, *_ = link.context
    encoded = _ids(_TRACE_ID, trace_id >> 64, trace_id & _LOW, _SPAN_ID, span_id) + _LINK_FLAGS[is_remote]
    if link.attributes:
        encoded += encode_attributes(_LINK_ATTRIBUTES, link.attributes)
    return encoded + _LINK_DROPPED + varint(link.dropped_attributes)


def _status(status: Status) -> bytes:
    if status.status_code is StatusCode.UNSET:
        return _UNSET
    encoded = _STATUS_CODE + varint(status.status_code.value)
    if status.description:
        encoded += _STATUS_MESSAGE + sized(encode_text(status.description))
    return _STATUS + sized(encoded)


def encode_log(readable: ReadableLogRecord | ReadWriteLogRecord) -> bytes:
    """Return the body of a `LogRecord`, scrubbed."""
    record = readable.log_record
    number = record.severity_number
    encoded = encode_record(
        (record.timestamp or 0, record.observed_timestamp or 0),
        (None if number is None else number.value, record.severity_text),
        record.body,
        record.attributes,
        (record.trace_id or 0, record.span_id or 0, record.trace_flags or 0),
    )
    if dropped := readable.dropped_attributes:
        encoded += _LOG_DROPPED + varint(dropped)
    if record.event_name:
        encoded += _EVENT_NAME_OF_LOG + encode_name(record.event_name)
    return encoded


def encode_record(
    times: tuple[int, int],
    severity: tuple[int | None, str | None],
    body: Any,
    attributes: Mapping[str, Any] | None,
    span: tuple[int, int, int],
) -> bytes:
    """Return the body of a `LogRecord`, scrubbed.

    :param times: when it happened and when it was seen, in ns; 0 is unknown.
    :param severity: number and text.
    :param span: ids of trace and span, and flags; 0 is none.
    """
    return b"".join(
        (
            _times(_LOG_TIME, times[0], _OBSERVED, times[1]),
            encode_description(*severity, attributes),
            _BODY,
            sized(encode_value(body)),
            _belonging_to(*span),
        )
    )


def encode_message(message: tuple[int, int, bytes, str, SpanContext | None]) -> bytes:
    """Return what `encode_record` does of a message that has no attributes but its place in the code.

    :param message: when it was made and when it was seen, in ns; what `encode_description` returns; its text; and the
        span that it belongs to.
    """
    created, seen, described, body, span = message
    text = encode_text(body)
    length = lengths[len(text)]
    return b"".join(
        (
            _times(_LOG_TIME, created, _OBSERVED, seen),
            described,
            _BODY,
            lengths[1 + len(length) + len(text)],
            _STRING,
            length,
            text,
            b"" if span is None else _belonging_to(span[0], span[1], span[3]),
        )
    )


def encode_event(event: tuple[int, bytes, Mapping[str, Any], SpanContext]) -> bytes:
    """Return the body of a `LogRecord`, scrubbed.

    :param event: when it happened, in ns; severity, name and body by `encode_description`; attributes; and the span
        that it belongs to.
    """
    now, described, attributes, span = event
    return b"".join(
        (
            _times(_LOG_TIME, now, _OBSERVED, now),
            described,
            encode_attributes(_LOG_ATTRIBUTES, attributes),
            _belonging_to(span[0], span[1], span[3]),
        )
    )


def encode_description(
    number: int | None,
    text: str | None,
    attributes: Mapping[str, Any] | None,
    event: str | None = None,
    body: str | None = None,
) -> bytes:
    """Return severity, attributes, event name and body of a `LogRecord`, scrubbed.

    :param number: of the severity; `text` is its name.
    """
    encoded = b"" if number is None else _SEVERITY + varint(number)
    if text:
        encoded += _SEVERITY_TEXT + encode_name(text)
    if event:
        encoded += _EVENT_NAME_OF_LOG + encode_name(event)
    if body:
        encoded += _BODY + sized(encode_value(body))
    return encoded + encode_attributes(_LOG_ATTRIBUTES, attributes) if attributes else encoded


def _belonging_to(trace_id: int, span_id: int, flags: int) -> bytes:
    encoded = _LOG_FLAGS + fixed32(flags) if flags else b""
    if trace_id and span_id:
        return encoded + _ids(_LOG_TRACE_ID, trace_id >> 64, trace_id & _LOW, _LOG_SPAN_ID, span_id)
    if trace_id:
        encoded += _LOG_TRACE_ID + trace_id.to_bytes(16, "big")
    return encoded + _LOG_SPAN_ID + span_id.to_bytes(8, "big") if span_id else encoded


def export_request(resource: Resource, groups: Groups) -> bytes:
    """Return an export request: those of the three signals have one shape, and the same numbers of fields."""
    parts = [_RESOURCE, sized(encode_resource(resource))]
    for scope, items in groups:
        group = [_SCOPE, sized(encode_scope(scope))]
        # In one go: in a thread, each turn of a loop of Python's keeps the bot waiting.
        group += chain.from_iterable(zip(repeat(_ITEM), map(lengths.__getitem__, map(len, items)), items, strict=False))
        if scope is not None and scope.schema_url:
            group += (_SCHEMA, sized(encode_text(scope.schema_url)))
        parts += (_SCOPE_GROUP, sized(b"".join(group)))
    if resource.schema_url:
        parts += (_SCHEMA, sized(encode_text(resource.schema_url)))
    return tag(1, LENGTH) + sized(b"".join(parts))


#: For spans from `encode_span` and for records from `encode_log`.
traces_request = logs_request = export_request
