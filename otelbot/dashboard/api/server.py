"""The page's server: which path leads to what."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from otelbot import __version__, signals
from otelbot.dashboard.api import alerts as alerts_api
from otelbot.dashboard.api import cards, exposition, health, latest, panels, parameters, prometheus, static, telemetry
from otelbot.dashboard.api.answers import add_headers, answer, tell_errors
from otelbot.dashboard.api.auth import PageOptions, guard
from otelbot.dashboard.api.evaluation import RESOLUTIONS, Evaluation, Reading
from otelbot.dashboard.api.live import Live
from otelbot.dashboard.api.parameters import Refused
from otelbot.dashboard.api.reading import Reader
from otelbot.dashboard.api.shared import Shared
from otelbot.dashboard.store import series

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from otelbot.dashboard.api.alerts import Alerts
    from otelbot.dashboard.api.evaluation import Resolution
    from otelbot.dashboard.store import Store

__all__ = ["PageOptions", "page_app"]

#: What the page shows at each of these is up to its script.
_PAGES = ("updates", "telegram", "conversations", "databases", "runtime", "errors", "compare", "logs", "alerts")
_DEFAULT_RANGE = "1h"
_BIGGEST = 64 * 1024  # bytes of a request
_ALL_OF_IT = 7200  # seconds of which every sample is read
_FRESH = 300  # seconds for which the newest value of a series is its value


def page_app(store: Store, alerts: Alerts, options: PageOptions) -> web.Application:
    """Return the application that answers for the page and its API; the store is started, and outlives it."""
    app = web.Application(middlewares=[tell_errors, guard(options)], client_max_size=_BIGGEST)
    app.on_response_prepare.append(add_headers)
    api = _Api(store, alerts)
    live = Live(api.state)
    app.on_shutdown.append(live.stop)
    get, post = app.router.add_get, app.router.add_post

    get("/", static.index)
    for page in _PAGES:
        get(f"/{page}", static.index)
    get("/traces", static.index)
    get("/traces/{trace_id}", static.index)
    get("/static/plotly.min.js", static.plotly)
    get("/static/{file:.+}", static.file)

    get("/api/metrics", api.metrics)
    get("/api/panels/{page}", api.panels)
    get("/api/health", api.health)
    get("/api/traces", partial(api.search, telemetry.find_traces))
    get("/api/traces/{trace_id}", partial(api.search, telemetry.one_trace))
    get("/api/facets", partial(api.search, telemetry.facets))
    get("/api/logs", partial(api.search, telemetry.find_logs))
    get("/api/errors", partial(api.search, telemetry.find_errors))
    get("/api/alerts", api.alerts)
    get("/api/alerts/history", api.history)
    get("/api/runbooks/{uid}", alerts_api.runbook_of)
    post("/api/alerts/silence", partial(alerts_api.silence, alerts=alerts))
    app.router.add_delete("/api/alerts/silence", partial(alerts_api.unsilence, alerts=alerts))
    post("/api/clear", api.clear)
    get("/api/live", live.listen, allow_head=False)
    get("/api/v1/query", partial(prometheus.query, reader=api.reader))
    post("/api/v1/query", partial(prometheus.query, reader=api.reader))
    get("/api/v1/query_range", partial(prometheus.query_range, reader=api.reader))
    post("/api/v1/query_range", partial(prometheus.query_range, reader=api.reader))
    get("/metrics", api.exposition)
    return app


class _Api:
    def __init__(self, store: Store, alerts: Alerts) -> None:
        self.reader = Reader(store)
        self._store = store
        self._alerts = alerts
        self._evaluation = Evaluation()
        self._shared = Shared()

    def state(self) -> dict[str, Any]:
        """Return what the page is told when it changes."""
        return {
            "versions": {**self._store.versions, "alerts": self._alerts.version},
            "troubles": len(self._store.troubles),
            "firing": self._alerts.firing,
        }

    async def panels(self, request: web.Request) -> web.Response:
        page = request.match_info["page"]
        if page not in panels.PAGES:
            raise Refused(f"There is no such page; there are {', '.join(panels.PAGES)}.", 404)
        at, service = _shown(request)

        def read(db: sqlite3.Connection, now: float) -> dict[str, Any]:
            return panels.build(page, self._evaluation, _reading(db, at, now), at, service, now)

        return answer(await self._read_for_all(("panels", page, at.range, service), _kept_for(at), read))

    async def metrics(self, request: web.Request) -> web.Response:
        at, service = _shown(request)

        def read(db: sqlite3.Connection, now: float) -> dict[str, Any]:
            source = _reading(db, at, now)
            polls = series.latest(db, at.seconds, now, [signals.POLLING_AGE.name])
            return {
                "time": round(now * 1000),
                "range": at.range,
                "services": sorted({process["service"] for process in series.services(db)}),
                "cards": cards.cards(self._evaluation, source, at, service, now, polls),
                "metrics": latest.metrics(series.latest(db, _FRESH, now), source, service, now),
            }

        return answer(await self._read_for_all(("metrics", at.range, service), _kept_for(at), read))

    async def health(self, request: web.Request) -> web.Response:
        def read(db: sqlite3.Connection, now: float) -> dict[str, Any]:
            told = series.latest(db, health.MISSED_FOR, now, health.METRICS)
            found = health.services(series.services(db), told, now)
            return {"status": health.worst(process["status"] for process in found), "services": found}

        found = await self._read_for_all("health", 2, read)
        dashboard = health.dashboard(self._store, __version__)
        # A browser writes each 503 into its console as an error, so the page asks for 200.
        always = parameters.one_of(request, "ok", {"200": 200}) is not None
        status = 503 if found["status"] == "unhealthy" and not always else 200
        return answer({**found, "dashboard": dashboard}, status)

    async def search(
        self,
        prepared: Callable[[web.Request], Callable[[sqlite3.Connection], dict[str, Any]]],
        request: web.Request,
    ) -> web.Response:
        return answer(await self._store.read(prepared(request)))

    async def alerts(self, _request: web.Request) -> web.Response:
        return answer(self._alerts.overview())

    async def history(self, request: web.Request) -> web.Response:
        return answer(self._alerts.history(parameters.whole(request, "limit", 1, 1000) or 100))

    async def clear(self, _request: web.Request) -> web.Response:
        await self._store.clear()
        self._evaluation.forget()
        self._shared.forget()
        return answer({"ok": True})

    async def exposition(self, _request: web.Request) -> web.Response:
        points = await self._store.read(lambda db: series.latest(db, _FRESH))
        text = exposition.exposition(points, self._store.stats(), __version__)
        response = web.Response(body=text.encode(), headers={"Content-Type": exposition.CONTENT_TYPE})
        response.enable_compression()
        return response

    async def _read_for_all(
        self, key: Any, seconds: float, read: Callable[[sqlite3.Connection, float], dict[str, Any]]
    ) -> dict[str, Any]:
        async def make() -> dict[str, Any]:
            now = time.time()
            return await self._store.read(lambda db: read(db, now))

        found: dict[str, Any] = await self._shared.get(key, seconds, make)
        return found


def _shown(request: web.Request) -> tuple[Resolution, str | None]:
    range_ = parameters.one_of(request, "range", RESOLUTIONS) or _DEFAULT_RANGE
    return RESOLUTIONS[range_], parameters.text(request, "service")


def _reading(db: sqlite3.Connection, at: Resolution, now: float) -> Reading:
    # What is evaluated now looks back for little more than an hour, and every sample of that counts.
    coarse = series.Coarse(now - _ALL_OF_IT, at.coarse) if at.coarse else None
    return Reading(series.StoreSource(db, coarse), now)


def _kept_for(at: Resolution) -> float:
    """Return for how many seconds an answer is good for all who ask for the same: a day costs more to evaluate."""
    return 2 if at.seconds <= 3600 else 5
