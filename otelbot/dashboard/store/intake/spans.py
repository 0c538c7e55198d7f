"""Spans: their rows, and what they say about their traces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelbot import signals
from otelbot.dashboard.otlp.values import text
from otelbot.dashboard.store.intake.times import sane

if TYPE_CHECKING:
    import sqlite3

    from otelbot.dashboard.store.intake.ids import Ids

_CONSUMER, _ERROR = 5, 2
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
#: What becomes a column of the trace, in the columns' order.
_OF_UPDATE = (
    signals.HANDLER,
    signals.UPDATE_OUTCOME,
    signals.UPDATE_TYPE,
    signals.USER_HASH,
    signals.ERROR_TYPE,
    signals.FSM_STATE,
)
_NOTHING = (None,) * len(_OF_UPDATE)
_PLACES = {name: place for place, name in enumerate(_OF_UPDATE)}

_INSERT = "INSERT OR IGNORE INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LINK = "INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)"
_TRACE = """
INSERT INTO traces VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (trace_id) DO UPDATE SET
    start = min(start, excluded.start), end = max(end, excluded.end),
    name = iif(root IS NULL AND (excluded.root IS NOT NULL OR excluded.start < start), excluded.name, name),
    resource = iif(root IS NULL AND (excluded.root IS NOT NULL OR excluded.start < start), excluded.resource, resource),
    root = coalesce(root, excluded.root),
    handler = coalesce(handler, excluded.handler), outcome = coalesce(outcome, excluded.outcome),
    update_type = coalesce(update_type, excluded.update_type), user_hash = coalesce(user_hash, excluded.user_hash),
    error_type = coalesce(error_type, excluded.error_type), state = coalesce(state, excluded.state),
    spans = spans + excluded.spans, errors = errors + excluded.errors
"""
_RECOUNT = """
UPDATE traces SET (spans, errors) = (SELECT count(*), total(status = 2) FROM spans WHERE trace_id = traces.trace_id)
WHERE trace_id = ?
"""


class _Trace:
    """What the spans of one request say about a trace."""

    __slots__ = ("end", "errors", "name", "of_update", "resource", "root", "spans", "start")

    def __init__(self, start: int, end: int, name: str, resource: int) -> None:
        self.start = start
        self.end = end
        self.name = name
        self.resource = resource
        self.root: bytes | None = None
        self.of_update: tuple[str | None, ...] = _NOTHING
        self.spans = self.errors = 0

    def row(self, trace_id: bytes) -> tuple[Any, ...]:
        return (
            trace_id,
            self.start,
            self.end,
            self.name,
            self.resource,
            self.root,
            *self.of_update,
            self.spans,
            self.errors,
        )


@dataclass
class Spans:
    """The rows of one request."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    links: list[tuple[bytes, bytes, bytes, bytes]] = field(default_factory=list)
    traces: dict[bytes, _Trace] = field(default_factory=dict)
    rejected: int = 0
    reason: str = ""

    @property
    def count(self) -> int:
        return len(self.rows)

    def insert(self, db: sqlite3.Connection) -> None:
        kept = db.executemany(_INSERT, self.rows).rowcount
        db.executemany(_TRACE, [trace.row(trace_id) for trace_id, trace in self.traces.items()])
        if self.links:
            db.executemany(_LINK, self.links)
        if kept < len(self.rows):  # some were there already
            db.executemany(_RECOUNT, [(trace_id,) for trace_id in self.traces])


def read_spans(request: Any, ids: Ids, now: int) -> Spans:
    """Return the rows of an ExportTraceServiceRequest that came at `now` (ns)."""
    read = Spans()
    for of_resource in request.resource_spans:
        resource = ids.resource(of_resource.resource, now)
        for of_scope in of_resource.scope_spans:
            scope = ids.scope(of_scope.scope)
            for span in of_scope.spans:
                _read(span, read, resource, scope, now)
    return read


def _read(span: Any, read: Spans, resource: int, scope: int, now: int) -> None:
    # Five thousand of these a second: straight-line code that touches each field of the message once.
    trace_id, span_id, parent = span.trace_id, span.span_id, span.parent_span_id
    if len(trace_id) != 16 or len(span_id) != 8 or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        read.rejected += 1
        read.reason = read.reason or "a span has no valid trace id (16 bytes) or span id (8 bytes), which are not zero"
        return
    if len(parent) != 8 or parent == _NO_SPAN:
        if parent and parent != _NO_SPAN:
            read.rejected += 1
            read.reason = read.reason or "a parent span id is not of 8 bytes"
            return
        parent = None
    start = sane(span.start_time_unix_nano, now)
    end = max(sane(span.end_time_unix_nano, now), start)
    name, kind, status = text(span.name), span.kind, span.status.code
    read.rows.append(
        (trace_id, span_id, parent, start, end, name, kind, status, resource, scope, span.SerializeToString())
    )
    trace = read.traces.get(trace_id)
    if trace is None:
        trace = read.traces[trace_id] = _Trace(start, end, name, resource)
    trace.spans += 1
    if status == _ERROR:
        trace.errors += 1
    trace.end = max(trace.end, end)
    if start < trace.start:
        trace.start = start
        if trace.root is None:
            trace.name, trace.resource = name, resource
    if parent is None and trace.root is None:
        trace.root, trace.name, trace.resource = span_id, name, resource
    if parent is None or kind == _CONSUMER:
        _read_update(span, trace)
    if span.links:
        read.links += [
            (trace_id, span_id, link.trace_id, link.span_id)
            for link in span.links
            if len(link.trace_id) == 16 and len(link.span_id) == 8
        ]


def _read_update(span: Any, trace: _Trace) -> None:
    """Take what the span of an update, or a root, says about its trace; what is known already stays."""
    found: list[str | None] = list(trace.of_update)
    for pair in span.attributes:
        place = _PLACES.get(pair.key)
        if place is not None and found[place] is None:
            found[place] = text(pair.value.string_value) or None
    trace.of_update = tuple(found)
