"""The page's server over a store that is fed by OTLP requests."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp.test_utils import TestClient, TestServer

from otelbot.dashboard.api.server import PageOptions, page_app
from otelbot.dashboard.store import Limits, Store
from tests.unit.dashboard.reading.telemetry import Fed, pairs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from otelbot import signals

BOT = {
    "service.name": "shop",
    "service.instance.id": "one",
    "telegram.bot.id": "42",
    "deployment.environment.name": "test",
}


class FakeAlerts:
    """What the page asks of the evaluator, remembered."""

    def __init__(self):
        self.version = 0
        self.firing = 0
        self.asked = []

    def overview(self):
        return {"alerts": [{"uid": "otelbot-memory-high"}], "channels": ["telegram"], "problems": []}

    def history(self, limit):
        return {"history": [], "limit": limit}

    async def silence(self, uid, labels, seconds):
        if uid != "otelbot-memory-high":
            raise ValueError("uid is not that of an alert rule")
        self.asked.append((uid, labels, seconds))
        self.version += 1

    async def unsilence(self, uid, labels):
        self.asked.append((uid, labels))


class Page:
    def __init__(self, client, fed, alerts):
        self.client = client
        self.fed = fed
        self.alerts = alerts

    async def get(self, path, status=200, **params):
        async with self.client.get(path, params=params) as response:
            answer = await response.json()
            assert response.status == status, answer
            return answer


@asynccontextmanager
async def page(folder: Path, token: str | None = None) -> AsyncIterator[Page]:
    store = Store(folder / "store", Limits(max_bytes=100 * 2**20, max_age=7 * 24 * 3600, metrics_age=24 * 3600))
    store.start()
    try:
        alerts = FakeAlerts()
        options = PageOptions("127.0.0.1" if token is None else "0.0.0.0", token)
        async with TestClient(TestServer(page_app(store, alerts, options))) as client:
            yield Page(client, Fed(store), alerts)
    finally:
        store.close()


def counter(instrument: signals.Instrument, *values, ago=0.0, **attributes):
    """Return a metric of OTLP/JSON with a point of each of `values`, 15 s apart, the last `ago` seconds ago."""
    points = [_point(at, attributes) | {"asDouble": value} for at, value in _times(values, ago)]
    total = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}
    return _metric(instrument) | {"sum": total}


def gauge(instrument: signals.Instrument, *values, ago=0.0, **attributes):
    points = [_point(at, attributes) | {"asDouble": value} for at, value in _times(values, ago)]
    return _metric(instrument) | {"gauge": {"dataPoints": points}}


def histogram(instrument: signals.Instrument, *counts, seconds=0.1, ago=0.0, **attributes):
    """Return a histogram all of whose observations were of so many seconds."""
    bounds = instrument.buckets
    place = sum(bound < seconds for bound in bounds)
    points = [
        _point(at, attributes)
        | {
            "count": str(count),
            "sum": count * seconds,
            "explicitBounds": list(bounds),
            "bucketCounts": [str(count if bucket == place else 0) for bucket in range(len(bounds) + 1)],
        }
        for at, count in _times(counts, ago)
    ]
    return _metric(instrument) | {"histogram": {"aggregationTemporality": 2, "dataPoints": points}}


def _times(values, ago):
    now = time.time() - ago
    return [(now - 15 * (len(values) - 1 - place), value) for place, value in enumerate(values)]


def _metric(instrument):
    return {"name": instrument.name, "unit": instrument.unit, "description": instrument.description}


def _point(at, attributes):
    return {"timeUnixNano": str(round(at * 10**9)), "attributes": pairs(attributes)}
