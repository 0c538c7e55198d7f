"""How rows become JSON: times, ids and attributes as the page's API has them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

#: What a log record's JSON is made of.
LOGS = """
SELECT logs.*, resources.service, scopes.name AS scope_name
FROM logs LEFT JOIN resources ON resources.id = logs.resource LEFT JOIN scopes ON scopes.id = logs.scope
"""
_GREATEST = 2**53 - 1  # what JavaScript tells from its neighbours


LATEST = 2**62  # ns, and more than any number of a row


def parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of a query as SQLite can take them: whole numbers of 64 bits, and texts that are UTF-8."""
    return {name: _parameter(value) for name, value in given.items()}


def _parameter(value: Any) -> Any:
    if isinstance(value, int):
        return max(-LATEST, min(value, LATEST))
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def first_log(db: sqlite3.Connection, since_ns: int) -> int:
    """Return a number that no log record from `since_ns` on is below."""
    return _first(db, "SELECT min(+id) FROM logs WHERE time >= :since", since_ns)


def first_trace(db: sqlite3.Connection, since_ns: int) -> int:
    """Return a number that no trace from `since_ns` on is below."""
    return _first(db, "SELECT min(+seq) FROM traces WHERE start >= :since", since_ns)


def _first(db: sqlite3.Connection, query: str, since_ns: int) -> int:
    if since_ns <= 0:
        return 0
    # The + has SQLite look through the index of times, not from the oldest row on.
    found = db.execute(query, parameters({"since": since_ns})).fetchone()[0]
    return LATEST if found is None else int(found)


def ms(ns: int) -> float:
    """Return ns as ms, as fine as a float can say it."""
    return ns / 1e6


def identifier(text: str | None, length: int) -> bytes | None:
    """Return the bytes of a trace id (16) or span id (8) in hexadecimal; None for what is none."""
    try:
        given = bytes.fromhex(text or "")
    except ValueError:
        return None
    return given if len(given) == length else None


def hexadecimal(given: bytes | None) -> str | None:
    return given.hex() if given else None


@lru_cache(maxsize=256)
def decoded(text: str) -> Any:
    """Return JSON that comes again and again (a resource, bounds) as an object. It is shared: nobody may change it."""
    return json.loads(text)


def shown(value: Any) -> Any:
    """Return a value for JavaScript: whole numbers that it would round as texts."""
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return str(value) if type(value) is int and abs(value) > _GREATEST else value


def trace(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row of `traces` with `service` and `bot` of its resource."""
    return {
        "trace_id": row["trace_id"].hex(),
        "seq": row["seq"],
        "start": ms(row["start"]),
        "duration_ms": ms(row["end"] - row["start"]),
        "complete": row["root"] is not None,
        **{
            name: row[name]
            for name in (
                "name",
                "service",
                "bot",
                "handler",
                "outcome",
                "update_type",
                "user_hash",
                "error_type",
                "state",
                "spans",
                "errors",
            )
        },
    }


def log(row: sqlite3.Row) -> dict[str, Any]:
    """Return a row of `LOGS`."""
    return {
        "id": row["id"],
        "time": ms(row["time"]),
        "trace_id": hexadecimal(row["trace_id"]),
        "span_id": hexadecimal(row["span_id"]),
        "scope": row["scope_name"],
        "attributes": shown(json.loads(row["attributes"])),
        **{
            name: row[name]
            for name in (
                "severity",
                "severity_text",
                "body",
                "event",
                "service",
                "error_type",
                "fingerprint",
                "occurrences",
            )
        },
    }
