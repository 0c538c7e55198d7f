"""Log records: their rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelbot import signals
from otelbot.dashboard.otlp.values import attributes, plain, text
from otelbot.dashboard.store.intake.ids import as_json
from otelbot.dashboard.store.intake.times import sane

if TYPE_CHECKING:
    import sqlite3

    from otelbot.dashboard.store.intake.ids import Ids

_INSERT = "INSERT INTO logs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


@dataclass
class Logs:
    """The rows of one request."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rejected: int = 0
    reason: str = ""

    @property
    def count(self) -> int:
        return len(self.rows)

    def insert(self, db: sqlite3.Connection) -> None:
        db.executemany(_INSERT, self.rows)


def read_logs(request: Any, ids: Ids, now: int) -> Logs:
    """Return the rows of an ExportLogsServiceRequest that came at `now` (ns)."""
    read = Logs()
    for of_resource in request.resource_logs:
        resource = ids.resource(of_resource.resource, now)
        for of_scope in of_resource.scope_logs:
            scope = ids.scope(of_scope.scope)
            read.rows += [_row(record, resource, scope, now) for record in of_scope.log_records]
    return read


def _row(record: Any, resource: int, scope: int, now: int) -> tuple[Any, ...]:
    values = attributes(record.attributes)
    body = plain(record.body)
    trace_id, span_id = record.trace_id, record.span_id
    return (
        sane(record.time_unix_nano or record.observed_time_unix_nano, now),
        record.severity_number,
        text(record.severity_text),
        body if isinstance(body, str) else "" if body is None else as_json(body),
        text(record.event_name) or _text(values.get("event.name")),
        # A record is worth keeping also where its ids are not.
        trace_id if len(trace_id) == 16 and trace_id != _NO_TRACE else None,
        span_id if len(span_id) == 8 and span_id != _NO_SPAN else None,
        resource,
        scope,
        _text(values.get("exception.type") or values.get(signals.ERROR_TYPE)),
        _text(values.get(signals.EXCEPTION_FINGERPRINT)),
        _count(values.get(signals.EXCEPTION_COUNT)),
        as_json(values),
    )


def _text(value: Any) -> str | None:
    return value or None if isinstance(value, str) else None if value is None else as_json(value)


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 1
