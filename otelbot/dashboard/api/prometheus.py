"""Prometheus' own HTTP API over the store, for Grafana and whatever else reads it.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from otelbot.dashboard import promql
from otelbot.dashboard.api import parameters
from otelbot.dashboard.api.answers import answer
from otelbot.dashboard.api.exposition import written
from otelbot.dashboard.api.parameters import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from otelbot.dashboard.api.reading import Reader

_LONGEST = 20_000  # characters of a query


async def query(request: web.Request, reader: Reader) -> web.Response:
    given = await _given(request)
    expr = _expr(given)
    at = _time(given.get("time"), "time")
    at = time.time() if at is None else at
    kind, samples = await reader.read(
        lambda source: ("scalar" if promql.is_scalar(expr) else "vector", promql.instant(expr, source, at))
    )
    if kind == "scalar":
        return _success(kind, [at, written(samples[0].value)])
    return _success(kind, [{"metric": one.labels, "value": [at, written(one.value)]} for one in samples])


async def query_range(request: web.Request, reader: Reader) -> web.Response:
    given = await _given(request)
    expr = _expr(given)
    start, end = _time(given.get("start"), "start"), _time(given.get("end"), "end")
    step = parameters.seconds(given.get("step"), "step")
    if start is None or end is None or step is None:
        raise Refused("query_range needs query, start, end and step.")
    found = await reader.read(lambda source: promql.range_query(expr, source, start, end, step))
    return _success(
        "matrix",
        [
            {
                "metric": one.labels,
                "values": [[at, written(value)] for at, value in zip(one.times, one.values, strict=True)],
            }
            for one in found
        ],
    )


async def _given(request: web.Request) -> Mapping[str, Any]:
    if request.method != "POST":
        return request.query
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused("The parameters of a POST are sent as application/x-www-form-urlencoded.", 415)
    try:
        return await request.post()
    except (ValueError, LookupError):
        raise Refused("The body is no form, or not in the charset that it names.") from None


def _expr(given: Mapping[str, Any]) -> str:
    expr = given.get("query")
    if not isinstance(expr, str) or not expr.strip():
        raise Refused("query is missing: it is a PromQL expression, e.g. telegram_bot_users_active.")
    if len(expr) > _LONGEST:
        raise Refused(f"query is longer than {_LONGEST} characters.")
    return expr


def _time(value: Any, name: str) -> float | None:
    """Return a time of Prometheus' API, seconds since the epoch or RFC 3339, in seconds since the epoch."""
    if not value:
        return None
    if not isinstance(value, str):
        raise Refused(f"{name} is no time.")
    try:
        parsed = float(value)
    except ValueError:
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise Refused(
                f"{name} is neither seconds since the epoch nor a time such as 2026-01-02T03:04:05Z."
            ) from None
        parsed = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    if not math.isfinite(parsed):
        raise Refused(f"{name} is not finite.")
    return parsed


def _success(kind: str, result: Any) -> web.Response:
    return answer({"status": "success", "data": {"resultType": kind, "result": result}})
