"""What the dashboard exposes, taken by the real Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestServer

from otelbot import signals
from otelbot.dashboard.api.server import PageOptions, page_app
from otelbot.demo.waiting import PATIENCE
from tests.integration.dashboard.pages import BOT, FakeAlerts, counter, gauge, histogram, page
from tests.stack.services import Prometheus, eventually
from tests.support import tools_folder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("stack")

HOSTILE = 'a "quoted" \\ back\\slash\nand a line'


@pytest.fixture
async def web(tmp_path: Path):
    async with page(tmp_path) as found:
        await found.fed.send(
            "metrics",
            histogram(signals.UPDATE_DURATION, 5, 9, **{signals.UPDATE_TYPE: HOSTILE}),
            gauge(signals.PROCESS_MEMORY, 70e6),
            gauge(signals.LOOP_UTILIZATION, "NaN"),
            counter(signals.ERRORS, 4, **{signals.ERROR_TYPE: "ValueError", signals.COMPONENT: "handler"}),
            resource=BOT,
        )
        yield found


async def test_promtool_reads_every_line(web):
    async with web.client.get("/metrics") as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await response.read()
    process = await asyncio.create_subprocess_exec(
        tools_folder() / "promtool",
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(text), PATIENCE)
    # 3: it reads all of it, but would have chosen other names for what the conventions of OpenTelemetry name.
    assert process.returncode in {0, 3}, output.decode()
    assert b"otelbot_dashboard" not in output


async def test_prometheus_scrapes_it_and_has_what_was_sent(web, tmp_path: Path):
    async with TestServer(page_app(web.fed.store, FakeAlerts(), PageOptions("127.0.0.1"))) as server:
        prometheus = Prometheus(tmp_path / "prometheus")
        prometheus.targets["prometheus"] = server.port
        async with prometheus:

            async def scraped():
                return await prometheus.query('process_memory_usage_bytes{service_name="shop"}')

            ((_, memory),) = await eventually(scraped, "the dashboard's metrics in Prometheus")
            assert memory == 70e6
            ((labels, count),) = await prometheus.query("telegram_bot_update_duration_seconds_count")
            assert (labels["telegram_update_type"], count) == (HOSTILE, 9)
            buckets = await prometheus.by("le", "telegram_bot_update_duration_seconds_bucket")
            assert (buckets["0.05"], buckets["0.1"], buckets["+Inf"]) == (0, 9, 9)
            assert [value for _, value in await prometheus.query("telegram_bot_errors_total")] == [4]
            assert await prometheus.by("signal", "otelbot_dashboard_items_rejected_total") == {
                "traces": 0,
                "metrics": 0,
                "logs": 0,
            }
            ((labels, _),) = await prometheus.query("otelbot_dashboard_build_info")
            assert labels["version"]
            assert [value for _, value in await prometheus.query("up")] == [1]
