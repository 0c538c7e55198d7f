"""Traces: search, and one with its spans, its logs and the updates of its conversation before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otelbot.dashboard.otlp.values import attributes
from otelbot.dashboard.store import finding, rows

if TYPE_CHECKING:
    import sqlite3

_MOST = 200  # traces in an answer
_RECENT = 2_000  # traces that are looked through one by one for a text
_EARLY = 60 * 10**9  # ns that a trace's log may be before it
_NEWEST = "ORDER BY seq DESC LIMIT :limit"
_MOST_SPANS = 5_000  # in a trace
_MOST_LOGS = 2_000  # the same

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")

_TRACES = """
SELECT traces.*, resources.service, resources.bot
FROM traces LEFT JOIN resources ON resources.id = traces.resource
"""
# The + keep SQLite at the order of seq, from the newest, where it can stop early. Only of users there are many.
_CONDITIONS = {
    "handler": "+handler = :handler",
    "outcome": "outcome = :outcome",
    "service": "service = :service",
    "user": "user_hash = :user",
    "min_ns": "end - traces.start >= :min_ns",
    "max_ns": "end - traces.start <= :max_ns",
    "errors": "errors > 0",
}
# Of one trace after the other: soon done where many have the text.
_TEXT_IN_EACH = """
AND (
    EXISTS (SELECT 1 FROM spans WHERE spans.trace_id = traces.trace_id AND in_message(spans.body))
    OR EXISTS (SELECT 1 FROM logs WHERE logs.trace_id = traces.trace_id AND in_texts(logs.body, logs.attributes))
)
"""
# Through all rows as they lie in the file: sooner done where few have it.
_TEXT_IN_ALL = """
AND traces.trace_id IN (
    SELECT trace_id FROM spans WHERE id >= :first_span AND in_message(body)
    UNION ALL
    SELECT trace_id FROM logs WHERE id >= :first_log AND trace_id IS NOT NULL AND in_texts(body, attributes)
)
"""
_FIRST_SPAN = """
SELECT min(id) FROM spans WHERE trace_id = (SELECT trace_id FROM traces WHERE seq >= ? ORDER BY seq LIMIT 1)
"""
_SPANS = """
SELECT spans.*, resources.service, resources.attributes AS resource_attributes, scopes.name AS scope_name
FROM spans LEFT JOIN resources ON resources.id = spans.resource LEFT JOIN scopes ON scopes.id = spans.scope
WHERE trace_id = ? ORDER BY start, spans.id LIMIT ?
"""
# A trace can have other links as well: to the webhook's request, which is no update.
_PREVIOUS = """
SELECT traces.trace_id FROM links JOIN traces ON traces.trace_id = links.linked_trace_id
WHERE links.trace_id = :id AND links.linked_trace_id != :id
ORDER BY traces.update_type IS NOT NULL DESC, traces.start DESC LIMIT 1
"""
_NEXT = """
SELECT traces.trace_id FROM links JOIN traces ON traces.trace_id = links.trace_id
WHERE links.linked_trace_id = :id AND links.trace_id != :id
ORDER BY traces.update_type IS NOT NULL DESC, traces.start LIMIT 1
"""
# From each handler to the next one in the index, instead of through all of its traces.
_HANDLERS = """
WITH RECURSIVE found (handler) AS (
    SELECT min(handler) FROM traces WHERE handler IS NOT NULL
    UNION ALL
    SELECT (SELECT min(handler) FROM traces WHERE handler > found.handler) FROM found WHERE found.handler IS NOT NULL
)
SELECT handler FROM found
WHERE EXISTS (SELECT 1 FROM traces WHERE traces.handler = found.handler AND start >= :since)
"""


@dataclass(frozen=True)
class Search:
    """What to look for; None is anything. Times in ns since the epoch, of the trace's start."""

    since_ns: int = 0
    until_ns: int | None = None  # exclusive
    handler: str | None = None
    outcome: str | None = None
    service: str | None = None
    min_ms: float | None = None
    max_ms: float | None = None
    text: str | None = None  # in a span's name, attributes or events, or in a log of the trace; or the trace's id
    user: str | None = None  # its hash
    errors: bool = False  # only those with a span that failed
    before: int | None = None  # `next` of the answer before
    limit: int = 50  # at most 200


