"""Log records: search, and what came since the last look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.store import finding, rows

if TYPE_CHECKING:
    import sqlite3

_MOST = 500  # records in an answer

# The + keep SQLite at the order of ids, from the newest, where it can stop early.
_CONDITIONS = {
    "severity_min": "severity >= :severity_min",
    "text": "in_texts(body, logs.attributes, event)",
    "service": "service = :service",
    "trace_id": "trace_id = :trace_id",
    "event": "event = :event",
    "fingerprint": "fingerprint = :fingerprint",
}


@dataclass(frozen=True)
class Logs:
    """What to look for; None is anything. Times in ns since the epoch."""

    since_ns: int = 0
    until_ns: int | None = None  # exclusive
    severity_min: int | None = None  # OpenTelemetry's number: 9 INFO, 13 WARN, 17 ERROR
    text: str | None = None  # in the body, the attributes or the event's name
    service: str | None = None
    trace_id: str | None = None  # hexadecimal
    event: str | None = None
    fingerprint: str | None = None
    before: int | None = None  # `next` of the answer before: older ones
    after: int | None = None  # `last` of the answer before: what came since
    limit: int = 100  # at most 500


def search(db: sqlite3.Connection, wanted: Logs) -> dict[str, Any]:
    """Return `{"logs": […], "next": id or None, "last": id}`, what came last first.

    `last` is how far it looked, also where nothing was found. Where more than `limit` came since `after`, the newest
    are returned, and the others with `before=next` beside the same `after`.
    """
    limit = max(1, min(wanted.limit, _MOST))
    last = db.execute("SELECT coalesce(max(id), 0) FROM logs").fetchone()[0]
    trace_id = rows.identifier(wanted.trace_id, 16)
    if wanted.trace_id is not None and trace_id is None:
        return {"logs": [], "next": None, "last": last}
    given: dict[str, Any] = {
        "severity_min": wanted.severity_min,
        "text": wanted.text or None,
        "service": wanted.service,
        "trace_id": trace_id,
        "event": wanted.event,
        "fingerprint": wanted.fingerprint,
    }
    conditions = [condition for name, condition in _CONDITIONS.items() if given[name] is not None]
    if wanted.text:
        finding.register(db, wanted.text)
    query = " ".join(
        (
            rows.LOGS,
            "WHERE logs.id < :before AND logs.id >= :first AND +time >= :since AND +time < :until",
            *(f"AND {condition}" for condition in conditions),
            "ORDER BY logs.id DESC LIMIT :limit",
        )
    )
    given |= {
        "since": wanted.since_ns,
        "until": rows.LATEST if wanted.until_ns is None else wanted.until_ns,
        "before": last + 1 if wanted.before is None else wanted.before,
        "first": max(rows.first_log(db, wanted.since_ns), 0 if wanted.after is None else wanted.after + 1),
        "limit": limit + 1,
    }
    found = db.execute(query, rows.parameters(given)).fetchall()
    logs = [rows.log(row) for row in found[:limit]]
    return {"logs": logs, "next": logs[-1]["id"] if len(found) > limit else None, "last": last}
