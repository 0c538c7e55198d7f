"""The real Collector, with the stack's own configuration, sends to the dashboard's receiver instead of its backends."""

from __future__ import annotations

import pytest

from tests.integration.dashboard.receiving import receiving
from tests.stack.services import free_port
from tests.stack.stack_collector import send_all, span, stack_collector, traces
from tests.unit.dashboard.store.filling import opened, rows, until

pytestmark = pytest.mark.needs("stack")

NAMES = ["green", "black", "white"]


async def test_all_three_signals_arrive(tmp_path):
    async with (
        opened(tmp_path / "dashboard") as store,
        receiving(store) as url,
        stack_collector(tmp_path / "collector", url) as collector,
    ):
        await send_all(collector, NAMES)
        await collector.post("traces", traces(span("refused", traceId="00" * 16)))
        await until(lambda: rows(store, "SELECT count(*) = 3 FROM spans"))
        await until(lambda: rows(store, "SELECT count(*) = 3 FROM logs"))
        listed = ", ".join(f"'{name}'" for name in NAMES)
        await until(lambda: rows(store, f"SELECT count(*) = 3 FROM series WHERE name IN ({listed})"))
        assert {name for (name,) in await rows(store, "SELECT name FROM spans")} == set(NAMES)
        assert {body for (body,) in await rows(store, "SELECT body FROM logs")} == set(NAMES)
        assert store.stats().unreadable == 0


async def test_what_the_collector_took_while_the_dashboard_was_away_arrives(tmp_path):
    port = free_port()
    async with stack_collector(tmp_path / "collector", f"http://127.0.0.1:{port}") as collector:
        await send_all(collector, NAMES)
        async with opened(tmp_path / "dashboard") as store, receiving(store, port=port):
            await until(lambda: rows(store, "SELECT count(*) = 3 FROM spans"))
            await until(lambda: rows(store, "SELECT count(*) = 3 FROM logs"))
