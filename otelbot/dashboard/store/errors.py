"""Errors, each fault once: by the fingerprint of its log records, and those that only spans tell of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otelbot import signals
from otelbot.dashboard.otlp.values import attributes
from otelbot.dashboard.store import rows

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_MOST = 500  # faults in an answer
_MOST_TRACES = 5  # of a fault
_MOST_LOOKED_AT = 1_000  # traces, and records without a fingerprint: the newest
_MOST_TEXT = 2_000  # characters of a message

# An exception that is logged and that goes on is a record of the logger and an event, which alone has the count of
# those that came within its minute. A fault whose event is not due yet has only its records.
_FAULTS = """
SELECT fingerprint, min(time) AS first, max(time) AS last, max(logs.id) AS newest,
    max(total(iif(event = :event, occurrences, 0)), total(event IS NOT :event)) AS count
FROM logs LEFT JOIN resources ON resources.id = logs.resource
WHERE fingerprint IS NOT NULL AND time >= :since AND (:service IS NULL OR service = :service)
GROUP BY fingerprint ORDER BY last DESC LIMIT :limit
"""
_RECORD = """
SELECT * FROM logs WHERE fingerprint = :fingerprint AND time >= :since
ORDER BY instr(attributes, '"exception.stacktrace"') > 0 DESC, time DESC LIMIT 1
"""
_SERVICES = """
SELECT DISTINCT service FROM logs JOIN resources ON resources.id = logs.resource
WHERE fingerprint = :fingerprint AND time >= :since AND service IS NOT NULL ORDER BY service
"""
_TRACES = """
SELECT trace_id FROM logs WHERE fingerprint = :fingerprint AND time >= :since AND trace_id IS NOT NULL
ORDER BY time DESC LIMIT 50
"""
# Of programs that are not otelbot's.
_WITHOUT = """
SELECT logs.*, resources.service FROM logs LEFT JOIN resources ON resources.id = logs.resource
WHERE fingerprint IS NULL AND error_type IS NOT NULL AND time >= :since AND (:service IS NULL OR service = :service)
    AND instr(logs.attributes, '"exception.type"') > 0
ORDER BY time DESC LIMIT :most
"""
_FAILED = """
SELECT spans.* , resources.service FROM (
    SELECT trace_id, seq FROM traces
    WHERE seq >= :first AND +start >= :since
    AND errors > 0 AND NOT EXISTS (
        SELECT 1 FROM logs WHERE logs.trace_id = traces.trace_id
            AND (fingerprint IS NOT NULL OR error_type IS NOT NULL AND instr(attributes, '"exception.type"') > 0)
    )
    ORDER BY seq DESC LIMIT :most
) AS failed
JOIN spans ON spans.trace_id = failed.trace_id LEFT JOIN resources ON resources.id = spans.resource
WHERE spans.status = 2 AND (:service IS NULL OR service = :service)
ORDER BY failed.seq DESC, spans.start DESC
"""

_frame = re.compile(r'^\s*File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<function>\S+)', re.MULTILINE)
#: Also otelbot's own, which is elsewhere where it is installed from a checkout.
_of_a_library = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib[/\\]python3|^<frozen|[/\\]otelbot[/\\](?:instrumentation|tuning)[/\\]"
)


@dataclass
class _Fault:
    fingerprint: str | None
    type: str
    message: str
    where: str
    count: int
    first: int  # ns
    last: int
    services: list[str] = field(default_factory=list)
    trace_ids: list[str] = field(default_factory=list)
    log_id: int | None = None

    def again(self, time: int) -> None:
        self.count += 1
        self.first, self.last = min(self.first, time), max(self.last, time)

    def happened(self, trace_id: str | None, service: str | None) -> None:
        if trace_id and trace_id not in self.trace_ids and len(self.trace_ids) < _MOST_TRACES:
            self.trace_ids.append(trace_id)
        if service and service not in self.services:
            self.services.append(service)

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"first": rows.ms(self.first), "last": rows.ms(self.last)}


def groups(db: sqlite3.Connection, since_ns: int = 0, service: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Return `{"errors": […]}`, each with how often it came, the last one first.

    `fingerprint` is None where the program makes none, `log_id` where only spans told of it. `where` is the line of the
    bot's own code that a stack trace ends with, or else the function or span that failed.
    """
    asked = rows.parameters({"since": since_ns, "service": service, "limit": max(1, min(limit, _MOST))})
    logged = [_logged(db, row, asked) for row in db.execute(_FAULTS, asked | {"event": signals.EVENT_EXCEPTION})]
    told_with_count = {(fault.type, fault.where): fault for fault in logged}
    faults: dict[tuple[str, str], _Fault] = {}
    for row, kind, message, where in _without_fingerprint(db, asked):
        fault = faults.setdefault((kind, where), _Fault(None, kind, message, where, 0, row["time"], row["time"]))
        fault.log_id = fault.log_id or row["id"]
        fault.again(row["time"])
        fault.happened(rows.hexadecimal(row["trace_id"]), row["service"])
    for row, kind, message, where in _of_spans(db, asked):
        # The log tells of a fault once a minute, with how often it came: that counts this one.
        if (told := told_with_count.get((kind, where))) is not None:
            told.happened(row["trace_id"].hex(), row["service"])
            continue
        fault = faults.setdefault((kind, where), _Fault(None, kind, message, where, 0, row["start"], row["start"]))
        fault.again(row["start"])
        fault.happened(row["trace_id"].hex(), row["service"])
    found = sorted([*logged, *faults.values()], key=lambda fault: fault.last, reverse=True)
    return {"errors": [fault.as_json() for fault in found[: asked["limit"]]]}


