"""Traces, logs and errors: a request's parameters become a search of the store."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from otelbot.dashboard.api import parameters
from otelbot.dashboard.api.evaluation import RESOLUTIONS
from otelbot.dashboard.api.parameters import Refused
from otelbot.dashboard.store import errors, logs, traces

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from aiohttp import web

    Search = Callable[[sqlite3.Connection], dict[str, Any]]

_SEVERITIES = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17, "fatal": 21}


def find_traces(request: web.Request) -> Search:
    wanted = traces.Search(
        since_ns=_since(request),
        until_ns=parameters.nanoseconds(request, "until"),
        handler=parameters.text(request, "handler"),
        outcome=parameters.text(request, "outcome"),
        service=parameters.text(request, "service"),
        min_ms=parameters.number(request, "min_ms"),
        max_ms=parameters.number(request, "max_ms"),
        text=parameters.text(request, "text"),
        user=parameters.text(request, "user"),
        errors=parameters.flag(request, "errors"),
        before=parameters.whole(request, "before"),
        limit=parameters.whole(request, "limit", 1, 200) or 50,
    )
    return lambda db: traces.search(db, wanted)


def one_trace(request: web.Request) -> Search:
    trace_id = _trace_id(request.match_info["trace_id"])

    def search(db: sqlite3.Connection) -> dict[str, Any]:
        found = traces.get(db, trace_id)
        if found is None:
            raise Refused("There is no such trace, or it has been removed to make room.", 404)
        return found

    return search


def facets(request: web.Request) -> Search:
    since = _since(request)
    return lambda db: traces.facets(db, since)


def find_logs(request: web.Request) -> Search:
    trace_id = parameters.text(request, "trace_id")
    wanted = logs.Logs(
        since_ns=_since(request),
        until_ns=parameters.nanoseconds(request, "until"),
        severity_min=_severity(request),
        text=parameters.text(request, "text"),
        service=parameters.text(request, "service"),
        trace_id=_trace_id(trace_id) if trace_id else None,
        event=parameters.text(request, "event"),
        fingerprint=parameters.text(request, "fingerprint"),
        before=parameters.whole(request, "before"),
        after=parameters.whole(request, "after"),
        limit=parameters.whole(request, "limit", 1, 500) or 100,
    )
    return lambda db: logs.search(db, wanted)


def find_errors(request: web.Request) -> Search:
    since = _since(request)
    service = parameters.text(request, "service")
    limit = parameters.whole(request, "limit", 1, 500) or 100
    return lambda db: errors.groups(db, since, service, limit)


def _since(request: web.Request) -> int:
    """Return the beginning in ns since the epoch: `since` (ms), or that of `range`, or of all that there is."""
    since = parameters.nanoseconds(request, "since")
    if since is not None:
        return since
    range_ = parameters.one_of(request, "range", RESOLUTIONS)
    return time.time_ns() - RESOLUTIONS[range_].seconds * 1_000_000_000 if range_ else 0


def _severity(request: web.Request) -> int | None:
    """Return a severity that is given by name or by OpenTelemetry's number."""
    given = parameters.text(request, "severity")
    if given is None or (given.isascii() and given.isdigit()):
        return parameters.whole(request, "severity", 1, 24)
    if (number := _SEVERITIES.get(given.lower())) is None:
        raise Refused(f"severity is neither a number from 1 to 24 nor one of {', '.join(_SEVERITIES)}.")
    return number


def _trace_id(given: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", given):
        raise Refused("A trace's id is 32 hexadecimal digits.")
    return given.lower()