def search(db: sqlite3.Connection, wanted: Search) -> dict[str, Any]:
    """Return `{"traces": […], "next": seq or None}`, the newest first."""
    limit = max(1, min(wanted.limit, _MOST))
    given: dict[str, Any] = {
        "handler": wanted.handler,
        "outcome": wanted.outcome,
        "service": wanted.service,
        "user": wanted.user,
        "min_ns": _ns(wanted.min_ms),
        "max_ns": _ns(wanted.max_ms),
        "errors": wanted.errors or None,
    }
    query = " ".join(
        (
            _TRACES,
            "WHERE seq < :before AND seq >= :first AND +traces.start >= :since AND +traces.start < :until",
            *(f"AND {condition}" for name, condition in _CONDITIONS.items() if given[name] is not None),
        )
    )
    given |= {
        "since": wanted.since_ns,
        "until": rows.LATEST if wanted.until_ns is None else wanted.until_ns,
        "before": rows.LATEST if wanted.before is None else wanted.before,
        "first": rows.first_trace(db, wanted.since_ns),
        "limit": limit + 1,
    }
    if wanted.text:
        found = _with_text(db, wanted.text, query, rows.parameters(given))
    else:
        found = db.execute(f"{query} {_NEWEST}", rows.parameters(given)).fetchall()
    traces = [rows.trace(row) for row in found[:limit]]
    return {"traces": traces, "next": traces[-1]["seq"] if len(found) > limit else None}


def _with_text(db: sqlite3.Connection, text: str, query: str, given: dict[str, Any]) -> list[sqlite3.Row]:
    finding.register(db, text)
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM traces WHERE seq < :before", given).fetchone()
    recent = max(given["first"], last - _RECENT)
    found = db.execute(f"{query} {_TEXT_IN_EACH} {_NEWEST}", given | {"first": recent}).fetchall()
    if len(found) < given["limit"] and recent > given["first"]:
        (first_span,) = db.execute(_FIRST_SPAN, (given["first"],)).fetchone()
        rest = {
            "before": recent,
            "limit": given["limit"] - len(found),
            "first_span": first_span or 0,
            "first_log": rows.first_log(db, given["since"] - _EARLY),
        }
        found += db.execute(f"{query} {_TEXT_IN_ALL} {_NEWEST}", given | rest).fetchall()
    return found


def _ns(ms: float | None) -> int | None:
    if ms is None or ms != ms:  # noqa: PLR0124 - NaN
        return None
    return int(max(-1.0, min(ms, 1e12)) * 1e6)


def get(db: sqlite3.Connection, trace_id: str) -> dict[str, Any] | None:
    """Return a trace with `spans`, `logs` (both by time) and the `previous` and `next` of its conversation, by its id.

    None where there is none, or no longer. Of a trace with very many spans and logs the first ones are returned.

    :param trace_id: hexadecimal.
    """
    number = rows.identifier(trace_id, 16)
    row = db.execute(f"{_TRACES} WHERE trace_id = ?", (number,)).fetchone() if number else None
    if row is None:
        return None
    logs = db.execute(f"{rows.LOGS} WHERE trace_id = ? ORDER BY time, logs.id LIMIT ?", (number, _MOST_LOGS))
    return {
        "trace": rows.trace(row),
        "spans": [_span(each) for each in db.execute(_SPANS, (number, _MOST_SPANS))],
        "logs": [rows.log(each) for each in logs],
        "previous": _neighbour(db, _PREVIOUS, number),
        "next": _neighbour(db, _NEXT, number),
    }


def _neighbour(db: sqlite3.Connection, query: str, trace_id: bytes | None) -> str | None:
    row = db.execute(query, {"id": trace_id}).fetchone()
    return rows.hexadecimal(row[0]) if row else None


def _span(row: sqlite3.Row) -> dict[str, Any]:
    span = Span.FromString(row["body"])
    return {
        "span_id": row["span_id"].hex(),
        "parent_id": rows.hexadecimal(row["parent_id"]),
        "name": row["name"],
        "kind": _name(_KINDS, row["kind"]),
        "start": rows.ms(row["start"]),
        "duration_ms": rows.ms(row["end"] - row["start"]),
        "status": _name(_STATUSES, row["status"]),
        "status_message": span.status.message,
        "service": row["service"],
        "scope": row["scope_name"],
        "attributes": rows.shown(attributes(span.attributes)),
        "resource": rows.shown(rows.decoded(row["resource_attributes"] or "{}")),
        "events": [
            {
                "name": event.name,
                "time": rows.ms(event.time_unix_nano),
                "attributes": rows.shown(attributes(event.attributes)),
            }
            for event in span.events
        ],
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": rows.shown(attributes(link.attributes)),
            }
            for link in span.links
        ],
    }


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[0]


def facets(db: sqlite3.Connection, since_ns: int = 0) -> dict[str, list[str]]:
    """Return what there is to choose from: `services`, `handlers` and `outcomes`."""
    since = rows.parameters({"since": since_ns})
    services = db.execute("SELECT DISTINCT service FROM resources WHERE service IS NOT NULL AND last >= :since", since)
    outcomes = db.execute("SELECT DISTINCT outcome FROM traces WHERE outcome IS NOT NULL AND start >= :since", since)
    handlers = db.execute(_HANDLERS, since)
    return {
        name: sorted(row[0] for row in found)
        for name, found in (("services", services), ("handlers", handlers), ("outcomes", outcomes))
    }