def _logged(db: sqlite3.Connection, row: sqlite3.Row, asked: dict[str, Any]) -> _Fault:
    asked = asked | {"fingerprint": row["fingerprint"]}
    record = db.execute(_RECORD, asked).fetchone()
    told = json.loads(record["attributes"])
    traces = dict.fromkeys(each[0].hex() for each in db.execute(_TRACES, asked))
    message = told.get("exception.message")
    return _Fault(
        row["fingerprint"],
        record["error_type"] or "",
        (message if isinstance(message, str) else record["body"])[:_MOST_TEXT],
        _where(told) or "",
        int(row["count"]),
        row["first"],
        row["last"],
        [each[0] for each in db.execute(_SERVICES, asked)],
        list(traces)[:_MOST_TRACES],
        record["id"],
    )


def _without_fingerprint(db: sqlite3.Connection, asked: dict[str, Any]) -> Iterator[tuple[sqlite3.Row, str, str, str]]:
    """Yield record, type, message and place of each logged exception that nobody made a fingerprint of."""
    for row in db.execute(_WITHOUT, asked | {"most": _MOST_LOOKED_AT}):
        told = json.loads(row["attributes"])
        message = str(told.get("exception.message") or row["body"])[:_MOST_TEXT]
        yield row, row["error_type"], message, _where(told) or ""


def _of_spans(db: sqlite3.Connection, asked: dict[str, Any]) -> Iterator[tuple[sqlite3.Row, str, str, str]]:
    """Yield span, type, message and place of each error of a trace whose logs don't tell of any.

    An error that goes through several spans is one: told by the span with its stack trace, or else the innermost.
    """
    first = rows.first_trace(db, asked["since"])
    found: dict[tuple[bytes, str], tuple[sqlite3.Row, str, str, bool]] = {}
    for row in db.execute(_FAILED, asked | {"most": _MOST_LOOKED_AT, "first": first}):
        span = Span.FromString(row["body"])
        told = attributes(span.attributes)
        for event in span.events:
            if event.name == signals.EXCEPTION_EVENT:
                told |= attributes(event.attributes)
        kind = told.get("exception.type") or told.get(signals.ERROR_TYPE)
        if not kind:
            continue
        traced = _traced(told)
        known = found.get((row["trace_id"], str(kind)))
        if known is None or (traced and not known[3]):
            message = str(told.get("exception.message") or span.status.message)[:_MOST_TEXT]
            found[row["trace_id"], str(kind)] = (row, message, _where(told) or row["name"], bool(traced))
    for (_, kind), (row, message, where, _) in found.items():
        yield row, kind, message, where


def _where(told: dict[str, Any]) -> str | None:
    if place := _traced(told):
        return place
    function, file, line = (told.get(f"code.{name}") for name in ("function.name", "file.path", "line.number"))
    if file:
        return f"{file}:{line} in {function}" if line and function else str(file)
    return str(function) if function else None


def _traced(told: dict[str, Any]) -> str | None:
    """Return the last line of a stack trace that is the program's own, e.g. `shop/orders.py:12 in pay`."""
    trace = told.get("exception.stacktrace")
    frames = list(_frame.finditer(trace)) if isinstance(trace, str) else []
    if not frames:
        return None
    own = [frame for frame in frames if not _of_a_library.search(frame["file"])] or frames
    file = "/".join(re.split(r"[/\\]", own[-1]["file"])[-2:])
    return f"{file}:{own[-1]['line']} in {own[-1]['function']}"
